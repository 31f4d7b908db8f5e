"""The models: a folder for each provider, behind `agent.models.interface.Model`."""

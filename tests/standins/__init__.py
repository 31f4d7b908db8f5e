"""Strict stand-ins for the models' services; they know nothing of the agent."""

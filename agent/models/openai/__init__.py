"""The APIs of OpenAI, and of every service that speaks the same."""

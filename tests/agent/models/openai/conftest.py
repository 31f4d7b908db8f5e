"""A model of chat completions, for the tests of this folder."""

from fakes.providers import openai_chat as chat

__all__ = ["chat"]

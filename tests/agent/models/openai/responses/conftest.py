"""A model of the Responses API, for the tests of this folder."""

from fakes.providers import responses_chat as chat

__all__ = ["chat"]

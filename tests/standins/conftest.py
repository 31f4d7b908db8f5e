"""The fixtures of the stand-ins' own tests."""

from fakes.providers import api, openai_api, responses_api

__all__ = ["api", "openai_api", "responses_api"]

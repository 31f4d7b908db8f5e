"""The fixtures of the providers' tests: stand-ins, and models on them."""

from fakes.providers import (
    api,
    conversation,
    open_conversation,
    open_openai,
    open_responses,
    openai_api,
    openai_conversation,
    responses_api,
    responses_conversation,
)

__all__ = [
    "api",
    "conversation",
    "open_conversation",
    "open_openai",
    "open_responses",
    "openai_api",
    "openai_conversation",
    "responses_api",
    "responses_conversation",
]

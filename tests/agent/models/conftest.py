"""The fixtures of the providers' tests: stand-ins, and models on them."""

from fakes.providers import (
    api,
    claude_chat,
    open_conversation,
    open_openai,
    open_responses,
    openai_api,
    openai_chat,
    responses_api,
    responses_chat,
)

chat = claude_chat

__all__ = [
    "api",
    "chat",
    "claude_chat",
    "open_conversation",
    "open_openai",
    "open_responses",
    "openai_api",
    "openai_chat",
    "responses_api",
    "responses_chat",
]

"""Chat completions, of OpenAI and of every service that speaks the same."""

import secrets
from typing import Final

from agent.models.openai import dialect, request
from agent.models.openai.stream import OpenAIReplyStream
from agent.models.openai.wire_api import WireApi

CHAT: Final = WireApi(
    provider=request.PROVIDER,
    path="/chat/completions",
    body=request.body,
    stream=lambda _most: OpenAIReplyStream(token=secrets.token_hex(3)),
    public=dialect.PUBLIC,
    compatible=dialect.COMPATIBLE,
)

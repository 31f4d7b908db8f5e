"""The Responses API as a value, for the client that both APIs share."""

import secrets
from typing import Final

from agent.models.openai import dialect
from agent.models.openai.responses import request
from agent.models.openai.responses.stream import ResponsesReplyStream, failure_in
from agent.models.openai.wire_api import WireApi

RESPONSES: Final = WireApi(
    provider=request.PROVIDER,
    path="/responses",
    body=request.body,
    stream=lambda most: ResponsesReplyStream(token=secrets.token_hex(3), most_tokens=most),
    public=dialect.PUBLIC_RESPONSES,
    compatible=dialect.COMPATIBLE_RESPONSES,
    failure=failure_in,
)

"""Images in tool results, through the real SDK: sent after the text, and never with an error."""

import base64
from typing import Any

import pytest

from agent.errors import ModelRefusedRequest
from agent.models.interface import AssistantMessage, Image, ToolResult, ToolUse
from fakes.providers import PNG, ProviderChat, user
from standins.exchange.replies import answer

SHOWN = AssistantMessage(blocks=(ToolUse(id="t", name="bash", arguments={}),))


def shown(*images: Image, text: str = "an image", is_error: bool = False) -> ToolResult:
    return ToolResult(tool_use_id="t", text=text, is_error=is_error, images=images)


def sent(chat: ProviderChat, result: ToolResult) -> dict[str, Any]:
    chat.api.queue(answer("I see."))
    chat.say(user("Look."), SHOWN, user(results=(result,)))
    block: dict[str, Any] = chat.api.requests[0].body["messages"][2]["content"][0]
    return block


def test_an_image_follows_its_text_byte_for_byte(chat: ProviderChat) -> None:
    block = sent(chat, shown(Image(media_type="image/png", data=PNG)))
    text, image = block["content"]
    assert text == {"type": "text", "text": "an image"}
    assert base64.b64decode(image["source"]["data"]) == PNG
    assert "cache_control" in block


def test_an_image_alone_is_content_enough(chat: ProviderChat) -> None:
    block = sent(chat, shown(Image(media_type="image/png", data=PNG), text=""))
    assert [item["type"] for item in block["content"]] == ["image"]


def test_an_error_has_text_only(chat: ProviderChat) -> None:
    image = Image(media_type="image/png", data=PNG)
    block = sent(chat, shown(image, is_error=True))
    assert [item["type"] for item in block["content"]] == ["text"]


@pytest.mark.parametrize(
    "image",
    [
        Image(media_type="image/jpeg", data=PNG),
        Image(media_type="image/png", data=b"no image"),
        Image(media_type="image/png", data=PNG[:16] + b"\0" * 8 + PNG[24:]),
        Image(media_type="image/png", data=PNG + b"\0" * 4_000_000),
    ],
)
def test_the_standin_refuses_what_the_api_would(chat: ProviderChat, image: Image) -> None:
    with pytest.raises(ModelRefusedRequest):
        sent(chat, shown(image))

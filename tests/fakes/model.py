"""Models that say what a test tells them to: reply by reply, keeping what they were asked, or by a
script."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.models.interface import (
    AssistantMessage,
    Reply,
    Request,
    StopReason,
    StreamEvent,
    Text,
    TextDelta,
    ToolResult,
    ToolUse,
    Usage,
    UserMessage,
)

Step = Reply | Exception | Callable[[Request], Reply]


class ToldModel:
    """Plays replies in order; an exception among them is raised instead."""

    name = "told:test"

    def __init__(self, *steps: Step) -> None:
        self._steps = list(steps)
        self.requests: list[Request] = []

    def reply(self, request: Request, on_event: Callable[[StreamEvent], None]) -> Reply:
        self.requests.append(request)
        step = self._steps.pop(0)
        if isinstance(step, Exception):
            raise step
        reply = step if isinstance(step, Reply) else step(request)
        for block in reply.message.blocks:
            if isinstance(block, Text):
                on_event(TextDelta(text=block.text))
        return reply

    def last_results(self) -> list[ToolResult]:
        """The results in the newest request."""
        newest = self.requests[-1].messages[-1]
        assert isinstance(newest, UserMessage)
        return [block for block in newest.blocks if isinstance(block, ToolResult)]

    def last_words(self) -> str:
        """Our words in the newest request, without results."""
        newest = self.requests[-1].messages[-1]
        assert isinstance(newest, UserMessage)
        return "\n".join(block.text for block in newest.blocks if isinstance(block, Text))


def say(text: str, stop: StopReason = StopReason.END_TURN, usage: Usage | None = None) -> Reply:
    blocks = (Text(text=text),) if text else ()
    return Reply(message=AssistantMessage(blocks=blocks), stop=stop, usage=usage or Usage())


def call(tool: str, /, **arguments: object) -> Reply:
    return calls((tool, arguments))


def calls(
    *uses: tuple[str, Mapping[str, object]],
    stop: StopReason = StopReason.TOOL_USE,
    usage: Usage | None = None,
) -> Reply:
    blocks: Sequence[ToolUse] = [
        ToolUse(id=f"use_{number}", name=name, arguments=arguments)
        for number, (name, arguments) in enumerate(uses)
    ]
    return Reply(message=AssistantMessage(blocks=tuple(blocks)), stop=stop, usage=usage or Usage())


def label_in(request: Request) -> str:
    """Of the fences that are calls, as a model reads it in its prompt."""
    found = re.search(r"^```(call-[0-9a-f]{6})$", request.system, re.MULTILINE)
    assert found is not None, "the prompt says how a call is written"
    return found[1]


def write(tool: str, /, **arguments: object) -> Callable[[Request], Reply]:
    """A call in text, as the prompt asks for it."""
    return fenced(json.dumps({"name": tool, "arguments": arguments}))


def fenced(text: str, *, before: str = "", after: str = "") -> Callable[[Request], Reply]:
    """Any text in the fence of a call, with more around it."""
    return lambda request: say(f"{before}```{label_in(request)}\n{text}\n```{after}")


def saying(script: Path, *turns: Any) -> str:
    """The name of a model that says these turns of a script, which is written there."""
    script.write_text(json.dumps({"version": 1, "turns": turns}))
    return f"script:{script}"

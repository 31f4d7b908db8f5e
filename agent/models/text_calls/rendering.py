"""A conversation for a model that writes its calls as text: requests before they are sent, and the
replies to them.

Pure, from values to values, for every provider alike: tools are described in the system prompt, a
call is the fence that `reading` reads, a result is text of ours. What the run keeps stays what it
is of any model: a call is a call, so that the record, the report and a resumed run know no
difference. The same history gives the same request, to the byte. Refuses to know when a model is
asked so (`agent.conversation.loop`).
"""

import hashlib
import json
import re
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, assert_never

from agent.models.interface import (
    AssistantMessage,
    Message,
    Opaque,
    Reply,
    Request,
    StopReason,
    Text,
    ToolResult,
    ToolSpec,
    ToolUse,
    UserMessage,
    uses_of,
    words_of,
)
from agent.models.text_calls import reading
from agent.models.text_calls.detection import Look, call_like

_NATIVE: Final = (
    "here a call is the one fence at the end of your answer, and this was written in another way."
)
_FORM: Final = """\
End your answer with one fence, exactly so:

{example}

- One call an answer, and nothing after its fence: the result is the next message. Wait for it.
- In the fence stands one JSON object with the keys "name" and "arguments", and nothing else. In a
  string a line break is written \\n and a quote \\".
- No other fence stands in an answer with a call.
- An answer without a call ends your work."""
_SECTION: Final = """

The tools
{tools}

How you call a tool
Here calls are written as text, one in each answer, whatever is said above of several.
{form}"""
_ASKED_FOR: Final = re.compile(r"^```(call-[0-9a-f]{6})$", re.MULTILINE)
_EXAMPLE: Final = ToolUse(id="", name="TOOL", arguments={"ARGUMENT": "VALUE"})
"""Of no tool that there is: a small model makes the call that it was shown, again and again."""


def drawn_label() -> str:
    """A label for the fences of one run: nobody who wrote a file before knows it."""
    return f"call-{secrets.token_hex(3)}"


def label_in(system: str) -> str | None:
    """The label that a prompt asks for, for a model that is no model; None: it asks for none."""
    found = _ASKED_FOR.search(system)
    return found[1] if found is not None else None


def form_in_words(label: str) -> str:
    """How a call is written, for the model."""
    return _FORM.format(example=written(_EXAMPLE, label))


def written(use: ToolUse, label: str) -> str:
    """A call as its fence: `reading.read` gives it back."""
    call = {"name": use.name, "arguments": dict(use.arguments)}
    return f"```{label}\n{json.dumps(call, ensure_ascii=False)}\n```"


def request_in_text(request: Request, label: str) -> Request:
    """The request as it is sent: with no tools, no calls and no results but in text."""
    return replace(
        request,
        system=request.system + _section(request.tools, label),
        tools=(),
        messages=tuple(_messages(request, label)),
    )


def reply_with_call(reply: Reply, label: str, *, use_id: str) -> Reply:
    """The reply with the call that it writes, where it writes one that may run."""
    if uses_of(reply):
        return replace(reply, message=AssistantMessage(blocks=tuple(_unasked(reply))))
    if reply.stop not in {StopReason.END_TURN, StopReason.STOP_SEQUENCE}:
        return reply
    call = reading.read(words_of(reply), label=label)
    if not isinstance(call, reading.WrittenCall):
        return reply
    kept = [block for block in reply.message.blocks if isinstance(block, Opaque)]
    words = [Text(text=call.words)] if call.words else []
    use = ToolUse(id=use_id, name=call.name, arguments=call.arguments)
    message = AssistantMessage(blocks=(*kept, *words, use))
    return replace(reply, message=message, stop=StopReason.TOOL_USE)


def _unasked(reply: Reply) -> Iterator[Text | ToolUse | Opaque]:
    """No tools were offered: what a service took for a call is one that its model wrote in some
    other way, and two ways in one answer leave open what is meant."""
    for block in reply.message.blocks:
        yield replace(block, problem=_NATIVE) if isinstance(block, ToolUse) else block


def _section(tools: Sequence[ToolSpec], label: str) -> str:
    described = "\n\n".join(
        f"{tool.name}: {tool.description}\n"
        f"arguments, as JSON Schema: {json.dumps(dict(tool.schema), ensure_ascii=False)}"
        for tool in tools
    )
    # What differs between runs stands last: services cache what is the same before it.
    return _SECTION.format(tools=described or "There are none.", form=form_in_words(label))


def _messages(request: Request, label: str) -> Iterator[Message]:
    """What is said, without answers that were meant as a call and could not be read: small models
    do as they did before, whatever they are told."""
    tools = [tool.name for tool in request.tools]
    names: dict[str, str] = {}
    for message in request.messages:
        match message:
            case AssistantMessage() if _missed(message, tools, label):
                continue
            case AssistantMessage():
                uses = [block for block in message.blocks if isinstance(block, ToolUse)]
                names = {use.id: use.name for use in uses}
                yield AssistantMessage(blocks=tuple(_said(message, uses, label)))
            case UserMessage():
                yield UserMessage(
                    blocks=tuple(
                        _result(block, names, label) if isinstance(block, ToolResult) else block
                        for block in message.blocks
                    )
                )
            case _:
                assert_never(message)


def _missed(message: AssistantMessage, tools: Collection[str], label: str) -> bool:
    if any(isinstance(block, ToolUse) for block in message.blocks):
        return False
    words = "\n".join(block.text for block in message.blocks if isinstance(block, Text))
    if isinstance(reading.read(words, label=label), reading.UnclearCall):
        return True
    seen = call_like(words, tools, calls_made=True)
    return seen is not None and seen.look is Look.CALL


def _said(
    message: AssistantMessage, uses: Sequence[ToolUse], label: str
) -> Iterator[Text | Opaque]:
    said = [block for block in message.blocks if not isinstance(block, ToolUse)]
    if not uses:
        yield from said
        return
    # As the model wrote it: words and fence are one text, which its service may have cached.
    parts = [written(use, label) for use in uses]
    if said and isinstance(said[-1], Text):
        parts.insert(0, said[-1].text)
        said.pop()
    yield from said
    yield Text(text="\n\n".join(parts))


def _result(result: ToolResult, names: Mapping[str, str], label: str) -> Text:
    """What came of a call, in the user's message. A file may hold anything: the mark around it is
    made of what it says, so that nothing in it can close it and go on in the user's name; and of
    the run's label, or whoever wrote the file could search for one that names its own mark."""
    mark = hashlib.sha256(f"{label}\n{result.text}".encode("utf-8", "replace")).hexdigest()[:12]
    what = "error" if result.is_error else "result"
    shown = f"\n({len(result.images)} of its images can't be shown here)" if result.images else ""
    name = names.get(result.tool_use_id, "a call")
    whole = f"{result.text}{shown}"
    return Text(text=f"[{what} of {name}, {mark}]\n{whole}\n[end of {what}, {mark}]")

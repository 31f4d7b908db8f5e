"""A request in text: what a model is sent that has no tools, calls or results of its own."""

import json

from agent.models.interface import (
    AssistantMessage,
    Image,
    Opaque,
    Reply,
    Request,
    StopReason,
    Text,
    ToolResult,
    ToolUse,
    Usage,
    UserMessage,
    words_of,
)
from agent.models.text_calls import reading
from agent.models.text_calls.rendering import label_in, reply_with_call, request_in_text
from agent.tools import registry
from policies.loading import load

LABEL = "call-3fa9c1"
SPECS = registry.specs(registry.offered(load("default")))
THOUGHT = Opaque(provider="anthropic", raw={"type": "thinking", "signature": "x"})


def sent(*blocks: Text | ToolUse | Opaque, results: tuple[ToolResult, ...] = ()) -> Request:
    request = Request(
        system="be careful",
        tools=SPECS,
        messages=(
            UserMessage(blocks=(Text(text="mend it"),)),
            AssistantMessage(blocks=blocks),
            UserMessage(blocks=(*results, Text(text="3 turns are left"))),
        ),
        max_tokens=100,
    )
    return request_in_text(request, LABEL)


def test_every_tool_is_described_with_all_that_its_schema_says() -> None:
    system = sent(Text(text="x")).system
    for spec in SPECS:
        assert f"{spec.name}: {spec.description}" in system
        assert json.dumps(dict(spec.schema), ensure_ascii=False) in system
    assert system.startswith("be careful")
    assert label_in(system) == LABEL


def test_what_differs_between_runs_stands_at_the_end_of_the_prompt() -> None:
    one = sent(Text(text="x")).system
    assert one.index(LABEL) > 0.9 * one.index(SPECS[-1].name)
    assert one.index(LABEL) > max(one.index(spec.description) for spec in SPECS)


def test_the_example_in_the_prompt_reads_as_a_call() -> None:
    system = sent(Text(text="x")).system
    at = system.index(f"```{LABEL}")
    example = system[at : system.index("```\n", at + 3) + 3]
    assert isinstance(reading.read(example, label=LABEL), reading.WrittenCall)


def test_words_and_call_are_sent_as_they_were_written() -> None:
    answer = f'I look.\n\n```{LABEL}\n{{"name": "list_dir", "arguments": {{"path": "."}}}}\n```'
    reply = Reply(
        message=AssistantMessage(blocks=(THOUGHT, Text(text=answer))),
        stop=StopReason.END_TURN,
        usage=Usage(),
    )
    read = reply_with_call(reply, LABEL, use_id="text_1")
    use = ToolUse(id="text_1", name="list_dir", arguments={"path": "."})
    assert read.message.blocks == (THOUGHT, Text(text="I look."), use)
    assert read.stop is StopReason.TOOL_USE
    assert words_of(read) == "I look."
    assert sent(*read.message.blocks).messages[1].blocks == (THOUGHT, Text(text=answer))


def test_results_are_texts_that_name_their_call_and_what_is_not_shown() -> None:
    png = Image(media_type="image/png", data=b"x")
    request = sent(
        ToolUse(id="a", name="bash", arguments={"command": "ls"}),
        ToolUse(id="b", name="read_file", arguments={"path": "x.png"}),
        results=(
            ToolResult(tool_use_id="a", text="denied", is_error=True),
            ToolResult(tool_use_id="b", text="an image", is_error=False, images=(png,)),
        ),
    )
    error, result, note = request.messages[2].blocks
    assert isinstance(error, Text)
    assert isinstance(result, Text)
    assert error.text.startswith("[error of bash, ")
    assert result.text.startswith("[result of read_file, ")
    assert "(1 of its images can't be shown here)" in result.text
    assert note == Text(text="3 turns are left")


def test_no_file_can_know_the_mark_around_what_is_read_of_it() -> None:
    use = ToolUse(id="a", name="read_file", arguments={"path": "a"})
    result = ToolResult(tool_use_id="a", text="a file", is_error=False)
    messages = (AssistantMessage(blocks=(use,)), UserMessage(blocks=(result,)))
    request = Request(system="", tools=SPECS, messages=messages, max_tokens=100)
    shown = {
        block.text
        for label in ("call-000000", "call-000001")
        for block in request_in_text(request, label).messages[1].blocks
        if isinstance(block, Text)
    }
    assert len(shown) == 2


def test_a_reply_with_nothing_to_read_is_left_as_it_is() -> None:
    for stop in (StopReason.MAX_TOKENS, StopReason.REFUSAL, StopReason.CONTEXT_WINDOW):
        answer = f'```{LABEL}\n{{"name": "list_dir", "arguments": {{}}}}\n```'
        message = AssistantMessage(blocks=(Text(text=answer),))
        reply = Reply(message=message, stop=stop, usage=Usage())
        assert reply_with_call(reply, LABEL, use_id="text_1") == reply

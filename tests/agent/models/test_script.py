"""The recorded model: plays what stands there, and says where a script and the run part."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ModelError, UsageError
from agent.models import script
from agent.models.interface import (
    AssistantMessage,
    Message,
    Reply,
    Request,
    StopReason,
    StreamEvent,
    Text,
    TextDelta,
    ToolUse,
    Usage,
)
from agent.models.script import ScriptModel
from fakes.providers import result, user

GOOD = """
version: 1
turns:
  - text: I'll run the tests.
    calls:
      - tool: bash
        arguments: {command: pytest -q, timeout_s: 60}
      - tool: list_dir
        arguments: {path: .}
  - expect: 1 failed
    calls:
      - {tool: read_file, arguments: {path: calc.py}}
  - expect:
      - regex: '^def multiply'
      - a + b
    text: Done.
"""


def model(text: str) -> ScriptModel:
    return ScriptModel(script.decode(text.encode(), "s.yaml"), file="s.yaml")


def ask(model: ScriptModel, *messages: Message) -> tuple[Reply, list[StreamEvent]]:
    events: list[StreamEvent] = []
    request = Request(system="s", tools=(), messages=messages, max_tokens=100)
    return model.reply(request, events.append), events


def play(model: ScriptModel, *results: str) -> list[Reply]:
    history: list[Message] = [user("Go.")]
    replies = []
    for text in ("", *results):
        reply, _ = ask(model, *history)
        replies.append(reply)
        calls = [block for block in reply.message.blocks if isinstance(block, ToolUse)]
        history += [reply.message, user(results=tuple(result(c.id, text or "ok") for c in calls))]
        if results and len(replies) <= len(results):
            history[-1] = user(
                results=tuple(result(c.id, results[len(replies) - 1]) for c in calls)
            )
    return replies


def test_it_plays_its_turns_in_order() -> None:
    replies = play(model(GOOD), "1 failed", "import x\ndef multiply(a, b):\n    return a + b\n")
    first, second, third = replies
    assert first.message == AssistantMessage(
        blocks=(
            Text(text="I'll run the tests."),
            ToolUse(
                id="script_1_1", name="bash", arguments={"command": "pytest -q", "timeout_s": 60}
            ),
            ToolUse(id="script_1_2", name="list_dir", arguments={"path": "."}),
        )
    )
    assert [reply.stop for reply in replies] == [
        StopReason.TOOL_USE,
        StopReason.TOOL_USE,
        StopReason.END_TURN,
    ]
    assert (third.usage, third.attempts) == (Usage(), 1)
    assert second.message.blocks[0] == ToolUse(
        id="script_2_1", name="read_file", arguments={"path": "calc.py"}
    )


def test_its_text_is_shown() -> None:
    _, events = ask(model(GOOD), user("Go."))
    assert events == [TextDelta(text="I'll run the tests.")]


def test_a_script_that_drifts_from_what_happens_says_where() -> None:
    with pytest.raises(ModelError) as caught:
        play(model(GOOD), "2 passed")
    assert str(caught.value) == (
        "s.yaml:10: turn 2 expects '1 failed' in the last tool results; they were: "
        "'2 passed\\n2 passed'"
    )


def test_a_long_result_is_shown_in_part() -> None:
    with pytest.raises(ModelError) as caught:
        play(model(GOOD), "x" * 100_000)
    assert len(str(caught.value)) < 1000


def test_a_regex_that_is_not_found_is_shown() -> None:
    with pytest.raises(ModelError, match=r"turn 3 expects /\^def multiply/"):
        play(model(GOOD), "1 failed", "a + b # def multiply")


def test_turns_that_run_out_end_the_run() -> None:
    playing = model("version: 1\nturns: [{text: Hi.}]")
    ask(playing, user("Go."))
    with pytest.raises(ModelError, match="only 1 turns and the run goes on"):
        ask(playing, user("Go."), AssistantMessage(blocks=()), user("More."))


def test_a_resumed_run_goes_on_where_its_history_stands() -> None:
    first, _ = ask(model(GOOD), user("Go."))
    reply, _ = ask(
        model(GOOD), user("Go."), first.message, user(results=(result("t", "1 failed"),))
    )
    assert reply.message.blocks[0] == ToolUse(
        id="script_2_1", name="read_file", arguments={"path": "calc.py"}
    )


def test_a_shortened_history_does_not_set_it_back() -> None:
    playing = model("version: 1\nturns: [{text: One.}, {text: Two.}]")
    ask(playing, user("Go."))
    reply, _ = ask(playing, user("A summary."))
    assert reply.message.blocks == (Text(text="Two."),)


@pytest.mark.parametrize("reason", StopReason)
def test_a_turn_may_stop_for_any_reason(reason: StopReason) -> None:
    text = f"version: 1\nturns: [{{stop: {reason}, calls: [{{tool: bash}}]}}]"
    reply, _ = ask(model(text), user("Go."))
    assert reply.stop is reason


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "a script is a mapping that starts with `version: 1`, and this file is empty"),
        ("turns: [{text: a}]", "s.yaml:1: version: is missing"),
        (
            "version: 2\nturns: [{text: a}]",
            "s.yaml:1: version: this Moonpool reads version 1, not 2",
        ),
        ("version: 1", "s.yaml:1: turns is missing"),
        ("version: 1\nturns: []", "s.yaml:2: turns: is empty"),
        (
            "version: 1\nturns:\n- text: a\n- txt: b",
            "s.yaml:4: turns[1].txt: is no key of a script (docs/models.md has them)",
        ),
        (
            "version: 1\nturns:\n- text: 5",
            "s.yaml:3: turns[0].text: expected text, got 5",
        ),
        ("version: 1\nturns:\n- {}", "a turn needs text, calls or stop"),
        (
            "version: 1\nturns:\n- calls:\n  - tool: bash\n    args: {}",
            "s.yaml:5: turns[0].calls[0].args: is no key of a script (docs/models.md has them)",
        ),
        (
            "version: 1\nturns:\n- calls:\n  - arguments: {}",
            "s.yaml:4: turns[0].calls[0]: tool is missing",
        ),
        (
            "version: 1\nturns:\n- calls: [{tool: a b}]",
            "turns[0].calls[0].tool: String should match",
        ),
        ("version: 1\nturns:\n- {text: a, stop: soon}", "s.yaml:3: turns[0].stop: Input should be"),
        (
            "version: 1\nturns:\n- {text: a, stop: tool_use}",
            "a turn that says stop: tool_use needs calls",
        ),
        (
            "version: 1\nturns:\n- {text: a, text: b}",
            "s.yaml:3: turns[0].text: this key is there already",
        ),
        (
            "version: 1\nturns:\n- text: a\n  expect: {regex: '('}",
            "s.yaml:4: turns[0].expect.regex: '(' can't be used: no regular",
        ),
        (
            "version: 1\nturns:\n- text: a\n  expect: ''",
            "s.yaml:4: turns[0].expect: is empty",
        ),
        (
            "version: 1\nturns:\n- calls: [{tool: a, arguments: !!python/name:os.system }]",
            "s.yaml:3: turns[0].calls[0].arguments: YAML tags",
        ),
        ("version: 1\nturns: &a [*a]", "s.yaml:2: turns: YAML anchors are not used in a script"),
        ("version: [1", "s.yaml:1: not YAML"),
        ("a: b: c", "s.yaml:1: not YAML"),
        ("[" * 2000, "nested deeper than"),
        ("\x00", "a character that YAML does not allow"),
        ("- a\n- b", "s.yaml:1: a script is a mapping"),
    ],
)
def test_a_script_that_is_none_is_refused_with_its_place(text: str, complaint: str) -> None:
    with pytest.raises(UsageError) as caught:
        model(text)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_aliases_of_aliases_do_not_eat_the_memory() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(UsageError, match="anchors are not used"):
        model("\n".join(lines))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.yaml: can't read the script: No such file"):
        ScriptModel.open(str(tmp_path / "none.yaml"))
    with pytest.raises(UsageError, match="can't read the script"):
        ScriptModel.open(str(tmp_path))


def test_a_relative_file_is_looked_up_from_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "demo.yaml").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    assert ScriptModel.open("demo.yaml").name == "script:demo.yaml"


def test_the_example_in_the_documentation_is_a_script() -> None:
    example = (script.__doc__ or "").partition("::\n\n")[2].partition("\n\nA turn")[0]
    turns = script.decode(example.encode(), "doc")
    assert len(turns) == 3


def test_what_json_has_no_word_for_is_text() -> None:
    arguments = "{d: 2024-01-01, n: .nan, l: [yes, 1]}"
    text = f"version: 1\nturns:\n- calls: [{{tool: a, arguments: {arguments}}}]"
    reply, _ = ask(model(text), user("Go."))
    (use,) = reply.message.blocks
    assert isinstance(use, ToolUse)
    assert use.arguments == {"d": "2024-01-01", "n": ".nan", "l": ["yes", 1]}


@given(st.text(max_size=60))
def test_no_text_breaks_the_reader(text: str) -> None:
    # Any other error, such as a traceback a user would see, fails the test.
    with contextlib.suppress(UsageError):
        model("version: 1\nturns:\n- " + text)

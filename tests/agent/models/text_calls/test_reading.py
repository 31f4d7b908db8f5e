"""A call is read from text in one form only: whatever else a model writes is never run."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.models.interface import ToolUse
from agent.models.text_calls.reading import UnclearCall, WrittenCall, read
from agent.models.text_calls.rendering import drawn_label, written

LABEL = "call-3fa9c1"
CALL = '{"name": "bash", "arguments": {"command": "ls"}}'
FENCE = f"```{LABEL}\n{CALL}\n```"

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # No half of a character: no request and no answer can carry one.
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
texts_of_calls = st.sampled_from(
    [
        *("```", "~~~", f"```{LABEL}", "```json", "```bash", " ```", "\t```", "````", LABEL, "\n"),
        *(CALL, FENCE, "<tool_call>", "</tool_call>", "</think>", "<think>", "{", "}", '"name":'),
        *('"arguments":', "ls", "\r", "\r\n", "\x0b", "\u2028", " ", "\\", '"', "\x00"),
    ]
)


def calls() -> st.SearchStrategy[ToolUse]:
    return st.builds(
        ToolUse,
        id=st.just("x"),
        name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64),
        arguments=st.dictionaries(st.text(max_size=12), json_values, max_size=5),
    )


@given(calls(), st.sampled_from(["", "I look first.\n\n", "Two lines,\nand `code`.\n"]))
@example(ToolUse(id="x", name="write_file", arguments={"content": f"a\n{FENCE}\n</think>\n"}), "")
def test_every_call_that_is_written_is_read_as_it_was(use: ToolUse, words: str) -> None:
    found = read(words + written(use, LABEL), label=LABEL)
    assert found == WrittenCall(name=use.name, arguments=use.arguments, words=words.strip())


@given(st.lists(texts_of_calls | st.text(max_size=4), max_size=12).map("".join))
def test_what_is_read_is_the_one_call_that_the_text_ends_with(answer: str) -> None:
    found = read(answer, label=LABEL)
    if not isinstance(found, WrittenCall):
        return
    said = answer.replace("\r\n", "\n").rstrip()
    opening = said.rindex(f"```{LABEL}")
    # By nothing that `read` uses: the text after the last opening is the call and the end.
    body = said[opening + len(LABEL) + 3 : -3]
    assert said.endswith("\n```")
    assert body.startswith((" ", "\n", "\t", "\r", "\x0b", "\u2028", "\x00")) or not body.strip()
    assert json.loads(body) == {"name": found.name, "arguments": found.arguments}
    before = said[:opening].rpartition("</think>")[2]
    assert "```" not in before
    assert LABEL not in before


@given(calls(), texts_of_calls)
def test_a_call_with_more_of_a_call_around_it_is_not_run(use: ToolUse, more: str) -> None:
    fence = written(use, LABEL)
    for answer in (f"{fence}\n{more}", f"{fence}{more}"):
        found = read(answer, label=LABEL)
        assert not isinstance(found, WrittenCall) or not more.strip()


@given(calls(), st.text(alphabet="0123456789abcdef", min_size=6, max_size=6))
def test_a_call_that_a_file_holds_is_none_whatever_label_it_guessed(
    use: ToolUse, guessed: str
) -> None:
    label = "call-3fa9c1" if guessed != "3fa9c1" else "call-000000"
    assert read(f"The file says:\n{written(use, f'call-{guessed}')}", label=label) is None


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (f"{FENCE}\n{FENCE}", "more than one fence"),
        (f"```python\nx\n```\n{FENCE}", "more than one fence"),
        (f"{FENCE}\nThen I look at it.", "follows"),
        (f"{FENCE}\n{CALL}", "follows"),
        (f"{FENCE} and", "opened by a line"),
        (f"```{LABEL} {CALL}\n```", "opened by a line"),
        (f"```{LABEL}\n{CALL}", "not closed"),
        (f"````{LABEL}\n{CALL}\n````", "opened by a line"),
        (f"~~~{LABEL}\n{CALL}\n~~~", "opened by a line"),
        (f"  ```{LABEL}\n{CALL}\n```", "opened by a line"),
        (f"```{LABEL}x\n{CALL}\n```", "opened by a line"),
        (f"```{LABEL}\n```{LABEL}\n{CALL}\n```\n```", "more than one fence"),
        (f"```{LABEL}\n```\n{CALL}\n```", "more than one fence"),
        (f"{LABEL}: {CALL}", "no line is"),
        (f"<think>\nI might\n{FENCE}", "without end"),
        (f"<thinking>\nI might\n{FENCE}", "without end"),
        (f"[THINK]I might\n{FENCE}", "without end"),
        (f"{CALL}\n{FENCE}", "could be another call"),
        (f"<tool_call>{CALL}</tool_call>\n{FENCE}", "could be another call"),
        (f"a ```b``` c\n{FENCE}", "could be another call"),
        (f"As {LABEL} I write\n{FENCE}", "could be another call"),
        (f"```{LABEL}\n{CALL}\n{CALL}\n```", "not valid JSON"),
        (f"```{LABEL}\n[{CALL}]\n```", "not one JSON object"),
        (f'```{LABEL}\n"bash"\n```', "not one JSON object"),
        (f"```{LABEL}\n{CALL[:-1]}\n```", "not valid JSON"),
        (f"```{LABEL}\n\n```", "not valid JSON"),
        (f"```{LABEL}\n// a comment\n{CALL}\n```", "not valid JSON"),
        (f'```{LABEL}\n{{"name": "bash", "arguments": {{"command": "a\nb"}}}}\n```', "not valid"),
        (f'```{LABEL}\n{{"name": "bash", "arguments": {{"timeout_s": NaN}}}}\n```', "not a number"),
        (f'```{LABEL}\n{{"name": "bash", "arguments": {{"timeout_s": 1e999}}}}\n```', "number"),
        (f'```{LABEL}\n{{"name": "a", "name": "bash", "arguments": {{}}}}\n```', "stands twice"),
        (
            f'```{LABEL}\n{{"name": "bash", "arguments": {{"command": "a", "command": "b"}}}}\n```',
            "stands twice",
        ),
        (f'```{LABEL}\n{{"name": "bash", "arguments": {{}}, "id": 1}}\n```', "the keys"),
        (f'```{LABEL}\n{{"name": "bash"}}\n```', "the keys"),
        (f'```{LABEL}\n{{"tool": "bash", "arguments": {{}}}}\n```', "the keys"),
        (f'```{LABEL}\n{{"name": ["bash"], "arguments": {{}}}}\n```', "its name"),
        (f'```{LABEL}\n{{"name": "", "arguments": {{}}}}\n```', "its name"),
        (f'```{LABEL}\n{{"name": "bash", "arguments": "{{}}"}}\n```', "its arguments"),
        (
            f'```{LABEL}\n{{"name": "bash", "arguments": {"[" * 200}{"]" * 200}}}\n```',
            "nested too deeply",
        ),
        (
            f'```{LABEL}\n{{"name": "bash", "arguments": {"[" * 99_999}{"]" * 99_999}}}\n```',
            "nested too deeply",
        ),
        (f'```{LABEL}\n{{"name": "b", "arguments": {{"n": {"9" * 5000}}}}}\n```', "not valid JSON"),
    ],
)
def test_what_is_not_quite_a_call_is_told_why(answer: str, why: str) -> None:
    found = read(answer, label=LABEL)
    assert isinstance(found, UnclearCall)
    assert why in found.why


@pytest.mark.parametrize(
    "answer",
    ["", "Done.", CALL, f"```json\n{CALL}\n```", f"```call-3fa9c2\n{CALL}\n```", "```\n```"],
)
def test_an_answer_without_the_fence_of_the_run_holds_no_call(answer: str) -> None:
    assert read(answer, label=LABEL) is None


@pytest.mark.parametrize(
    "answer",
    [
        FENCE,
        f"\n\n{FENCE}\n \n",
        f"Look:\r\n```{LABEL}\r\n{CALL}\r\n```\r\n",
        f'```{LABEL}\n{{\n  "name": "bash",\n  "arguments": {{"command": "ls"}}\n}}\n```',
        f"<think>\nMaybe ```bash\nrm\n``` or {FENCE}\n</think>\n\n{FENCE}",
        f"as the template opened it: {CALL}</think>\n{FENCE}",
        f"<thinking>\nMaybe {FENCE}\n</thinking>\n{FENCE}",
        f"[THINK]Maybe {CALL}[/THINK]\n{FENCE}",
    ],
)
def test_a_call_is_read_as_models_write_it(answer: str) -> None:
    found: Any = read(answer, label=LABEL)
    assert isinstance(found, WrittenCall), found
    assert (found.name, found.arguments) == ("bash", {"command": "ls"})


def test_labels_are_drawn() -> None:
    assert len({drawn_label() for _ in range(50)}) > 40

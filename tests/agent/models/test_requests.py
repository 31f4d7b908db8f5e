"""What holds of the body of a request to every API, as plain values that its own rules take."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.models.anthropic import request as anthropic_request
from agent.models.interface import (
    AssistantMessage,
    Image,
    Message,
    Opaque,
    Request,
    Text,
    ToolResult,
    ToolUse,
    UserMessage,
)
from agent.models.openai import request as chat_request
from agent.models.openai.dialect import PUBLIC, PUBLIC_RESPONSES
from agent.models.openai.responses import request as responses_request
from fakes.providers import PNG, TOOL, result, user
from standins.anthropic import rules as anthropic_rules
from standins.openai import rules as chat_rules
from standins.responses import rules as responses_rules

Json = dict[str, Any]
OTHERS = Opaque(provider="other", raw={"type": "redacted_thinking"})
IMAGE = Image(media_type="image/png", data=PNG)


@dataclass(frozen=True, kw_only=True)
class WrittenForm:
    """How one API has a request written."""

    provider: str
    body: Callable[[Request], Json]
    check: Callable[[Json], None]
    """Raises what the API would refuse the body for."""
    turns: str
    """Where the conversation stands in the body."""
    thought: Json
    """What its service would have back as it came."""

    def __str__(self) -> str:
        return self.provider

    def written(self, *messages: Message, **fields: Any) -> Json:
        options: Json = {"system": "s", "tools": (TOOL,), "max_tokens": 1000, **fields}
        return self.body(Request(messages=messages, **options))

    def checked(self, *messages: Message, **fields: Any) -> Json:
        """As written, and taken by the API's rules."""
        made = self.written(*messages, **fields)
        self.check({**made, "stream": True})
        return made

    def pieces(self, *messages: Message) -> list[Any]:
        """The conversation as the service's cache compares it: by what it begins with."""
        turns = self.written(*messages)[self.turns]
        match self.provider:
            case "anthropic":
                # Neighbours of one role are one turn, and a mark is no change.
                return [(turn["role"], unmarked(b)) for turn in turns for b in turn["content"]]
            case "openai":
                # Without the end of the last text, which its neighbour of one role may add to.
                return list(json.dumps(turns).rstrip('"}]'))
            case _:
                return list(turns)


def unmarked(block: Json) -> Json:
    return {key: value for key, value in block.items() if key != "cache_control"}


def check_without_thoughts(made: Json) -> None:
    """The Messages API's rules, but for signatures, which are checked with real ones elsewhere."""
    turns = [
        {**turn, "content": [b for b in turn["content"] if b["type"] != "redacted_thinking"]}
        for turn in made["messages"]
    ]
    anthropic_rules.check_body({**made, "messages": [turn for turn in turns if turn["content"]]})


FORMS = [
    WrittenForm(
        provider="anthropic",
        body=lambda request: anthropic_request.body(request, model="claude-opus-5-5"),
        check=check_without_thoughts,
        turns="messages",
        thought={"type": "redacted_thinking", "data": "d"},
    ),
    WrittenForm(
        provider="openai",
        body=lambda request: chat_request.body(request, model="gpt-5.4", dialect=PUBLIC),
        check=chat_rules.check_body,
        turns="messages",
        thought={"reasoning_content": "Hm."},
    ),
    WrittenForm(
        provider="responses",
        body=lambda request: responses_request.body(
            request, model="gpt-5.4", dialect=PUBLIC_RESPONSES
        ),
        check=responses_rules.check_body,
        turns="input",
        thought={"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"},
    ),
]
every_form = pytest.mark.parametrize("form", FORMS, ids=str)


def said(*blocks: Text | ToolUse | Opaque) -> AssistantMessage:
    return AssistantMessage(blocks=blocks)


def call(identifier: str = "t1", /, **arguments: object) -> ToolUse:
    return ToolUse(id=identifier, name="bash", arguments=arguments)


def texts(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [text for item in value.values() for text in texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in texts(item)]
    return [value] if isinstance(value, str) else []


@every_form
@pytest.mark.parametrize("blank", ["", " ", "\n\t", "\u2003"])
def test_blank_texts_are_never_sent(form: WrittenForm, blank: str) -> None:
    made = form.checked(
        user("Go.", blank),
        said(Text(text=blank), call()),
        UserMessage(blocks=(result("t1", blank), Text(text=blank))),
        said(Text(text=blank)),
        user("And?"),
        system=blank,
    )
    assert all(text.strip() for text in texts(made[form.turns]))
    assert not {"system", "instructions"} & made.keys()
    assert "system" not in [turn.get("role") for turn in made[form.turns]]


@every_form
def test_a_message_of_nothing_does_not_leave_the_answer_last(form: WrittenForm) -> None:
    made = form.checked(user("Go."), said(Text(text="Done. ")), user(" "))
    assert made[form.turns][-1]["role"] == "user"


@every_form
def test_blocks_of_another_provider_stay_behind(form: WrittenForm) -> None:
    words = {"type": "reasoning", "reasoning_content": "SECRET", "encrypted_content": "SECRET"}
    foreign = [Opaque(provider=each.provider, raw=words) for each in FORMS if each is not form]
    made = form.checked(user("Go."), said(*foreign, Text(text="Hm.")), user("And?"))
    assert "SECRET" not in str(made)


@every_form
@pytest.mark.parametrize("text", ["\udcff", "a\ud83db", "\ude00\ud83d"])
def test_what_utf8_cannot_carry_is_replaced_and_not_a_crash(form: WrittenForm, text: str) -> None:
    made = form.checked(
        user("Go."),
        said(Text(text=text), call(command=text, **{text: [text]})),
        user(text, results=(result("t1", text),)),
        system=text,
    )
    assert "\ufffd" in str(made)
    str(made).encode()


@every_form
def test_tools_and_system_are_left_out_where_there_are_none(form: WrittenForm) -> None:
    made = form.checked(user("Go."), system="", tools=())
    assert not {"tools", "system", "instructions"} & made.keys()
    assert [turn["role"] for turn in made[form.turns]] == ["user"]


text = st.text(max_size=8)


@st.composite
def histories(draw: st.DrawFn, *thoughts: Opaque) -> list[Message]:
    """As a loop makes them: each call answered in the next message."""
    history: list[Message] = [user(draw(text) + "go")]
    calls = 0
    for _ in range(draw(st.integers(0, 5))):
        made: list[Text | ToolUse | Opaque] = []
        results = []
        for kind in draw(st.lists(st.sampled_from(["text", "call", "opaque"]), max_size=4)):
            if kind == "call":
                calls += 1
                made.append(call(f"c{calls}", command=draw(text)))
                shown: tuple[Image, ...] = draw(st.sampled_from([(), (IMAGE,)]))
                words = draw(text)
                results.append(
                    ToolResult(tool_use_id=f"c{calls}", text=words, is_error=False, images=shown)
                )
            elif kind == "text":
                made.append(Text(text=draw(text)))
            else:
                made.append(draw(st.sampled_from([OTHERS, *thoughts])))
        history += [said(*made), user(draw(text), results=tuple(results))]
    return history


@every_form
@given(data=st.data())
def test_a_longer_history_starts_with_what_a_shorter_one_was(
    form: WrittenForm, data: st.DataObject
) -> None:
    history = data.draw(histories(Opaque(provider=form.provider, raw=form.thought)))
    whole = form.pieces(*history)
    for length in range(1, len(history) + 1, 2):
        shorter = form.pieces(*history[:length])
        assert whole[: len(shorter)] == shorter


@every_form
@given(data=st.data())
def test_whatever_a_loop_may_say_the_rules_take(form: WrittenForm, data: st.DataObject) -> None:
    own = [Opaque(provider=form.provider, raw=form.thought)] if form is FORMS[0] else []
    form.checked(*data.draw(histories(*own)))

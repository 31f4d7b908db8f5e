"""Whole runs through the real SDKs and their stand-ins, which refuse what the APIs refuse: on each
provider, and what only one of them has."""

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.conversation.prompts import system_prompt
from agent.conversation.resume_state import resume_state_of
from agent.models.interface import Model
from agent.models.openai.chat import CHAT
from agent.models.openai.client import OpenAIModel
from agent.record.outcome import Finished, GaveUp, LimitReached, Refused, RunLimit
from fakes.box import TmpBox
from fakes.conversation import FakeConversation
from fakes.providers import AT_ONCE, PNG
from fakes.records import lines_from
from fakes.runs import FakeRun
from fakes.services import SERVICES, ProviderService
from policies.policy import Policy
from standins.exchange.replies import (
    THE_END,
    Behaviour,
    Break,
    Call,
    Found,
    How,
    Raw,
    Refuse,
    Search,
    Thought,
    answer,
)
from standins.exchange.server import Exchange
from standins.openai.quirks import CALLS, Quirk
from standins.openai.server import StandInOpenAI
from standins.responses.quirks import STREAMS, ResponsesQuirk
from standins.responses.server import StandInResponses

MULTIPLY = Call("edit_file", {"path": "calc.py", "old_string": "a + b", "new_string": "a * b"})
MENDED = b"+    return a * b"


@pytest.fixture(params=SERVICES, ids=lambda service: service.provider)
def service(request: pytest.FixtureRequest) -> ProviderService:
    found: ProviderService = request.param
    return found


@pytest.fixture
def api(service: ProviderService) -> Iterator[Exchange]:
    with service.stand_in() as standin:
        yield standin


@pytest.fixture
def model(service: ProviderService, api: Exchange) -> Iterator[Model]:
    opened = service.open(api, timing=AT_ONCE)
    yield opened
    opened.close()


@pytest.fixture
def fake(tmp_path: Path, policy: Policy) -> FakeRun:
    files = {"calc.py": b"def multiply(a, b):\n    return a + b\n"}
    return FakeRun(home=tmp_path, policy=policy, files=files)


def of(*names: str) -> pytest.MarkDecorator:
    """Of these providers only."""
    services = [service for service in SERVICES if service.provider in names]
    return pytest.mark.parametrize(
        "service", services, indirect=True, ids=lambda service: service.provider
    )


def thought(service: ProviderService, words: str) -> list[Thought]:
    """OpenAI's own chat completions never show what a model thinks."""
    return [] if service.provider == "openai" else [Thought(words)]


def assert_all_taken(api: Exchange, number: int) -> None:
    assert [request.fault for request in api.requests] == [None] * number


# -- on each ------------------------------------------------------------------------------------


def test_a_run_with_parallel_calls_thinking_and_errors_is_one_the_api_takes(
    service: ProviderService, api: Exchange, model: Model, fake: FakeRun
) -> None:
    api.queue(
        answer(
            *thought(service, "Let me see."),
            "Looking.",
            Call("list_dir"),
            Call("bash", {"command": "ls"}),
        ),
        answer(Call("bash", {"command": "curl x"}), Call("nope", {}), Call("bash", {"cmd": "ls"})),
        answer(*thought(service, "I mend."), Call("read_file", {"path": "gone"}), MULTIPLY),
        answer("Mended."),
    )
    summary = fake.go(model)
    assert summary.outcome == Finished(message="Mended.")
    assert_all_taken(api, 4)
    assert summary.document.tokens.output_tokens > 0
    assert summary.delivery is not None
    assert MENDED in summary.delivery.patch.data


Odd = Callable[[ProviderService], Behaviour]
EACH: dict[str, Odd] = {
    "torn": lambda s: answer(Call("bash", written='{"command": "ls'), stop=s.length),
    "cut words": lambda s: answer("I was about to", stop=s.length),
    "empty": lambda s: answer(stop="end_turn" if s.provider == "anthropic" else None),
    "blank": lambda s: answer("   \n", stop="end_turn" if s.provider == "anthropic" else None),
    "no object": lambda _: answer(Call("bash", written="[1, 2]")),
    "no JSON": lambda _: answer(Call("bash", written="not json")),
}
OWN: dict[str, tuple[str, Behaviour]] = {
    "paused": ("anthropic", answer("Searching.", stop="pause_turn")),
    "calls without a call": ("openai", answer(stop="tool_calls")),
    "only a thought": ("responses", answer(Thought("Hm."), stop="max_output_tokens")),
    "steered": ("responses", answer("I", stop="steered")),
    "more messages": ("responses", answer("I", Call("list_dir"), stop="max_messages")),
    "another kind of call": (
        "responses",
        answer(Raw({"type": "shell_call", "call_id": "c1", "action": {"commands": ["rm"]}})),
    ),
    "a name that none has": ("responses", answer(Call("../bash rm", {"command": "ls"}))),
}


@pytest.mark.parametrize("odd", EACH)
def test_the_run_goes_on_after_an_odd_answer(
    service: ProviderService, api: Exchange, model: Model, fake: FakeRun, odd: str
) -> None:
    goes_on(EACH[odd](service), api, model, fake)


@pytest.mark.parametrize(
    ("service", "odd"),
    [(s, name) for name, (owner, _) in OWN.items() for s in SERVICES if s.provider == owner],
    indirect=["service"],
    ids=[f"{owner}-{name}" for name, (owner, _) in OWN.items()],
)
def test_the_run_goes_on_after_an_odd_answer_that_only_one_gives(
    api: Exchange, model: Model, fake: FakeRun, odd: str
) -> None:
    goes_on(OWN[odd][1], api, model, fake)


def goes_on(odd: Behaviour, api: Exchange, model: Model, fake: FakeRun) -> None:
    api.queue(odd, answer(MULTIPLY), answer("Mended."))
    summary = fake.go(model)
    assert summary.outcome == Finished(message="Mended.")
    assert_all_taken(api, 3)
    assert fake.box is not None
    assert not [what for what in fake.box.calls if what.startswith("run ")]


def test_a_refusal_of_the_service_ends_the_run_with_1(
    service: ProviderService, api: Exchange, model: Model, fake: FakeRun
) -> None:
    api.queue(service.refused)
    summary = fake.go(model)
    assert isinstance(summary.outcome, Refused)
    assert summary.exit_code == 1


@of("openai", "responses")
def test_a_filter_of_the_service_ends_the_run_with_1(
    api: Exchange, model: Model, fake: FakeRun
) -> None:
    api.queue(answer("I can", stop="content_filter"))
    summary = fake.go(model)
    assert isinstance(summary.outcome, Refused)
    assert summary.exit_code == 1


def test_a_full_window_ends_the_run_with_1_and_the_patch(
    service: ProviderService, api: Exchange, model: Model, fake: FakeRun
) -> None:
    api.queue(answer(MULTIPLY), service.full)
    summary = fake.go(model)
    assert isinstance(summary.outcome, LimitReached)
    assert summary.outcome.limit is RunLimit.CONTEXT
    assert summary.exit_code == 1
    assert summary.delivery is not None
    assert summary.delivery.patch.changes


def test_a_service_that_answers_nothing_is_given_up(
    service: ProviderService, api: Exchange, model: Model, fake: FakeRun
) -> None:
    api.queue(*[EACH["empty"](service)] * 10)
    assert isinstance(fake.go(model).outcome, GaveUp)
    assert len(api.requests) == 5


def test_the_prefix_of_every_request_is_the_request_before(
    service: ProviderService, api: Exchange, model: Model, fake: FakeRun
) -> None:
    # Where a step of the cache is 128 tokens, it takes more turns to tell.
    turns = 12 if service.provider == "anthropic" else 30
    looking = [answer(Call("bash", {"command": f"echo {number}"})) for number in range(turns)]
    api.queue(*looking, answer("Done."))
    used = fake.go(model).document.tokens
    everything = used.input_tokens + used.cache_read_tokens + used.cache_write_tokens
    assert used.cache_read_tokens / everything > 0.8


@pytest.mark.parametrize("last", [0, 1])
def test_a_stream_that_breaks_after_its_end_makes_its_call_once(
    service: ProviderService, api: Exchange, model: Model, fake: FakeRun, last: int
) -> None:
    doing = answer("I write.", Call("bash", {"command": "echo x >> log"}))
    before = ("usage", "done")[last] if service.provider == "openai" else THE_END
    api.queue(Break(How.DROP, before=before, answer=doing), answer("Done."))
    assert fake.go(model).outcome == Finished(message="Done.")
    assert fake.box is not None
    assert fake.box.calls.count("run echo x >> log") == 1


@pytest.mark.parametrize("place", range(4))
def test_a_stream_that_breaks_before_its_end_makes_its_call_once(
    service: ProviderService, api: Exchange, model: Model, fake: FakeRun, place: int
) -> None:
    doing = answer("I write.", Call("bash", {"command": "echo x >> log"}))
    api.queue(Break(How.DROP, before=service.kinds[place], answer=doing), doing, answer("Done."))
    assert fake.go(model).outcome == Finished(message="Done.")
    assert fake.box is not None
    assert fake.box.calls.count("run echo x >> log") == 1


def test_an_image_is_looked_at_between_thoughts(
    service: ProviderService, api: Exchange, model: Model, tmp_path: Path, policy: Policy
) -> None:
    fake = FakeRun(home=tmp_path, policy=policy, files={"a.png": PNG})
    look = Call("read_file", {"path": "a.png"})
    api.queue(
        answer(*thought(service, "A picture."), look),
        answer(*thought(service, "Again."), look),
        answer("It is blue."),
    )
    summary = fake.go(model)
    assert summary.outcome == Finished(message="It is blue.")
    assert_all_taken(api, 3)
    encoded = base64.b64encode(PNG).decode()
    assert json.dumps(api.requests[2].body).count(encoded) == 2
    events = (fake.record.directory / "events.jsonl").read_text()
    assert encoded not in events
    (kept,) = (fake.record.directory / "images").iterdir()
    assert kept.read_bytes() == PNG


def test_what_only_looks_like_an_image_costs_one_request_and_no_run(
    service: ProviderService, api: Exchange, model: Model, tmp_path: Path, policy: Policy
) -> None:
    fake = FakeRun(home=tmp_path, policy=policy, files={"a.png": PNG[:33] + b"\0no image"})
    api.queue(
        answer(*thought(service, "A picture."), Call("read_file", {"path": "a.png"})),
        Refuse(400, message="Could not process image"),
        answer(*thought(service, "Broken."), Call("list_dir")),
        answer("It is broken."),
    )
    assert fake.go(model).outcome == Finished(message="It is broken.")
    assert len(api.requests) == 4


def test_context_files_go_before_the_task_and_the_api_takes_it(
    service: ProviderService, api: Exchange, model: Model, tmp_path: Path, policy: Policy
) -> None:
    fake = FakeRun(home=tmp_path, policy=policy, files={"AGENTS.md": b"Use tabs.\n"})
    api.queue(answer(*thought(service, "Tabs."), Call("list_dir")), answer("Done."))
    assert fake.go(model, task="paint it").outcome == Finished(message="Done.")
    assert_all_taken(api, 2)
    body = api.requests[1].body
    said = json.dumps(body.get("messages") or body["input"])
    assert -1 < said.index("Use tabs.") < said.index("paint it")


# -- thoughts that are carried ------------------------------------------------------------------


@of("anthropic", "responses")
def test_taken_up_again_the_thoughts_are_those_that_were(
    service: ProviderService, api: Exchange, model: Model, fake: FakeRun
) -> None:
    api.queue(
        answer(Thought("Hm."), "I look.", Call("list_dir")),
        answer(Thought("So."), Call("list_dir")),
        Refuse(400),
        answer(Thought("Yes."), MULTIPLY),
        answer("Mended."),
    )
    fake.go(model)
    past = resume_state_of(lines_from([json.loads(line) for line in fake.lines]))
    conversation = FakeConversation(box=TmpBox(), policy=fake.policy, past=past)
    loop = conversation.made(model, system=system_prompt(fake.policy, "/workspace"))
    assert loop.go_on("mend it", same_container=True) == Finished(message="Mended.")
    conversation.box.close()
    assert [request.fault for request in api.requests if request.fault] == []
    sent = api.requests[4].body
    items = sent.get("input") or [b for m in sent["messages"] for b in m["content"]]
    kinds = [item["type"] for item in items]
    assert kinds.count("reasoning") + kinds.count("thinking") == 3


# -- anthropic ----------------------------------------------------------------------------------


SEARCHING = ("web_search",)


@of("anthropic")
def test_a_search_that_pauses_and_calls_of_ours_are_one_conversation(
    api: Exchange, model: Model, fake: FakeRun
) -> None:
    fake.policy = replace(fake.policy, server_tools=SEARCHING)
    api.queue(
        answer(Thought("I look it up."), Search("how to multiply", None), stop="pause_turn"),
        *[answer(Found(), Search(f"again {n}", None), stop="pause_turn") for n in range(7)],
        answer(Found(), Thought("Now I know."), "It is a star.", MULTIPLY),
        answer(Search("done?"), "Mended."),
    )
    summary = fake.go(model)
    assert summary.outcome == Finished(message="Mended.")
    assert_all_taken(api, 10)
    assert summary.document.tokens.web_searches == 1 + 7 + 1
    assert summary.document.json_object()["server_tools"] == ["web_search"]


@of("anthropic")
def test_taken_up_again_in_a_pause_the_api_takes_what_is_said_then(
    api: Exchange, model: Model, fake: FakeRun
) -> None:
    fake.policy = replace(fake.policy, server_tools=SEARCHING)
    api.queue(
        answer(Thought("Hm."), "I look.", Search("a", None), stop="pause_turn"),
        Refuse(400),
        answer("Mended."),
    )
    fake.go(model)
    rows = [json.loads(line) for line in fake.lines]
    at = next(n for n, row in enumerate(rows) if row["event"] == "model_replied")
    past = resume_state_of(lines_from(rows[: at + 1]))
    conversation = FakeConversation(box=TmpBox(), policy=fake.policy, past=past)
    loop = conversation.made(model, system=system_prompt(fake.policy, "/workspace"))
    assert loop.go_on("mend it", same_container=True) == Finished(message="Mended.")
    conversation.box.close()


def test_a_policy_that_lists_no_tool_of_the_service_sends_none(
    api: Exchange, model: Model, fake: FakeRun
) -> None:
    api.queue(answer("Done."))
    fake.go(model)
    ours = (
        "input_schema" in tool or tool["type"] == "function"
        for tool in api.requests[0].body["tools"]
    )
    assert all(ours)


@of("responses")
def test_a_search_of_the_service_and_calls_of_ours_are_one_conversation(
    api: Exchange, model: Model, fake: FakeRun
) -> None:
    fake.policy = replace(fake.policy, server_tools=SEARCHING)
    api.queue(
        answer(Thought("I look it up."), Search("how to multiply"), Thought("So."), MULTIPLY),
        answer(Search("done?"), "Mended."),
    )
    summary = fake.go(model)
    assert summary.outcome == Finished(message="Mended.")
    assert_all_taken(api, 2)
    assert summary.document.tokens.web_searches == 2
    assert summary.document.json_object()["server_tools"] == ["web_search"]


# -- gateways -----------------------------------------------------------------------------------


@pytest.mark.parametrize("quirk", [*CALLS, Quirk.FUNCTION_CALL, Quirk.NO_USAGE, Quirk.NO_DONE])
def test_a_run_on_a_gateway_of_chat_completions_comes_to_the_same(
    fake: FakeRun, quirk: Quirk
) -> None:
    with StandInOpenAI(quirk, Quirk.ANY_MODEL, Quirk.KEEPS_REASONING) as api:
        api.queue(
            answer(Thought("I look."), Call("read_file", {"path": "calc.py"})),
            answer(Thought("I mend."), MULTIPLY),
            answer("Mended."),
        )
        model = OpenAIModel.open(
            "qwen3-coder:30b", api=CHAT, api_key=api.key, base_url=api.url, timing=AT_ONCE
        )
        summary = fake.go(model)
        model.close()
    assert summary.outcome == Finished(message="Mended.")
    assert_all_taken(api, 3)
    assert summary.document.tokens.uncounted_replies == (3 if quirk is Quirk.NO_USAGE else 0)
    assert summary.delivery is not None
    assert MENDED in summary.delivery.patch.data


@pytest.mark.parametrize("quirk", [*STREAMS, ResponsesQuirk.NO_USAGE])
@of("responses")
def test_a_run_on_a_gateway_of_responses_comes_to_the_same(
    service: ProviderService, fake: FakeRun, quirk: ResponsesQuirk
) -> None:
    own = (ResponsesQuirk.ANY_MODEL, ResponsesQuirk.PLAIN_REASONING)
    with StandInResponses(quirk, *own) as api:
        api.queue(
            answer(Thought("I look."), Call("read_file", {"path": "calc.py"})),
            answer(Thought("I mend."), MULTIPLY),
            answer("Mended."),
        )
        model = service.open(api, model="qwen3-coder:30b", timing=AT_ONCE)
        summary = fake.go(model)
        model.close()
    assert summary.outcome == Finished(message="Mended.")
    assert_all_taken(api, 3)
    unknown = 3 if quirk is ResponsesQuirk.NO_USAGE else 0
    assert summary.document.tokens.uncounted_replies == unknown
    assert summary.delivery is not None
    assert MENDED in summary.delivery.patch.data

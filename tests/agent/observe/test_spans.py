"""Spans of a run, as a collector gets them: the tree, and nothing of what was said or written."""

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes

import agent
from agent.errors import ModelBilling, UsageError
from agent.models.anthropic.client import AnthropicModel
from agent.models.interface import Model, Usage
from agent.observe import span_attributes, spans
from agent.observe.otlp import TelemetrySettings, telemetry_settings
from agent.observe.spans import SpanRecorder
from agent.record.events.conversation import CallStarted, ModelCalled
from agent.record.events.kinds import Event
from agent.record.events.lifecycle import Forked, Resumed
from agent.record.events.recorded import Lossy
from agent.record.outcome import Finished
from agent.record.summary import RunResult
from checkout import ROOT
from fakes.collector import ERROR, Collector, Manner
from fakes.model import ToldModel, call, calls, say
from fakes.providers import AT_ONCE
from fakes.runs import FakeRun
from policies.loading import load
from policies.policy import Policy
from sandbox.errors import SandboxLost
from standins.anthropic.server import StandIn
from standins.exchange.replies import Break, Call, How, Refuse, answer
from waiting import until

CANARY = "canary-7f3a91"
WRITE = call("write_file", path="new.txt", content="made\n")


@pytest.fixture
def fake(tmp_path: Path, policy: Policy) -> FakeRun:
    return FakeRun(home=tmp_path, policy=policy, files={"calc.py": b"one\n"})


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as found:
        yield found


def go(fake: FakeRun, model: Model, settings: TelemetrySettings | Collector) -> str | None:
    """A run that is listened to; gives the line for a person, and leaves the summary behind."""
    if isinstance(settings, Collector):
        settings = TelemetrySettings(endpoint=settings.url)
    heard = SpanRecorder(settings, run_id="20261121-101500-abcdef", model=model)
    before = fake.also

    def also(event: Event) -> None:
        before(event)
        heard.show(event)

    fake.also = also
    summaries.append(fake.go(model))
    return heard.close()


summaries: list[RunResult] = []


# -- the tree ----------------------------------------------------------------------------------


def test_a_run_is_a_tree_of_turns_with_a_chat_and_its_tool_calls(
    fake: FakeRun, collector: Collector
) -> None:
    both = calls(("list_dir", {}), ("bash", {"command": "exit 3"}))
    assert go(fake, ToldModel(WRITE, both, say("done")), collector) is None
    # Spans come in the order in which they end.
    assert collector.tree() == (
        "invoke_agent moonpool\n"
        "  turn\n"
        "    chat test\n"
        "    execute_tool write_file\n"
        "  turn\n"
        "    chat test\n"
        "    execute_tool list_dir\n"
        "    execute_tool bash\n"
        "  turn\n"
        "    chat test"
    )
    assert len({span.trace for span in collector.spans}) == 1
    run = collector.one("invoke_agent moonpool").attributes
    assert run["gen_ai.operation.name"] == "invoke_agent"
    assert run["gen_ai.conversation.id"] == "20261121-101500-abcdef"
    assert (run["moonpool.turns"], run["moonpool.exit_code"]) == (3, 0)
    assert run["moonpool.patch.files"] == 1
    assert run["moonpool.policy"] == "default"
    bash = collector.one("execute_tool bash").attributes
    assert bash["moonpool.exit_code"] == 3
    assert (bash["moonpool.decision"], bash["moonpool.ending"]) == ("allow", "exited")
    assert set(collector.paths) == {"/v1/traces"}


def test_tokens_stand_on_the_chat_and_on_the_run_cached_ones_among_the_input(
    fake: FakeRun, collector: Collector
) -> None:
    usage = Usage(input_tokens=5, output_tokens=7, cache_read_tokens=100, cache_write_tokens=20)
    go(fake, ToldModel(say("done", usage=usage)), collector)
    for name in ("chat test", "invoke_agent moonpool"):
        attributes = collector.one(name).attributes
        assert attributes["gen_ai.usage.input_tokens"] == 125
        assert attributes["gen_ai.usage.output_tokens"] == 7
        assert attributes["gen_ai.usage.cache_read.input_tokens"] == 100
    assert collector.one("chat test").attributes["gen_ai.response.finish_reasons"] == ["end_turn"]


def test_the_names_are_those_of_the_conventions() -> None:
    standard = {value for name, value in vars(gen_ai_attributes).items() if name.isupper()}
    ours = span_attributes.NUMBERS | span_attributes.OPERATORS | set(span_attributes.WORDS)
    # What the anthropic SDK calls it, beside its own prefix.
    of_the_sdk = {"gen_ai.usage.cache_write.input_tokens"}
    assert {name for name in ours if name.startswith("gen_ai.")} - standard == of_the_sdk


def test_the_anthropic_sdk_makes_the_spans_of_its_calls_one_for_each_attempt(
    fake: FakeRun, collector: Collector
) -> None:
    with StandIn() as api:
        model = AnthropicModel.open(
            "claude-opus-5-5", api_key=api.key, base_url=api.url, timing=AT_ONCE
        )
        looking = answer("Looking.", Call("list_dir"))
        api.queue(
            Refuse(529), Break(How.MID_EVENT, before="message_delta", answer=looking), looking,
            answer("Done."),
        )  # fmt: skip
        assert go(fake, model, collector) is None
        assert not any("traceparent" in request.headers for request in api.requests)
        model.close()
    assert summaries[-1].outcome == Finished(message="Done.")
    assert collector.tree() == (
        "invoke_agent moonpool\n"
        "  turn\n"
        "    anthropic.messages.create!\n"
        "    anthropic.messages.create!\n"
        "    anthropic.messages.create\n"
        "    execute_tool list_dir\n"
        "  turn\n"
        "    anthropic.messages.create"
    )
    first = next(span for span in collector.spans if span.name == "anthropic.messages.create")
    assert first.attributes["error.type"] == "overloaded_error"
    assert first.attributes["gen_ai.request.model"] == "claude-opus-5-5"
    (*_, last) = (span for span in collector.spans if span.name == "anthropic.messages.create")
    assert last.attributes["gen_ai.usage.output_tokens"] > 0
    turn = next(span for span in collector.spans if span.name == "turn")
    assert (turn.attributes["moonpool.retries"], turn.attributes["moonpool.attempts"]) == (2, 3)


# -- failures as status ------------------------------------------------------------------------


def test_refused_and_failed_calls_are_errors_with_their_kind(
    fake: FakeRun, collector: Collector
) -> None:
    fake.box = None
    odd = calls(("nope", {}), ("bash", {"command": "curl x"}), ("read_file", {"path": "gone"}))
    go(fake, ToldModel(odd, say("done")), collector)
    kinds = [
        (span.name, span.status, span.attributes.get("error.type"))
        for span in collector.spans
        if span.name.startswith("execute_tool")
    ]
    assert kinds == [
        ("execute_tool unknown", ERROR, "unknown tool"),
        ("execute_tool bash", ERROR, "denied"),
        ("execute_tool read_file", ERROR, "tool error"),
    ]
    assert collector.one("invoke_agent moonpool").status != ERROR


@pytest.mark.parametrize(
    ("model", "kind", "code"),
    [
        (ToldModel(WRITE, ModelBilling(f"402: {CANARY}")), "model failed", 4),
        (ToldModel(WRITE, KeyError(CANARY)), "crashed", 3),
        (ToldModel(WRITE, SandboxLost(CANARY)), "sandbox failed", 3),
    ],
)
def test_a_run_that_fails_is_an_error_with_the_name_of_its_outcome(
    fake: FakeRun, collector: Collector, model: ToldModel, kind: str, code: int
) -> None:
    go(fake, model, collector)
    run = collector.one("invoke_agent moonpool")
    assert (run.status, run.attributes["error.type"]) == (ERROR, kind)
    assert run.attributes["moonpool.exit_code"] == code
    assert "turn!" in collector.tree()


@pytest.mark.parametrize("signal", ["SIGINT", "SIGTERM"])
def test_a_killed_run_leaves_a_whole_tree(fake: FakeRun, collector: Collector, signal: str) -> None:
    def interrupt(event: Event) -> None:
        if isinstance(event, CallStarted):
            fake.interrupts.receive(signal)

    fake.also = interrupt
    go(fake, ToldModel(WRITE), collector)
    assert collector.tree() == (
        "invoke_agent moonpool!\n  turn\n    chat test\n    execute_tool write_file"
    )
    assert collector.one("invoke_agent moonpool").attributes["error.type"] == "interrupted"


def test_what_was_open_when_nobody_told_the_end_is_closed_as_killed(
    fake: FakeRun, collector: Collector
) -> None:
    model = ToldModel()
    heard = SpanRecorder(TelemetrySettings(endpoint=collector.url), run_id="r", model=model)
    fake.also = lambda event: heard.show(event) if not heard_enough(event) else None
    fake.go(ToldModel(WRITE, say("done")))
    assert heard.close() is None
    assert collector.tree() == "invoke_agent moonpool!\n  turn!\n    chat test!"
    assert collector.one("invoke_agent moonpool").attributes["error.type"] == "killed"


def heard_enough(event: Event) -> bool:
    return type(event).__name__ not in {"RunStarted", "SandboxReady", "ModelCalled"} or (
        isinstance(event, ModelCalled) and event.turn > 1
    )


# -- nothing of what was said or written -------------------------------------------------------


def test_no_content_leaves(tmp_path: Path, policy: Policy, collector: Collector) -> None:
    fake = FakeRun(
        home=tmp_path / CANARY, policy=policy, files={f"{CANARY}.txt": CANARY.encode()},
        known_secrets=(CANARY,),
    )  # fmt: skip
    (tmp_path / CANARY).mkdir()
    with StandIn() as api:
        model = AnthropicModel.open(
            "claude-opus-5-5", api_key=api.key, base_url=f"{api.url}", timing=AT_ONCE
        )
        api.queue(
            Refuse(529, message=CANARY, headers={"request-id": CANARY}),
            answer(
                CANARY,
                Call("bash", {"command": f"cat {CANARY}.txt; echo {CANARY} >&2; exit 5"}),
                Call("write_file", {"path": f"{CANARY}/x", "content": CANARY}),
                Call("read_file", {"path": f"gone-{CANARY}"}),
                Call("bash", {"command": f"curl {CANARY}"}),
                Call(CANARY, {CANARY: CANARY}),
            ),
            Refuse(402, message=CANARY, code=CANARY),
        )
        go_with = TelemetrySettings(endpoint=collector.url, headers={"x-team": "tide"})
        heard = SpanRecorder(go_with, run_id="r", model=model)
        fake.also = heard.show
        summary = fake.go(model, task=f"look at {CANARY}")
        assert heard.close() is None
        model.close()
    assert summary.exit_code == 4
    assert CANARY in "".join(str(event) for event in fake.log)
    sent = b"".join(collector.bodies)
    assert sent.count(b"execute_tool") > 5, "there is something to look at"
    assert CANARY.encode() not in sent
    assert str(tmp_path).encode() not in sent
    assert collector.headers[0]["x-team"] == "tide"


@pytest.mark.parametrize("api", ["openai", "responses"])
def test_a_service_has_one_name_whichever_of_its_apis_is_spoken(
    fake: FakeRun, collector: Collector, api: str
) -> None:
    model = ToldModel(say("done"))
    model.name = f"{api}:gpt-5.4"
    go(fake, model, collector)
    chat = collector.one("chat gpt-5.4").attributes
    assert chat["gen_ai.provider.name"] == "openai"


def test_a_script_is_not_named_by_its_path(fake: FakeRun, collector: Collector) -> None:
    model = ToldModel(say("done"))
    model.name = f"script:/home/{CANARY}/script.yaml"
    go(fake, model, collector)
    assert "chat script" in collector.tree()
    assert CANARY.encode() not in b"".join(collector.bodies)


def test_what_an_sdk_would_record_of_its_own_accord_does_not_leave(collector: Collector) -> None:
    heard = SpanRecorder(TelemetrySettings(endpoint=collector.url), run_id="r", model=ToldModel())
    tracer = heard._provider.get_tracer("sdk")
    with contextlib.suppress(ValueError), tracer.start_as_current_span("chat x") as span:
        span.set_attribute("gen_ai.input.messages", CANARY)
        span.set_attribute("gen_ai.response.model", CANARY)
        span.set_attribute("gen_ai.usage.output_tokens", CANARY)
        span.set_attribute("gen_ai.tool.name", CANARY)
        span.set_attribute("gen_ai.response.finish_reasons", [CANARY])
        span.set_attribute("error.type", CANARY)
        span.add_event(CANARY, {"x": CANARY})
        raise ValueError(CANARY)
    heard.close()
    assert collector.one("chat x").status == ERROR
    assert CANARY.encode() not in b"".join(collector.bodies)


def test_the_environment_adds_nothing_and_redirects_nothing(
    fake: FakeRun, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Collector() as other:
        for name, value in {
            "OTEL_EXPORTER_OTLP_ENDPOINT": other.url,
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": other.url,
            "OTEL_EXPORTER_OTLP_HEADERS": f"authorization={CANARY}",
            "OTEL_RESOURCE_ATTRIBUTES": f"user={CANARY}",
            "OTEL_SERVICE_NAME": CANARY,
            "OTEL_TRACES_SAMPLER": "always_off",
            "ANTHROPIC_OPEN_TELEMETRY_TRACES_CONTENT_MODE": "content",
            "http_proxy": other.url,
            "HTTP_PROXY": other.url,
        }.items():
            monkeypatch.setenv(name, value)
        go(fake, ToldModel(say("done")), collector)
        assert other.bodies == []
    assert collector.tree().startswith("invoke_agent moonpool")
    assert CANARY not in str(collector.headers) + str(collector.bodies)


# -- a collector that is no good ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("manner", "words"),
    [
        (Manner.HANG, "did not take the run's spans within 2 s|no answer within"),
        (Manner.DRIBBLE, "did not take the run's spans within 2 s|no answer within"),
        (Manner.REFUSE, "spans not sent to 127.0.0.1: it answered 503"),
        (Manner.GARBAGE, "it does not speak HTTP"),
    ],
)
def test_a_bad_collector_costs_one_line_and_no_run(
    fake: FakeRun, manner: Manner, words: str
) -> None:
    with Collector(manner=manner) as collector:
        line = go(fake, ToldModel(WRITE, say("done")), collector)
    assert summaries[-1].exit_code == 0
    assert line is not None
    assert re.search(words, line)
    assert "\n" not in line
    assert line.isprintable()


def test_a_dead_collector_costs_one_line_and_no_run(fake: FakeRun) -> None:
    with Collector() as collector:
        settings = TelemetrySettings(endpoint=collector.url)
    line = go(fake, ToldModel(WRITE, say("done")), settings)
    assert summaries[-1].exit_code == 0
    assert line == "telemetry: 6 spans not sent to 127.0.0.1: Connection refused"


def test_a_redirect_is_not_followed(fake: FakeRun) -> None:
    with (
        Collector() as other,
        Collector(manner=Manner.REDIRECT, location=f"{other.url}/v1/traces") as collector,
    ):
        settings = TelemetrySettings(endpoint=collector.url, headers={"x-key": CANARY})
        line = go(fake, ToldModel(say("done")), settings)
        assert other.bodies == []
        assert other.paths == []
    assert line is not None
    assert "it answered 307, and is not followed" in line


def test_what_waits_is_bounded(fake: FakeRun) -> None:
    with Collector(manner=Manner.HANG) as collector:
        heard = SpanRecorder(
            TelemetrySettings(endpoint=collector.url), run_id="r", model=ToldModel()
        )
        tracer = heard._provider.get_tracer("x")
        for _ in range(spans._MOST_WAITING * 3):
            tracer.start_span("turn").end()
        (processor,) = heard._provider._active_span_processor._span_processors
        assert len(processor._batch_processor._queue) <= spans._MOST_WAITING  # type: ignore[attr-defined]
        assert heard.close() is not None


def test_a_defect_in_the_listener_ends_the_listening_and_not_the_run(
    fake: FakeRun, collector: Collector
) -> None:
    model = ToldModel(WRITE, say("done"))
    heard = SpanRecorder(TelemetrySettings(endpoint=collector.url), run_id="r", model=model)
    heard._calls = None  # type: ignore[assignment]
    fake.also = heard.show
    assert fake.go(model).exit_code == 0
    line = heard.close()
    assert line is not None
    assert "a defect of Moonpool (" in line


# -- the configuration -------------------------------------------------------------------------


def test_headers_come_from_the_variable_that_is_named() -> None:
    environ = {"TEAM": f"x-key={CANARY}%2C1, X-Other=b=c"}
    settings = telemetry_settings("https://otel.test", "TEAM", environ)
    assert settings.headers == {"x-key": f"{CANARY},1", "X-Other": "b=c"}
    assert CANARY not in repr(settings)


@pytest.mark.parametrize(
    ("endpoint", "headers", "words"),
    [
        ("https://otel.test", "UNSET", "UNSET must hold name=value"),
        ("https://otel.test", "TORN", "TORN holds a character"),
        ("https://otel.test", "NAMELESS", "NAMELESS must hold"),
        ("http://otel.test", "SET", "in the clear: use https"),
    ],
)
def test_what_can_not_be_used_is_refused_before_the_run(
    endpoint: str, headers: str, words: str
) -> None:
    environ = {"SET": "x=y", "TORN": "x=a%0D%0Ab: c", "NAMELESS": "x\r\ny=1"}
    with pytest.raises(UsageError, match=words):
        telemetry_settings(endpoint, headers, environ)


# -- the process is killed outright ------------------------------------------------------------

KILLED = """
import sys, time
from pathlib import Path
from agent.observe.otlp import TelemetrySettings
from agent.observe.spans import SpanRecorder
from fakes.model import ToldModel, call, say
from fakes.runs import FakeRun
from policies.loading import load

def hang(request):
    time.sleep(100)

home, url = sys.argv[1:]
look = call("list_dir", path=".")
model = ToldModel(look, look, hang)
heard = SpanRecorder(TelemetrySettings(endpoint=url), run_id="killed", model=model)
FakeRun(home=Path(home), policy=load("default"), also=heard.show).go(model)
"""


def test_of_a_run_that_is_killed_outright_the_turns_that_were_over_are_there(
    tmp_path: Path, collector: Collector
) -> None:
    paths = os.pathsep.join([str(Path(agent.__file__).parents[1]), str(ROOT / "tests")])
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path), collector.url],
        env={**os.environ, "PYTHONPATH": paths},
    )
    until(lambda: [span.name for span in collector.spans].count("turn") == 2, process=process)
    process.kill()
    process.wait()
    turn = "turn\n  chat test\n  execute_tool list_dir"
    assert collector.tree() == f"{turn}\n{turn}"
    (trace,) = {span.trace for span in collector.spans}
    # Who takes it up makes spans of the same trace.
    go(FakeRun(home=tmp_path, policy=load("default")), ToldModel(say("done")), collector)
    assert len({span.trace for span in collector.spans}) == 2
    heard = SpanRecorder(
        TelemetrySettings(endpoint=collector.url), run_id="killed", model=ToldModel()
    )
    heard.show(
        Resumed(
            model="m",
            version="0",
            pid=1,
            cut_bytes=0,
            in_doubt=None,
            lossy=Lossy(cut=0, redacted=0, exact_thinking=True),
        )
    )
    assert heard.close() is None
    assert collector.spans[-1].trace == trace


def test_the_turns_of_a_fork_hang_under_its_run(collector: Collector) -> None:
    heard = SpanRecorder(TelemetrySettings(endpoint=collector.url), run_id="new", model=ToldModel())
    heard.show(
        Forked(
            run_id="old",
            call=3,
            model="m",
            version="0",
            pid=1,
            lossy=Lossy(cut=0, redacted=0, exact_thinking=True),
        )
    )
    heard.show(ModelCalled(turn=1, messages=2))
    assert heard.close() is None
    assert collector.tree().startswith("invoke_agent moonpool!\n  turn!")

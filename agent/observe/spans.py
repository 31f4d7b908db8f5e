"""OpenTelemetry spans of a run, from its events.

    invoke_agent moonpool
    └── turn                        one request to the model and the calls that its answer asks for
        ├── chat MODEL              the model call; where the provider's SDK makes spans itself,
        │                           its own, one for each attempt
        └── execute_tool TOOL

Off unless the operator's configuration names a collector: no environment variable switches it on.
Each span, an SDK's too, is rebuilt before it is sent, of what `agent.observe.span_attributes` lets
leave: names, counts, durations, codes and decisions, and no contents.

Nothing but this module and `agent.observe.span_export` imports ``opentelemetry``.

A pure listener. Nothing in here may end or delay a run: an error switches it off, the queue is
bounded, and a collector that does not answer costs `PATIENCE_S` at the end.
"""

import threading
from collections.abc import Mapping
from contextvars import Token
from typing import Protocol, runtime_checkable

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.util.types import AttributeValue

from agent.models.interface import Model, Usage
from agent.observe.otlp import TelemetrySettings
from agent.observe.span_attributes import UNKNOWN
from agent.observe.span_export import TIMEOUT_S, FilteredExporter, TraceOfRun
from agent.record import outcome as outcomes
from agent.record.events.conversation import (
    ApprovalAnswered,
    CallEnded,
    CallRefused,
    CallStarted,
    ModelCalled,
    ModelReplied,
    ModelRetry,
)
from agent.record.events.kinds import Event
from agent.record.events.lifecycle import (
    ConversationEnded,
    Exported,
    Forked,
    RequestAwaited,
    Resumed,
    RunEnded,
    RunStarted,
    SandboxReady,
)
from agent.record.outcome import Finished
from agent.tools import registry
from policies.decision import Allow, Ask, Decision, Deny

PATIENCE_S = 2.0
"""How long the end of a run waits for a collector."""
_MOST_WAITING = 2048
"""Spans that wait to be sent; more are dropped."""
_BATCH = 256
_EVERY_MS = 1000

_AGENT = "moonpool"


@runtime_checkable
class Traceable(Protocol):
    """A model whose provider's SDK makes spans of its calls."""

    def trace_with(self, tracer_provider: object, /) -> None: ...


class SpanRecorder:
    """The spans of one process of one run. `show` hears its events; `close` sends what is left."""

    def __init__(self, settings: TelemetrySettings, *, run_id: str, model: Model) -> None:
        self._settings = settings
        self._run_id = run_id
        self._exporter = FilteredExporter(settings)
        self._provider = TracerProvider(
            # Each of these the SDK would else take from the environment.
            sampler=ALWAYS_ON,
            resource=Resource({"service.name": _AGENT}),
            span_limits=SpanLimits(max_attributes=64, max_events=0, max_links=0),
            id_generator=TraceOfRun(run_id),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(
                self._exporter,
                max_queue_size=_MOST_WAITING,
                schedule_delay_millis=_EVERY_MS,
                max_export_batch_size=_BATCH,
                export_timeout_millis=TIMEOUT_S * 1000,
            )
        )
        self._tracer = self._provider.get_tracer("moonpool")
        provider, _, name = model.name.partition(":")
        # A script's name is a path.
        self._model = name if provider != "script" else provider
        self._model_provider = "openai" if provider == "responses" else provider
        self._own_chat = not isinstance(model, Traceable)
        if isinstance(model, Traceable):
            model.trace_with(self._provider)
        self._run: Span | None = None
        self._turn: Span | None = None
        self._chat: Span | None = None
        self._current: Token[Context] | None = None
        self._calls: dict[int, Span] = {}
        self._answers: dict[int, str] = {}
        self._retries = 0
        self._refusals = 0
        self._defect: str | None = None

    def show(self, event: Event, _line: str | None = None) -> None:
        if self._defect is not None:
            return
        try:
            self._hear(event)
        except Exception as error:  # noqa: BLE001 - a run does not end for want of a span
            self._defect = type(error).__name__

    def close(self) -> str | None:
        """End what is open and send it; gives one line for a person where that did not work."""
        try:
            self._end_all()
        except Exception as error:  # noqa: BLE001 - as in `show`
            self._defect = type(error).__name__
        # The SDK's own shutdown takes as long as it takes.
        sending = threading.Thread(target=self._provider.shutdown, daemon=True)
        sending.start()
        sending.join(PATIENCE_S)
        where = self._settings.host
        if self._defect is not None:
            return f"telemetry stopped by a defect of Moonpool ({self._defect})"
        if sending.is_alive():
            return f"telemetry: {where} did not take the run's spans within {PATIENCE_S:.0f} s"
        if self._exporter.lost:
            return (
                f"telemetry: {self._exporter.lost} spans not sent to {where}: {self._exporter.why}"
            )
        return None

    # -- events to spans -------------------------------------------------------------------

    def _hear(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._begin(event.version)
                self._mark("moonpool.policy", event.policy)
                self._mark("moonpool.kernel_policy", event.kernel_policy)
            case Resumed() | Forked():
                self._begin(event.version)
            case SandboxReady():
                self._mark("moonpool.kernel_enforced", event.kernel_enforced)
            case ModelCalled() | ModelRetry() | ModelReplied():
                self._hear_model(event)
            case ApprovalAnswered() | CallStarted() | CallRefused() | CallEnded():
                self._hear_call(event)
            case ConversationEnded() | RequestAwaited():
                self._end_turn()
            case Exported():
                self._mark("moonpool.patch.bytes", event.patch_bytes)
                self._mark("moonpool.patch.files", len(event.changes))
                self._mark("moonpool.patch.findings", len(event.findings))
                self._mark("moonpool.patch.refused", event.refused)
            case RunEnded():
                self._end(event)
            case _:
                pass  # its words are for people

    def _end_all(self) -> None:
        """End each span that no event ended."""
        self._end_turn()
        if self._run is not None:
            self._fail(self._run, "killed")
            self._run.end()

    def _begin(self, version: str) -> None:
        self._run = self._tracer.start_span(
            f"invoke_agent {_AGENT}",
            context=Context(),
            attributes={
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.agent.name": _AGENT,
                "gen_ai.conversation.id": self._run_id,
                "moonpool.version": version,
                **self._of_model(),
            },
        )

    def _end(self, event: RunEnded) -> None:
        self._end_turn()
        if self._run is None:
            return
        self._run.set_attributes(
            {
                "moonpool.exit_code": event.exit_code,
                "moonpool.turns": event.turns,
                "moonpool.kernel_refusals": self._refusals,
                **_tokens(event.used),
            }
        )
        if not isinstance(event.outcome, Finished):
            self._fail(self._run, outcomes.name(event.outcome))
        self._run.end()
        self._run = None

    def _hear_model(self, event: ModelCalled | ModelRetry | ModelReplied) -> None:
        match event:
            case ModelCalled():
                self._end_turn()
                self._retries = 0
                self._turn = self._child(
                    "turn", {"moonpool.turn": event.turn, "moonpool.messages": event.messages}
                )
                here = trace.set_span_in_context(self._turn)
                if self._own_chat:
                    attributes = {"gen_ai.operation.name": "chat", **self._of_model()}
                    self._chat = self._tracer.start_span(
                        f"chat {self._model}", here, SpanKind.CLIENT, attributes
                    )
                else:
                    # For the SDK, whose spans are children of what is current in this thread.
                    self._current = otel_context.attach(here)
            case ModelRetry():
                self._retries += 1
            case ModelReplied():
                self._leave()
                if self._turn is not None:
                    self._turn.set_attribute("moonpool.attempts", event.reply.attempts)
                    self._turn.set_attribute("moonpool.retries", self._retries)
                if self._chat is not None:
                    self._chat.set_attributes(_tokens(event.reply.usage))
                    reasons = [str(event.reply.stop)]
                    self._chat.set_attribute("gen_ai.response.finish_reasons", reasons)
                    self._chat.end()
                    self._chat = None

    def _hear_call(self, event: ApprovalAnswered | CallStarted | CallRefused | CallEnded) -> None:
        match event:
            case ApprovalAnswered():
                self._answers[event.number] = event.answer
            case CallStarted():
                self._calls[event.number] = self._call(event)
            case CallRefused():
                span = self._call(event)
                self._fail(span, event.why)
                span.end()
            case CallEnded():
                # One that another process started has no beginning here.
                begun = event.number in self._calls
                span = self._calls.pop(event.number) if begun else self._call(event)
                self._refusals += len(event.refused)
                if event.exit_code is not None:
                    span.set_attribute("moonpool.exit_code", event.exit_code)
                if event.ending is not None:
                    span.set_attribute("moonpool.ending", str(event.ending))
                span.set_attribute("moonpool.kernel_refusals", len(event.refused))
                if event.is_error:
                    self._fail(span, "tool error")
                span.end()

    def _call(self, event: CallStarted | CallRefused | CallEnded) -> Span:
        # The name is the model's own word, until it is that of a tool.
        tool = event.tool if event.tool in registry.ALL else UNKNOWN
        attributes: dict[str, AttributeValue] = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": tool,
            "gen_ai.tool.type": "function",
            "moonpool.call": event.number,
        }
        if not isinstance(event, CallEnded) and event.decision is not None:
            attributes["moonpool.decision"] = _decided(event.decision)
        answer = self._answers.pop(event.number, None)
        if answer is not None:
            attributes["moonpool.approval"] = answer
        return self._child(f"execute_tool {tool}", attributes)

    def _end_turn(self) -> None:
        self._leave()
        for span in self._calls.values():
            self._fail(span, "killed")
            span.end()
        self._calls.clear()
        if self._chat is not None:
            self._fail(self._chat, "no reply")
            self._chat.end()
            self._chat = None
        if self._turn is not None:
            if "moonpool.attempts" not in _attributes(self._turn):
                self._fail(self._turn, "no reply")
            self._turn.end()
            self._turn = None

    def _leave(self) -> None:
        if self._current is not None:
            otel_context.detach(self._current)
            self._current = None

    def _child(self, name: str, attributes: Mapping[str, AttributeValue]) -> Span:
        parent = self._run if name == "turn" or self._turn is None else self._turn
        around = trace.set_span_in_context(parent, Context()) if parent else Context()
        return self._tracer.start_span(name, around, attributes=attributes)

    def _mark(self, key: str, value: AttributeValue) -> None:
        if self._run is not None:
            self._run.set_attribute(key, value)

    def _of_model(self) -> dict[str, AttributeValue]:
        return {
            "gen_ai.provider.name": self._model_provider,
            "gen_ai.request.model": self._model,
        }

    def _fail(self, span: Span, kind: str) -> None:
        span.set_status(Status(StatusCode.ERROR))
        span.set_attribute("error.type", kind)


def _attributes(span: Span) -> Mapping[str, AttributeValue]:
    return (span.attributes or {}) if isinstance(span, ReadableSpan) else {}


def _tokens(used: Usage) -> dict[str, AttributeValue]:
    return {
        # The convention counts cached tokens as input, too.
        "gen_ai.usage.input_tokens": used.all_input,
        "gen_ai.usage.output_tokens": used.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": used.cache_read_tokens,
        "gen_ai.usage.cache_creation.input_tokens": used.cache_write_tokens,
    }


def _decided(decision: Decision) -> str:
    match decision:
        case Allow():
            return "allow"
        case Ask():
            return "ask"
        case Deny():
            return "deny"

"""Where finished spans go: to a collector over HTTP, bounded in time; ids that are random."""

import hashlib
from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import Status

from agent.observe.otlp import NotDeliveredError, TelemetrySettings, post
from agent.observe.span_attributes import may_leave

TIMEOUT_S = 5.0
"""How long one request may take; the run goes on meanwhile."""


class FilteredExporter(SpanExporter):
    """Sends spans, with nothing in them but what may leave. Counts those that did not arrive."""

    def __init__(self, settings: TelemetrySettings) -> None:
        self._settings = settings
        self.lost = 0
        self.why = ""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        body = encode_spans([_bare(span) for span in spans]).SerializeToString()
        try:
            post(self._settings, body, timeout_s=TIMEOUT_S)
        except NotDeliveredError as error:
            self.lost += len(spans)
            self.why = str(error)
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS


class TraceOfRun(RandomIdGenerator):
    """Makes one trace of a run, named by the run's id, so that a resumed run's spans join it."""

    def __init__(self, run_id: str) -> None:
        self._trace = int.from_bytes(hashlib.sha256(run_id.encode()).digest()[:16], "big")

    def generate_trace_id(self) -> int:
        return self._trace


def _bare(span: ReadableSpan) -> ReadableSpan:
    """The span without the attributes that may not leave."""
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes={
            key: value for key, value in (span.attributes or {}).items() if may_leave(key, value)
        },
        kind=span.kind,
        instrumentation_scope=span.instrumentation_scope,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
    )

"""Who listens to a run beside the screen: its log, and the operator's collector where there is one.

Owns when they begin and end, and the one line where spans could not be sent. Refuses to know what
they make of an event (`agent.observe.run_log`, `agent.observe.spans`).
"""

import logging
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING, Self

from agent.errors import UsageError
from agent.models.interface import Model
from agent.observe.run_log import RunLog
from agent.record.events.kinds import Event
from agent.record.store import RunRecord

if TYPE_CHECKING:
    from agent.observe.otlp import TelemetrySettings


def telemetry(
    endpoint: str, headers_env: str | None, environ: Mapping[str, str]
) -> "TelemetrySettings":
    """Make a configured collector ready, before the run.

    Raises:
        UsageError: it can't be used, or the packages for it are not installed.
    """
    if find_spec("opentelemetry.sdk") is None:
        raise UsageError("telemetry: is configured and not installed: pip install 'moonpool[otel]'")
    from agent.observe.otlp import telemetry_settings  # noqa: PLC0415 - http.client and ssl

    return telemetry_settings(endpoint, headers_env, environ)


class Observers:
    """A context manager around one process of one run; `show` hears its events."""

    def __init__(
        self,
        record: RunRecord,
        model: Model,
        telemetry: "TelemetrySettings | None" = None,
        *,
        unsent: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Args:
        telemetry: None: the operator configured no collector, and nothing is sent anywhere.
        unsent: told where spans could not be sent.
        """
        self._log = RunLog(record.directory, redact=record.redact)
        self._unsent = unsent
        self._spans = None
        if telemetry is not None:
            from agent.observe.spans import SpanRecorder  # noqa: PLC0415 - an extra

            self._spans = SpanRecorder(telemetry, run_id=record.run_id, model=model)

    def __enter__(self) -> Self:
        self._log.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        line = self._spans.close() if self._spans is not None else None
        if line is not None:
            self._log.write(logging.WARNING, line)
            self._unsent(line)
        self._log.__exit__(kind, error, trace)

    def show(self, event: Event, line: str | None) -> None:
        self._log.show(event, line)
        if self._spans is not None:
            self._spans.show(event, line)

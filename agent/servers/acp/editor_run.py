"""The run of a session: its sandbox, opened ahead, and the thread in which its prompts are served.

Owns the way from the first prompt to the run's report. The record begins with the first prompt: a
session in which nothing was asked leaves nothing but the sandbox, and that is closed.
"""

import contextlib
import logging
from collections.abc import Callable
from pathlib import Path

from agent.batch.thread_interrupts import ThreadInterrupts
from agent.errors import RecordError
from agent.job import Job, OnProgress
from agent.observe.run_log import OWN, RunLog
from agent.record import outcome as outcomes
from agent.record.events.lifecycle import Notice
from agent.record.journal import each
from agent.record.store import STEPS, RunRecord
from agent.record.summary import RunResult
from agent.review.report.writing import write_reports
from agent.run import Run
from agent.servers.acp.diffs import FileDiffs, as_copied
from agent.servers.acp.driver import EditorDriver, PromptQueue
from agent.servers.acp.outbox import Outbox
from agent.servers.acp.permission import EditorAsker
from agent.servers.acp.plan import ServerSettings, SessionPlan
from agent.servers.acp.turns import Turn
from agent.servers.acp.view import EditorView
from agent.session import RunSetup
from agent.tools.sandbox_protocol import SandboxProtocol
from agent.untrusted_text import one_line
from sandbox.background import Background

_WORDS = 400


class EditorRun:
    """One run. Any thread may call it; `close` waits."""

    def __init__(
        self,
        *,
        run_id: str,
        session_id: str,
        place: Path,
        plan: SessionPlan,
        settings: ServerSettings,
        outbox: Outbox,
    ) -> None:
        """Args:
        place: the workspace, by the editor's name for it.
        """
        self.run_id = run_id
        self._session_id = session_id
        self._place = place
        self._plan = plan
        self._settings = settings
        self._outbox = outbox
        self._job = plan.job(run_id)
        self._interrupts = ThreadInterrupts()
        self._prompts = PromptQueue()
        self._heard: OnProgress = lambda _text: None
        self._opening = Background(self._open, name=f"opening-{run_id}")
        self._thread = Background(self._serve, name=f"session-{run_id}")
        self._taken = False
        """The run has the sandbox, and closes it."""

    @property
    def begun(self) -> bool:
        """Something was asked in it."""
        return self._thread.ident is not None

    @property
    def over(self) -> bool:
        """It was begun, and serves no prompt any more."""
        return self.begun and not self._thread.is_alive()

    def open_ahead(self) -> None:
        """Begin to open the sandbox, before anything is asked."""
        self._opening.begin()

    def ask(self, turn: Turn) -> None:
        """Have a prompt served; `turn.ended` says what came of it."""
        self._prompts.put(turn)
        self._thread.begin()
        if self.over:
            self._prompts.fail("the session is over")

    def end(self, signal: str) -> None:
        """Have it end: what is asked is broken off, and the patch is made."""
        self._interrupts.receive(signal)
        self._prompts.close()

    def close(self) -> None:
        """Wait until its patch is made and its sandbox is gone."""
        self._thread.wait()
        if self._opening.ident is not None and not self._taken:
            with contextlib.suppress(Exception):  # it did not open: there is nothing to close
                self._opening.result().close()

    def _open(self) -> SandboxProtocol:
        return self._settings.open_box(self._job, self._progress)

    def _progress(self, text: str) -> None:
        """Of an opening that a prompt waits for by now; before that nobody is told."""
        self._heard(text)

    def _opened(self, _job: Job, on_progress: OnProgress) -> SandboxProtocol:
        self._heard = on_progress
        box = self._opening.result()
        self._taken = True
        return box

    # -- in the run's thread ---------------------------------------------------------------

    def _serve(self) -> None:
        why = "a defect of Moonpool: see its standard error"
        try:
            outcome = self._recorded().outcome
            words = one_line(outcomes.detail(outcome), _WORDS)
            why = f"the session is over: {outcomes.name(outcome)}{words and ': '}{words}"
        except RecordError as error:
            why = str(error)
        except Exception as error:
            OWN.error("a defect of Moonpool in a session", exc_info=error)
            raise
        finally:
            self._prompts.fail(why)

    def _recorded(self) -> RunResult:
        record = RunRecord.create(
            self._settings.home, run_id=self.run_id, known_secrets=self._plan.known_secrets
        )
        try:
            return self._logged(record)
        finally:
            record.close()

    def _logged(self, record: RunRecord) -> RunResult:
        with RunLog(record.directory, redact=record.redact) as log:
            watching = [log.show]
            spans = None
            if self._plan.telemetry is not None:
                from agent.observe.spans import SpanRecorder  # noqa: PLC0415 - an extra

                spans = SpanRecorder(
                    self._plan.telemetry, run_id=record.run_id, model=self._plan.model
                )
                watching.append(spans.show)
            try:
                run = self._run(record, watching)
                result = run.go()
            finally:
                unsent = spans.close() if spans is not None else None
                if unsent is not None:
                    log.write(logging.WARNING, unsent)
            record.write_summary(result.document.json_object())
            write_reports(record, result, run.journal.log)
        return result

    def _run(self, record: RunRecord, watching: list[Callable[..., None]]) -> Run:
        plan = self._plan
        diffs = FileDiffs(
            record.directory / STEPS,
            as_copied(plan.root, lambda: self._opening.result().manifest.entries),
        )
        view = EditorView(
            lambda update: self._outbox.tell(self._session_id, update), self._place, diffs
        )
        asker = EditorAsker(
            self._outbox,
            self._session_id,
            self._interrupts,
            timeout_s=self._settings.ask_timeout_s,
        )
        run = Run(
            RunSetup(
                job=self._job,
                model=plan.model,
                open_box=self._opened,
                record=record,
                show=each(*watching, view.show),
                approve=asker,
                interrupts=self._interrupts,
                exit_code=self._settings.exit_code,
                driver=EditorDriver(prompts=self._prompts, view=view, asker=asker),
                facts=plan.facts,
            )
        )
        for notice in plan.notices:
            run.journal.emit(Notice(text=notice))
        return run

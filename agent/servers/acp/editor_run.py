"""The run of a session: its sandbox, opened ahead, and the thread in which its prompts are served.

Owns the way from the first prompt to the run's report. The record begins with the first prompt: a
session in which nothing was asked leaves nothing but the sandbox, and that is closed.
"""

import contextlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from agent.batch.thread_interrupts import ThreadInterrupts
from agent.errors import RecordError, UsageError
from agent.lifecycle.job import Job, OnProgress, OpenBox
from agent.lifecycle.session import RunSetup
from agent.preparation.prepare import Preparation, carry_out, notices_of
from agent.record import outcome as outcomes
from agent.record.run_log import OWN
from agent.record.store import STEPS, RunRecord
from agent.record.summary import RunResult
from agent.servers.acp.diffs import FileDiffs, Unknown, as_copied
from agent.servers.acp.driver import EditorDriver, PromptQueue
from agent.servers.acp.outbox import Outbox
from agent.servers.acp.past import BegunFromPast
from agent.servers.acp.permission import EditorAsker
from agent.servers.acp.settings import ServerSettings
from agent.servers.acp.turns import PromptTurn
from agent.servers.acp.view import EditorView
from agent.tools.sandbox_protocol import SandboxProtocol
from agent.untrusted_text import one_line
from sandbox.git.manifest import ManifestEntry
from sandbox.threads import Background
from sandbox.workspace.source import on_host

_WORDS = 400


class EditorRun:
    """One run. Any thread may call it; `close` waits."""

    def __init__(
        self,
        *,
        run_id: str,
        session_id: str,
        place: Path,
        prepared: Preparation,
        settings: ServerSettings,
        outbox: Outbox,
        notices: Sequence[str],
        past: BegunFromPast | None,
    ) -> None:
        """Args:
        place: the workspace, by the editor's name for it.
        notices: what the person should know before anything is done.
        past: what it goes on with; None: it begins with a copy of the workspace as it is.
        """
        self.run_id = run_id
        self._session_id = session_id
        self._place = place
        self._prepared = prepared
        self._settings = settings
        self._outbox = outbox
        self._notices = notices
        self._past = past
        self._open_box: OpenBox = settings.open_box if past is None else past.open
        self._job = prepared.job(run_id, task="", verify=settings.verify, may_ask=True)
        self._interrupts = ThreadInterrupts()
        self._prompts = PromptQueue()
        self._heard: OnProgress = lambda _text: None
        self._opening = Background(self._open, name=f"opening-{run_id}")
        self._thread = Background(self._serve, name=f"session-{run_id}")
        self._box: SandboxProtocol | None = None
        self._ready = 0.0
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

    def ask(self, turn: PromptTurn) -> None:
        """Have a prompt served; `turn.ended` says what came of it."""
        self._prompts.put(turn)
        self._thread.begin()

    def break_off(self, signal: str) -> None:
        """Have what is asked now be broken off, and the run end."""
        self._interrupts.receive(signal)

    def close(self) -> None:
        """No prompt comes any more: wait until its patch is made and its sandbox is gone."""
        self._prompts.close()
        self._thread.wait()
        if self._opening.ident is not None and not self._taken:
            with contextlib.suppress(Exception):  # it did not open: there is nothing to close
                self._opening.result().close()

    def _open(self) -> SandboxProtocol:
        box = self._open_box(self._job, self._progress)
        self._ready = time.monotonic()
        return box

    def _progress(self, text: str) -> None:
        """Of an opening that a prompt waits for by now; before that nobody is told."""
        self._heard(text)

    def _opened(self, _job: Job, on_progress: OnProgress) -> SandboxProtocol:
        """The sandbox that was opened ahead; another one where that waited too long."""
        self._heard = on_progress
        box = self._opening.result()
        self._taken = True
        if time.monotonic() - self._ready > self._settings.fresh_s:
            box.close()
            box = self._open_box(self._job, on_progress)
        self._box = box
        return box

    def _entries(self) -> Mapping[bytes, ManifestEntry]:
        """What was copied. Raises Unknown where nothing is yet."""
        if self._box is None:
            raise Unknown
        return self._box.manifest.entries

    # -- in the run's thread ---------------------------------------------------------------

    def _serve(self) -> None:
        why = "a defect of Moonpool: see its standard error"
        try:
            outcome = self._recorded().outcome
            words = one_line(outcomes.detail(outcome), _WORDS)
            why = f"the session is over: {outcomes.name(outcome)}{words and ': '}{words}"
        except (RecordError, UsageError) as error:
            why = str(error)
        except Exception as error:
            OWN.error("a defect of Moonpool in a session", exc_info=error)
            raise
        finally:
            self._prompts.fail(why)

    def _recorded(self) -> RunResult:
        prepared = self._prepared
        notices = notices_of(prepared.root, prepared.policy)
        with prepared.recorded(self.run_id) as record:
            return carry_out(
                self._setup(record),
                telemetry=prepared.ready.telemetry,
                notices=(*notices, *self._notices, *prepared.ready.notices),
            )

    def _setup(self, record: RunRecord) -> RunSetup:
        diffs = FileDiffs(
            record.directory / STEPS,
            as_copied(on_host(self._job.workspace), self._entries),
        )
        view = EditorView(
            lambda update: self._outbox.tell(self._session_id, update), self._place, diffs
        )
        model = self._prepared.ready.model
        past = None if self._past is None else self._past.past(record, self._job, model)
        for event in past.log if past is not None else ():
            diffs.after(event)
        asker = EditorAsker(
            self._outbox,
            self._session_id,
            self._interrupts,
            timeout_s=self._settings.ask_timeout_s,
        )
        return RunSetup(
            job=self._job,
            model=model,
            facts=self._prepared.ready.facts,
            reviewer=self._prepared.ready.reviewer,
            open_box=self._opened,
            record=record,
            show=view.show,
            approve=asker,
            interrupts=self._interrupts,
            driver=EditorDriver(prompts=self._prompts, view=view, asker=asker),
            past=past,
        )

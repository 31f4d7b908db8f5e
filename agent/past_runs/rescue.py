"""The agent's work in containers that nobody holds any more: exported before they are removed.

Owns the rule of which container holds such work, and where its patch goes. Refuses to know when a
container may be removed (`sandbox.prune`) and what a person is told (the CLI).
"""

import os
import re
import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from agent.errors import RecordError, UsageError
from agent.interrupts import Interrupts
from agent.lifecycle.delivery import Delivery
from agent.lifecycle.open_sandbox import reopen_sealed
from agent.lifecycle.run import Run
from agent.lifecycle.session import RunSetup
from agent.past_runs.resume import HeldRun, UnaskedModel, take
from agent.record.events.lifecycle import Exported
from agent.record.journal import Journal, unseen
from agent.record.outcome import CutShort
from agent.record.reader import read_record
from agent.record.store import EVENTS, RecordHeld, runs_directory
from agent.record.summary import RUNNING, DeliveredPatch, summary_of
from agent.review.pages.report import write_reports
from agent.risk import gate
from agent.risk.finding import Finding
from policies.decision import nobody_to_ask
from policies.frozen import dataclass
from policies.loading import load
from policies.policy import Policy
from sandbox.cache import write_atomically
from sandbox.container.opening import ContainerState
from sandbox.container.seal import SealReport
from sandbox.engine.docker import Engine
from sandbox.engine.values import LABEL_SNAPSHOT, SAMPLE_RUN
from sandbox.errors import SandboxError
from sandbox.opening.reattach import ReattachState
from sandbox.opening.stored import LeftoverKind
from sandbox.prune import Leftover
from sandbox.sandbox import Sandbox

RECOVERED = "recovered"
"""Directory beside ``runs`` for patches of containers whose run has no record here."""

_RUN_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}", re.ASCII)
_END_S = 90.0
"""How long a running orchestrator may take to export, once it is asked to end."""
_LOOK_S = 0.2


@dataclass(frozen=True, slots=True)
class NothingToRescue:
    """Nothing of an agent's is in it that is not exported already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescued:
    """The patch is made."""

    path: Path
    files: int
    refused: tuple[Finding, ...] = ()
    """Why the export gate refuses it; its file's name says so too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptContainer:
    """The work in it could not be exported, or somebody is at work in it."""

    reason: str


Rescue = NothingToRescue | Rescued | KeptContainer


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescuer:
    """Exports what stands in containers, one after the other."""

    engine: Engine
    home: Path
    environ: Mapping[str, str]
    known_secrets: tuple[str, ...]
    end_running: bool
    """End agents that are at work; else their containers are kept."""

    def __call__(self, item: Leftover) -> Rescue:
        of_run = item.kind is LeftoverKind.CONTAINER and item.run
        if not of_run or item.run.startswith(SAMPLE_RUN):
            return NothingToRescue()
        if not _RUN_ID.fullmatch(item.run):
            return KeptContainer(reason=f"its label names no run: {item.run[:80]!r}")
        try:
            return self._rescued(item)
        except Exception as error:  # noqa: BLE001 - what stands in one must not keep all the others
            return KeptContainer(reason=f"a defect of Moonpool: {error!r:.200}")

    def early(self, item: Leftover) -> Rescue:
        """Export the work of a dead run whose container stays for `moonpool resume`, unless that
        has been done since it ended."""
        if item.kind is not LeftoverKind.CONTAINER or not _RUN_ID.fullmatch(item.run):
            return NothingToRescue()
        try:
            taken = self._taking(item.run)
        except (RecordHeld, RecordError, UsageError, OSError):
            # It is alive, or its record is not here or not to be used: its deadline will come.
            return NothingToRescue()
        try:
            return self._exported(taken, item)
        except Exception as error:  # noqa: BLE001 - as above
            return KeptContainer(reason=f"a defect of Moonpool: {error!r:.200}")
        finally:
            taken.record.close()

    def _exported(self, taken: HeldRun, item: Leftover) -> Rescue:
        past, record = taken.past, taken.record
        ready, lines = past.state.ready, read_record(record.directory).lines
        mine = ready is not None and ready.container_state.container == item.id
        if not mine or past.state.over is not None or isinstance(lines[-1].event, Exported):
            return NothingToRescue()
        interrupts = Interrupts()
        journal = Journal(record=record, interrupts=interrupts, state=past.state)
        try:
            box, _ = reopen_sealed(taken.job, taken.remembered, self.engine)
            try:
                delivered = Delivery(
                    job=taken.job, record=record, journal=journal, interrupts=interrupts
                ).early(box)
            finally:
                box.break_off()
        except (SandboxError, UsageError, RecordError, OSError) as error:
            return KeptContainer(reason=str(error))
        # How it ended nobody has said: whoever goes on with it may.
        document = summary_of(journal.state).replaced({"outcome": RUNNING, "detail": ""})
        record.write_summary(document.json_object())
        return _rescued_by(delivered)

    def _rescued(self, item: Leftover) -> Rescue:
        if not (runs_directory(self.home) / item.run / EVENTS).exists():
            return self._recover(item, "its run has no record here")
        try:
            taken = self._take(item.run)
        except (RecordHeld, OSError) as error:
            return KeptContainer(reason=str(error))
        except RecordError as error:
            return self._recover(item, str(error))
        try:
            return self._of_record(taken, item)
        finally:
            taken.record.close()

    def _taking(self, run_id: str) -> HeldRun:
        return take(
            self.home, run_id, environ=self.environ, known_secrets=self.known_secrets, may_ask=False
        )

    def _take(self, run_id: str) -> HeldRun:
        """The same; a process that works on it is ended first, where that is wanted."""
        try:
            return self._taking(run_id)
        except RecordHeld as held:
            if not self.end_running or not held.pid:
                raise
            os.kill(held.pid, signal.SIGTERM)  # it exports, and is the best at it
        until = time.monotonic() + _END_S
        while True:
            time.sleep(_LOOK_S)
            try:
                return self._taking(run_id)
            except RecordHeld:
                if time.monotonic() > until:
                    raise

    def _of_record(self, taken: HeldRun, item: Leftover) -> Rescue:
        past = taken.past
        over, ready = past.state.over, past.state.ready
        left = over is None or over.container_left is not None
        if ready is None or ready.container_state.container != item.id or not left:
            return NothingToRescue()
        try:
            box, _ = reopen_sealed(taken.job, taken.remembered, self.engine)
        except (SandboxError, UsageError, RecordError) as error:
            return KeptContainer(reason=str(error))
        ended = past.ended or CutShort(detail="the process that ran it ended; exported by prune")
        run = Run(
            RunSetup(
                job=replace(taken.job, verify=None),
                model=UnaskedModel(past.started.model),
                open_box=lambda _job, _progress: box,
                record=taken.record,
                show=unseen,
                approve=nobody_to_ask,
                interrupts=Interrupts(),
                past=replace(past, ended=ended),
                torn_bytes=taken.torn_bytes,
            )
        )
        result = run.go()
        taken.record.write_summary(result.document.json_object())
        write_reports(taken.record, result, run.journal.log)
        delivery = result.delivery
        if delivery is None or result.document.container_left is not None:
            words = f"{result.document.detail}: `moonpool resume {item.run} --export-only`"
            return KeptContainer(reason=words)
        return _rescued_by(delivery)

    def _recover(self, item: Leftover, why: str) -> Rescue:
        """Export by what the container itself says, under the bundled default policy's rules."""
        try:
            policy = load("default")
            patch = self._unrecorded(item, policy).export(compared=gate.COMPARED)
            refused = tuple(row for row in gate.inspect(patch, policy) if row.refuses)
            directory = self.home / RECOVERED
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            ending = "refused.patch" if refused else "patch"
            path = directory / f"{item.run}-{item.id[:12]}.{ending}"
            write_atomically(path, patch.data)
        except (SandboxError, OSError) as error:
            return KeptContainer(reason=f"{why}, and what stands in it can't be exported: {error}")
        return Rescued(path=path, files=len(patch.changes), refused=refused)

    def _unrecorded(self, item: Leftover, policy: Policy) -> Sandbox:
        labels = (self.engine.inspect(item.id).get("Config") or {}).get("Labels") or {}
        remembered = ReattachState(
            container_state=ContainerState(
                container=item.id,
                prepared_key="",
                snapshot_key=str(labels.get(LABEL_SNAPSHOT, "")),
                since_ns=0,
                mounts=(),
                volumes=(),  # they go by their own labels
            ),
            left_out=(),
            seal=_UNSEEN,
        )
        return Sandbox.unattended(
            remembered, workspace=Path(os.devnull), policy=policy, engine=self.engine
        )


def _rescued_by(delivered: DeliveredPatch) -> Rescued:
    return Rescued(
        path=delivered.path,
        files=len(delivered.patch.changes),
        refused=tuple(row for row in delivered.findings if row.refuses),
    )


_UNSEEN = SealReport(
    kernel_enforced=False,
    landlock_abi=0,
    cap_eff=0,
    cap_bnd=0,
    no_new_privs=False,
    seccomp=0,
    uid=0,
    interfaces=(),
    noexec=(),
    memory_sealed=False,
    moves_copy=False,
    probed=None,
    missing=(),
    notes=(),
)
"""The report on a container that nobody looked at: it claims nothing."""

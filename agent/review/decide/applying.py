"""What was accepted, applied: proved, past the gate, verified in a fresh container, then put there.

Owns the order of these, and that nothing is written unless all of them hold. Refuses to know who
watches, and where marks are kept.
"""

import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from agent.errors import RecordError, UsageError
from agent.interrupts import Interrupts
from agent.lifecycle.job import Job, OnProgress
from agent.past_runs.integrity import CheckState, checks
from agent.past_runs.resume import recorded_policy, remembered_of
from agent.past_runs.reviewed_patch import ReviewedPatch, reviewed_patch, spelled
from agent.record.applied_patch import applied_of
from agent.record.decisions import Decision, note
from agent.record.reader import read_record
from agent.record.run_state import RunState, fold
from agent.record.runs import RecordedRun, delivered_of, run_in
from agent.record.store import BASELINE, EVENTS, lock
from agent.review.decide.outcome import Applied, ApplyOrder, ApplyResult, CheckFailed, PartRefused
from agent.review.decide.placement import PatchPlacement, target_of
from agent.tools.sandbox_protocol import OnOutput, SandboxProtocol
from agent.untrusted_text import one_line
from agent.verification import NotAsked, NotRun, Verification, Verified, verify_in
from policies.frozen import dataclass
from policies.policy import Policy
from sandbox.opening.reattach import ReattachState
from sandbox.workspace.source import named

_LOCK = "review.lock"

OpenRecorded = Callable[[Job, ReattachState, str, OnProgress], SandboxProtocol]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """Who decides, and what holds for whatever is done for them."""

    name: str
    environ: Mapping[str, str]
    bounded: Callable[[Policy], Policy]
    """A recorded policy under today's ceilings."""
    open_recorded: OpenRecorded
    """As `agent.lifecycle.open_sandbox.open_recorded`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionWatch:
    """Who watches what is done, and may cancel it."""

    interrupts: Interrupts
    on_progress: OnProgress
    """Gets what is done now, in words."""
    on_output: OnOutput
    """Gets what the check prints, as it comes."""


def apply_accepted(
    directory: Path, order: ApplyOrder, operator: Operator, watch: ActionWatch
) -> ApplyResult:
    """Do it, for the run in this directory.

    Raises:
        UsageError: there is nothing to apply, or it can't be applied there.
        RecordError: the record is not what the run wrote.
        PatchError, SandboxError: the part can't be made, or not be put there.
        SignalReceived: it was cancelled; nothing was written.
    """
    with _alone(directory):
        run = run_in(directory)
        watch.on_progress("checking the run's record")
        state = require_sound(run)
        _refuse_what_is_odd(run, state, order)
        target = target_of(run, order)
        watch.on_progress("making a patch of what is accepted")
        part = reviewed_patch(run, order.choice, accepted=order.accepted_risks)
        if part.refusing:
            return PartRefused(findings=part.refusing)
        if not part.patch.data:
            raise UsageError("nothing is accepted that changes anything: accept a hunk first")
        put = PatchPlacement(run=run, part=part, target=target, order=order)
        watch.on_progress("trying whether it fits")
        fits = put.tried(check=True)
        if not isinstance(fits, Applied) or not fits.changes:
            return fits
        result = _verified(run, state, part, operator, watch)
        if not isinstance(result, Verified | NotAsked) and not order.unverified:
            return CheckFailed(verification=result)
        with watch.interrupts.immediate():
            watch.on_progress(f"applying it to {put.place}")
        done = put.tried(check=False)
        if isinstance(done, Applied):
            done = replace(done, verification=result)
            _keep(put, operator, result)
        return done


def require_sound(run: RecordedRun) -> RunState:
    """What the record of a run that is over says, which is whole.

    Raises:
        UsageError: a process works on the run, or it was killed.
        RecordError: something of it is not what the run wrote; says what.
    """
    if run.is_running:
        raise UsageError(f"run {run.id} still goes on: wait for its end, then decide")
    if run.is_cut and run.summary.patch is None:
        raise UsageError(f"run {run.id} has no patch yet: {run.summary.detail}")
    state = fold(line.event for line in read_record(run.directory).require())
    for check in checks(run.directory):
        if check.state is CheckState.BROKEN and check.name not in {"report", "steps"}:
            raise RecordError(
                f"the record of run {run.id} is not what the run wrote, so nothing of it is "
                f"applied ({check.name}: {one_line(check.detail, 300)})"
            )
    exported = state.exported
    if exported is None or exported.patch_sha256 != run.summary.patch_sha256:
        raise RecordError(f"run.json of run {run.id} names another patch than its events do")
    return state


def _refuse_what_is_odd(run: RecordedRun, state: RunState, order: ApplyOrder) -> None:
    if order.branch is not None and run.summary.git_note is not None:
        raise UsageError(
            "git stores some of these files otherwise than they stand, so no branch is made of a "
            f"part: apply it to the files, or all of it with moonpool apply --branch NAME {run.id}"
        )
    if order.target is None:
        data = delivered_of(run)
        if applied_of(run.directory, state.applied).rest(data, run.directory / BASELINE) != data:
            raise UsageError(
                f"a part of run {run.id} was applied in its chat: moonpool apply {run.id} applies "
                "the rest"
            )
    if (order.unverified or order.accepted_risks) and not order.reason.strip():
        raise UsageError("say why it may be applied so: the reason is kept with the decision")


def _verified(
    run: RecordedRun,
    state: RunState,
    part: ReviewedPatch,
    operator: Operator,
    watch: ActionWatch,
) -> Verification:
    """The run's own check, in a fresh container that has what the run began with and the part."""
    command, started, ready = run.summary.verify, state.started, state.ready
    if command is None:
        return NotAsked()
    if started is None or ready is None or state.exported is None:
        return NotRun(command=command, reason="the run's record does not say what it began with")
    if getattr(run.summary.verification, "reward", None) is not None:
        reason = "the check brought files of its own, which are not in the record"
        return NotRun(command=command, reason=reason)
    policy, _ = recorded_policy(started, file=str(run.directory / EVENTS))
    policy = operator.bounded(policy).with_long_commands()
    job = Job(
        run_id=run.id,
        task=started.task,
        workspace=named(started.workspace),
        policy=policy,
        verify=command,
        may_ask=False,
        kernel_policy=started.kernel_policy,
        environ=operator.environ,
    )
    remembered = remembered_of(ready)
    base_tree = state.exported.base_tree
    with watch.interrupts.immediate():
        return verify_in(
            lambda: operator.open_recorded(job, remembered, base_tree, watch.on_progress),
            part.patch,
            command,
            timeout_s=policy.limits.time_s,
            ended_by=watch.interrupts.ended_by,
            on_output=watch.on_output,
        )


def _keep(put: PatchPlacement, operator: Operator, result: Verification) -> None:
    run, order = put.run, put.order
    if put.is_whole:
        run.note_place(put.place)
    asked = not isinstance(result, NotAsked)
    note(
        run.directory,
        Decision(
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            by=operator.name,
            place=put.place,
            patch_sha256=put.part.sha256,
            hunks="" if put.is_whole else spelled(order.choice),
            accepted_risks=tuple(sorted(order.accepted_risks)),
            reason=order.reason.strip(),
            verified=isinstance(result, Verified) if asked else None,
        ),
    )


@contextmanager
def _alone(directory: Path) -> Generator[None]:
    """Nobody else applies the same run meanwhile: the lock ends with its process."""
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.fdopen(os.open(directory / _LOCK, flags, 0o600))
        is_mine = lock(file.fileno())
    except OSError as error:
        raise RecordError(f"{directory / _LOCK} can't be used: {error.strerror}") from error
    with file:
        if not is_mine:
            raise UsageError("somebody applies this run at the moment: look again after")
        yield

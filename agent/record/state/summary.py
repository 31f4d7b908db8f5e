"""``run.json`` as the events of a run have it: the same for the process that ran it, for one that
finds the run over without its summary, and for who checks a summary against its events."""

from agent.record import outcome as outcomes
from agent.record.outcome import CutShort, ExportRefused, Outcome
from agent.record.state.run import RunState
from agent.record.summary import RUNNING, RunSummary
from agent.verification import NotAsked, NotRun, Verification

_ENDED = CutShort(detail="the process that ran it ended")
_NOT_TOLD = "the process that ran it ended before it was checked"


def summary_of(state: RunState, *, worked_s: float = 0.0) -> RunSummary:
    """Of a run that is over, whether its last process came to say so or not.

    Args:
        worked_s: how long it worked, where that process did not say it.
    """
    over, exported, ready, spent = state.over, state.exported, state.ready, state.spent
    outcome = over.outcome if over is not None else _outcome(state)
    usd = over.usd if over is not None else spent.usd
    return running_summary(state).model_copy(
        update={
            "outcome": outcomes.name(outcome),
            "task": _task(state),
            "detail": outcomes.detail(outcome),
            "exit_code": over.exit_code if over is not None else None,
            "seconds": round(over.seconds if over is not None else worked_s, 3),
            "turns": over.turns if over is not None else spent.turns,
            "tokens": over.used if over is not None else spent.used,
            "usd": None if usd is None else round(usd, 6),
            "usd_source": (over.usd_source or None) if over is not None else None,
            "usd_allowed": over.usd_allowed if over is not None else None,
            "patch": exported.path if exported is not None else None,
            "patch_sha256": exported.patch_sha256 if exported is not None else None,
            "patch_bytes": exported.patch_bytes if exported is not None else None,
            "index_patch": exported.index_patch if exported is not None else None,
            "index_patch_sha256": exported.index_patch_sha256 if exported is not None else None,
            "git_note": exported.git_note if exported is not None else None,
            "base_tree": exported.base_tree if exported is not None else None,
            "tree": exported.tree if exported is not None else None,
            "changes": exported.changes if exported is not None else (),
            "findings": exported.findings if exported is not None else (),
            "left_out": exported.left_out if exported is not None else (),
            "left_behind": ready.left_behind if ready is not None else (),
            "kernel_refusals": state.kernel_refusals,
            "verification": _verification(state),
            "kernel_enforced": ready.kernel_enforced if ready is not None else None,
            "seal": ready.seal if ready is not None else None,
            "container_left": over.container_left if over is not None else None,
        }
    )


def running_summary(state: RunState) -> RunSummary:
    """Of a run that has just begun: it alone stands while the run runs."""
    started = state.started
    if started is None:
        raise AssertionError("a run begins with run_started")
    return RunSummary(
        run_id=started.run_id,
        outcome=RUNNING,
        task=started.task or "chat",
        workspace=started.workspace,
        policy=started.policy,
        policy_file=started.policy_file,
        model=state.model,
        server_tools=started.server_tools,
        verify=started.verify,
        accepted_risks=started.accepted_risks,
        forked_from=started.forked_from,
        started=started.began,
    )


def _task(state: RunState) -> str:
    task = state.started.task if state.started is not None else ""
    return task or f"chat: {state.conversation.first_request or '(nothing was asked)'}"


def _outcome(state: RunState) -> Outcome:
    ended = state.conversation.ended or _ENDED
    if state.exported is not None and state.exported.refused:
        return ExportRefused(findings=state.exported.findings, before=ended)
    return ended


def _verification(state: RunState) -> Verification:
    command = state.started.verify if state.started is not None else None
    if state.verification is not None:
        return state.verification
    if command is None or state.exported is None:
        return NotAsked()
    return NotRun(command=command, reason=_NOT_TOLD)

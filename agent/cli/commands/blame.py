"""``moonpool blame``, ``verify``, ``replay``: runs traced, checked and made again."""

# Imports stand where they are needed, so that a command loads no SDK it does not use; and this is
# the terminal, where printing is the point.
# ruff: noqa: PLC0415, T201

import contextlib
import json
import os
import signal
import sys
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

from agent.cli.setup import environment as settings
from agent.cli.setup import exit_codes as exits
from agent.cli.setup import workspace
from agent.errors import RecordError, UsageError

if TYPE_CHECKING:
    from types import FrameType

    from agent.past_runs.blame import Blame, Traced
    from agent.past_runs.replay import Recording, Remade, Replayed
    from agent.record.runs import Run
    from policies.policy import Policy

_WORDS_WIDTH = 160
_UNKNOWN = "?"


# -- blame ---------------------------------------------------------------------------------


def blame(wanted: str, path: str | None, *, as_json: bool) -> int:
    from agent.past_runs import blame as tracing
    from agent.record.runs import find

    run = find(settings.home(), wanted)
    found = tracing.blame(run, path=None if path is None else os.fsencode(path))
    if as_json:
        print(json.dumps(_blame_document(run, found)))
    else:
        _print_blame(run, found)
    return exits.DONE


def _print_blame(run: "Run", found: "Blame") -> None:
    if not found.files:
        print(f"run {run.id} changed nothing")
    steps: set[int] = set()
    for traced in found.files:
        steps |= _print_traced(traced, found)
    _print_calls(found, steps)


def _print_traced(traced: "Traced", found: "Blame") -> set[int]:
    """Print one file; gives the steps that were named."""
    from agent.untrusted_text import decode, one_line, path_text

    change = traced.change
    moved = f"{path_text(change.old_path)} -> " if change.old_path else ""
    print(f"{change.kind} {moved}{path_text(change.path)}")
    if change.old_mode and change.new_mode and change.old_mode != change.new_mode:
        print(f"  mode {change.old_mode:o} -> {change.new_mode:o}")
    steps = {step for hunk in traced.hunks or () for step in hunk.steps}
    if not steps:
        # Binary, or only moved, or only another mode: there are no lines to name somebody for.
        why = f" ({one_line(traced.why, _WORDS_WIDTH)})" if traced.why else ""
        print(f"  by {_name(found, traced.last)}{why}")
        return {traced.last}
    width = max(len(_name(found, step)) for step in steps)
    for hunk in traced.hunks or ():
        print(f"  @@ -{hunk.old_start} +{hunk.new_start} @@")
        for line in hunk.lines:
            name = _name(found, line.step)
            print(f"  {name:>{width}} {line.sign}{one_line(decode(line.text))}".rstrip())
    return steps


def _print_calls(found: "Blame", steps: set[int]) -> None:
    """What the numbers mean."""
    from agent.record.events.wording import call_in_words
    from agent.untrusted_text import one_line

    numbers: set[int] = set()
    backgrounds: set[int] = set()
    for step in steps - {-1}:
        span = found.spans[step]
        numbers |= {number for number in range(span.first, span.last + 1) if number in found.calls}
        backgrounds |= set(span.backgrounds)
    if steps:
        print()
    for number in sorted(numbers | backgrounds):
        call = found.calls.get(number)
        words = call_in_words(call.tool, call.arguments) if call else "not in the record"
        after = "  (in the background: it may have written at any time after)"
        note = after if number in backgrounds else ""
        print(f"call {number}: {one_line(words, _WORDS_WIDTH)}{note}")
    if -1 in steps:
        print(f"{_UNKNOWN}: not followed; no look at the workspace tells who wrote it")
    for text in found.unfollowed:
        print(f"not followed: {one_line(text, _WORDS_WIDTH)}")


def _name(found: "Blame", step: int) -> str:
    if step < 0:
        return _UNKNOWN
    span = found.spans[step]
    return str(span.first) if span.first == span.last else f"{span.first}-{span.last}"


def _blame_document(run: "Run", found: "Blame") -> dict[str, object]:
    from agent.record.events.types import plain
    from agent.record.events.wording import call_in_words

    def calls(step: int) -> object:
        if step < 0:
            return None
        span = found.spans[step]
        return {"first": span.first, "last": span.last, "backgrounds": list(span.backgrounds)}

    files = [
        {
            "path": plain(traced.change.path),
            "old_path": plain(traced.change.old_path),
            "kind": traced.change.kind,
            "old_mode": traced.change.old_mode,
            "new_mode": traced.change.new_mode,
            "by": calls(traced.last),
            "why": traced.why,
            "hunks": None
            if traced.hunks is None
            else [
                {
                    "old_start": hunk.old_start,
                    "new_start": hunk.new_start,
                    "lines": [
                        {
                            "sign": line.sign,
                            "number": line.number,
                            "by": calls(line.step),
                            "text": plain(line.text),
                        }
                        for line in hunk.lines
                    ],
                }
                for hunk in traced.hunks
            ],
        }
        for traced in found.files
    ]
    words = {
        str(number): call_in_words(call.tool, call.arguments)
        for number, call in found.calls.items()
    }
    return {
        "run_id": run.id,
        "files": files,
        "calls": words,
        "unfollowed": list(found.unfollowed),
    }


# -- verify --------------------------------------------------------------------------------


def verify(wanted: str, *, as_json: bool) -> int:
    from agent.past_runs import integrity as soundness
    from agent.past_runs.integrity import State
    from agent.record.runs import find_id, reread
    from agent.record.store import runs_directory
    from agent.untrusted_text import one_line

    home = settings.home()
    run = reread(runs_directory(home) / find_id(home, wanted))
    rows = []
    for check in soundness.checks(run):
        rows.append(check)
        if not as_json:
            print(f"{check.state:<10} {check.name:<10} {one_line(check.detail, 400)}", flush=True)
    broken = [check.name for check in rows if check.state is State.BROKEN]
    if as_json:
        print(
            json.dumps(
                {
                    "run_id": run.id,
                    "holds": not broken,
                    "checks": [
                        {"name": row.name, "state": row.state, "detail": row.detail} for row in rows
                    ],
                }
            )
        )
    elif broken:
        print(f"run {run.id} is NOT what was recorded: {', '.join(broken)}")
    else:
        print(f"run {run.id} is what was recorded, as far as the record itself can tell")
    return exits.NOT_FINISHED if broken else exits.DONE


# -- replay --------------------------------------------------------------------------------


def replay(wanted: str, directory: Path | None, *, as_json: bool) -> int:
    from agent.cli.setup.policy import bounded
    from agent.past_runs.replay import recording
    from agent.past_runs.resume import recorded_policy
    from agent.record.runs import chain_broken_at, events_of, find, is_running
    from agent.record.store import EVENTS

    run = find(settings.home(), wanted)
    if is_running(run):
        raise UsageError(f"run {run.id} has not ended: `moonpool resume {run.id}` goes on with it")
    events = run.directory / EVENTS
    try:
        broken = chain_broken_at(events)
    except OSError as error:
        raise RecordError(f"{events} can't be read: {error.strerror}") from error
    if broken is not None:
        raise RecordError(
            f"line {broken} of the record of run {run.id} is not what the run wrote, and nothing "
            f"is replayed from it: `moonpool verify {run.id}`"
        )
    recorded = recording(list(events_of(run)), run.id)
    policy, exact = recorded_policy(recorded.started, file=str(events))
    if not exact:
        raise RecordError(
            "the policy could not be recorded to the letter (it holds a secret, or is huge): "
            f"run {run.id} can't be replayed"
        )
    root = workspace.began_in(recorded.started.workspace, directory)
    return _replayed(run, recorded, bounded(policy), root, as_json=as_json)


def _replayed(
    run: "Run", recorded: "Recording", policy: "Policy", root: Path, *, as_json: bool
) -> int:
    from agent.interrupts import Interrupts
    from agent.job import Job
    from agent.open_sandbox import open_sealed
    from agent.past_runs.replay import Replay
    from agent.record.store import STEPS

    def progress(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    job = Job(
        run_id="",
        task=recorded.started.task,
        workspace=root,
        policy=policy,
        verify=None,
        may_ask=recorded.may_ask,
        kernel_policy="prefer" if recorded.started.kernel_policy == "prefer" else "require",
        environ=settings.environ(),
    )
    leaving = Leaving()
    with leaving.installed(), contextlib.ExitStack() as stack:
        with leaving.opening():
            box = stack.enter_context(open_sealed(job, progress))
        leaving.due()
        progress(f"sealed container {box.id[:12]} ready")
        result = Replay(
            recording=recorded,
            box=box,
            policy=policy,
            interrupts=Interrupts(),
            steps=run.directory / STEPS,
            on_call=lambda call: progress(_call_line(call)),
        ).go()
    if as_json:
        print(json.dumps(_replay_document(run, recorded, result)))
    else:
        _print_replay(run, recorded, result)
    return exits.DONE if result.tree == recorded.tree else exits.NOT_FINISHED


class Leaving:
    """SIGINT, SIGTERM and SIGHUP leave by one door: the container is removed on the way.

    While it is being opened the first one waits: one that struck between the engine's making a
    container and our knowing of it would leave it behind. The second does not wait.
    """

    def __init__(self) -> None:
        self._opening = False
        self._struck = False

    @contextlib.contextmanager
    def opening(self) -> Generator[None]:
        self._opening = True
        try:
            yield
        finally:
            self._opening = False

    def due(self) -> None:
        """What waited strikes now."""
        if self._struck:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def installed(self) -> Generator[None]:
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, self._handle) for number in numbers}
        try:
            yield
        finally:
            for number, old in before.items():
                signal.signal(number, old)

    def _handle(self, _number: int, _frame: "FrameType | None") -> None:
        if not self._opening or self._struck:
            raise KeyboardInterrupt
        self._struck = True
        words = b"\nmoonpool: ending when the container is there; again: at once\n"
        with contextlib.suppress(OSError):
            os.write(sys.stderr.fileno(), words)


def _call_line(call: "Remade") -> str:
    from agent.untrusted_text import one_line

    if not call.same:
        verdict = f"differs: {call.now}, was {call.then}"
    elif call.same_text is False:
        verdict = f"same ({call.now}; it says something else)"
    else:
        verdict = f"same ({call.now})"
    return f"  call {call.number}  {one_line(call.words, 100)}  {verdict}"


def _print_replay(run: "Run", recorded: "Recording", result: "Replayed") -> None:
    from agent.untrusted_text import path_text

    if result.tree == recorded.tree:
        print(f"the same patch: {len(result.calls)} calls of run {run.id} give tree {result.tree}")
        return
    print(f"another patch: tree {result.tree}, and that of run {run.id} was {recorded.tree}")
    for path in result.differing:
        print(f"  differs  {path_text(path)}")


def _replay_document(run: "Run", recorded: "Recording", result: "Replayed") -> dict[str, object]:
    from agent.record.events.types import plain

    return {
        "run_id": run.id,
        "same": result.tree == recorded.tree,
        "base_tree": recorded.base_tree,
        "recorded_tree": recorded.tree,
        "tree": result.tree,
        "differing": plain(result.differing),
        "calls": [
            {
                "number": call.number,
                "call": call.words,
                "then": call.then,
                "now": call.now,
                "same_text": call.same_text,
            }
            for call in result.calls
        ],
    }

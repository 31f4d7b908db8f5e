"""The recorded calls of a run, made once more in another container: does the same patch come out?

No model is asked. Each call that ran goes through the same decision and the same tools again, under
the policy given here, in the recorded order but without the pauses between; what was refused then
is not made. What a call does that depends on the time, on chance or on a process in the background
may come out otherwise: the trees say whether it mattered. What a person took back is taken back
again; a fork begins with the files that it was forked with.

Owns what can be replayed and what counts as the same. Refuses to know the terminal, and where a
sandbox comes from.
"""

import hashlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from pathlib import Path

from agent.conversation.prompts import IN_DOUBT
from agent.conversation.tool_calls import ToolExecutor
from agent.errors import RecordError, UsageError
from agent.interrupts import Interrupts
from agent.models.interface import ToolUse
from agent.past_runs.fork import mark_of
from agent.record.events.conversation import ApprovalAnswered, CallEnded, CallRefused, CallStarted
from agent.record.events.kinds import Recorded, call_in_words
from agent.record.events.lifecycle import (
    Exported,
    Forked,
    Resumed,
    RunStarted,
    TrackedFile,
    WorkspaceRestored,
)
from agent.record.events.recorded import is_whole
from agent.record.journal import Journal
from agent.record.reader import RecordLine
from agent.record.run_state import fold
from agent.tools.sandbox_protocol import SandboxProtocol
from policies.decision import Approved, Ask, Call, Decision, Declined
from policies.frozen import dataclass
from policies.policy import Policy
from sandbox.errors import SandboxLost
from sandbox.patch.values import Change
from sandbox.tracking import Mark

_SHELL = "bash"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedCall:
    started: CallStarted
    ended: CallEnded


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What a record has to be replayed."""

    started: RunStarted
    calls: tuple[RecordedCall, ...]
    exported: Exported
    """The patch that has to come out."""
    may_ask: bool
    """Somebody was there to be asked."""
    files: Mapping[bytes, TrackedFile]
    """What was not as in the workspace when the first of the calls was made: of a fork."""
    returns: tuple[tuple[int, int], ...]
    """After how many of the calls it was gone back, and to after the call of which number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remade:
    """One call, made again."""

    number: int
    words: str
    """Hostile text."""
    then: str
    now: str
    """How it ended, in a word or two, then and now."""
    same_text: bool | None
    """What the model would be told; None where that is not recorded whole."""

    @property
    def same(self) -> bool:
        return self.then == self.now


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    calls: tuple[Remade, ...]
    tree: str
    differing: tuple[bytes, ...]
    """Paths that are not as in the recorded patch; empty where the trees are the same."""


def recording(lines: Sequence[RecordLine], run_id: str) -> Recording:
    """What is to be done again.

    Raises:
        UsageError: the run has no tree to compare with.
        RecordError: a call can't be made again as it was; the message says which, and why.
    """
    state = fold(line.event for line in lines)
    if state.exported is None:
        raise UsageError(f"run {run_id} made no patch: there is nothing to compare a replay with")
    if state.started is None:
        raise RecordError(f"the record of run {run_id} has no beginning")
    opened: CallStarted | None = None
    calls: list[RecordedCall] = []
    returns: list[tuple[int, int]] = []
    own, files = _since_fork([line.event for line in lines], run_id)
    taken_up = False
    for event in own:
        match event:
            case Resumed():
                taken_up = taken_up or bool(calls)
            case CallStarted():
                _require_whole(event)
                if taken_up and event.tool == _SHELL:
                    raise RecordError(
                        f"the run was taken up again before call {event.number}: directory, "
                        "variables and background processes were lost there, which is not replayed"
                    )
                opened = event
            case CallEnded() if opened is not None and opened.number == event.number:
                if event.text == IN_DOUBT:
                    raise RecordError(
                        f"call {event.number} may have been done wholly, in part or not at all: "
                        "nothing can be replayed past it"
                    )
                calls.append(RecordedCall(started=opened, ended=event))
                opened = None
            case WorkspaceRestored():
                returns.append((len(calls), event.call))
            case _:
                pass
    if opened is not None:
        raise RecordError(f"call {opened.number} has no end in the record")
    return Recording(
        started=state.started,
        calls=tuple(calls),
        exported=state.exported,
        may_ask=any(isinstance(event, ApprovalAnswered) for event in own),
        files=files,
        returns=tuple(returns),
    )


def _since_fork(
    events: Sequence[Recorded], run_id: str
) -> tuple[Sequence[Recorded], Mapping[bytes, TrackedFile]]:
    """What was done in the run's own container, and the files that it began with.

    Raises:
        RecordError: it is a fork, and the files are not known.
    """
    first = next((n for n, event in enumerate(events) if isinstance(event, Forked)), None)
    if first is None:
        return events, {}
    files = fold(events[:first]).files
    if files.unknown:
        raise RecordError(f"what run {run_id} was forked with is not known: {files.unknown}")
    return [events[0], *events[first:]], files.checked()


def _require_whole(event: CallStarted) -> None:
    if not is_whole(event.arguments):
        raise RecordError(
            f"call {event.number} ({event.tool}) can't be made again: its arguments were not "
            "recorded to the letter (they hold a secret, or more than 256 KiB)"
        )


@dataclass
class Replay:
    """One replay in one sandbox."""

    recording: Recording
    box: SandboxProtocol
    policy: Policy
    interrupts: Interrupts
    steps: Path
    """Directory in the run's record with the content of a fork's first files."""
    on_call: Callable[[Remade], None]
    _decided: Decision | None = None
    _marks: dict[int, Mark] = field(default_factory=dict)

    def go(self) -> Replayed:
        """Make every call, export, compare.

        Raises:
            UsageError: the sandbox holds another workspace than the run began with, or the policy
                does not allow a call that ran then.
            SandboxError: the sandbox failed.
        """
        recording, then = self.recording, self.recording.exported
        if self.box.base_tree != then.base_tree:
            raise UsageError(
                f"the workspace is not what the run began with: its tree is {self.box.base_tree}, "
                f"the run's was {then.base_tree}. Name a checkout of then with -w DIR"
            )
        journal = Journal(record=None, interrupts=self.interrupts)
        calls = ToolExecutor(
            box=self.box,
            policy=self.policy,
            approve=self._approved_then,
            interrupts=self.interrupts,
            journal=journal,
        )
        if recording.files:
            self._restore(mark_of(recording.files, self.steps))
        made = []
        with tempfile.TemporaryDirectory(prefix="moonpool-replay-") as scratch:
            for position, call in enumerate([*recording.calls, None]):
                self._go_back(position, call, Path(scratch) / "steps")
                if call is not None:
                    made.append(self._make(calls, journal, call))
                    self.on_call(made[-1])
        patch = self.box.export()
        differing: tuple[bytes, ...] = ()
        if patch.tree != then.tree:
            differing = _differing(then.changes, patch.changes)
        return Replayed(calls=tuple(made), tree=patch.tree, differing=differing)

    def _go_back(self, position: int, then: RecordedCall | None, store: Path) -> None:
        """Keep what will be gone back to, and go back where that was done then."""
        for after, call in self.recording.returns:
            over = then is None or call < then.started.number
            if over and call not in self._marks:
                self._marks[call] = self.box.mark(store)
            if after == position:
                self._restore(self._marks[call])
                # A later call's number stands for another state from here on.
                self._marks = {n: mark for n, mark in self._marks.items() if n <= call}

    def _restore(self, mark: Mark) -> None:
        restored = self.box.restore(mark)
        if restored.differing:
            raise SandboxLost("the workspace can't be made what it was then")

    def _approved_then(self, _call: Call, ask: Ask) -> Approved | Declined:
        """A call that a person approved then, by its digest, needs no second answer."""
        then = self._decided
        if isinstance(then, Ask) and then.digest == ask.digest:
            return Approved(digest=ask.digest)
        return Declined(reason="it needs an approval now, and had none then")

    def _make(self, calls: ToolExecutor, journal: Journal, then: RecordedCall) -> Remade:
        started = then.started
        journal.log.clear()
        self._decided = started.decision
        use = ToolUse(id=started.tool_use_id, name=started.tool, arguments=started.arguments)
        calls.make(use, left_s=self.policy.limits.time_s)
        words = call_in_words(started.tool, started.arguments)
        for event in journal.log:
            if isinstance(event, CallRefused):
                raise UsageError(
                    f"call {started.number} ran then and is refused now ({event.why}): {words}. "
                    f"{event.text}"
                )
        now = next(event for event in journal.log if isinstance(event, CallEnded))
        return Remade(
            number=started.number,
            words=words,
            then=then.ended.in_a_word,
            now=now.in_a_word,
            same_text=_text(now) == _text(then.ended) if is_whole(then.ended.text) else None,
        )


def _text(event: CallEnded) -> str:
    """The digest of what the model is told, but for the last line of a command: it has the time."""
    text = event.text
    if event.tool == _SHELL:
        text = text.rpartition("\n")[0]
    # A record has no lone surrogates.
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _differing(then: Sequence[Change], now: Sequence[Change]) -> tuple[bytes, ...]:
    sides = [_results(then), _results(now)]
    paths = {*sides[0], *sides[1]}
    return tuple(sorted(path for path in paths if sides[0].get(path) != sides[1].get(path)))


def _results(changes: Sequence[Change]) -> dict[bytes, tuple[int, str]]:
    """What each touched path is afterwards."""
    gone = {change.old_path: (0, "") for change in changes if change.old_path is not None}
    return {**gone, **{change.path: (change.new_mode, change.new_blob) for change in changes}}

"""The part of a run's patch that a person takes, looked at by the gate as any patch is.

Owns the judgement: what the gate says of the part by itself, and what it said of the whole that no
part shows. Refuses to know who chose it, and where it goes.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace

from agent.errors import RecordError
from agent.past_runs.resume import recorded_policy
from agent.record.events.lifecycle import RunStarted
from agent.record.reader import read_record
from agent.record.runs import RecordedRun, baseline_of, delivered_of
from agent.record.store import EVENTS
from agent.risk import gate
from agent.risk.finding import NOT_APPROVED, Finding, ordered
from agent.untrusted_text import path_text
from policies.frozen import dataclass
from sandbox.patch.selection import MODE, HunkChoice, chosen_patch
from sandbox.patch.values import Change, Patch


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewedPatch:
    """What would be taken, and what the gate makes of it."""

    patch: Patch
    findings: tuple[Finding, ...]

    @property
    def refusing(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.refuses)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.patch.data).hexdigest()


def reviewed_patch(
    run: RecordedRun, choice: HunkChoice | None, *, accepted: frozenset[str] = frozenset()
) -> ReviewedPatch:
    """The chosen part of a run's patch, proved and inspected; also where the whole was refused.

    Args:
        choice: None: all of it.
        accepted: ids of findings that may pass, beside those that the run was begun with.

    Raises:
        UsageError: there is no patch, or no old files to prove a part against.
        RecordError, PatchError: what was recorded can't be used, or the choice can't be taken.
    """
    data = delivered_of(run)
    changes = run.summary.changes
    if choice is None:
        choice = dict.fromkeys((change.path for change in changes), None)
    started = next((line.event for line in read_record(run.directory).require()), None)
    if not isinstance(started, RunStarted):
        raise RecordError(f"the record of run {run.id} has no beginning")
    policy, _ = recorded_policy(started, file=str(run.directory / EVENTS))
    accepted |= frozenset(run.summary.accepted_risks)
    patch = chosen_patch(data, changes, choice, baseline_of(run), compared=gate.COMPARED)
    found = gate.inspect(patch, policy, accepted=accepted)
    carried = _carried(run.summary.findings, found, patch.changes, accepted)
    return ReviewedPatch(patch=patch, findings=ordered((*found, *carried)))


def spelled(choice: HunkChoice) -> str:
    """A choice as a person writes it."""

    def one(path: bytes, numbers: frozenset[int] | None) -> str:
        if numbers is None:
            return path_text(path)
        words = ("mode" if number == MODE else str(number) for number in sorted(numbers))
        return f"{path_text(path)}:{','.join(words)}"

    return ",".join(one(path, numbers) for path, numbers in choice.items())


def _carried(
    whole: Iterable[Finding],
    found: Sequence[Finding],
    changes: Iterable[Change],
    accepted: frozenset[str],
) -> Iterable[Finding]:
    """What was found in the whole about a file that is taken, and not about one of its lines: links
    of the baseline that lead to it, for one, are not known of a part. And what the reviewer that
    was asked did not approve is not approved in part."""
    taken = {path for change in changes for path in (change.path, change.old_path)}
    known = {(one.id, one.path) for one in found}
    for one in whole:
        told = one.line is None and (one.id, one.path) not in known
        if (one.path in taken or one.id == NOT_APPROVED) and told:
            may_pass = one.id in accepted
            yield replace(
                one, refuses=one.refuses and not may_pass, accepted=one.accepted or may_pass
            )

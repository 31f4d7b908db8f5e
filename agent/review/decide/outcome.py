"""What a reviewer orders to be applied, and what can come of it, as values."""

from pathlib import Path

from agent.risk.finding import Finding
from agent.verification import NotAsked, Verification
from policies.frozen import dataclass
from sandbox.apply.conflicts import ConflictRegion
from sandbox.patch.selection import HunkChoice
from sandbox.patch.values import Change


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyOrder:
    """What is to be applied, and what may be let pass."""

    choice: HunkChoice
    target: Path | None = None
    """None: the run's workspace."""
    branch: str | None = None
    """Commit it to a new branch of this name, and touch no file."""
    three_way: bool = False
    """Merge it into what was changed since."""
    accepted_risks: frozenset[str] = frozenset()
    unverified: bool = False
    """Apply it though its check does not pass, or can't be run."""
    reason: str = ""
    """Why these two may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    place: str
    changes: tuple[Change, ...]
    """Empty: all of it was there already."""
    verification: Verification = NotAsked()
    commit: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PartRefused:
    """The gate refuses what was accepted. Nothing was written."""

    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DoesNotFit:
    """The files were changed since. Nothing was written."""

    message: str
    merges: bool
    """It does fit where it is merged, three ways."""
    regions: tuple[ConflictRegion, ...]
    """The lines that both changed; empty where it merges."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckFailed:
    """The run's check does not pass with what was accepted. Nothing was written."""

    verification: Verification


ApplyResult = Applied | PartRefused | DoesNotFit | CheckFailed

"""What the person at the command line decides about a patch, and that it is kept."""

from datetime import UTC, datetime
from pathlib import Path

from agent.cli.arguments import Given
from agent.cli.options import ACCEPT_RISK, BECAUSE
from agent.config import environment
from agent.errors import UsageError
from agent.record.decisions import Decision, note
from agent.risk.finding import accepted_risks


def accepted(given: Given) -> frozenset[str]:
    """What ``--accept-risk`` lets pass in a run that is over.

    Raises:
        UsageError: there is no such finding, or no reason for it.
    """
    names = accepted_risks(given[ACCEPT_RISK])
    if names and not (given[BECAUSE] or "").strip():
        raise UsageError("--accept-risk is kept with its reason: say --because TEXT")
    return names


def keep(
    given: Given, run: Path, *, place: str, patch_sha256: str | None = None, hunks: str = ""
) -> None:
    """Note a decision beside the run in this directory. Raises `RecordError`."""
    note(
        run,
        Decision(
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            by=environment.user(),
            place=place,
            patch_sha256=patch_sha256,
            hunks=hunks,
            accepted_risks=tuple(sorted(accepted_risks(given[ACCEPT_RISK]))),
            reason=given[BECAUSE] or "",
        ),
    )

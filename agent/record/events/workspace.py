"""What the workspace in the container became, as looks at it told."""

from dataclasses import dataclass
from typing import Literal

from agent.record.events.recorded import RecordedModel
from sandbox.patch.values import LeftOut


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedFile:
    """What a path is after a call; its content lies in the record's ``steps``."""

    path: bytes
    mode: int
    """git mode; 0 where the file is gone."""
    blob: str | None
    """Object id, hex; None where the file is gone."""


class ChangesTracked(RecordedModel):
    """What changed in the workspace while calls `first` to `last` were made, or since."""

    event: Literal["changes_tracked"] = "changes_tracked"
    first: int
    last: int
    changed: tuple[TrackedFile, ...]
    missed: tuple[bytes, ...]
    """Paths that changed and whose content was not kept."""
    unfollowed: str | None
    """Why this is not all, or nothing; None where it is all."""
    gap: bool = False
    """Changes from before are in no event: what is not named here may be otherwise too."""


class ChangesRescanned(RecordedModel):
    """Everything that is not as in the baseline, as a process found it that took the run up.

    What of it the calls followed so far did not do, nobody knows the writer of."""

    event: Literal["changes_rescanned"] = "changes_rescanned"
    changed: tuple[TrackedFile, ...]
    missed: tuple[bytes, ...]
    """Paths that are not as in the baseline and whose content was not kept."""
    unfollowed: str | None
    """Why this is not all, or nothing; None where it is all."""


class WorkspaceRestored(RecordedModel):
    """The workspace was put back to what it was when a call had ended, and looked at anew."""

    event: Literal["workspace_restored"] = "workspace_restored"
    call: int
    """0: to what it was before the first one."""
    changed: tuple[TrackedFile, ...]
    """Everything that is not as in the baseline since then."""
    missed: tuple[bytes, ...]
    """Paths that are not as in the baseline and whose content was not kept."""
    unfollowed: str | None
    """Why this is not all, or nothing; None where it is all."""
    ended: int
    """Processes that ran, and were ended."""
    left: tuple[LeftOut, ...]
    """What has changed after that call and is as it was before going back."""
    differing: tuple[LeftOut, ...]
    """What should be as after that call, and is not."""

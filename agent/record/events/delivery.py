"""What became of the work: the patch, its verification, and what was applied of it on the way."""

from typing import Literal

from agent.record.events.recorded import RecordedModel
from agent.risk.finding import Finding
from agent.verification import Verification
from sandbox.patch.values import Change, LeftOut


class PatchApplied(RecordedModel):
    """The person had the patch so far applied to a directory, in the middle of a chat."""

    event: Literal["patch_applied"] = "patch_applied"
    directory: str
    patch_sha256: str
    """Of the whole patch so far, which the directory has now."""
    changes: tuple[Change, ...]
    """What it changed there."""


class Exported(RecordedModel):
    """The patch is made, proved and written."""

    event: Literal["exported"] = "exported"
    path: str
    """Where the patch was written."""
    refused: bool
    """The export gate refuses it."""
    base_tree: str
    """Tree id (hex) of the baseline."""
    tree: str
    """Tree id (hex) of baseline + patch."""
    patch_sha256: str
    patch_bytes: int
    index_patch: str | None = None
    """Where the same change was written in what git stores, where that is something else."""
    index_patch_sha256: str | None = None
    git_note: str | None = None
    """What a person must know who applies the patch with git itself; None where nothing is."""
    changes: tuple[Change, ...]
    """The riskiest first."""
    left_out: tuple[LeftOut, ...]
    """What changed in the container and is not in the patch."""
    findings: tuple[Finding, ...]
    seconds: float
    """For making it."""


class ExportFailed(RecordedModel):
    """No patch could be made."""

    event: Literal["export_failed"] = "export_failed"
    message: str


class VerificationEnded(RecordedModel):
    """What the operator's own check of the patch came to."""

    event: Literal["verification_ended"] = "verification_ended"
    result: Verification

"""What a workspace has of a chat's patch already, because its person applied it on the way.

    applied/patch.diff      the whole patch, as it was then
    applied/old/            the old side of the files it changed

Beside a run's record. Owns these two and what is left to apply of a later patch.
"""

import hashlib
from pathlib import Path

from agent.errors import RecordError
from agent.record.events.lifecycle import PatchApplied
from agent.record.store import APPLIED
from policies.frozen import dataclass
from sandbox.cache import write_atomically
from sandbox.errors import PatchError

_PATCH = "patch.diff"
_OLD = "old"


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedPatch:
    """The applied patch of one run; a directory that is not there stands for nothing applied."""

    directory: Path

    @classmethod
    def of(cls, run: Path) -> "AppliedPatch":
        """The applied patch of the run in this directory."""
        return cls(directory=run / APPLIED)

    @property
    def patch(self) -> bytes:
        """Empty where nothing was applied."""
        try:
            return (self.directory / _PATCH).read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise RecordError(f"{self.directory / _PATCH} can't be read: {error}") from error

    def rest(self, now: bytes, old: Path) -> bytes:
        """What is left to apply of the patch `now`, whose old files are kept at `old`.

        Raises:
            PatchError: it can't be told.
        """
        before = self.patch
        if not before or before == now:
            return b"" if before else now
        # What a chat alone needs is loaded there: the end of every run looks here.
        from sandbox.patch import baseline  # noqa: PLC0415
        from sandbox.patch.selection import patch_since  # noqa: PLC0415

        kept = [baseline.load(self.directory / _OLD), baseline.load(old) if now else None]
        if kept[0] is None or (now and kept[1] is None):
            raise PatchError(
                "there were too many bytes of old files to keep them, so what is new since the "
                "last time can't be told"
            )
        return patch_since(before, now, old=[one for one in kept if one is not None]).data

    def keep(self, now: bytes, old: Path) -> None:
        """The workspace has this patch now; `old` becomes ours.

        Raises:
            RecordError: that can't be written.
        """
        import shutil  # noqa: PLC0415 - as above

        try:
            self.directory.mkdir(mode=0o700, exist_ok=True)
            shutil.rmtree(self.directory / _OLD, ignore_errors=True)
            if old.exists():
                old.rename(self.directory / _OLD)
            write_atomically(self.directory / _PATCH, now)
        except OSError as error:
            raise RecordError(f"{self.directory} can't be written: {error.strerror}") from error


def applied_of(run: Path, newest: PatchApplied | None) -> AppliedPatch:
    """What a run's chat applied, held against the run's newest ``patch_applied`` event.

    Raises:
        RecordError: it is not what the run wrote.
    """
    applied = AppliedPatch.of(run)
    said = None if newest is None else newest.patch_sha256
    found = hashlib.sha256(applied.patch).hexdigest() if applied.directory.exists() else None
    if said != found:
        raise RecordError(f"{applied.directory} is not what the run wrote: it was changed since")
    return applied

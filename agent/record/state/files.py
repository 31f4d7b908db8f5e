"""What the workspace in the container was, as the looks at it tell.

Pure. A point where that is not known says why. Of what a record holds nothing is believed: paths
and modes are checked before anything is made of them (`TrackedFiles.checked`).
"""

from collections.abc import Mapping
from dataclasses import field, replace

from agent.errors import RecordError
from agent.record.events.calls import CallEnded
from agent.record.events.kinds import Recorded
from agent.record.events.workspace import (
    ChangesRescanned,
    ChangesTracked,
    TrackedFile,
    WorkspaceRestored,
)
from agent.tools import registry
from policies.frozen import dataclass
from sandbox.git.manifest import EXECUTABLE, FILE, SYMLINK, ManifestEntry
from sandbox.git.path_rules import carried
from sandbox.git.store import Store
from sandbox.patch.values import LeftOut

_MODES = frozenset({FILE, EXECUTABLE, SYMLINK})


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedFiles:
    """The files of the workspace."""

    changed: Mapping[bytes, TrackedFile] = field(default_factory=dict)
    """Everything that is not, or was once not, as in the baseline."""
    last: int = 0
    """The newest call that a look covers; 0: none does."""
    _missed: frozenset[bytes] = frozenset()
    _waiting: int | None = None
    """The first call that may have changed something and that no look covers."""
    _unseen: str = ""
    """Why the newest look told nothing."""
    _lost: str = ""
    """Why nothing is known until everything is looked at anew."""

    @property
    def unknown(self) -> str:
        """Why the files are not known; empty where they are."""
        if self._lost:
            return self._lost
        if self._waiting is not None:
            return self._unseen or f"the workspace was not looked at after call {self._waiting}"
        if self._missed:
            path = min(self._missed).decode("utf-8", "backslashreplace")
            return f"the content of {path} was not kept: it is too large"
        return ""

    def checked(self) -> dict[bytes, TrackedFile]:
        """What is not as in the baseline.

        Raises:
            RecordError: a path or a mode is none that a run of ours writes.
        """
        for item in self.changed.values():
            _check(item)
        return dict(self.changed)

    def left_out(self) -> tuple[LeftOut, ...]:
        """What changed, and is known by its name only."""
        reason = "changed, and its content was not kept"
        return tuple(LeftOut(path=path, reason=reason) for path in sorted(self._missed))

    def after(self, event: Recorded) -> "TrackedFiles":
        """With what one more event says of them."""
        match event:
            case CallEnded() if event.tool in registry.WRITING and self._waiting is None:
                return replace(self, _waiting=event.number)
            case ChangesTracked():
                return self._followed(event)
            case ChangesRescanned() | WorkspaceRestored():
                nothing = event.unfollowed is not None and not event.changed and not event.missed
                return TrackedFiles(
                    last=event.call if isinstance(event, WorkspaceRestored) else self.last,
                    changed={item.path: item for item in event.changed},
                    _missed=frozenset(event.missed),
                    _lost=f"what stood there is not known: {event.unfollowed}" if nothing else "",
                )
            case _:
                return self

    def _followed(self, event: ChangesTracked) -> "TrackedFiles":
        lost = "changes before it were too many to be recorded" if event.gap else self._lost
        if event.unfollowed is not None and not event.changed and not event.missed:
            return replace(self, _unseen=event.unfollowed, _lost=lost)
        changed = {item.path: item for item in event.changed}
        return TrackedFiles(
            last=event.last,
            changed={**self.changed, **changed},
            _missed=(self._missed - changed.keys()) | frozenset(event.missed),
            _lost=lost,
        )


def entries_of(
    files: Mapping[bytes, TrackedFile], steps: Store
) -> dict[bytes, ManifestEntry | None]:
    """These files with the size of their content.

    Raises:
        PatchError: a content is not there.
    """
    return {
        path: None
        if item.blob is None
        else ManifestEntry(item.mode, item.blob, steps.size(item.blob))
        for path, item in files.items()
    }


def _check(item: TrackedFile) -> None:
    parts = item.path.split(b"/")
    gone = item.blob is None and item.mode == 0
    if (
        not carried(item.path)
        or b".git" in parts[:-1]
        or not (gone or (item.blob is not None and item.mode in _MODES))
    ):
        raise RecordError(
            f"the record has what no run writes, as the path or mode of a file: {item.path!r:.200}"
        )

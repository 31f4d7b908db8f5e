"""What a call changed, file by file, as an editor shows it: the text before and after.

From the looks at the container (`agent.conversation.change_tracking`), so an edit by a shell shows
as one by a tool. What was in the workspace at the start is read where the caller says, and counts
only if it is what was copied. A diff is for the person's eyes: what leaves is the patch.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from agent.record.events.kinds import Recorded
from agent.record.events.lifecycle import ChangesTracked, TrackedFile
from agent.record.run_state import TrackedFiles
from policies.frozen import dataclass
from sandbox.cache import regular_file
from sandbox.errors import PatchError
from sandbox.git.manifest import SYMLINK, ManifestEntry, blob_id
from sandbox.git.path_rules import carried
from sandbox.git.store import Store

FILE_LIMIT_BYTES = 256 << 10
"""A larger file is named, not shown."""
MOST_FILES = 20
"""Of one look."""


class Unknown(Exception):
    """Nobody can say here what a file was."""


Original = Callable[[bytes], bytes | None]
"""What a path was at the start; None: there was none. Raises Unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownDiff:
    path: bytes
    """In the workspace."""
    old: str | None
    """None: it was not there."""
    new: str
    """Empty where it is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownChanges:
    """What is shown of one look."""

    diffs: tuple[ShownDiff, ...]
    named: tuple[bytes, ...]
    """Changed too: no text, too large, or one too many."""


class FileDiffs:
    """Follows the looks of one run. Mutable: it remembers what the files became."""

    def __init__(self, steps: Path, original: Original) -> None:
        """Args:
        steps: the directory in which the looks keep content.
        """
        self._steps = steps
        self._original = original
        self._files = TrackedFiles()

    def after(self, event: Recorded) -> ShownChanges | None:
        """What one event changed; None where it is no look at calls."""
        before = self._files.changed
        self._files = self._files.after(event)
        if not isinstance(event, ChangesTracked):
            return None
        diffs: list[ShownDiff] = []
        named = list(event.missed)
        for item in event.changed:
            diff = self._diff(item, before) if len(diffs) < MOST_FILES else None
            if diff is None:
                named.append(item.path)
            elif diff.old != diff.new:
                diffs.append(diff)
        return ShownChanges(diffs=tuple(diffs), named=tuple(filter(carried, named)))

    def _diff(self, item: TrackedFile, before: Mapping[bytes, TrackedFile]) -> ShownDiff | None:
        """None: it can't be shown."""
        try:
            known = before.get(item.path)
            old = self._original(item.path) if known is None else self._content(known)
            new = self._content(item)
            if not carried(item.path):
                return None
            return ShownDiff(path=item.path, old=_text(old), new=_text(new) or "")
        except (Unknown, PatchError, OSError):
            return None

    def _content(self, item: TrackedFile) -> bytes | None:
        if item.blob is None:
            return None
        if item.mode == SYMLINK or not self._steps.is_dir():
            raise Unknown
        return Store(self._steps).read_bytes(item.blob, limit_bytes=FILE_LIMIT_BYTES)


def as_copied(workspace: Path, entries: Callable[[], Mapping[bytes, ManifestEntry]]) -> Original:
    """From the person's own files, as far as they are what was copied into the sandbox.

    Args:
        entries: what was copied.
    """

    def original(path: bytes) -> bytes | None:
        entry = entries().get(path)
        if entry is None:
            return None
        if entry.mode == SYMLINK or entry.size > FILE_LIMIT_BYTES:
            raise Unknown
        # The folder may be a stranger's: nothing is followed, waited for, or believed.
        with regular_file(os.path.join(os.fsencode(workspace), path)) as file:
            data = file.read(entry.size + 1)
        if blob_id(data) != entry.blob:
            raise Unknown
        return data

    return original


def _text(data: bytes | None) -> str | None:
    if data is None:
        return None
    if b"\0" in data:
        raise Unknown
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unknown from error

"""What the gate looks at: a patch taken apart once, for every inspection.

Owns the bounds on how much content is looked at, and the matching of a patch's parts with its
changes. What goes past a bound is listed, so that it can be said.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from agent.risk.hunks import HunksUnreadable, Section, sections
from policies.policy import Policy
from sandbox.manifest import SYMLINK
from sandbox.patch import Change, Patch

CONTENT_LIMIT_BYTES = 64 << 20
"""Added lines of all files together; the files after that are not looked into."""
_TYPE = 0o170000


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    patch: Patch
    policy: Policy
    added: Mapping[bytes, Section]
    """By new path: what each file with added lines gets, links left out."""
    passed_over: tuple[bytes, ...]
    """Files with added lines that no inspection sees: too much before them."""

    def old(self, change: Change) -> bytes | None:
        """All of the old content, where it was kept (`sandbox.sides`); empty for a new file."""
        return self._whole(change.old_blob) if change.old_mode else b""

    def new(self, change: Change) -> bytes | None:
        return self._whole(change.new_blob) if change.new_mode else b""

    def _whole(self, blob: str) -> bytes | None:
        side = self.patch.sides.get(blob)
        return side.start if side is not None and side.whole else None


def take_apart(patch: Patch, policy: Policy) -> Subject:
    """Raises `HunksUnreadable` where the bytes of the patch do not fit its list of changes."""
    parts = sections(patch.data)
    added: dict[bytes, Section] = {}
    passed_over = []
    room = CONTENT_LIMIT_BYTES
    for change in patch.changes:
        part = _next(parts)
        if parts_of(change) > 1:
            part = _next(parts)
        elif change.added_lines != (None if part.binary else len(part.numbers)):
            raise HunksUnreadable(f"the hunks of {change.path!r} do not fit its line count")
        if not part.numbers or change.new_mode == SYMLINK:
            continue
        room -= len(part.text)
        if room < 0:
            passed_over.append(change.path)
        else:
            added[change.path] = part
    if next(parts, None) is not None:
        raise HunksUnreadable("more files in the patch than in its list of changes")
    return Subject(patch=patch, policy=policy, added=added, passed_over=tuple(passed_over))


def parts_of(change: Change) -> int:
    """git prints a change of type (a file that is a link now) as one deleted and one created."""
    both = change.old_mode and change.new_mode
    return 2 if both and (change.old_mode ^ change.new_mode) & _TYPE else 1


def _next(parts: Iterator[Section]) -> Section:
    part = next(parts, None)
    if part is None:
        raise HunksUnreadable("fewer files in the patch than in its list of changes")
    return part

"""What the gate looks at: a patch taken apart once, for every inspection.

Owns the bounds on how much content is looked at, and the matching of a patch's parts with its
changes. What goes past a bound is listed, so that it can be said.
"""

import codecs
import contextlib
from array import array
from collections.abc import Iterator, Mapping

from agent.risk.hunks import HunksUnreadable, PatchSection, sections
from agent.risk.symlinks import SymlinkAliases
from policies.frozen import dataclass
from policies.policy import Policy
from sandbox.git.manifest import SYMLINK
from sandbox.patch.values import START_BYTES, Change, Patch, Side

CONTENT_LIMIT_BYTES = 64 << 20
"""Added lines of all files together; the files after that are not looked into."""
_TYPE = 0o170000


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectedPatch:
    patch: Patch
    policy: Policy
    added: Mapping[bytes, PatchSection]
    """By new path: what each file with added lines gets, links left out."""
    not_inspected: tuple[bytes, ...]
    """Files with added lines that no inspection sees: too much before them."""
    aliases: SymlinkAliases

    def old(self, change: Change) -> bytes | None:
        """All of the old content, if it was kept (`sandbox.patch.values`); b"" if new."""
        return self._whole(change.old_blob) if change.old_mode else b""

    def new(self, change: Change) -> bytes | None:
        return self._whole(change.new_blob) if change.new_mode else b""

    def _whole(self, blob: str) -> bytes | None:
        side = self.patch.sides.get(blob)
        return side.start if side is not None and side.whole else None


def take_apart(patch: Patch, policy: Policy) -> InspectedPatch:
    """Raises `HunksUnreadable` where the bytes of the patch do not fit its list of changes."""
    parts = sections(patch.data)
    added: dict[bytes, PatchSection] = {}
    not_inspected = []
    left = CONTENT_LIMIT_BYTES
    for change in patch.changes:
        part = _next(parts)
        if parts_of(change) > 1:
            part = _next(parts)
        elif len(part.numbers) != (change.added_lines or 0):
            raise HunksUnreadable(f"the hunks of {change.path!r} do not fit its line count")
        if part.binary:
            part = _read_whole(patch.sides.get(change.new_blob))
        if not part.numbers or change.new_mode == SYMLINK:
            continue
        left -= len(part.text)
        if left < 0:
            not_inspected.append(change.path)
        else:
            added[change.path] = part
    if next(parts, None) is not None:
        raise HunksUnreadable("more files in the patch than in its list of changes")
    return InspectedPatch(
        patch=patch,
        policy=policy,
        added=added,
        not_inspected=tuple(not_inspected),
        aliases=aliases_in(patch),
    )


def aliases_in(patch: Patch) -> SymlinkAliases:
    """By the links before the patch and after it: what it changes had, or gets, these names."""
    return SymlinkAliases((*patch.old_links.items(), *patch.links.items()))


def _read_whole(side: Side | None) -> PatchSection:
    """All lines of what the patch carries as binary data and is text all the same.

    A NUL, or an old version that was no text, is enough for git to show no line of it.
    """
    section = PatchSection(binary=True)
    if side is not None and side.whole and reads_as_text(side.start):
        plain = side.start.replace(b"\0", b"")
        text = plain if _mostly_shown(plain[:START_BYTES]) else _from_utf16(side.start)
        section.text += text.removesuffix(b"\n") + b"\n"
        section.numbers = array("Q", range(1, section.text.count(b"\n") + 1))
    return section


def reads_as_text(start: bytes) -> bool:
    """But for NULs, nearly all of it is what a person can read: UTF-8, or UTF-16."""
    head = start[:START_BYTES]
    # Without its NULs first: two bytes before plain text must not make strange letters of it.
    return _mostly_shown(head.replace(b"\0", b"")) or _mostly_shown(_from_utf16(head))


def _from_utf16(data: bytes) -> bytes:
    """As UTF-8; empty where it does not begin as UTF-16 does and go on so."""
    if not data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return b""
    head = data[:START_BYTES].decode("utf-16", "replace").replace("\ufffd", "\0")
    shown = sum(char.isprintable() or char in "\t\r\n" for char in head)
    if shown <= 0.9 * len(head):
        return b""
    return data.decode("utf-16", "replace").encode("utf-8", "replace")


def _mostly_shown(head: bytes) -> bool:
    for cut in (0, 1, 2, 3):  # the bound may stand inside a character
        with contextlib.suppress(UnicodeDecodeError):
            text = head[: len(head) - cut].decode()
            break
    else:
        text = "".join(char if char < "\x7f" else "\0" for char in head.decode("latin-1"))
    shown = sum(char >= " " or char in "\t\r\n" for char in text)
    return bool(text) and shown > 0.9 * len(text)


def parts_of(change: Change) -> int:
    """git prints a change of type (a file that is a link now) as one deleted and one created."""
    both = change.old_mode and change.new_mode
    return 2 if both and (change.old_mode ^ change.new_mode) & _TYPE else 1


def _next(parts: Iterator[PatchSection]) -> PatchSection:
    part = next(parts, None)
    if part is None:
        raise HunksUnreadable("fewer files in the patch than in its list of changes")
    return part

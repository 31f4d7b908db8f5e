"""What the gate looks at: a patch taken apart once, for every inspection.

Owns the bounds on how much content is looked at, and the matching of a patch's parts with its
changes. What goes past a bound is listed, so that it can be said. Hunks are read by the counts in
their headers, so that content that looks like a patch is content.

What a policy protects, or what something runs by its name, may be reached through a link that stood
there all along: a change of the file behind it is then one of a file with that name. Targets are
read as words: ``..`` after the name of a link is taken for the folder above it.
"""

import codecs
import contextlib
import dataclasses
import io
import re
from array import array
from collections.abc import Iterable, Iterator, Mapping

from policies.frozen import dataclass
from policies.policy import Policy
from sandbox.git.manifest import SYMLINK
from sandbox.git.path_rules import leaves_tree
from sandbox.patch.values import START_BYTES, Change, Patch, Side

_HUNK = re.compile(rb"@@ -\d+(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_FILE = b"diff --git "
_BINARY = b"GIT binary patch"
_NO_NEWLINE = b"\\"


class HunksUnreadable(Exception):
    """Not the form in which git prints a patch."""


@dataclasses.dataclass(slots=True, kw_only=True)
class PatchSection:
    """What one ``diff --git`` part adds. Grows while it is read."""

    text: bytearray = dataclasses.field(default_factory=bytearray)
    """The added lines, each with its newline."""
    numbers: "array[int]" = dataclasses.field(default_factory=lambda: array("Q"))
    """The number of each of them in the new file."""
    binary: bool = False

    def line_at(self, offset: int) -> int:
        """In the new file: the line that holds this offset of `text`."""
        return self.numbers[self.text.count(b"\n", 0, offset)]


def sections(patch: bytes) -> Iterator[PatchSection]:
    """The parts of a patch in order.

    Raises:
        HunksUnreadable: what should be a patch is none.
    """
    lines = io.BytesIO(patch)
    current: PatchSection | None = None
    for line in lines:
        if line.startswith(_FILE):
            if current is not None:
                yield current
            current = PatchSection()
        elif current is None:
            raise HunksUnreadable("does not begin with a file")
        elif line.startswith(b"@@ "):
            _hunk(line, lines, current)
        elif line.startswith(_BINARY):
            current.binary = True
    if current is not None:
        yield current


def _hunk(header: bytes, lines: io.BytesIO, section: PatchSection) -> None:
    match = _HUNK.match(header)
    if match is None:
        raise HunksUnreadable("a hunk without its counts")
    old, new = (int(count or b"1") for count in (match[1], match[3]))
    number = int(match[2])
    text, numbers = section.text, section.numbers
    while old > 0 or new > 0:
        line = lines.readline()
        sign = line[:1]
        if sign == b"+":
            text += line[1:]
            numbers.append(number)
            number += 1
            new -= 1
        elif sign == b"-":
            old -= 1
        elif sign == b" ":
            number += 1
            old -= 1
            new -= 1
        elif sign != _NO_NEWLINE:
            raise HunksUnreadable("a hunk shorter than its counts")
    if old or new:
        raise HunksUnreadable("a hunk longer than its counts")


MOST = 64
"""Names of one path that are looked at; links can give it very many."""


class SymlinkAliases:
    def __init__(self, links: Iterable[tuple[bytes, bytes]]) -> None:
        """Args:
        links: path and target of each link. One that leaves the tree leads to no path in it.
        """
        self._links: dict[bytes, list[bytes]] = {}
        for path, target in links:
            place = None if leaves_tree(path, target) else _place(path, target)
            if place is not None and place != path:
                self._links.setdefault(place, []).append(path)

    def of(self, path: bytes) -> tuple[bytes, ...]:
        """The path itself, then its other names; one more than `MOST` where there are too many."""
        if not self._links:
            return (path,)
        names = {path: None}
        waiting = [path]
        while waiting:
            for name in self._one_link_on(waiting.pop()):
                if name not in names and len(names) <= MOST:
                    names[name] = None
                    waiting.append(name)
        return tuple(names)

    def _one_link_on(self, path: bytes) -> Iterator[bytes]:
        end = len(path)
        while end > 0:
            for link in self._links.get(path[:end], ()):
                # One that leads to a folder it stands in: through it once is enough.
                if not path.startswith(link + b"/"):
                    yield link + path[end:]
            end = path.rfind(b"/", 0, end)
        to_the_root = self._links.get(b"", ())
        if not any(path.startswith(link + b"/") for link in to_the_root):
            for link in to_the_root:
                yield link + b"/" + path


def _place(path: bytes, target: bytes) -> bytes | None:
    """Where a relative target leads, seen from the root; None above it."""
    parts = path.split(b"/")[:-1]
    for part in target.replace(b"\\", b"/").split(b"/"):
        if part == b"..":
            if not parts:
                return None
            parts.pop()
        elif part not in {b"", b"."}:
            parts.append(part)
    return b"/".join(parts)


CONTENT_LIMIT_BYTES = 64 << 20
"""Added lines of all files together; the files after that are not looked into."""


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
        if change.sections > 1:
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


def _next(parts: Iterator[PatchSection]) -> PatchSection:
    part = next(parts, None)
    if part is None:
        raise HunksUnreadable("fewer files in the patch than in its list of changes")
    return part

"""The lines that a git patch adds, file by file, with their numbers in the new file.

Owns the reading of hunks: by the counts in their headers, so that content that looks like a patch
is content. Knows no paths: who asks matches sections with changes, which come in the same order.
"""

import io
import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

_HUNK = re.compile(rb"@@ -\d+(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_FILE = b"diff --git "
_BINARY = b"GIT binary patch"
_NO_NEWLINE = b"\\"


class HunksUnreadable(Exception):
    """Not the form in which git prints a patch."""


@dataclass(slots=True, kw_only=True)
class PatchSection:
    """What one ``diff --git`` part adds. Grows while it is read."""

    text: bytearray = field(default_factory=bytearray)
    """The added lines, each with its newline."""
    numbers: "array[int]" = field(default_factory=lambda: array("Q"))
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

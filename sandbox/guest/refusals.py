"""Programs that the kernel refused: noticed from what a command printed, believed only if so.

A command's words are the adversary's, so they only say where to look. What is told to the host is
what this module itself found: a file that its mode would let be executed, and that the kernel's
rules do not. Naming an allowed program, or something that is no program, gets nothing reported.

The gap: an attempt whose error is swallowed, or stands in the middle of a long output, leaves no
trace here. The kernel's own audit (Landlock's records, since Linux 6.15) goes to the host's log,
where nothing tells a sandbox's from others'; a supervisor asked about each execve would have to
be a second process and costs every command two switches to it.
"""

from __future__ import annotations

import os
import time

from sandbox.guest.protocol import REFUSED_LIMIT

_SIGNS = (b"ermission denied", b"EACCES", b"Errno 13", b"os error 13")
_CANNOT_EXECUTE = 126
_LINES = 64
_LINE_BYTES = 2000
_WORDS_OF_A_LINE = 24
_WORDS = 256
_LONGEST_PATH = 4000
_SEARCHED = 64
"""Directories of a PATH that are looked into."""
_WORK_S = 0.1
"""Processor time for all that one command's words name: where each directory of a PATH is forty
links of thousands of steps, the kernel takes tens of milliseconds for a single look. What a busy
machine keeps the guest waiting does not count, or a refusal would go untold there."""
_PATIENCE_S = 2.0
"""For the same, on the clock: a look may wait for a disk."""

_QUOTES = (b"\xe2\x80\x98", b"\xe2\x80\x99", b"\xe2\x80\x9c", b"\xe2\x80\x9d", b'"', b"`")
_AROUND = b" \t\r'()[]{}<>,;:="


def suspicious(code: int, texts: list[bytes]) -> bool:
    """Whether there is anything to look for; for a usual command this is all it costs."""
    return code == _CANNOT_EXECUTE or any(sign in text for text in texts for sign in _SIGNS)


def words(code: int, texts: list[bytes], script: bytes) -> list[bytes]:
    """What may be the names of refused programs: a bounded number, the same one once."""
    lines: dict[bytes, None] = {}
    for text in texts:
        for line in reversed(text.split(b"\n")):
            if len(lines) >= _LINES:
                break
            if any(sign in line for sign in _SIGNS):
                lines[_shortened(line)] = None
    found: dict[bytes, None] = {}
    for line in lines:
        for word in _words_of(line):
            found[word] = None
    if code == _CANNOT_EXECUTE:
        for word in script[: _LINE_BYTES * 2].split()[:_WORDS]:
            found[word.strip(_AROUND)] = None
    return [word for word in found if _may_be_path(word)][:_WORDS]


def _shortened(line: bytes) -> bytes:
    return line if len(line) <= _LINE_BYTES else line[-_LINE_BYTES:]


def _words_of(line: bytes) -> list[bytes]:
    for quote in _QUOTES:
        line = line.replace(quote, b"'")
    # Between quotes or colons a name may have blanks; else it ends at one.
    parts = [*line.split(b"'")[1::2], *line.split(b": ")[-5:]]
    parts += line.replace(b"'", b" ").split()
    return [part.strip(_AROUND) for part in parts[:_WORDS_OF_A_LINE]]


def _may_be_path(word: bytes) -> bool:
    return 0 < len(word) <= _LONGEST_PATH and b"\0" not in word and not word.startswith(b"-")


class Refusals:
    """Tells what the kernel refuses, by the rules that were given to it."""

    def __init__(self, executable: list[bytes]) -> None:
        """`executable`: files, and directories with all below, that the rules let be executed."""
        self._executable = set(executable)

    def among(self, names: list[bytes], directories: list[bytes], path: bytes) -> list[bytes]:
        """Absolute paths of the names that stand for refused programs; at most a few dozen.

        `directories` are where a relative path may have been meant, `path` is a PATH. What takes
        too long to look at is not looked at.
        """
        done, late = time.thread_time() + _WORK_S, time.monotonic() + _PATIENCE_S
        searched = path.split(b":")[:_SEARCHED]
        found: dict[bytes, None] = {}
        for name in names:
            tops = directories if b"/" in name else searched
            for top in tops:
                if time.thread_time() > done or time.monotonic() > late:
                    return list(found)
                place = os.path.normpath(os.path.join(b"/", top, name))
                if self.refuses(place):
                    found[place] = None
                    break
            if len(found) >= REFUSED_LIMIT:
                break
        return list(found)

    def refuses(self, path: bytes) -> bool:
        """True where `path` is a program by its mode, and the kernel does not let it be one."""
        try:
            if os.stat(path).st_mode & 0o170000 != 0o100000 or not os.access(path, os.X_OK):
                return False
            return not self._covered(os.path.realpath(path))
        except (OSError, ValueError):
            return False

    def _covered(self, path: bytes) -> bool:
        while path not in self._executable:
            if path in (b"/", b""):
                return False
            path = os.path.dirname(path)
        return True

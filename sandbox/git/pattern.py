"""Patterns in gitignore form: git's taking apart of one, and what it matches.

Ignore files, attribute files and a policy's lists have the same form (git: wildmatch.c with
WM_PATHNAME). The pattern is the adversary's: as regular expressions (pathspec 1.1.1 makes such)
``*a*a*a*a*a*a*b`` against a name of 120 bytes takes minutes. Here a glob is matched in time linear
in the text: all states are held at once, as the bits of one number. What a match costs is told with
the answer.
"""

from collections.abc import Callable
from functools import cache

from policies.frozen import dataclass

_SLASH = 0x2F
_STAR, _QUESTION, _OPEN, _CLOSE, _BACKSLASH = b"*?[]\\"
_SPECIAL = frozenset(b"*?[\\")
_EVERY = frozenset(range(256))
_NO_SLASH = _EVERY - {_SLASH}


def literal_length(pattern: bytes) -> int:
    """Bytes before the first one with a meaning of its own."""
    return next((at for at, byte in enumerate(pattern) if byte in _SPECIAL), len(pattern))


class Glob:
    """One pattern. A pattern that git can't read (an open bracket, say) matches nothing."""

    __slots__ = ("_accept", "_final", "_loop", "_skip", "_step", "states")

    def __init__(self, pattern: bytes) -> None:
        self._accept: dict[int, int] = {}
        self._loop: dict[int, int] = {}
        self._step = self._skip = 0
        self.states = 0
        self._final = 0
        try:
            self._compile(pattern)
        except _PatternUnreadable:
            return
        self._final = 1 << self.states

    def matches(self, text: bytes) -> tuple[bool, int]:
        """Whether it matches all of the text, and the work that took, in steps of 64 states."""
        if not self._final:
            return False, 1
        active = self._closed(1)
        width = 1 + self.states // 64
        for steps, byte in enumerate(text, 1):
            active = ((active & self._accept.get(byte, 0)) << 1) | (
                active & self._loop.get(byte, 0)
            )
            if not active:
                return False, steps * width
            active = self._closed(active)
        return bool(active & self._final), (1 + len(text)) * width

    def _closed(self, active: int) -> int:
        """With the states that are reached without reading: a star that matches nothing."""
        while True:
            wider = active | ((active & self._step) << 1) | ((active & self._skip) << 3)
            if wider == active:
                return active
            active = wider

    def _compile(self, pattern: bytes) -> None:
        at = 0
        while at < len(pattern):
            byte = pattern[at]
            if byte == _STAR:
                at = self._stars(pattern, at)
                continue
            if byte == _QUESTION:
                accepted = _NO_SLASH
            elif byte == _OPEN:
                accepted, at = _bracket(pattern, at)
            elif byte == _BACKSLASH:
                at += 1
                if at == len(pattern):
                    raise _PatternUnreadable
                accepted = frozenset(pattern[at : at + 1])
            else:
                accepted = frozenset((byte,))
            self._one_of(accepted)
            at += 1

    def _one_of(self, accepted: frozenset[int]) -> None:
        bit = 1 << self.states
        for byte in accepted:
            self._accept[byte] = self._accept.get(byte, 0) | bit
        self.states += 1

    def _stars(self, pattern: bytes, start: int) -> int:
        """A run of stars; gives where the pattern goes on."""
        at = start
        while at < len(pattern) and pattern[at] == _STAR:
            at += 1
        rest = pattern[at : at + 2]
        alone = start == 0 or pattern[start - 1] == _SLASH
        crosses = at - start > 1 and alone and (rest in {b"", b"\\/"} or rest[:1] == b"/")
        if crosses and rest[:1] == b"/":
            # `**/` is nothing at all, or anything and a slash: skip over this state and two more.
            self._skip |= 1 << self.states
            self._step |= 1 << self.states
            self.states += 1
        bit = 1 << self.states
        for byte in _EVERY if crosses else _NO_SLASH:
            self._loop[byte] = self._loop.get(byte, 0) | bit
        self._step |= bit
        self.states += 1
        return at


class _PatternUnreadable(Exception):
    """The pattern is none."""


def _bracket(pattern: bytes, at: int) -> tuple[frozenset[int], int]:
    """What a bracket at `at` accepts, and where its closing one stands."""

    def byte_at(index: int) -> int:
        if index >= len(pattern):
            raise _PatternUnreadable
        return pattern[index]

    at += 1
    negated = byte_at(at) in b"!^"
    if negated:
        at += 1
    accepted: set[int] = set()
    previous: int | None = None
    first = True
    while first or byte_at(at) != _CLOSE:
        first = False
        byte = byte_at(at)
        if byte == _BACKSLASH:
            at += 1
            previous = byte_at(at)
            accepted.add(previous)
        elif byte == 0x2D and previous is not None and pattern[at + 1 : at + 2] not in {b"", b"]"}:
            at += 1
            if byte_at(at) == _BACKSLASH:
                at += 1
            accepted.update(range(previous, byte_at(at) + 1))
            previous = None
        elif pattern[at : at + 2] == b"[:":
            end = pattern.find(b"]", at + 2)
            if end < 0:
                raise _PatternUnreadable
            if end - at >= 3 and pattern[end - 1 : end] == b":":
                accepted |= _class(pattern[at + 2 : end - 1])
                previous = None
                at = end
            else:
                accepted.add(_OPEN)
                previous = _OPEN
        else:
            accepted.add(byte)
            previous = byte
        at += 1
    return frozenset((_EVERY - accepted if negated else accepted) - {_SLASH}), at


@cache
def _class(name: bytes) -> frozenset[int]:
    """Bytes of a POSIX class, as git has them: ASCII only."""
    space = b" \t\n\r"
    tests: dict[bytes, Callable[[int], bool]] = {
        b"alnum": lambda byte: chr(byte).isalnum(),
        b"alpha": lambda byte: chr(byte).isalpha(),
        b"blank": lambda byte: byte in b" \t",
        b"cntrl": lambda byte: byte < 32 or byte == 127,
        b"digit": lambda byte: chr(byte).isdigit(),
        b"graph": lambda byte: 32 < byte < 127,
        b"lower": lambda byte: chr(byte).islower(),
        b"print": lambda byte: 32 <= byte < 127,
        b"punct": lambda byte: 32 < byte < 127 and not chr(byte).isalnum(),
        b"space": lambda byte: byte in space,
        b"upper": lambda byte: chr(byte).isupper(),
        b"xdigit": lambda byte: byte in b"0123456789abcdefABCDEF",
    }
    if name not in tests:
        raise _PatternUnreadable
    return frozenset(filter(tests[name], range(128)))


_STEP_WORK = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class PathPattern:
    reason: str | None
    """What to tell of a match; None: the pattern takes back what others ignore."""
    directory_only: bool
    by_name: bool
    """Without a slash: matches the last part of a path at any depth."""
    literal: bytes
    """What the text starts with."""
    ending: bytes | None
    """The ending, of a pattern that is ``*ending``, the most frequent form."""
    glob: Glob | None
    """What comes after `literal`; None where nothing does."""

    def matches(self, inner: bytes, name: bytes) -> tuple[bool, int]:
        """Whether it does, and the work that took."""
        text = name if self.by_name else inner
        if self.ending is not None:
            return text.endswith(self.ending), 1
        if self.glob is None:
            return text == self.literal, 1
        if not text.startswith(self.literal):
            return False, 1
        found, steps = self.glob.matches(text[len(self.literal) :])
        return found, 1 + _STEP_WORK * steps


def parse_pattern(line: bytes, source: str) -> PathPattern | None:
    """A pattern as git takes it apart (dir.c: parse_path_pattern); None for none."""
    text = _without_trailing_spaces(line)
    negated = text.startswith(b"!")
    text = text[negated:]
    directory_only = text.endswith(b"/")
    text = text[: len(text) - directory_only]
    by_name = b"/" not in text
    if text.startswith(b"/"):
        text = text[1:]
    if not text:
        return None
    length = literal_length(text)
    simple_ending = by_name and text.startswith(b"*") and literal_length(text[1:]) == len(text) - 1
    rest = text[length:]
    return PathPattern(
        reason=None if negated else source,
        directory_only=directory_only,
        by_name=by_name,
        literal=text[:length],
        ending=text[1:] if simple_ending else None,
        glob=Glob(rest) if rest else None,
    )


def _without_trailing_spaces(line: bytes) -> bytes:
    """Spaces only, and not those behind a backslash (dir.c: trim_trailing_spaces)."""
    at = 0
    end = None
    while at < len(line):
        if line[at] == 0x20:
            end = at if end is None else end
        else:
            end = None
            if line[at] == 0x5C:
                at += 1
        at += 1
    return line if end is None else line[:end]

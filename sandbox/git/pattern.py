"""One pattern in gitignore form: git's taking apart of it, and what it matches.

Ignore files, attribute files and a policy's lists have the same form. What a pattern costs to match
is told with the answer, since whoever wrote it may mean harm.
"""

from policies.frozen import dataclass
from sandbox.git.wildmatch import Glob, literal_length

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

"""What reviewers say about a run's patch, as values: verdicts, files read, comments on lines.

Pure. A mark belongs to one patch, by its digest: a run that exports again begins without marks.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum

from policies.frozen import dataclass
from sandbox.patch.selection import FileDiff, HunkChoice

WHOLE = -1
"""In place of a hunk's number: a file that is taken as a whole or not at all, or all of a file."""


class Verdict(StrEnum):
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    UNDECIDED = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetMark:
    """One thing that somebody said, and when that was in the order of all that was said."""

    value: str
    by: str
    revision: int
    """Counts from 1, over all marks of the patch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineComment:
    id: str
    path: bytes
    side: str
    """``new`` or ``old``: whose line it is."""
    line: int
    """From 1; 0: the file as a whole."""
    text: str
    by: str
    at: str
    """RFC 3339, to the second."""
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchMarks:
    """All that stands about one patch."""

    revision: int
    """Of the newest of them; 0: there is none."""
    verdicts: Mapping[tuple[bytes, int], SetMark]
    """By file and hunk; see `parts_of`."""
    reviewed: Mapping[bytes, SetMark]
    """By file; the value is ``yes``, or empty where it was taken back."""
    comments: tuple[LineComment, ...]
    """The oldest first."""

    def verdict(self, path: bytes, part: int) -> Verdict:
        mark = self.verdicts.get((path, part))
        return Verdict.UNDECIDED if mark is None else Verdict(mark.value)

    def is_reviewed(self, path: bytes) -> bool:
        mark = self.reviewed.get(path)
        return mark is not None and mark.value == "yes"


def parts_of(file: FileDiff) -> tuple[int, ...]:
    """What can be decided of a file: its hunks and `selection.MODE`, or `WHOLE`."""
    return file.choices or (WHOLE,)


def counts(files: Sequence[FileDiff], marks: PatchMarks) -> Counter[Verdict]:
    """How many parts of a patch have each verdict."""
    return Counter(marks.verdict(file.path, part) for file in files for part in parts_of(file))


def accepted_choice(files: Sequence[FileDiff], marks: PatchMarks) -> HunkChoice:
    """What of a patch is accepted; nothing that nobody decided is in it."""
    choice: dict[bytes, frozenset[int] | None] = {}
    for file in files:
        parts = parts_of(file)
        taken = [part for part in parts if marks.verdict(file.path, part) is Verdict.ACCEPTED]
        if len(taken) == len(parts):
            choice[file.path] = None
        elif taken:
            choice[file.path] = frozenset(taken)
    return choice

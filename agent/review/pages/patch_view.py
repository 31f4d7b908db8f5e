"""A patch as it is read: files by risk, hunks, numbered lines, and the words that changed.

Owns taking a patch apart for reading. All text in its values is visible (`agent.untrusted_text`),
cut where a line is absurdly long, and without the secrets that the gate found in that file. Refuses
to know HTML.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum

from agent.risk.credentials import SecretMask, has_secret, hiding
from agent.risk.finding import Finding, findings_by_path, risk_by_path
from agent.risk.opinion import Concern, Opinion, SecondOpinion
from agent.untrusted_text import decode, path_text, visible
from policies.frozen import dataclass
from sandbox.errors import PatchError
from sandbox.patch.selection import FileDiff, PatchHunk, file_diffs, hunks_of
from sandbox.patch.values import Change

LINE_CHARACTERS = 2_000
_HUNK = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@ ?(.*)")
_WORD = re.compile(r"\w+|\s+|.")
_COMPARED_CHARACTERS = 400
_ALIKE = 0.5
"""Lines that share less of the shorter one are another line each: nearly all would be marked."""


class LineKind(StrEnum):
    SAME = "same"
    ADDED = "add"
    REMOVED = "del"
    NOTE = "meta"
    """No line of either file: that there is no newline at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineView:
    kind: LineKind
    old: int | None
    """Its number in the old file, from 1."""
    new: int | None
    """Its number in the new file, from 1."""
    text: str
    words: tuple[tuple[int, int], ...] = ()
    """Where `text` differs from its other version: beginnings and ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HunkView:
    number: int
    """From 1, as ``--hunks`` counts."""
    old_start: int
    old_count: int
    new_start: int
    new_count: int
    title: str
    """What git says of where it is: the function, mostly; may be empty."""
    lines: tuple[LineView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """A file of the patch as a list of files shows it; its lines are not yet taken apart."""

    number: int
    diff: FileDiff
    change: Change
    findings: tuple[Finding, ...]
    concerns: tuple[Concern, ...] = ()
    """A reviewer's, about this file; their text is visible."""

    @property
    def path(self) -> str:
        return path_text(self.diff.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileView:
    """A file of the patch with its lines."""

    entry: FileEntry
    hunks: tuple[HunkView, ...]

    @property
    def line_count(self) -> int:
        return sum(len(hunk.lines) for hunk in self.hunks)


def entries(
    data: bytes,
    changes: Sequence[Change],
    findings: Sequence[Finding],
    opinion: SecondOpinion | None = None,
) -> tuple[FileEntry, ...]:
    """The files of a patch, the riskiest first, then by path.

    Args:
        opinion: of a reviewer, whose concerns are shown where they are.

    Raises:
        PatchError: the patch is not what is known of it.
    """
    found = findings_by_path(findings)
    risk = risk_by_path(findings)
    known = {change.path: change for change in changes}
    concerns = _concerns(opinion, hiding(findings))
    made = [
        FileEntry(
            number=number,
            diff=diff,
            change=known[diff.path],
            findings=tuple(found.get(diff.path, ())),
            concerns=tuple(concerns.get(diff.path, ())),
        )
        for number, diff in enumerate(file_diffs(data, changes), start=1)
    ]
    nothing = (0, 0, 0)
    return tuple(
        sorted(made, key=lambda it: (*(-n for n in risk.get(it.diff.path, nothing)), it.diff.path))
    )


def _concerns(
    opinion: SecondOpinion | None, hide: Callable[[str], str]
) -> Mapping[bytes, Sequence[Concern]]:
    found: dict[bytes, list[Concern]] = {}
    for concern in opinion.concerns if isinstance(opinion, Opinion) else ():
        shown = replace(concern, text=hide(visible(concern.text)))
        found.setdefault(concern.path, []).append(shown)
    return found


def file_view(entry: FileEntry) -> FileView:
    """The file with its lines."""
    mask = _mask_of(entry)
    raw = entry.diff.hunks or hunks_of(entry.diff.raw)
    hunks = tuple(_hunk(number, hunk, mask) for number, hunk in enumerate(raw, start=1))
    return FileView(entry=entry, hunks=hunks)


def shortened_view(view: FileView, most: int) -> FileView:
    """The file with so many lines at most."""
    hunks = []
    for hunk in view.hunks:
        if most > 0:
            hunks.append(replace(hunk, lines=hunk.lines[:most]))
        most -= len(hunk.lines)
    return replace(view, hunks=tuple(hunks))


def line_texts(entry: FileEntry, lines: Iterable[bytes]) -> list[str]:
    """Lines of the old file as the diff shows them."""
    mask = _mask_of(entry)
    return [_text(raw, mask) for raw in lines]


def _mask_of(entry: FileEntry) -> SecretMask | None:
    return SecretMask() if has_secret(entry.findings) else None


def _hunk(number: int, hunk: PatchHunk, mask: SecretMask | None) -> HunkView:
    match = _HUNK.match(hunk.header)
    if match is None:
        raise PatchError("a hunk of the patch has no numbers")
    old, new = int(match[1]), int(match[3])
    return HunkView(
        number=number,
        old_start=old,
        old_count=int(match[2] or b"1"),
        new_start=new,
        new_count=int(match[4] or b"1"),
        title=_text(match[5].rstrip(b"\n"), mask),
        lines=tuple(_with_words(_numbered(hunk.lines, old, new, mask))),
    )


def _numbered(
    lines: Iterable[bytes], old: int, new: int, mask: SecretMask | None
) -> Iterator[LineView]:
    for raw in lines:
        text = _text(raw[1:].removesuffix(b"\n"), mask)
        match raw[:1]:
            case b"+":
                yield LineView(kind=LineKind.ADDED, old=None, new=new, text=text)
                new += 1
            case b"-":
                yield LineView(kind=LineKind.REMOVED, old=old, new=None, text=text)
                old += 1
            case b" ":
                yield LineView(kind=LineKind.SAME, old=old, new=new, text=text)
                old, new = old + 1, new + 1
            case _:
                yield LineView(kind=LineKind.NOTE, old=None, new=None, text=text.strip())


def _text(raw: bytes, mask: SecretMask | None) -> str:
    text = visible(decode(raw))
    if mask is not None:
        text = mask.line(text)
    if len(text) > LINE_CHARACTERS:
        text = f"{text[:LINE_CHARACTERS]} [cut, {len(raw)} bytes]"
    return text


def _with_words(lines: Iterable[LineView]) -> Iterator[LineView]:
    """The same lines; of those that came in place of others, the words that changed are marked."""
    for removed, added, rest in _blocks(lines):
        pairs = [_marked(old, new) for old, new in zip(removed, added, strict=False)]
        yield from (old for old, _ in pairs)
        yield from removed[len(pairs) :]
        yield from (new for _, new in pairs)
        yield from added[len(pairs) :]
        yield from rest


_Block = tuple[list[LineView], list[LineView], list[LineView]]


def _blocks(lines: Iterable[LineView]) -> Iterator[_Block]:
    """Lines that went, lines that came in their place, and what follows these."""
    block: _Block = [], [], []
    for line in lines:
        removed, added, rest = block
        begins = line.kind is LineKind.REMOVED and (added or rest)
        if begins or (line.kind is LineKind.ADDED and rest):
            yield block
            removed, added, rest = block = [], [], []
        {LineKind.REMOVED: removed, LineKind.ADDED: added}.get(line.kind, rest).append(line)
    yield block


def side_by_side(lines: Iterable[LineView]) -> Iterator[tuple[LineView | None, LineView | None]]:
    """Each row of two columns: old and new."""
    for removed, added, rest in _blocks(lines):
        for at in range(max(len(removed), len(added))):
            yield (
                removed[at] if at < len(removed) else None,
                added[at] if at < len(added) else None,
            )
        yield from ((line, line) for line in rest)


def _marked(old: LineView, new: LineView) -> tuple[LineView, LineView]:
    if max(len(old.text), len(new.text)) > _COMPARED_CHARACTERS:
        return old, new
    before, after = _WORD.findall(old.text), _WORD.findall(new.text)
    from difflib import SequenceMatcher  # noqa: PLC0415 - where a line was changed

    matcher = SequenceMatcher(None, before, after, autojunk=False)
    shared = sum(
        len("".join(before[block.a : block.a + block.size]).strip())
        for block in matcher.get_matching_blocks()
    )
    if shared < _ALIKE * min(len(old.text.strip()), len(new.text.strip())):
        return old, new
    gone, came = [], []
    for kind, first, last, other_first, other_last in matcher.get_opcodes():
        if kind != "equal":
            gone.append(_span(before, first, last))
            came.append(_span(after, other_first, other_last))
    return _with(old, gone), _with(new, came)


def _span(words: Sequence[str], first: int, last: int) -> tuple[int, int]:
    start = sum(map(len, words[:first]))
    return start, start + sum(map(len, words[first:last]))


def _with(line: LineView, spans: Iterable[tuple[int, int]]) -> LineView:
    kept = tuple((start, end) for start, end in spans if start < end)
    return replace(line, words=kept)

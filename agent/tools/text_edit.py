"""A piece of text replaced in a file's bytes, line ends and all.

Owns what counts as the same text where line ends differ, which ends a replacement gets, and why a
text was not found. Knows no sandbox.
"""

import re
from codecs import BOM_UTF8
from collections.abc import Iterator

from agent.untrusted_text import decode
from policies.frozen import dataclass

SAMPLE_BYTES = 1 << 20
"""How much of a file tells its form."""
_HINT_LINES = 5000
_HINT_RATIO = 0.6
_SHOWN_CHARACTERS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    data: bytes
    lines: tuple[int, ...]
    """Where each replaced piece stood, counted from 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotEdited:
    reason: str
    """Whole sentences, for the model."""
    brief: str


def replaced(data: bytes, old: str, new: str, *, every: bool) -> Edited | NotEdited:
    """Put `new` in the place of `old`: of the one place where it stands, or of every one.

    A newline in `old` matches CR LF as well as LF, and those of `new` become what stands there: in
    the order of the ends that are replaced, or as that line ends, where none is. Strings that
    differ in their line ends only are taken literally, so that ends can be changed.
    """
    if data[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return NotEdited(reason="It is UTF-16, not UTF-8: use a program in bash.", brief="UTF-16")
    wanted, given = old.encode("utf-8", "replace"), new.encode("utf-8", "replace")
    literal = _plain(wanted) == _plain(given) or (b"\r\n" not in data and b"\r\n" not in wanted)
    found = list(_found(data, wanted) if literal else _found_plain(data, _plain(wanted)))
    lines = tuple(_line_numbers(data, [start for start, _ in found]))
    if not found:
        return NotEdited(reason=_why_not(data, wanted), brief="no match")
    if len(found) > 1 and not every:
        shown = ", ".join(map(str, lines[:10]))
        return NotEdited(
            reason=f"old_string stands {len(found)} times there (at lines {shown}): give more of "
            "what is around it, or replace_all: true.",
            brief=f"{len(found)} matches",
        )
    out = []
    at = 0
    for start, end in found:
        out += [data[at:start], given if literal else _with_ends(data, start, end, _plain(given))]
        at = end
    return Edited(data=b"".join([*out, data[at:]]), lines=lines)


def in_form_of(before: bytes, content: bytes) -> tuple[bytes, list[str]]:
    """A file's new content with the byte order mark and the CR LF ends that it had, and what was
    kept so; where it had both ends, or the content says CR LF itself, the content's own stand.
    """
    kept = []
    sample = before[:SAMPLE_BYTES]
    if b"\r\n" in sample and not _lone_newlines(sample) and b"\r\n" not in content:
        content = content.replace(b"\n", b"\r\n")
        kept.append("its CR LF line ends")
    if before.startswith(BOM_UTF8) and not content.startswith(BOM_UTF8):
        content = BOM_UTF8 + content
        kept.append("its byte order mark")
    return content, kept


def _found(data: bytes, piece: bytes) -> Iterator[tuple[int, int]]:
    """Where it stands, from and to. Not by a pattern: hostile data may make one slow."""
    at = data.find(piece)
    while at >= 0:
        yield at, at + len(piece)
        at = data.find(piece, at + len(piece))


def _found_plain(data: bytes, piece: bytes) -> Iterator[tuple[int, int]]:
    """The same with newlines for CR LF on both sides; the places are those in `data`."""
    counted = at = 0
    for start, end in _found(_plain(data), piece):
        begin = _place(data, at, start - counted)
        counted, at = end, _place(data, begin, end - start)
        yield begin, at


def _place(data: bytes, start: int, count: int) -> int:
    """Where so many bytes from `start` end, each CR LF counted as one."""
    at, before = start + count, -1
    while at != before:
        # Never between the two.
        before = at + (data[at - 1 : at + 1] == b"\r\n" and at > start)
        at = start + count + data.count(b"\r\n", start, before)
    return at


def _plain(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n")


def _lone_newlines(data: bytes) -> int:
    return data.count(b"\n") - data.count(b"\r\n")


def _with_ends(data: bytes, start: int, end: int, new: bytes) -> bytes:
    """The replacement with the line ends of what it replaces; more of them as the last one."""
    ends = re.findall(rb"\r?\n", data[start:end])
    if not ends:
        # The line's own end; on the last line, which may have none, that of the line before.
        after, before = data.find(b"\n", end), data.rfind(b"\n", 0, start)
        at = after if after >= 0 else before
        ends = [b"\r\n" if at > 0 and data[at - 1 : at] == b"\r" else b"\n"]
    first, *rest = new.split(b"\n")
    return first + b"".join(ends[min(n, len(ends) - 1)] + piece for n, piece in enumerate(rest))


def _line_numbers(data: bytes, places: list[int]) -> Iterator[int]:
    line, counted = 1, 0
    for at in places:
        line += data.count(b"\n", counted, at)
        counted = at
        yield line


def _why_not(data: bytes, wanted: bytes) -> str:
    """What stands where the text was looked for, as far as something like it does."""
    lines = decode(_plain(data).removeprefix(BOM_UTF8)).split("\n")
    looked_for = decode(_plain(wanted).removeprefix(BOM_UTF8)).split("\n")
    skipped = next((n for n, line in enumerate(looked_for) if line.strip()), None)
    if skipped is None:
        return "It is blank: give text that can be found."
    telling = looked_for[skipped]
    stands = [n for n, line in enumerate(lines) if line == telling]
    if stands:
        # Of several places, the one that has the most of it.
        reached, at = max((_common(lines[n:], looked_for[skipped:]), -n) for n in stands)
        return _first_difference(lines, looked_for[skipped:], -at, reached, data)
    for number, line in enumerate(lines[:_HINT_LINES], 1):
        if line.strip() == telling.strip():
            return f"Line {number} differs in blanks only: {line[:_SHOWN_CHARACTERS]!r}."
    from difflib import get_close_matches  # noqa: PLC0415 - for a mistake only

    close = get_close_matches(telling, lines[:_HINT_LINES], n=1, cutoff=_HINT_RATIO)
    if not close:
        return "Nothing like its first line is in the file: read it again."
    return f"Nearest is line {lines.index(close[0]) + 1}: {close[0][:_SHOWN_CHARACTERS]!r}."


def _common(lines: list[str], wanted: list[str]) -> int:
    """How many lines are the same from the first on."""
    for number, (one, other) in enumerate(zip(lines, wanted, strict=False)):
        if one != other:
            return number
    return min(len(lines), len(wanted))


def _first_difference(
    lines: list[str], wanted: list[str], at: int, reached: int, data: bytes
) -> str:
    begins = f"Its first line stands at line {at + 1}"
    number = at + reached
    if number >= len(lines) or (number == len(lines) - 1 and not lines[number]):
        newline = "" if data.endswith(b"\n") else ", which has no newline at its end"
        last = len(lines) - (not lines[-1])
        return f"{begins}, and the file ends after line {last}{newline}."
    if reached >= len(wanted):
        ends = "CR LF" if b"\r\n" in data else "LF"
        return f"{begins}, and differs in its line ends: the file has {ends}."
    here, there = lines[number][:_SHOWN_CHARACTERS], wanted[reached][:_SHOWN_CHARACTERS]
    blanks = " in blanks only" if here.strip() == there.strip() else ""
    return f"{begins}; line {number + 1} differs{blanks}: it is {here!r}, and not {there!r}."

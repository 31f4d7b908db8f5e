"""Content that does not show what it is: files without a diff, text that does not read as it runs.

A binary is told by its first bytes. Unicode's own data says what a character is (`unicodedata`),
one that reorders, hides, acts or impersonates; owned here is what is honest use: an emoji's joiners
and flags, joiners of scripts that need them, a byte order mark at the start.
"""

import re
import unicodedata
from collections.abc import Iterator

from agent.risk.finding import Finding, Severity, found
from agent.risk.inspected_patch import InspectedPatch, reads_as_text
from sandbox.git.manifest import SYMLINK

_LONG_LINE = 5_000

# First bytes (file(1), magic(5)); what runs counts more than what is shown.
_RUNS = (
    (b"\x7fELF", "an ELF program or library"),
    (b"MZ", "a Windows program or library"),
    (b"\xcf\xfa\xed\xfe", "a macOS program or library"),
    (b"\xce\xfa\xed\xfe", "a macOS program or library"),
    (b"\xca\xfe\xba\xbe", "a Java class or a macOS program"),
    (b"\0asm", "WebAssembly"),
    (b"!<arch>\n", "a static library"),
    (b"\x1bLua", "compiled Lua"),
    (b"\xed\xab\xee\xdb", "an RPM package"),
    (b"dex\n", "Android code"),
    (b"\x80\x04\x95", "a Python pickle, which runs code when it is read"),
    (b"\x80\x05\x95", "a Python pickle, which runs code when it is read"),
)
_SHOWN = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"RIFF", "RIFF (WebP, WAV)"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive (or jar, wheel, document)"),
    (b"\x1f\x8b", "gzip data"),
    (b"BZh", "bzip2 data"),
    (b"\xfd7zXZ", "xz data"),
    (b"7z\xbc\xaf", "a 7-zip archive"),
    (b"(\xb5/\xfd", "zstd data"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"\0\1\0\0", "a TrueType font"),
    (b"OTTO", "an OpenType font"),
    (b"wOF", "a web font"),
)


def binaries(subject: InspectedPatch) -> Iterator[Finding]:
    for change in subject.patch.changes:
        same = change.old_blob == change.new_blob
        if change.added_lines is not None or same or change.new_mode == SYMLINK:
            continue
        if not change.new_mode:
            yield found("binary", change.path, "a binary file, deleted")
            continue
        side = subject.patch.sides.get(change.new_blob)
        if side is None:
            yield found("not-inspected", change.path, "a binary file, which was not read")
            continue
        words, severity = _kind(side.start)
        if not side.whole and reads_as_text(side.start):
            yield found("not-inspected", change.path, "text carried as binary data, and too large")
        reason = f"{change.kind}, {side.size} bytes: {words}"
        yield found("binary", change.path, reason, severity=severity)


def long_lines(subject: InspectedPatch) -> Iterator[Finding]:
    """The first of each file; all of them are looked through for the rest."""
    for path, section in subject.added.items():
        at = 0
        text = section.text
        while len(text) - at > _LONG_LINE:
            end = text.find(b"\n", at)
            end = len(text) if end < 0 else end
            if end - at > _LONG_LINE:
                reason = f"a line of {end - at} bytes: generated, or hard to review"
                yield found("long-line", path, reason, line=section.line_at(at))
                break
            # Whole lines that are short enough, in one step.
            at = text.rfind(b"\n", at, at + _LONG_LINE + 1) + 1


def _kind(start: bytes) -> tuple[str, Severity]:
    for kinds, severity in ((_RUNS, Severity.WARNING), (_SHOWN, Severity.NOTE)):
        for magic, words in kinds:
            if start.startswith(magic):
                return words, severity
    if reads_as_text(start):
        if b"\0" in start:
            words = "text with NUL bytes in it, which hide it from the diff"
            return words, Severity.DANGER if start.startswith(b"#!") else Severity.WARNING
        return "text carried as binary data, which hides it from the diff", Severity.WARNING
    return "data of no kind that is known here", Severity.WARNING


_EACH_FILE = 20
_NEWLINES = frozenset("\t\n\f")

# Trojan Source (CVE-2021-42574): embeddings, overrides and isolates.
_BIDI = "\u202a-\u202e\u2066-\u2069"
_TAGS = "\U000e0000-\U000e007f"
_SELECTORS = "\ufe00-\ufe0f\U000e0100-\U000e01ef"
# What shows nothing and is no format character: letters, fillers, a blank Braille pattern.
_BLANKS = "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\uffa0"
_FORMATS = (
    "\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u200b-\u200f\u2028\u2029\u2060-\u2065"
    "\u206a-\u206f\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
)
_CONTROLS = "\x00-\x08\x0b\x0e-\x1f\x7f-\x9f"
_SUSPECT = re.compile(f"[{_BIDI}{_TAGS}{_SELECTORS}{_BLANKS}{_FORMATS}{_CONTROLS}\n\t\f\r]")
_SUSPECT_ASCII = re.compile(rb"[\x00-\x08\x0b\x0e-\x1f\x7f]|\r(?!\n)")
# Cyrillic and Greek letters that look like Latin ones (of Unicode's confusables), beside a Latin
# letter. Others mix honestly: μs, Δt, the µ of a unit.
_LOOKALIKES = "аеорсухіјѕһԁԛԝАВЕКМНОРСТУХЅІЈΑΒΕΖΗΙΚΜΝΟΡΤΥΧο"  # noqa: RUF001 - these are they
_MIXED = re.compile(f"[A-Za-z][{_LOOKALIKES}]|[{_LOOKALIKES}][A-Za-z]")
_PASSES = (
    # The dangerous ones apart: nothing else, however much of it, keeps them from being told.
    re.compile(f"[{_BIDI}]"),
    re.compile(f"[{_TAGS}]"),
    re.compile(f"[{_SELECTORS}{_BLANKS}{_FORMATS}{_CONTROLS}]|\\r(?!\n)"),
    _MIXED,
)
_MARK = "\ufeff"
"""At the very start of a file: the byte order mark."""
_HONEST_LIMIT = 500_000
"""Characters that have an honest use where they stand, in all files together."""
_REORDERING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_FLAG = "\U0001f3f4"
_FLAG_TAGS = 6


def text(subject: InspectedPatch) -> Iterator[Finding]:
    honest = _HONEST_LIMIT
    for path, section in subject.added.items():
        data = section.text
        if data.isascii() and not _SUSPECT_ASCII.search(data):
            continue
        text = data.decode("utf-8", "surrogateescape")
        for expression in _PASSES:
            count = at = index = counted = 0
            while count < _EACH_FILE and (match := expression.search(text, at)):
                at = match.end()
                judged = _judged(text, match.start(), match[0])
                index += text.count("\n", counted, match.start())
                counted = match.start()
                line = section.numbers[index]
                if judged is None or (match.end(), line, match[0]) == (1, 1, _MARK):
                    honest -= 1
                    if honest < 0:
                        reason = "too many unusual characters to judge each: what hides is not told"
                        yield found("not-inspected", path, reason)
                        return
                    continue
                yield found(judged[0], path, judged[1], line=line)
                count += 1
                # The next line: one of them may have millions.
                at = max(at, text.find("\n", at)) if text.find("\n", at) >= 0 else len(text)


def in_text(text: str, *, controls: frozenset[str] = _NEWLINES) -> Iterator[tuple[str, str]]:
    """Kind and reason of each suspect character but `controls`: for a name."""
    for match in _SUSPECT.finditer(text):
        if match[0] not in controls and (judged := _judged(text, match.start(), match[0])):
            yield judged
    if mixed := _MIXED.search(text):
        yield "lookalike-text", _mixed_words(mixed[0])


def _judged(text: str, at: int, seen: str) -> tuple[str, str] | None:
    """What the character here is, or the pair `seen`; None where it stands honestly."""
    if len(seen) > 1:
        return "lookalike-text", _mixed_words(seen)
    before = text[at - 1] if at else ""
    after = text[at + 1] if at + 1 < len(text) else ""
    if seen in _REORDERING:
        return "bidi-control", f"{_name(seen)} reorders the line: it does not read as it runs"
    if _is_tag(seen):
        words = f"{_name(seen)}: text that only machines see"
        return None if _in_flag(text, at) else ("bidi-control", words)
    if "\ufe00" <= seen <= "\ufe0f":
        honest, why = _can_vary(before), "where nothing is to be varied: hidden data"
    elif "\U000e0100" <= seen <= "\U000e01ef":
        honest = before != "" and unicodedata.category(before) == "Lo"
        why = "where nothing is to be varied: hidden data"
    else:
        honest = seen in "\u200c\u200d" and _joins(before, after)
        why = "is not seen, or acts on a terminal"
    return None if honest else ("invisible-text", f"{_name(seen)} {why}")


def _is_tag(char: str) -> bool:
    return "\U000e0000" <= char <= "\U000e007f"


def _in_flag(text: str, at: int) -> bool:
    """The flags of England, Scotland and Wales are spelled in tags."""
    start = text.rfind(_FLAG, max(0, at - _FLAG_TAGS - 1), at)
    return start >= 0 and all(_is_tag(char) for char in text[start + 1 : at])


def _joins(before: str, after: str) -> bool:
    """Emoji are joined to one, and scripts beyond Latin, Greek and Cyrillic need joiners."""
    if not before or not after:
        return False
    emoji = unicodedata.category(after) == "So" and unicodedata.category(before) in {
        "So",
        "Sk",
        "Mn",
    }
    script = all(ord(c) >= 0x590 and unicodedata.category(c)[0] in "LM" for c in (before, after))
    return emoji or script


def _can_vary(char: str) -> bool:
    """Symbols, digits and ideographs come in variants; what shows nothing and ABC do not."""
    letter = char.isascii() and char.isalpha()
    return char != "" and not letter and unicodedata.category(char)[0] not in "CZM"


def _name(char: str) -> str:
    name = unicodedata.name(char, "")
    return f"U+{ord(char):04X} {name}".rstrip()


def _mixed_words(pair: str) -> str:
    strange = next(char for char in pair if not char.isascii())
    return f"{_name(strange)} in a word with Latin letters: one that looks like it was meant"

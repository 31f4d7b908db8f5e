"""Files whose change no diff shows: what they are, by their first bytes."""

from collections.abc import Iterator

from agent.risk.finding import Finding, Severity
from agent.risk.inspected_patch import InspectedPatch, reads_as_text
from agent.risk.kinds import found
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
    (b"\x80\x04\x95", "a Python pickle, which runs code when it is read"),
)


def inspect(subject: InspectedPatch) -> Iterator[Finding]:
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
    for magic, words in _RUNS:
        if start.startswith(magic):
            return words, Severity.WARNING
    for magic, words in _SHOWN:
        if start.startswith(magic):
            return words, Severity.NOTE
    if reads_as_text(start):
        if b"\0" in start:
            words = "text with NUL bytes in it, which hide it from the diff"
            return words, Severity.DANGER if start.startswith(b"#!") else Severity.WARNING
        return "text carried as binary data, which hides it from the diff", Severity.WARNING
    return "data of no kind that is known here", Severity.WARNING

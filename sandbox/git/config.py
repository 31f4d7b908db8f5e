"""A repository's configuration as it may enter the container: no credentials, nothing that runs.

Owns a strict reader of git's configuration form (git-config(1), "Syntax") and the short list of
what is kept. What it can't read, and all that follows it, is left out: the copy then has git's
defaults.
"""

import re
from collections.abc import Iterator

_KEPT = {
    b"core": {b"repositoryformatversion", b"filemode", b"bare", b"logallrefupdates", b"symlinks",
              b"ignorecase", b"precomposeunicode", b"autocrlf", b"eol", b"safecrlf", b"quotepath",
              b"sparsecheckout", b"sparsecheckoutcone"},
    b"extensions": {b"objectformat", b"refstorage", b"partialclone", b"noop", b"preciousobjects",
                    b"worktreeconfig"},
    b"index": {b"sparse"},
    b"branch": {b"remote", b"merge", b"rebase"},
    b"remote": {b"url", b"fetch"},
    b"user": {b"name", b"email"},
    b"init": {b"defaultbranch"},
    b"submodule": {b"url", b"active"},
}  # fmt: skip

_SPACE = re.compile(rb"[ \t\n\r]*")
_SECTION = re.compile(rb'\[([A-Za-z0-9.-]+)(?:[ \t]+"((?:[^"\\\n\0]|\\[^\n])*)")?\]')
_KEY = re.compile(rb"([A-Za-z][A-Za-z0-9-]*)[ \t]*(=|(?=\n)|\Z)")
_PLAIN = re.compile(rb'[^\\"\n;# \t\r]+')
_ESCAPES = {b"n": b"\n", b"t": b"\t", b"b": b"\b", b"\\": b"\\", b'"': b'"', b"\n": b"", b"": b""}

# Up to the last @ of the host's part: a password may hold one. Anywhere in the value, for a
# transport may stand before the scheme (``helper::https://…``).
_USERINFO = re.compile(rb"://[^/]*@")
_AFTER_PATH = re.compile(rb"(://[^?#]*)[?#].*$", re.DOTALL)


def sanitized(config: bytes) -> bytes:
    """The kept keys of a configuration, rewritten; URLs without user names, passwords, queries."""
    out: list[bytes] = []
    before = b""
    for section, name, key, value in _said(config):
        if key in _KEPT.get(section, ()):
            header = b"[" + section + (b"" if name is None else _named(name)) + b"]\n"
            out += [header] if header != before else []
            out.append(b"\t" + key + (b"" if value is None else quoted(value)) + b"\n")
            before = header
    return b"".join(out)


def value(config: bytes, section: bytes, key: bytes) -> bytes:
    """What a key without a subsection is set to, the last time; empty where it is not."""
    said = [
        b"true" if given is None else given
        for at, name, found, given in _said(config)
        if (at, name, found) == (section, None, key)
    ]
    return said[-1] if said else b""


def _said(config: bytes) -> Iterator[tuple[bytes, bytes | None, bytes, bytes | None]]:
    """Section and key in lower case, subsection and value as far as they are given."""
    text = config.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    section, name = b"", None
    at = 0
    while at < len(text):
        at = _end(_SPACE, text, at)
        if text[at : at + 1] in {b"#", b";"}:
            at = _line_end(text, at)
        elif match := _SECTION.match(text, at):
            section, name = match[1].lower(), match[2]
            at = match.end()
        elif match := _KEY.match(text, at):
            given, at = _value(text, match.end()) if match[2] else (None, match.end())
            if at < 0:
                break
            yield section, name, match[1].lower(), given
        else:
            break


def _end(pattern: re.Pattern[bytes], text: bytes, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at


def _line_end(text: bytes, at: int) -> int:
    found = text.find(b"\n", at)
    return len(text) if found < 0 else found


def _value(text: bytes, at: int) -> tuple[bytes, int]:
    """The value that begins at a place, and where its line ends; -1 where git can't read it."""
    out = bytearray()
    kept = 0  # length without the white space at the end, which counts only within quotes
    quoted = False
    while (byte := text[at : at + 1]) not in {b"", b"\n"}:
        if byte == b"\\":
            follow = text[at + 1 : at + 2]
            if follow not in _ESCAPES:
                return b"", -1
            out += _ESCAPES[follow]
            at += 2
            kept = len(out) if _ESCAPES[follow] else kept
        elif byte == b'"':
            quoted = not quoted
            at += 1
        elif byte in {b"#", b";"} and not quoted:
            at = _line_end(text, at)
        elif byte in {b" ", b"\t", b"\r"} and not quoted:
            at += 1
            if kept:
                out += byte
        else:
            end = max(_end(_PLAIN, text, at), at + 1)
            out += text[at:end]
            at = end
            kept = len(out)
    return (b"", -1) if quoted else (bytes(out[:kept]), at)


def _bare(value: bytes) -> bytes:
    """A value without what a URL in it says beside host and path."""
    return _AFTER_PATH.sub(rb"\1", _USERINFO.sub(b"://", value))


def _named(name: bytes) -> bytes:
    """A subsection's name, which may be a URL as well."""
    return b' "' + _escaped(_bare(re.sub(rb"\\(.)", rb"\1", name))) + b'"'


def quoted(value: bytes) -> bytes:
    """What stands behind a key that has this value."""
    return b' = "' + _escaped(_bare(value)).replace(b"\n", b"\\n") + b'"'


def _escaped(value: bytes) -> bytes:
    return value.replace(b"\\", b"\\\\").replace(b'"', b'\\"')

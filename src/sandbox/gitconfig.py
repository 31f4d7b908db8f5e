"""A repository's configuration as it may enter the container: no credentials, nothing that runs.

Owns a strict reader of git's configuration form (git-config(1), "Syntax") and the short list of
what is kept. What it can't read it leaves out: the copy then has git's defaults.
"""

import re

_KEPT = {
    b"core": {b"repositoryformatversion", b"filemode", b"bare", b"logallrefupdates", b"symlinks",
              b"ignorecase", b"precomposeunicode", b"autocrlf", b"eol", b"safecrlf", b"quotepath"},
    b"extensions": {b"objectformat", b"partialclone", b"noop", b"preciousobjects"},
    b"branch": {b"remote", b"merge", b"rebase"},
    b"remote": {b"url", b"fetch"},
    b"user": {b"name", b"email"},
    b"init": {b"defaultbranch"},
    b"submodule": {b"url", b"active"},
}  # fmt: skip

_SECTION = re.compile(rb'\s*\[\s*([A-Za-z0-9.-]+)(?:\s+"((?:[^"\\\n]|\\.)*)")?\s*\]')
_KEY = re.compile(rb"\s*([A-Za-z][A-Za-z0-9-]*)\s*(=?)")
_USERINFO = re.compile(rb"^([a-z][a-z0-9+.-]*://)[^/@\s]*@", re.IGNORECASE)
_QUERY = re.compile(rb"[?#].*$", re.DOTALL)


def sanitized(config: bytes) -> bytes:
    """The kept keys of a configuration, rewritten; URLs without user names, passwords, queries."""
    out: list[bytes] = []
    section = b""
    header = b""
    rest = config.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    while rest:
        if match := _SECTION.match(rest):
            section = match[1].lower()
            name = match[2]
            header = b"[" + section + (b' "' + name + b'"' if name is not None else b"") + b"]\n"
            rest = rest[match.end() :]
            continue
        line, _, after = rest.partition(b"\n")
        if not line.strip() or line.lstrip()[:1] in (b"#", b";"):
            rest = after
            continue
        match = _KEY.match(rest)
        if match is None:
            break  # not a configuration any more: keep what was read
        key = match[1].lower()
        value: bytes | None = None
        rest = rest[match.end() :]
        if match[2]:
            value, rest = _value(rest)
        else:
            rest = rest.partition(b"\n")[2]
        if key in _KEPT.get(section, ()):
            if header:
                out.append(header)
                header = b""
            out.append(
                b"\t" + key + (b"" if value is None else b" = " + _quoted(key, value)) + b"\n"
            )
    return b"".join(out)


def _value(rest: bytes) -> tuple[bytes, bytes]:
    """The value at the start of `rest`, unquoted, and what follows its line."""
    out = bytearray()
    quoted = False
    at = 0
    while at < len(rest):
        byte = rest[at : at + 1]
        if byte == b"\n":
            break
        if byte == b"\\":
            follow = rest[at + 1 : at + 2]
            out += {b"n": b"\n", b"t": b"\t", b"b": b"\b", b"\n": b""}.get(follow, follow)
            at += 2
            continue
        if byte == b'"':
            quoted = not quoted
        elif byte in (b"#", b";") and not quoted:
            newline = rest.find(b"\n", at)
            at = len(rest) if newline < 0 else newline
            break
        else:
            out += byte
        at += 1
    return bytes(out).strip(), rest[at + 1 :]


def _quoted(key: bytes, value: bytes) -> bytes:
    if key == b"url":
        value = _QUERY.sub(b"", _USERINFO.sub(rb"\1", value))
    escaped = value.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")
    return b'"' + escaped + b'"'

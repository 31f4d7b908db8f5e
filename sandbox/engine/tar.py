"""A plain tar, written as a stream: the one form in which files enter a container.

ustar with GNU long names, as every engine reads it; names are bytes. No compression, ever.
"""

_BLOCK = 512
_NAME_LIMIT = 100
_SIZE_LIMIT = 1 << 33
REGULAR = b"0"
SYMLINK = b"2"
DIRECTORY = b"5"
END = bytes(2 * _BLOCK)


def _octal(value: int, width: int) -> bytes:
    # A number too long for its field would shift all that follows: the largest stands for it.
    return b"%0*o\0" % (width - 1, min(max(value, 0), 8 ** (width - 1) - 1))


def _size(value: int) -> bytes:
    if value < _SIZE_LIMIT:
        return _octal(value, 12)
    # GNU's binary form, for files of 8 GiB and more.
    return b"\x80" + value.to_bytes(11, "big")


def _block(
    name: bytes,
    kind: bytes,
    size: int,
    *,
    mode: int = 0o644,
    target: bytes = b"",
    mtime: int = 0,
    uid: int = 0,
) -> bytes:
    head = b"".join(
        (
            name.ljust(100, b"\0"),
            _octal(mode, 8),
            _octal(uid, 8),
            _octal(uid, 8),
            _size(size),
            _octal(mtime, 12),
            b"        ",
            kind,
            target.ljust(100, b"\0"),
            b"ustar  \0",
        )
    ).ljust(_BLOCK, b"\0")
    return head[:148] + b"%06o\0 " % sum(head) + head[156:]


def header(
    name: bytes,
    *,
    kind: bytes,
    mode: int = 0o755,
    size: int = 0,
    target: bytes = b"",
    mtime: int = 0,
    uid: int = 0,
) -> bytes:
    """The header of one member, long names included. ``mtime`` in seconds; the gid is ``uid``."""
    out = []
    for value, long_kind in ((target, b"K"), (name, b"L")):
        if len(value) > _NAME_LIMIT:
            data = value + b"\0"
            out += [_block(b"././@LongLink", long_kind, len(data)), data, padding(len(data))]
    name, target = name[:_NAME_LIMIT], target[:_NAME_LIMIT]
    out.append(_block(name, kind, size, mode=mode, target=target, mtime=mtime, uid=uid))
    return b"".join(out)


def directory(path: str | bytes, *, mode: int = 0o755, mtime: int = 0, uid: int = 0) -> bytes:
    """The whole member of a directory; a path from the root counts as one relative to it."""
    return header(_relative(path) + b"/", kind=DIRECTORY, mode=mode, mtime=mtime, uid=uid)


def file(path: str | bytes, data: bytes, *, mode: int = 0o644, uid: int = 0) -> bytes:
    """The whole member of a small file; its path as for `directory`."""
    size = len(data)
    head = header(_relative(path), kind=REGULAR, mode=mode, size=size, uid=uid)
    return head + data + padding(size)


def cleared(path: str, *, mode: int = 0o755, uid: int = 0) -> bytes:
    """An empty directory, whatever stands there: a file takes the place of all of it first."""
    return file(path, b"") + directory(path, mode=mode, uid=uid)


def link(path: str, target: str) -> bytes:
    """The whole member of a symbolic link; its path as for `directory`."""
    return header(_relative(path), kind=SYMLINK, mode=0o777, target=target.encode())


def _relative(path: str | bytes) -> bytes:
    return (path.encode() if isinstance(path, str) else path).removeprefix(b"/")


def header_size(name: bytes, target: bytes = b"") -> int:
    """Length in bytes of what `header` gives for these."""
    size = _BLOCK
    for value in (target, name):
        if len(value) > _NAME_LIMIT:
            size += 2 * _BLOCK + len(value) // _BLOCK * _BLOCK
    return size


def padding(size: int) -> bytes:
    """What fills a member's last block."""
    return bytes(-size % _BLOCK)

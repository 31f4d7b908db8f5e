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
    return b"%0*o\0" % (width - 1, value)


def _block(name: bytes, kind: bytes, mode: int, size: int, target: bytes, mtime: int, uid: int) -> bytes:  # fmt: skip
    if size >= _SIZE_LIMIT:
        # GNU's binary form, for files of 8 GiB and more.
        size_field = b"\x80" + size.to_bytes(11, "big")
    else:
        size_field = _octal(size, 12)
    head = b"".join(
        (
            name.ljust(100, b"\0"),
            _octal(mode, 8),
            _octal(uid, 8),
            _octal(uid, 8),
            size_field,
            _octal(max(mtime, 0), 12),
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
    """The header of one member, long names included. ``mtime`` in seconds; ``uid`` is the gid too."""
    out = []
    for value, long_kind in ((target, b"K"), (name, b"L")):
        if len(value) > _NAME_LIMIT:
            data = value + b"\0"
            out.append(_block(b"././@LongLink", long_kind, 0o644, len(data), b"", 0, 0))
            out.append(data + padding(len(data)))
    out.append(_block(name[:_NAME_LIMIT], kind, mode, size, target[:_NAME_LIMIT], mtime, uid))
    return b"".join(out)


def padding(size: int) -> bytes:
    """What fills a member's last block."""
    return bytes(-size % _BLOCK)

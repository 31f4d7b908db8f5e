"""Names as git quotes them (quote.c): a C string where a name has bytes that are not plain."""

import re

QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(rb"\\([0-3][0-7]{2}|.)", re.DOTALL)
_LETTERS = {
    b"a": b"\a",
    b"b": b"\b",
    b"t": b"\t",
    b"n": b"\n",
    b"v": b"\v",
    b"f": b"\f",
    b"r": b"\r",
}


def unquoted(name: bytes) -> bytes:
    """What stands between the quotes, as it is."""

    def plain(match: re.Match[bytes]) -> bytes:
        code = match[1]
        return bytes((int(code, 8),)) if len(code) == 3 else _LETTERS.get(code, code)

    return _ESCAPE.sub(plain, name)

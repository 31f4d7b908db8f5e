"""Where a key stands in a TOML file. The standard reader tells no places, and this is for mistakes.

A key is there as soon as the file up to some line, read as a whole, has it.
"""

import re
import tomllib

from policies.file.document import KeyPath

_AT = re.compile(r"\(at line (\d+), column \d+\)\Z")


def line_of(text: str, path: KeyPath) -> int:
    """The line of a key, or of the nearest thing around it that is there; from 1."""
    ends = [found.end() for found in re.finditer(r"\n|\Z", text)]
    while path:
        whole = 0
        for number, end in enumerate(ends, 1):
            try:
                data: object = tomllib.loads(text[:end])
            except tomllib.TOMLDecodeError:
                continue
            if _has(data, path):
                # A value may begin lines before it ends; until then nothing can be read.
                return whole + 1
            whole = number
        path = path[:-1]
    return 1


def error_line(error: tomllib.TOMLDecodeError) -> int:
    """The line that a complaint of the reader's is about; 0: the end of the file."""
    found = _AT.search(str(error))
    return int(found[1]) if found else 0


def _has(data: object, path: KeyPath) -> bool:
    for part in path:
        match data, part:
            case dict(), str() if part in data:
                data = data[part]
            case list(), int() if part < len(data):
                data = data[part]
            case _:
                return False
    return True

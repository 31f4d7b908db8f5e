"""Programs that the kernel refused, as the guest tells them: bounded, and still hostile text."""

from collections.abc import Sequence

MOST = 32
_LONGEST_PATH = 4096


def programs(rows: Sequence[object]) -> tuple[str, ...]:
    """Absolute paths; bytes that are no UTF-8 as ``\\xff``.

    Raises:
        ValueError: they are none, or too many.
    """
    if len(rows) > MOST:
        raise ValueError("too many")
    return tuple(_program(row) for row in rows)


def _program(row: object) -> str:
    match row:
        case bytes() if row.startswith(b"/") and len(row) <= _LONGEST_PATH and b"\0" not in row:
            return row.decode("utf-8", "backslashreplace")
        case _:
            raise ValueError("no path")

"""Sizes and durations as people write them: ``4GiB``, ``64KiB``, ``2m``, ``90s``.

A unit is always written: a bare ``30`` has been read as seconds by some and minutes by others.
"""

import re

_SIZES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_DURATIONS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

SIZE_PATTERN = r"^[0-9]{1,9}(\.[0-9]{1,3})?(B|KiB|MiB|GiB|TiB)$"
DURATION_PATTERN = r"^[0-9]{1,9}(\.[0-9]{1,3})?(ms|s|m|h|d)$"

_SIZE = re.compile(SIZE_PATTERN)
_DURATION = re.compile(DURATION_PATTERN)
_PARTS = re.compile(r"([0-9.]+)([A-Za-z]+)")


def size_bytes(text: str) -> int:
    """``64KiB`` as bytes.

    Raises:
        ValueError: it is not a size; the message says what one looks like.
    """
    parts = _PARTS.fullmatch(text) if _SIZE.match(text) and "\n" not in text else None
    if parts is None:
        raise ValueError("expected a size with its unit (B, KiB, MiB, GiB, TiB), such as 4GiB")
    return int(float(parts[1]) * _SIZES[parts[2]])


def duration_s(text: str) -> float:
    """``2m`` as seconds.

    Raises:
        ValueError: it is not a duration; the message says what one looks like.
    """
    parts = _PARTS.fullmatch(text) if _DURATION.match(text) and "\n" not in text else None
    if parts is None:
        raise ValueError("expected a duration with its unit (ms, s, m, h, d), such as 2m")
    return float(parts[1]) * _DURATIONS[parts[2]]


def spelled_size(count: int) -> str:
    """Bytes in the largest unit that divides them."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if count and count % _SIZES[unit] == 0:
            return f"{count // _SIZES[unit]}{unit}"
    return f"{count}B"


def spelled_duration(seconds: float) -> str:
    """Seconds in the largest unit that divides them."""
    for unit in ("d", "h", "m", "s"):
        if seconds and seconds % _DURATIONS[unit] == 0:
            return f"{int(seconds // _DURATIONS[unit])}{unit}"
    return f"{round(seconds * 1000)}ms" if seconds else "0s"

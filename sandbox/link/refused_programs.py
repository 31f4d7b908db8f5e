"""Programs that the kernel refused, as the guest tells them: bounded, and still hostile text."""

from collections.abc import Sequence

from sandbox.guest.protocol import REFUSED_LIMIT

_LONGEST_PATH = 4096


def programs(paths: Sequence[bytes]) -> tuple[str, ...]:
    """Absolute paths; bytes that are no UTF-8 as ``\\xff``.

    Raises:
        ValueError: they are none, or too many.
    """
    if len(paths) > REFUSED_LIMIT:
        raise ValueError("too many")
    if any(not path.startswith(b"/") or b"\0" in path for path in paths):
        raise ValueError("no path")
    if any(len(path) > _LONGEST_PATH for path in paths):
        raise ValueError("no path of this kernel")
    return tuple(path.decode("utf-8", "backslashreplace") for path in paths)

"""What is said of going back to an earlier state: to the person, and to the model.

Owns the words. What was put back and what was not is the sandbox's to say
(`sandbox.restore.outcome`).
"""

from collections.abc import Sequence
from itertools import islice

from agent.untrusted_text import path_text
from policies.errors import first_lines, listed
from sandbox.patch.values import LeftOut
from sandbox.tracking import Restored

_PATHS = 12
_SHOWN = 10

NOT_GONE_BACK = (
    "Not gone back: files that the repository ignores, what git keeps in .git (commits, index, "
    "branches), and everything outside of the workspace, such as /tmp and the home directory."
)


def to_person(restored: Restored) -> list[str]:
    """Lines for the screen; paths in them are made visible."""
    back, removed = len(restored.back), len(restored.removed)
    kinds = {**dict.fromkeys(restored.back, "back"), **dict.fromkeys(restored.removed, "removed")}
    lines = [f"{kind:<7}  {path_text(path)}" for path, kind in islice(kinds.items(), _PATHS)]
    lines.append(f"{back} brought back, {removed} removed" if kinds else "nothing to undo")
    if restored.ended:
        lines.append(f"{restored.ended} running processes were ended")
    lines += _named("left as it is", restored.left)
    lines += _named("NOT as it was", restored.differing)
    return [*lines, NOT_GONE_BACK]


def to_model(restored: Restored) -> str:
    """For the model, which remembers what is no longer so."""
    words = [
        "The operator undid what was done since: the workspace's files are as they were before it.",
        "All running processes were ended, those in the background too.",
        NOT_GONE_BACK,
    ]
    if restored.left:
        words.append("As they are now: " + _list(restored.left))
    if restored.differing:
        words.append("These could not be put back: " + _list(restored.differing))
    words.append("Read a file again before you rely on what you know of it.")
    return " ".join(words)


def _named(head: str, items: Sequence[LeftOut]) -> list[str]:
    return [f"{head}: {line}" for line in first_lines(map(_line, items), _SHOWN)]


def _list(items: Sequence[LeftOut]) -> str:
    return listed(map(_line, items), _SHOWN, between="; ") + "."


def _line(item: LeftOut) -> str:
    return f"{path_text(item.path)} {item.reason}"

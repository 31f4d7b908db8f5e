"""The colours of source code, from a process that is ended when it takes too long.

Owns that process and what is asked of it. No colour is worth waiting for: a file whose colours do
not come in time is shown without, and is not asked about again.
"""

import contextlib
import json
import select
import subprocess
import sys
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from threading import Lock

from agent.review.pages.diff import Colours, ColourSpan, colourless
from agent.review.pages.patch_view import FileView, LineKind, LineView

_WAIT_S = 2.0
_TEXT_CHARACTERS = 400_000
_KEPT = 12
"""So many files' colours are kept."""

_Numbered = Mapping[int, Sequence[ColourSpan]]
_NOTHING: tuple[_Numbered, _Numbered] = ({}, {})


class Colouring:
    """Mutable: the process, and the files that it was asked about."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._worker: subprocess.Popen[bytes] | None = None
        self._end: Callable[[], object] = lambda: None
        self._known: OrderedDict[object, tuple[_Numbered, _Numbered]] = OrderedDict()

    def of(self, key: object, view: FileView, old: Sequence[str]) -> Colours:
        """The colours of a file's lines.

        Args:
            key: the same for the same file of the same patch.
            old: all lines of the old file, as they are shown; empty where they are not known.
        """
        with self._lock:
            if key not in self._known:
                self._known[key] = self._asked(view, old)
                while len(self._known) > _KEPT:
                    self._known.popitem(last=False)
            before, after = self._known[key]
        if not before and not after:
            return colourless

        def spans(line: LineView) -> Iterable[ColourSpan]:
            if line.kind is LineKind.REMOVED:
                return before.get(line.old or 0, ())
            return after.get(line.new or 0, ())

        return spans

    def close(self) -> None:
        """End the process."""
        self._worker = None
        self._end()

    def _start(self) -> "subprocess.Popen[bytes]":
        # Isolated: neither the environment nor the directory that we stand in gives it modules.
        worker = subprocess.Popen(
            [sys.executable, "-I", "-m", "agent.review.server.colour_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
        )
        self._worker = worker
        self._end = weakref.finalize(self, _end, worker)
        return worker

    def _asked(self, view: FileView, old: Sequence[str]) -> tuple[_Numbered, _Numbered]:
        sides = _old_lines(view, old), _new_lines(view, old)
        if any(sum(map(len, side.values())) > _TEXT_CHARACTERS for side in sides):
            return _NOTHING
        name = view.entry.path.rpartition("/")[2]
        found = []
        for side in sides:
            lines = self._lines(name, "\n".join(side.values())) if side else []
            found.append(dict(zip(side, lines, strict=False)))
        return found[0], found[1]

    def _lines(self, name: str, text: str) -> list[list[ColourSpan]]:
        asked = json.dumps({"name": name, "text": text}).encode() + b"\n"
        try:
            worker = self._worker or self._start()
            assert worker.stdin is not None
            assert worker.stdout is not None
            worker.stdin.write(asked)
            worker.stdin.flush()
            if not select.select([worker.stdout], [], [], _WAIT_S)[0]:
                raise TimeoutError
            lines = json.loads(worker.stdout.readline())
            if not isinstance(lines, list):
                raise TypeError
            return [[_span(one) for one in line] for line in lines]
        except (OSError, ValueError, TypeError):
            self.close()
            return []


def _end(worker: "subprocess.Popen[bytes]") -> None:
    worker.kill()
    with contextlib.suppress(OSError):
        worker.communicate()


def _span(value: object) -> ColourSpan:
    """What the process said, if it has the form; it may have been taken over."""
    match value:
        case [int() as start, int() as end, str() as kind] if 0 <= start < end:
            if len(kind) == 1 and kind.isalpha() and kind.isascii():
                return ColourSpan(start=start, end=end, kind=kind)
    raise ValueError("no span")


def _old_lines(view: FileView, old: Sequence[str]) -> dict[int, str]:
    if old:
        return dict(enumerate(old, start=1))
    return {line.old: line.text for hunk in view.hunks for line in hunk.lines if line.old}


def _new_lines(view: FileView, old: Sequence[str]) -> dict[int, str]:
    """What the new file has, as far as the patch and the old one tell it."""
    known = {line.new: line.text for hunk in view.hunks for line in hunk.lines if line.new}
    less, last = 0, 0
    for hunk in view.hunks:
        start = hunk.old_start + (0 if hunk.old_count else 1)
        for number in range(last + 1, min(start, len(old) + 1)):
            known[number + less] = old[number - 1]
        last = start + hunk.old_count - 1
        less += hunk.new_count - hunk.old_count
    for number in range(last + 1, len(old) + 1):
        known[number + less] = old[number - 1]
    return dict(sorted(known.items()))

"""Asking at a terminal which parts of a patch are taken, hunk by hunk, as ``git add -p`` does."""

from collections.abc import Callable, Sequence

from agent.interrupts import Interrupts
from agent.terminal.approval_prompt import answer
from agent.terminal.diff import print_patch
from agent.terminal.screen import Line, Screen
from agent.untrusted_text import path_text, shortened
from sandbox.patch.selection import MODE, FileDiff

_HELP = (
    "y  take this",
    "n  leave it",
    "a  take this and all that is left of the file",
    "d  leave this and all that is left of the file",
    "q  leave this and all that is left of the patch",
    "?  say this again",
)
_LONGEST = 400
"""Lines of one part that are shown."""
Chosen = dict[bytes, frozenset[int] | None]


class HunkPrompt:
    """Goes through a patch with a person. Mutable: it keeps what was answered."""

    def __init__(self, screen: Screen, ask: Callable[[str], str]) -> None:
        """Args:
        ask: shows a question and gives the answer; empty where there is none to come.
        """
        self._screen = screen
        self._ask = ask

    def __call__(self, files: Sequence[FileDiff]) -> Chosen:
        """What is taken, by file; a file of which nothing is taken is not in it."""
        chosen: Chosen = {}
        for number, file in enumerate(files, 1):
            title = shortened(path_text(file.path))
            self._screen.print(Line(f"{title}  ({number} of {len(files)})", "bold"))
            taken, goes_on = self._file(file)
            if taken is None or taken:
                chosen[file.path] = taken
            if not goes_on:
                break
        return chosen

    def _file(self, file: FileDiff) -> tuple[frozenset[int] | None, bool]:
        """What is taken of it, None for all, and whether more of the patch is asked about."""
        if not file.choices:
            print_patch(self._screen, file.raw, limit=_LONGEST)
            answer = self._answer("take this file? [y,n,q,?] ", "ynq")
            return (None if answer == "y" else frozenset()), answer != "q"
        taken: set[int] = set()
        for place, number in enumerate(file.choices):
            print_patch(self._screen, _text(file, number), limit=_LONGEST)
            what = "change of mode" if number == MODE else f"hunk {number}"
            answer = self._answer(f"take this {what}? [y,n,a,d,q,?] ", "ynadq")
            if answer in "ya":
                taken.add(number)
            if answer == "a":
                taken.update(file.choices[place:])
            if answer in "adq":
                return _whole(file, taken), answer != "q"
        return _whole(file, taken), True

    def _answer(self, question: str, known: str) -> str:
        while True:
            said = self._ask(question).strip().lower()
            if not said:
                return "q"
            if len(said) == 1 and said in known:
                return said
            for line in _HELP:
                if line[0] in f"{known}?":
                    self._screen.print(Line(line, "dim"))


def at_terminal(screen: Screen) -> HunkPrompt:
    interrupts = Interrupts()
    return HunkPrompt(screen, lambda question: answer(screen, interrupts, question))


def _whole(file: FileDiff, taken: set[int]) -> frozenset[int] | None:
    return None if taken == set(file.choices) else frozenset(taken)


def _text(file: FileDiff, number: int) -> bytes:
    if number == MODE:
        return b"".join(line for line in file.head if line.startswith((b"old mode", b"new mode")))
    hunk = file.hunks[number - 1]
    return b"".join([hunk.header, *hunk.lines])

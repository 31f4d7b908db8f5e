"""Which step of a run wrote each line that a patch adds, and took out each that it removes.

Owns turning the versions of one file into a line of commits in a private store, and git's answer
about them. Knows steps as numbers, and no record.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from policies.frozen import dataclass
from sandbox.git.run import run_git
from sandbox.git.store import Store

UNKNOWN = -1
"""In place of a step: something between steps, or in one that was not followed."""

_BLAMED = re.compile(rb"([0-9a-f]{40}) (\d+) (\d+)(?: \d+)?")
_HUNK = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@.*")
_PLAIN = ("--no-color", "--no-ext-diff", "--no-textconv", "--no-indent-heuristic")
_NAME = b"file"
_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """The content of a file after a step."""

    step: int
    blob: str | None
    """None: no such file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthoredLine:
    sign: str
    """``+`` or ``-``."""
    number: int
    """From 1; in the new file for ``+``, in the old one for ``-``."""
    step: int
    text: bytes
    """Without its newline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hunk:
    old_start: int
    new_start: int
    lines: tuple[AuthoredLine, ...]

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps that wrote it, in order; the last one is the last that did."""
        return tuple(sorted({line.step for line in self.lines}))


def hunks(
    store: Store, *, base: str | None, versions: Sequence[Version], final: str | None
) -> tuple[Hunk, ...] | None:
    """The hunks from `base` to `final`, each line with the step that wrote it.

    Args:
        base, final: blobs in the store; None: no such file.
        versions: what the steps made of it, in order; the content of each in the store.

    Gives None for a binary file. Raises `PatchError` where git fails.
    """
    history = _History(store, base, versions, final)
    parts = differences(store.directory, history.blobs[0], history.blobs[-1])
    if not parts:
        return None if parts is None else ()
    # One step did it all: most files are like that, and git need not be asked about them.
    simple = len(history.blobs) <= 2
    added = {} if simple else history.added()
    removed = {} if simple else history.removed()
    found = []
    for old_start, new_start, old_lines, new_lines in parts:
        rows = [("-", number, removed, text) for number, text in enumerate(old_lines, old_start)]
        rows += [("+", number, added, text) for number, text in enumerate(new_lines, new_start)]
        known = [step for _, number, steps, _ in rows if (step := steps.get(number)) is not None]
        # Where equal lines stand in several places, going step by step can match them otherwise
        # than the whole difference does: such a line goes with the others of its hunk.
        otherwise = max(known, default=history.steps[-1])
        lines = tuple(
            AuthoredLine(sign=sign, number=number, step=steps.get(number, otherwise), text=text)
            for sign, number, steps, text in rows
        )
        found.append(Hunk(old_start=old_start, new_start=new_start, lines=lines))
    return tuple(found)


class _History:
    """One file's versions as commits of a file with a fixed name: paths play no part."""

    def __init__(
        self, store: Store, base: str | None, versions: Sequence[Version], final: str | None
    ) -> None:
        self._directory = store.directory
        nothing = store.put((), 0)
        self.steps = [UNKNOWN]
        """What each commit came from; the first one is the baseline, which nobody wrote."""
        self.blobs = [base or nothing]
        for version in versions:
            blob = version.blob or nothing
            if blob in store and blob != self.blobs[-1]:
                self.blobs.append(blob)
                self.steps.append(version.step)
        if (final or nothing) != self.blobs[-1]:
            self.blobs.append(final or nothing)
            self.steps.append(UNKNOWN)
        self._commits: list[str] = []
        self._step_of: dict[str, int] = {}
        if len(self.blobs) > 2:
            self._commit(store)

    def _commit(self, store: Store) -> None:
        for number, blob in enumerate(self.blobs):
            tree = store.put_tree(b"100644 %s\0%s" % (_NAME, bytes.fromhex(blob)))
            parent = f"parent {self._commits[-1]}\n" if self._commits else ""
            # The time makes two commits of one tree two commits.
            who = f"moonpool <> {number} +0000"
            text = f"tree {tree}\n{parent}author {who}\ncommitter {who}\n\nstep\n"
            self._commits.append(store.put_commit(text.encode()))
        self._step_of = dict(zip(self._commits[1:], self.steps[1:], strict=True))

    def added(self) -> dict[int, int]:
        """For each line of the last version, the step that it came with."""
        found = self._blame(self._commits[-1])
        return {
            line: self._step_of[commit] for line, commit in found.items() if commit in self._step_of
        }

    def removed(self) -> dict[int, int]:
        """For each line of the first version, the step that took it out."""
        if len(self._commits) == 1:
            return {}
        # Reversed, git names the last commit that still has the line.
        found = self._blame("--reverse", f"{self._commits[0]}..{self._commits[-1]}")
        after = dict(zip(self._commits, self._commits[1:], strict=False))
        return {
            line: self._step_of[after[commit]] for line, commit in found.items() if commit in after
        }

    def _blame(self, *arguments: str) -> Mapping[int, str]:
        out = run_git(
            self._directory,
            ("blame", "--porcelain", "-s", *arguments, "--", _NAME.decode()),
            timeout_s=_TIMEOUT_S,
        )
        # A line of content begins with a tab, so it can't pass for one of git's own.
        rows = filter(None, map(_BLAMED.fullmatch, out.split(b"\n")))
        return {int(row[3]): row[1].decode() for row in rows}


_Row = tuple[int, int, list[bytes], list[bytes]]


def differences(directory: Path, old: str, new: str) -> list[_Row] | None:
    """Hunks without context: where they start, lines that went, lines that came; None: binary."""
    out = run_git(directory, ("diff", *_PLAIN, "-U0", old, new), timeout_s=_TIMEOUT_S)
    found: list[_Row] = []
    for line in out.split(b"\n"):
        match = _HUNK.fullmatch(line)
        if match:
            # Where nothing went or came, git names the line before.
            old_start = int(match[1]) + (match[2] == b"0")
            new_start = int(match[3]) + (match[4] == b"0")
            found.append((old_start, new_start, [], []))
        elif not found:
            if line.startswith(b"Binary files "):
                return None
        elif line.startswith(b"-"):
            found[-1][2].append(line[1:])
        elif line.startswith(b"+"):
            found[-1][3].append(line[1:])
    return found

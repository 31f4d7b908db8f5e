"""What came of going back to a mark, by a new look and not by what the guest says of its work."""

import stat
from collections.abc import Mapping

from policies.frozen import dataclass
from sandbox.git.manifest import ManifestEntry
from sandbox.link import GuestLink
from sandbox.patch.values import LeftOut, LeftOutKind, bounded, special
from sandbox.restore.comparison import MarkComparison, RestorePlan, entries_now
from sandbox.tracking import USUAL_MODE, Restored, folders_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The state after everything was done that could be."""

    compared: MarkComparison
    """The mark and what a look afterwards found."""
    link: GuestLink
    modes: Mapping[bytes, int]
    """Permission bits that were to be put."""
    refused: Mapping[bytes, str]
    """Why a path could not be put back, where that is known."""

    def restored(self, plan: RestorePlan, *, ended: int) -> Restored:
        """Compare with the mark, and have the follower go on from here."""
        compared, mark = self.compared, self.compared.mark
        changes = compared.changes
        paths = list(compared.paths())
        now = entries_now(
            self.link,
            {p for p in paths if p in changes.candidates and not compared.same_time(p)},
        )
        state: dict[bytes, ManifestEntry | None] = {}
        times = dict(changes.times)
        missed: set[bytes] = set()
        differing: list[LeftOut] = []
        for path in paths:
            target = compared.target(path)
            if path in mark.missed:
                if path in changes.candidates:
                    missed.add(path)
                state[path] = compared.baseline(path) if compared.stands(path) else None
                continue
            if compared.same_time(path):
                state[path] = target
                continue
            state[path] = now.get(path)
            if path not in changes.candidates and path not in changes.deleted:
                state[path] = compared.baseline(path)
            if state[path] != target:
                times.pop(path, None)
                differing.append(LeftOut(path=path, reason=self._why(path, state[path], target)))
            elif target is not None and not compared.has_mode(path, target, self.modes):
                mode = stat.S_IMODE(changes.modes.get(path, 0))
                reason = f"has mode {mode:o} and had {self.modes[path]:o}"
                differing.append(LeftOut(path=path, reason=reason, kind=LeftOutKind.MODE))
        differing += self._folders_differing()
        wrong = {item.path for item in differing}
        compared.follower.moved(
            {path: entry for path, entry in state.items() if path not in wrong},
            {path: time for path, time in times.items() if path in state and path not in wrong},
            frozenset(missed),
        )
        return Restored(
            back=tuple(path for path in sorted(plan.put) if path not in wrong),
            removed=tuple(path for path in sorted(plan.remove) if path not in wrong),
            ended=ended,
            left=tuple(bounded(plan.left + self._left())),
            differing=tuple(sorted(differing, key=lambda item: item.path)),
        )

    def _why(self, path: bytes, now: ManifestEntry | None, target: ManifestEntry | None) -> str:
        words = "should be gone" if target is None else "is not as it was"
        if now is None:
            words = "is gone"
        because = self.refused.get(path)
        return f"{words} ({because})" if because else words

    def _folders_differing(self) -> list[LeftOut]:
        then = self.compared.mark.folders
        if then is None:
            return []
        now = folders_of(self.link)
        repositories = [path for path, folder in now.items() if folder.repository]
        found = []
        for path in sorted({*then, *now}):
            mode = now[path].mode if path in now else USUAL_MODE
            had = then[path].mode if path in then else USUAL_MODE
            if mode != had:
                found.append(LeftOut(path=path, reason=f"has mode {mode:o} and had {had:o}"))
            elif path in then and then[path].empty and not (path in now and now[path].empty):
                if not any(top == path or top.startswith(path + b"/") for top in repositories):
                    found.append(LeftOut(path=path, reason="was an empty directory"))
            elif path in now and now[path].empty and not (path in then and then[path].empty):
                found.append(LeftOut(path=path, reason="is an empty directory, and was none"))
        return found

    def _left(self) -> list[LeftOut]:
        """What has changed since the mark, and is nothing that is gone back."""
        follower, changes = self.compared.follower, self.compared.changes
        mark = self.compared.mark
        then = mark.ignored
        now = follower.ignored_times(changes)
        found = []
        for path in {*then, *now}:
            if then.get(path) != now.get(path):
                gone = not now.get(path)
                words = "is gone for good: it was" if gone else "is as it is now: it is"
                found.append(LeftOut(path=path, reason=f"{words} ignored"))
        found += self._repositories()
        odd = follower.special(changes)
        lost = mark.special - odd
        found += [LeftOut(path=path, reason="was a socket, pipe or device") for path in lost]
        modes = mark.modes
        other = {p for p in odd if stat.S_IMODE(changes.modes.get(p, 0)) != modes.get(p)}
        found += map(special, other)
        return found

    def _repositories(self) -> list[LeftOut]:
        """Repositories that came or went: what is in them is not followed."""
        if self.compared.mark.folders is None:
            return []
        then, now = (
            {path for path, folder in folders.items() if folder.repository}
            for folders in (self.compared.mark.folders, folders_of(self.link))
        )
        return [
            LeftOut(
                path=path + b"/.git" if path else b".git",
                reason="is gone for good" if path in then else "is as it is now",
            )
            for path in then ^ now
        ]

"""Going back to a mark: what is to be done, having the guest do it, and a look whether it did.

plan ─► everything that runs is ended ─► content gathered ─► removed, put, directories ─► new look

Processes are ended and not only held: one that went on afterwards, with files open and a state of
its own from after the mark, would undo the undoing. What the guest says of its work counts for
nothing; the look afterwards does, as it does for a patch. Owns exactness for what a patch can
carry; everything else that has changed since the mark is named, and stays.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.container.session import Session
from sandbox.errors import NotKept, PatchError, SandboxLost
from sandbox.export import baseline_files, guest_changes
from sandbox.export.export import temporary_directory
from sandbox.git.manifest import EXECUTABLE, SYMLINK, Manifest, ManifestEntry
from sandbox.git.pack import PackedStore
from sandbox.git.path_rules import carried
from sandbox.git.store import Store
from sandbox.guest.wire import PIECE
from sandbox.link.connection import GuestLink, Value
from sandbox.patch.left_out import SPECIAL, bounded
from sandbox.patch.values import LeftOut
from sandbox.restore.mark import Mark, MarkedDirectory, Restored
from sandbox.restore.tracking import Follower, folders_of
from sandbox.workspace.snapshot import Snapshot

_BATCH_ROWS = 500
_BATCH_BYTES = 1 << 19
_LOOK_FILE_BYTES = 256 << 20
_LOOK_TOTAL_BYTES = 1 << 32
_COMPARED = 5_000
"""Files that only may have changed, at most: of more, all are put again without a look first."""
_USUAL = 0o755
TOO_LARGE = "was too large to be kept, and is as it is now"
DAMAGED = "its kept content is gone or was changed since"

_ERRORS = {13: "permission denied", 28: "no space left on the disk", 36: "its name is too long"}


def restore(
    session: Session, follower: Follower, mark: Mark, *, copied: Snapshot, workspace: Path
) -> Restored:
    """Put the workspace copy back to what it was at a mark that `require` takes.

    Raises:
        SandboxLost: the guest does not come back; what stands is between now and the mark.
        PatchError, EngineError: the baseline's files can't be had; nothing was touched but
            processes, which were ended.
    """
    going = _Going(session, follower, mark, copied, workspace)
    try:
        return going.back()
    except SandboxLost as lost:
        # All of it again, with a guest that lives; what was done already shows as done.
        session.revive(lost)
        return going.back()


def require(mark: Mark) -> None:
    """Raises `NotKept` where the mark tells nothing that could be gone back to."""
    if mark.unkept is not None:
        raise NotKept(f"there is nothing to go back to: {mark.unkept}")
    for path in (*mark.changed, *filter(None, mark.folders or ())):
        if not carried(path):
            raise NotKept(f"the mark holds what is no path in a workspace: {path!r:.200}")


@dataclass(slots=True, kw_only=True)
class _Plan:
    remove: list[bytes] = field(default_factory=list)
    put: dict[bytes, ManifestEntry] = field(default_factory=dict)
    left: list[LeftOut] = field(default_factory=list)


class _Digests(Store):
    """Takes contents for their ids only: nothing is kept."""

    def __init__(self) -> None:
        pass

    def put(self, chunks: Iterable[bytes], size: int) -> str:
        return _digest(chunks, size)


class _Going:
    def __init__(
        self,
        session: Session,
        follower: Follower,
        mark: Mark,
        copied: Snapshot,
        workspace: Path,
    ) -> None:
        self._session = session
        self._follower = follower
        self._mark = mark
        self._copied = copied
        self._workspace = workspace
        self._ended = 0
        self._modes: dict[bytes, int] = {}
        """Permission bits of what is put; of the baseline's files too."""
        self._refused: dict[bytes, str] = {}

    @property
    def _link(self) -> GuestLink:
        return self._session.link

    @property
    def _manifest(self) -> Manifest:
        return self._follower.manifest()

    def back(self) -> Restored:
        match self._session.ask("freeze"):
            case [int() as ended]:
                self._ended += max(ended, 0)
            case _:
                raise SandboxLost("the guest's answer to a freeze is malformed")
        changes = self._look()
        plan = self._planned(changes)
        before = folders_of(self._link)
        with temporary_directory() as room:
            kept = self._gathered(plan, PackedStore(room / "store"))
            self._drop_what_is_as_it_was(plan, changes)
            self._act("remove", [[path] for path in plan.remove])
            for batch in _batches(self._rows(plan, kept)):
                self._act("put", batch)
        self._order_folders(before)
        return self._checked(plan)

    # -- what is to be done ----------------------------------------------------------------

    def _look(self) -> guest_changes.FoundChanges:
        seal = self._session.started.seal
        return guest_changes.from_guest(
            self._link, self._follower.manifest, times_tell=seal.moves_copy
        )

    def _target(self, path: bytes) -> ManifestEntry | None:
        changed = self._mark.changed
        return changed[path] if path in changed else self._manifest.entries.get(path)

    def _same_time(self, changes: guest_changes.FoundChanges, path: bytes) -> bool:
        then = self._mark.times.get(path)
        return then is not None and changes.times.get(path) == then

    def _stands(self, changes: guest_changes.FoundChanges, path: bytes) -> bool:
        there = path in self._manifest.entries and path not in changes.deleted
        return path in changes.candidates or there

    def _paths(self, changes: guest_changes.FoundChanges) -> Iterator[bytes]:
        """Everything that may be otherwise than at the mark, and could be gone back."""
        mark = self._mark
        for path in sorted({*changes.candidates, *changes.deleted, *mark.changed, *mark.missed}):
            if path in mark.changed or self._follower.ignored(path) is None:
                yield path

    def _planned(self, changes: guest_changes.FoundChanges) -> _Plan:
        plan = _Plan()
        for path in self._paths(changes):
            if self._same_time(changes, path):
                continue
            if path in self._mark.missed:
                plan.left.append(LeftOut(path=path, reason=TOO_LARGE))
                continue
            target = self._target(path)
            if target is not None:
                plan.put[path] = target
            elif self._stands(changes, path):
                plan.remove.append(path)
        plan.remove += self._follower.special(changes) - self._mark.special
        return plan

    def _gathered(self, plan: _Plan, originals_store: Store) -> Mapping[bytes, Store]:
        """Where the content of each path is that is to be put; all of it is there, and checked."""
        changed = self._mark.changed
        old = {path: entry for path, entry in plan.put.items() if path not in changed}
        session = self._session
        self._modes = baseline_files.bring(
            session.engine, self._copied, originals_store, old, self._workspace
        )
        kept = Store(self._mark.store)
        stores: dict[bytes, Store] = dict.fromkeys(old, originals_store)
        for path, entry in sorted(plan.put.items()):
            if path in old:
                continue
            if not _holds(kept, entry):
                # What stands there is not touched: better the newer one than none.
                del plan.put[path]
                self._refused[path] = DAMAGED
                continue
            stores[path] = kept
            self._modes[path] = _USUAL if entry.mode == EXECUTABLE else 0o644
        self._modes |= self._mark.modes
        return stores

    def _drop_what_is_as_it_was(self, plan: _Plan, changes: guest_changes.FoundChanges) -> None:
        """A file that was only touched, or put back by the agent itself, is left alone."""
        there = {path for path in plan.put if path in changes.times}
        if len(there) > _COMPARED:
            return
        for path, entry in self._fetched(there).items():
            if entry == plan.put[path] and self._right_mode(changes, path, entry):
                del plan.put[path]

    def _right_mode(
        self, changes: guest_changes.FoundChanges, path: bytes, entry: ManifestEntry
    ) -> bool:
        if entry.mode == SYMLINK:
            return True
        wanted = self._modes.get(path)
        return wanted is None or changes.modes.get(path, 0) & 0o7777 == wanted

    def _fetched(self, paths: set[bytes]) -> dict[bytes, ManifestEntry]:
        found, _ = guest_changes.fetch(
            self._link,
            paths,
            _Digests(),
            limit_bytes=_LOOK_FILE_BYTES,
            total_bytes=_LOOK_TOTAL_BYTES,
        )
        return {path: entry for path, entry in found.items() if entry is not None}

    # -- doing it --------------------------------------------------------------------------

    def _act(self, what: str, rows: list[list[Value]]) -> None:
        """Have the guest do something with each row, which begins with a path."""
        for batch in _batches(iter(rows)):
            match self._link.ask("restore", what.encode(), list(batch)):
                case [list() as failed]:
                    for row in failed:
                        match row:
                            case [int() as at, int() as number] if 0 <= at < len(batch):
                                path = batch[at][0]
                                assert isinstance(path, bytes)
                                reason = _ERRORS.get(number, f"error {number}")
                                self._refused[path] = f"the sandbox refused it: {reason}"
                            case _:
                                raise SandboxLost("the guest's answer to a restore is malformed")
                case _:
                    raise SandboxLost("the guest's answer to a restore is malformed")

    def _rows(self, plan: _Plan, stores: Mapping[bytes, Store]) -> Iterator[list[Value]]:
        for path, entry in sorted(plan.put.items()):
            mode: int = SYMLINK if entry.mode == SYMLINK else self._modes[path]
            offset = 0
            for piece in _pieces(stores[path].read(entry.blob)):
                yield [path, mode, piece, offset]
                offset += len(piece)
            if not offset:
                yield [path, mode, b"", 0]

    def _order_folders(self, before: Mapping[bytes, MarkedDirectory]) -> None:
        """Have the mark's empty directories there and no other new ones, with their modes."""
        wanted = before if self._mark.folders is None else self._mark.folders
        empty = {path for path, folder in wanted.items() if folder.empty}
        now = folders_of(self._link)
        doomed: set[bytes] = set()
        for path in (path for path, folder in now.items() if folder.empty):
            while path and path not in empty and path not in doomed:
                doomed.add(path)
                path = path.rpartition(b"/")[0]  # noqa: PLW2901 - upwards
        self._act("remove_folder", [[path] for path in sorted(doomed, reverse=True)])
        self._act("make_folder", [[path] for path in sorted(empty - now.keys())])
        now = folders_of(self._link)
        modes = {path: folder.mode for path, folder in wanted.items()}
        rows: list[list[Value]] = [
            [path, mode]
            for path in sorted({*now, *wanted}, reverse=True)
            if (mode := modes.get(path, _USUAL)) != (now[path].mode if path in now else _USUAL)
        ]
        self._act("mode_folder", rows)

    # -- what came of it -------------------------------------------------------------------

    def _checked(self, plan: _Plan) -> Restored:
        """Look anew, whatever the guest said of its work; and go on following from there."""
        mark, baseline = self._mark, self._manifest.entries
        changes = self._look()
        paths = list(self._paths(changes))
        fetched = self._fetched(
            {
                path
                for path in paths
                if path in changes.candidates and not self._same_time(changes, path)
            }
        )
        state: dict[bytes, ManifestEntry | None] = {}
        times = dict(changes.times)
        missed: set[bytes] = set()
        differing: list[LeftOut] = []
        for path in paths:
            target = self._target(path)
            if path in mark.missed:
                if path in changes.candidates:
                    missed.add(path)
                state[path] = baseline.get(path) if self._stands(changes, path) else None
                continue
            if self._same_time(changes, path):
                state[path] = target
                continue
            state[path] = fetched.get(path)
            if path not in changes.candidates and path not in changes.deleted:
                state[path] = baseline.get(path)
            if state[path] != target:
                times.pop(path, None)
                differing.append(LeftOut(path=path, reason=self._why(path, state[path], target)))
            elif target is not None and not self._right_mode(changes, path, target):
                mode = changes.modes.get(path, 0) & 0o7777
                reason = f"has mode {mode:o} and had {self._modes[path]:o}"
                differing.append(LeftOut(path=path, reason=reason))
        differing += self._folders_differing()
        wrong = {item.path for item in differing}
        self._follower.moved(
            {path: entry for path, entry in state.items() if path not in wrong},
            {path: time for path, time in times.items() if path in state and path not in wrong},
            frozenset(missed),
        )
        return Restored(
            back=tuple(path for path in sorted(plan.put) if path not in wrong),
            removed=tuple(path for path in sorted(plan.remove) if path not in wrong),
            ended=self._ended,
            left=tuple(bounded(plan.left + self._left(changes))),
            differing=tuple(sorted(differing, key=lambda item: item.path)),
        )

    def _why(self, path: bytes, now: ManifestEntry | None, target: ManifestEntry | None) -> str:
        words = "should be gone" if target is None else "is not as it was"
        if now is None:
            words = "is gone"
        because = self._refused.get(path)
        return f"{words} ({because})" if because else words

    def _folders_differing(self) -> list[LeftOut]:
        then = self._mark.folders
        if then is None:
            return []
        now = folders_of(self._link)
        repositories = [path for path, folder in now.items() if folder.repository]
        found = []
        for path in sorted({*then, *now}):
            mode = now[path].mode if path in now else _USUAL
            had = then[path].mode if path in then else _USUAL
            if mode != had:
                found.append(LeftOut(path=path, reason=f"has mode {mode:o} and had {had:o}"))
            elif path in then and then[path].empty and not (path in now and now[path].empty):
                if not any(top == path or top.startswith(path + b"/") for top in repositories):
                    found.append(LeftOut(path=path, reason="was an empty directory"))
            elif path in now and now[path].empty and not (path in then and then[path].empty):
                found.append(LeftOut(path=path, reason="is an empty directory, and was none"))
        return found

    def _left(self, changes: guest_changes.FoundChanges) -> list[LeftOut]:
        """What has changed since the mark, and is nothing that is gone back."""
        follower, then = self._follower, self._mark.ignored
        now = follower.ignored_times(changes)
        found = []
        for path in {*then, *now}:
            if then.get(path) != now.get(path):
                gone = not now.get(path)
                words = "is gone for good: it was" if gone else "is as it is now: it is"
                found.append(LeftOut(path=path, reason=f"{words} ignored"))
        found += self._repositories()
        special = follower.special(changes)
        lost = self._mark.special - special
        found += [LeftOut(path=path, reason="was a socket, pipe or device") for path in lost]
        modes = self._mark.modes
        other = {p for p in special if changes.modes.get(p, 0) & 0o7777 != modes.get(p)}
        found += [LeftOut(path=path, reason=SPECIAL) for path in other]
        return found

    def _repositories(self) -> list[LeftOut]:
        """Those of git's own directories that came or went: what is in them is not followed."""
        if self._mark.folders is None:
            return []
        then, now = (
            {path for path, folder in folders.items() if folder.repository}
            for folders in (self._mark.folders, folders_of(self._link))
        )
        return [
            LeftOut(
                path=path + b"/.git" if path else b".git",
                reason="is gone for good" if path in then else "is as it is now",
            )
            for path in then ^ now
        ]


def _holds(store: Store, entry: ManifestEntry) -> bool:
    """Whether the store has the content, whole and with the id that it goes by."""
    try:
        return store.size(entry.blob) == entry.size and entry.blob == _digest(
            store.read(entry.blob), entry.size
        )
    except PatchError:
        return False


def _digest(chunks: Iterable[bytes], size: int) -> str:
    """As `Store.put` would name it. Raises `PatchError` for another size than said."""
    digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    total = 0
    for chunk in chunks:
        total += len(chunk)
        digest.update(chunk)
    if total != size:
        raise PatchError(f"a file of {size} bytes was announced and {total} came.")
    return digest.hexdigest()


def _pieces(chunks: Iterator[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        for at in range(0, len(chunk), PIECE):
            yield chunk[at : at + PIECE]


def _batches(rows: Iterator[list[Value]]) -> Iterator[list[list[Value]]]:
    """Rows in lists that each fit in a frame."""
    batch: list[list[Value]] = []
    total = 0
    for row in rows:
        size = 16 + sum(len(value) if isinstance(value, bytes) else 16 for value in row)
        if batch and (total + size > _BATCH_BYTES or len(batch) >= _BATCH_ROWS):
            yield batch
            batch, total = [], 0
        batch.append(row)
        total += size
    if batch:
        yield batch

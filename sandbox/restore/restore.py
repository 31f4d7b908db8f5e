"""Going back to a mark: everything is ended, what is to be done is done, and a look tells whether.

Processes are ended and not only held: one that went on afterwards, with files open and a state of
its own from after the mark, would undo the undoing. What the guest says of its work counts for
nothing; the look afterwards does, as it does for a patch. Owns exactness for what a patch can
carry; everything else that has changed since the mark is named, and stays.
"""

from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path

from policies.frozen import dataclass
from sandbox.container import placement
from sandbox.container.session import Session
from sandbox.errors import NotKept, PatchError, SandboxLost
from sandbox.export import baseline_files, guest_changes
from sandbox.export.baseline_files import working_directory
from sandbox.git.manifest import EXECUTABLE, SYMLINK, ManifestEntry
from sandbox.git.pack import PackedStore
from sandbox.git.path_rules import carried
from sandbox.git.store import Store
from sandbox.guest.protocol import (
    FolderMode,
    Freeze,
    Frozen,
    MakeFolders,
    PutFile,
    PutFiles,
    RemoveFiles,
    RemoveFolders,
    SetFolderModes,
)
from sandbox.link import GuestLink
from sandbox.restore.comparison import MarkComparison, RestorePlan, digest, entries_now
from sandbox.restore.outcome import Outcome
from sandbox.tracking import (
    USUAL_MODE,
    Follower,
    Mark,
    MarkedDirectory,
    Restored,
    folders_of,
)
from sandbox.workspace.snapshot import Snapshot

_COMPARED = 5_000
"""Files that only may have changed, at most: of more, all are put again without a look first."""


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


@dataclass(slots=True)
class _Going:
    _session: Session
    _follower: Follower
    _mark: Mark
    _copied: Snapshot
    _workspace: Path
    _ended: int = 0
    _modes: dict[bytes, int] = field(default_factory=dict)
    """Permission bits of what is put; of the baseline's files too."""
    _refused: dict[bytes, str] = field(default_factory=dict)
    """Why a path could not be put back."""

    @property
    def _link(self) -> GuestLink:
        return self._session.link

    def back(self) -> Restored:
        self._ended += max(self._session.ask(Freeze(), Frozen).ended, 0)
        compared = self._compared()
        plan = compared.plan()
        before = folders_of(self._link)
        with working_directory() as directory:
            kept = self._gathered(plan, PackedStore(directory / "store"))
            self._drop_what_is_as_it_was(plan, compared)
            self._note(placement.place(self._link, RemoveFiles, plan.remove))
            self._note(placement.place(self._link, PutFiles, self._pieces(plan, kept)))
        self._order_folders(before)
        outcome = Outcome(
            compared=self._compared(), link=self._link, modes=self._modes, refused=self._refused
        )
        return outcome.restored(plan, ended=self._ended)

    def _compared(self) -> MarkComparison:
        seal = self._session.started.seal
        changes = guest_changes.from_guest(
            self._link, self._follower.manifest, times_tell=seal.moves_copy
        )
        return MarkComparison(mark=self._mark, follower=self._follower, changes=changes)

    def _gathered(self, plan: RestorePlan, originals_store: Store) -> Mapping[bytes, Store]:
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
                self._refused[path] = "its kept content is gone or was changed since"
                continue
            stores[path] = kept
            self._modes[path] = USUAL_MODE if entry.mode == EXECUTABLE else 0o644
        self._modes |= self._mark.modes
        return stores

    def _drop_what_is_as_it_was(self, plan: RestorePlan, compared: MarkComparison) -> None:
        """A file that was only touched, or put back by the agent itself, is left alone."""
        there = {path for path in plan.put if path in compared.changes.times}
        if len(there) > _COMPARED:
            return
        for path, entry in entries_now(self._link, there).items():
            if entry == plan.put[path] and compared.has_mode(path, entry, self._modes):
                del plan.put[path]

    def _note(self, failures: placement.Failures) -> None:
        for path, number in failures.items():
            self._refused[path] = f"the sandbox refused it: {placement.error_text(number).lower()}"

    def _pieces(self, plan: RestorePlan, stores: Mapping[bytes, Store]) -> Iterator[PutFile]:
        for path, entry in sorted(plan.put.items()):
            mode = SYMLINK if entry.mode == SYMLINK else self._modes[path]
            yield from placement.pieces(path, mode, stores[path].read(entry.blob))

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
        self._note(placement.place(self._link, RemoveFolders, sorted(doomed, reverse=True)))
        self._note(placement.place(self._link, MakeFolders, sorted(empty - now.keys())))
        now = folders_of(self._link)
        modes = {path: folder.mode for path, folder in wanted.items()}
        folders = [
            FolderMode(path=path, mode=mode)
            for path in sorted({*now, *wanted}, reverse=True)
            if (mode := modes.get(path, USUAL_MODE))
            != (now[path].mode if path in now else USUAL_MODE)
        ]
        self._note(placement.place(self._link, SetFolderModes, folders))


def _holds(store: Store, entry: ManifestEntry) -> bool:
    """Whether the store has the content, whole and with the id that it goes by."""
    try:
        return store.size(entry.blob) == entry.size and entry.blob == digest(
            store.read(entry.blob), entry.size
        )
    except PatchError:
        return False

"""The way out: changed paths, those that belong in a patch, both sides' bytes, patch and proof.

Owns the order of these steps and what happens when the guest no longer answers. What belongs in a
patch is decided by the baseline's ignore rules and by the policy.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum, auto
from pathlib import Path

from policies.frozen import dataclass
from policies.paths import WORKSPACE, normal
from policies.policy import Policy
from sandbox.container.opening import StartedContainer
from sandbox.engine.docker import Engine
from sandbox.errors import FileError, PatchError, SandboxError, SandboxLost
from sandbox.export import baseline_files, guest_changes
from sandbox.export.baseline_files import NoSpace, working_directory
from sandbox.git.ignore import IgnoreRules, OperatorPatterns
from sandbox.git.manifest import Manifest, ManifestEntry, Trees
from sandbox.git.pack import PackedStore
from sandbox.git.store import Store
from sandbox.guest.protocol import Done, Freeze, Frozen, GoOn, Pause
from sandbox.link import GuestLink
from sandbox.patch import baseline
from sandbox.patch.make import make_patch
from sandbox.patch.values import LeftOut, LeftOutKind, Patch, bounded
from sandbox.threads import Background
from sandbox.workspace.snapshot import Snapshot


def selected(
    changed: Mapping[bytes, ManifestEntry | None],
    found: list[LeftOut],
    manifest: Manifest,
    policy: Policy,
    not_copied: Sequence[LeftOut],
) -> tuple[dict[bytes, ManifestEntry | None], list[LeftOut]]:
    """The changes that belong in the patch, and all that is left out of it.

    Args:
        changed: new entries by path; None: gone.
        found: what was left out before.
        manifest: the baseline, whose ignore rules count.
        not_copied: what of the workspace was not copied in.
    """
    rules = IgnoreRules(manifest, policy.export.ignore, policy.export.include)
    exclude = OperatorPatterns(policy.workspace.exclude)
    there = (LeftOutKind.UNUSABLE, LeftOutKind.BORROWED)
    known = {item.path: item for item in not_copied if item.kind not in there}
    writable = _writable(policy)
    kept: dict[bytes, ManifestEntry | None] = {}
    left_out = _without_ignored(found, rules)
    for path, entry in changed.items():
        if path.rpartition(b"/")[2] == b".git":
            continue  # what a submodule has in place of a repository: no patch carries either
        reason = rules.ignored(path)
        if reason is None and exclude.cover(path):
            reason = "excluded by the policy"
        if reason is None and (hidden := _covering(path, known)) is not None:
            # The patch can't be made against what stands on the host.
            why = "stands below" if hidden.kind is LeftOutKind.PREPARED else "was not copied in, as"
            reason = f"{why} {os.fsdecode(hidden.path)}, which {hidden.reason}"
        if reason is None and not writable(path):
            # Landlock holds content and names; a mode or an extended attribute it does not.
            reason = "outside of what the policy lets be written"
        if reason is None:
            kept[path] = entry
        elif entry is not None or path in manifest.entries:
            left_out.append(LeftOut(path=path, reason=reason, kind=LeftOutKind.RULE))
    left_out += [LeftOut(path=b".gitignore", reason=note) for note in rules.notes]
    return kept, left_out


def _covering(path: bytes, known: Mapping[bytes, LeftOut]) -> LeftOut | None:
    while path and path not in known:
        path = path.rpartition(b"/")[0]
    return known.get(path)


def _without_ignored(found: list[LeftOut], rules: IgnoreRules) -> list[LeftOut]:
    """What was left out, without the notes on modes and empty directories that are ignored."""
    empty, odd, rest = [], [], []
    for item in found:
        if item.kind is LeftOutKind.EMPTY_DIRECTORY:
            empty += [item] if rules.ignored(item.path + b"/.") is None else []
        elif item.kind is LeftOutKind.MODE:
            odd += [item] if rules.ignored(item.path) is None else []
        else:
            rest.append(item)
    return [*rest, *bounded(empty), *bounded(odd)]


def _writable(policy: Policy) -> Callable[[bytes], bool]:
    tops = [os.fsencode(normal(entry)) for entry in policy.paths.write]

    def writable(path: bytes) -> bool:
        full = WORKSPACE.encode() + b"/" + path
        return any(top in {full, b"/"} or full.startswith(top + b"/") for top in tops)

    return writable


_FILE_LIMIT_BYTES = 256 << 20
"""A larger file does not go into a patch at all, whatever the policy's export.max_bytes."""


_NO_OLD_SIDE = "changed, and what it was before is gone with the copy of the workspace"

_Found = tuple[dict[bytes, ManifestEntry | None], dict[bytes, ManifestEntry], list[LeftOut]]
"""New entries of changed paths (None: gone), their bytes in the store. Then what was looked at and
has the id that it had, and what was left out."""


class Still(Enum):
    """What has the files stand still while they are read."""

    ENDED = auto()
    """All that runs is ended. Where the guest does not answer, the engine reads the files."""
    PAUSED = auto()
    """All that runs waits, and goes on afterwards. Nothing but the guest is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exporter:
    """What patches of one workspace copy are made by, and where they are put."""

    engine: Engine
    copied: Snapshot
    manifest: Callable[[], Manifest]
    """Gives what was copied in; called from a thread."""
    policy: Policy
    workspace: Path
    keep_old: Path | None = None
    """A directory to be made, for the old side of the changed files (`baseline`)."""
    spare: Path | None = None
    """Where to work when the temporary directory can't be written."""
    compared: frozenset[bytes] = frozenset()
    """Names of files that a review compares (`sandbox.patch.values`)."""

    def of_container(self, started: StartedContainer, still: Still = Still.ENDED) -> Patch:
        """Make the patch from what stands in the container now.

        Raises:
            SandboxLost: neither the guest nor the engine can say.
            PatchError: the patch can't be made or proved.
        """
        return self._made(lambda store, copy: _changed(self.engine, started, copy, store, still))

    def of_tracked(
        self,
        files: Mapping[bytes, ManifestEntry | None],
        steps: Store,
        left_out: Sequence[LeftOut] = (),
    ) -> Patch:
        """Make the patch from what was seen to change, without the container.

        A file whose old side is nowhere any more is left out.

        Args:
            files: everything that is not as it was copied in; None: gone.
            steps: has their content.

        Raises:
            PatchError: the patch can't be made or proved.
        """

        def found(store: Store, copy: Callable[[], Manifest]) -> _Found:
            known = copy().entries
            changed = {path: new for path, new in files.items() if new != known.get(path)}
            for entry in filter(None, changed.values()):
                # From a record, where somebody else may have put another content.
                if store.put(steps.read(entry.blob), entry.size) != entry.blob:
                    raise PatchError(f"the content {entry.blob} was changed since it was kept")
            return changed, {}, list(left_out)

        return self._made(found, lacking_baseline=True)

    def _made(
        self,
        find: Callable[[Store, Callable[[], Manifest]], _Found],
        *,
        lacking_baseline: bool = False,
    ) -> Patch:
        try:
            return self._made_in(None, find, lacking_baseline=lacking_baseline)
        except NoSpace:
            if self.spare is None:
                raise
        return self._made_in(self.spare, find, lacking_baseline=lacking_baseline)

    def _made_in(
        self,
        parent: Path | None,
        find: Callable[[Store, Callable[[], Manifest]], _Found],
        *,
        lacking_baseline: bool,
    ) -> Patch:
        # What the baseline takes is worked out while the guest looks through its files.
        loading = Background(lambda: _baseline(self.manifest), name="baseline")
        loading.begin()
        with working_directory(parent) as directory:
            store = PackedStore(directory / "store")
            changed, unchanged, left_out = find(store, lambda: loading.result()[0])
            copy, base = loading.result()
            where = (self.engine, self.copied, store)
            for item in baseline_files.collided(*where, unchanged, self.workspace):
                left_out.append(item)
                changed.pop(item.path, None)
            changed, left_out = selected(changed, left_out, copy, self.policy, self.copied.left_out)
            old = {path: copy.entries[path] for path in changed if path in copy.entries}
            try:
                baseline_files.bring(*where, old, self.workspace)
            except SandboxError:
                if not lacking_baseline:
                    raise
                for path in baseline_files.lacking_on_host(store, old, self.workspace):
                    left_out.append(LeftOut(path=path, reason=_NO_OLD_SIDE))
                    del changed[path]
            patch = make_patch(
                store, copy, changed, base=base, left_out=left_out, compared=self.compared
            )
            if self.keep_old is not None and patch.data:
                # Merging is a help for later: without space for it the patch still counts.
                with contextlib.suppress(PatchError):
                    touched = {path: copy.entries.get(path) for path in patch.results}
                    stored = patch.index.before if patch.index is not None else None
                    baseline.keep(self.keep_old, store, touched, stored=stored or None)
            return patch


def _baseline(manifest: Callable[[], Manifest]) -> tuple[Manifest, Trees]:
    loaded = manifest()
    return loaded, Trees.known(loaded.entries)


@contextlib.contextmanager
def _held(link: GuestLink, still: Still) -> Iterator[None]:
    if still is Still.ENDED:
        link.ask(Freeze(), Frozen)
        yield
        return
    link.ask(Pause(), Done)
    try:
        yield
    finally:
        # A guest that is lost by now is started again, and what ran is gone with it.
        with contextlib.suppress(SandboxError):
            link.ask(GoOn(), Done)


def _changed(
    engine: Engine,
    started: StartedContainer,
    baseline: Callable[[], Manifest],
    store: Store,
    still: Still,
) -> _Found:
    link = started.link
    if link.lost is None:
        try:
            with _held(link, still):
                changes = guest_changes.from_guest(
                    link, baseline, times_tell=started.seal.moves_copy
                )
                found, left_out = guest_changes.fetch(
                    link, changes.candidates, store, limit_bytes=_FILE_LIMIT_BYTES
                )
            left_out += changes.left_out
            changed: dict[bytes, ManifestEntry | None] = dict.fromkeys(changes.deleted)
            known = baseline().entries
            changed |= {path: new for path, new in found.items() if new != known.get(path)}
            same = {
                path: known[path]
                for path, new in found.items()
                if new is not None and path in known and known[path].blob == new.blob
            }
            return changed, same, left_out
        except (SandboxLost, FileError):
            # A guest that can't answer has no say any more: the engine reads the files.
            link.give_up("the guest could not say what changed")
            if still is Still.PAUSED:
                raise
    elif still is Still.PAUSED:
        raise SandboxLost(link.lost)
    from sandbox.export import engine_changes  # noqa: PLC0415 - where no guest answers

    with contextlib.suppress(SandboxError):
        engine.kill(started.container)
    changed, left_out = engine_changes.from_engine(
        engine, started.container, baseline(), store, limit_bytes=_FILE_LIMIT_BYTES
    )
    return changed, {}, left_out

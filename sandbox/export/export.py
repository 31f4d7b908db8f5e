"""The way out: changed paths, both sides' bytes, the patch, its proof.

Owns the order of these steps and what happens when the guest no longer answers.
"""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from enum import Enum, auto
from pathlib import Path

from policies.policy import Policy
from sandbox.container.opening import StartedContainer
from sandbox.engine.docker import Engine
from sandbox.errors import FileError, PatchError, SandboxError, SandboxLost
from sandbox.export import baseline_files, engine_changes, guest_changes
from sandbox.export.selection import selected
from sandbox.export.working_directory import NoSpace, working_directory
from sandbox.git.manifest import Manifest, ManifestEntry
from sandbox.git.pack import PackedStore
from sandbox.git.store import Store
from sandbox.git.trees import Trees
from sandbox.guest.protocol import Done, Freeze, Frozen, GoOn, Pause
from sandbox.link.connection import GuestLink
from sandbox.patch import baseline
from sandbox.patch.make import make_patch
from sandbox.patch.values import LeftOut, Patch
from sandbox.workspace.snapshot import Snapshot

_FILE_LIMIT_BYTES = 256 << 20
"""A larger file does not go into a patch at all, whatever the policy's export.max_bytes."""


class Still(Enum):
    """What has the files stand still while they are read."""

    ENDED = auto()
    """All that runs is ended. Where the guest does not answer, the engine reads the files."""
    PAUSED = auto()
    """All that runs waits, and goes on afterwards. Nothing but the guest is asked."""


def export(
    *,
    engine: Engine,
    started: StartedContainer,
    copied: Snapshot,
    manifest: Callable[[], Manifest],
    policy: Policy,
    workspace: Path,
    keep_old: Path | None = None,
    spare: Path | None = None,
    compared: frozenset[bytes] = frozenset(),
    still: Still = Still.ENDED,
) -> Patch:
    """Make the patch from what stands in the container now.

    Args:
        manifest: gives what was copied in; called from a thread.
        keep_old: a directory to be made, for the old side of the changed files (`baseline`).
        spare: where to work when the temporary directory can't be written.
        compared: names of files that a review compares (`sandbox.patch.reviewed_content`).

    Raises:
        SandboxLost: neither the guest nor the engine can say.
        PatchError: the patch can't be made or proved.
    """

    def make(parent: Path | None) -> Patch:
        with (
            working_directory(parent) as directory,
            ThreadPoolExecutor(1, "moonpool-baseline") as pool,
        ):
            # What the baseline takes is worked out while the guest looks through its files.
            loading = pool.submit(_baseline, manifest)
            store = PackedStore(directory / "store")
            changed, unchanged, left_out = _changed(
                engine, started, lambda: loading.result()[0], store, still
            )
            copy, base = loading.result()
            for item in baseline_files.collided(engine, copied, store, unchanged, workspace):
                left_out.append(item)
                changed.pop(item.path, None)
            changed, left_out = selected(changed, left_out, copy, policy, copied.left_out)
            old = {path: copy.entries[path] for path in changed if path in copy.entries}
            baseline_files.bring(engine, copied, store, old, workspace)
            patch = make_patch(
                store, copy, changed, base=base, left_out=left_out, compared=compared
            )
            if keep_old is not None and patch.data:
                # Merging is a help for later: without space for it the patch still counts.
                with contextlib.suppress(PatchError):
                    touched = {path: copy.entries.get(path) for path in patch.results}
                    stored = patch.index.before if patch.index is not None else None
                    baseline.keep(keep_old, store, touched, stored=stored or None)
            return patch

    try:
        return make(None)
    except NoSpace:
        if spare is None:
            raise
    return make(spare)


def _baseline(manifest: Callable[[], Manifest]) -> tuple[Manifest, Trees]:
    loaded = manifest()
    return loaded, Trees.of(loaded.entries)


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
) -> tuple[dict[bytes, ManifestEntry | None], dict[bytes, ManifestEntry], list[LeftOut]]:
    """New entries of changed paths (None: gone), their bytes in the store.

    Then what was looked at and has the id that it had, and what was left out.
    """
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
    with contextlib.suppress(SandboxError):
        engine.kill(started.container)
    changed, left_out = engine_changes.from_engine(
        engine, started.container, baseline(), store, limit_bytes=_FILE_LIMIT_BYTES
    )
    return changed, {}, left_out

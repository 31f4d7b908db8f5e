"""The sandbox as others use it: open, run, read, write, export, close."""

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from policies.policy import Policy
from sandbox.container.commands import SessionCommands
from sandbox.container.opening import ContainerState
from sandbox.container.plan import BroughtFiles
from sandbox.container.seal import KernelPolicy, SealReport
from sandbox.engine.docker import Engine
from sandbox.errors import ContainerGone, PatchError, SandboxError, SandboxLost
from sandbox.export.export import Exporter, Still
from sandbox.git.manifest import Manifest, ManifestEntry, Trees
from sandbox.git.store import Store
from sandbox.opening import opened
from sandbox.opening.opened import OpenedContainer
from sandbox.patch.values import LeftOut, Patch
from sandbox.tracking import Follower, Mark, Restored, Step
from sandbox.workspace.source import Workspace

if TYPE_CHECKING:
    from sandbox.opening.reattach import ReattachState


class Sandbox(SessionCommands):
    """A sealed container that holds a copy of a workspace. Use as a context manager.

    What runs in it is `SessionCommands`, what is read or written `SessionFiles`. Threads may share
    it for `run_program` and files; all else is for one at a time, `cancel` excepted.
    """

    def __init__(self, container: OpenedContainer) -> None:
        super().__init__(container.session())
        self._opened = container
        self._follower: Follower | None = None

    @classmethod
    def open(
        cls,
        *,
        workspace: Workspace,
        policy: Policy,
        image: str | None = None,
        run_id: str = "",
        may_ask: bool = False,
        kernel_policy: KernelPolicy = KernelPolicy.REQUIRE,
        engine: Engine | None = None,
        on_progress: Callable[[str], None] = lambda _: None,
    ) -> Self:
        """Copy a workspace into a fresh sealed container.

        Args:
            workspace: a directory on the host, which is only read; or a folder of the image.
            image: an engine's image reference; None: the policy's, as it was built last.
            engine: None: the one that this process's environment names.
            may_ask: somebody can be asked, so programs with ``ask: true`` may run.

        Raises:
            EngineUnavailable, EngineError: no engine, or it fails.
            ImageUnusable: the image is missing or has no python3.
            WorkspaceError: the workspace can't be copied as it is.
            KernelUnsupported: the kernel can't enforce the policy.
            SealBroken: what runs is not what was planned; nothing was run in it.
        """
        return cls(
            opened.open_workspace(
                workspace,
                policy,
                image=image,
                run_id=run_id,
                may_ask=may_ask,
                kernel_policy=kernel_policy,
                engine=engine or Engine.connect(os.environ),
                on_progress=on_progress,
            )
        )

    @classmethod
    def unattended(
        cls, remembered: "ReattachState", *, workspace: Workspace, policy: Policy, engine: Engine
    ) -> Self:
        """A container that can be exported and closed, and nothing else: its guest is not asked.

        Raises:
            ContainerGone: when it is exported, and stands no more.
        """
        from sandbox.opening import reattach  # noqa: PLC0415 - after a run was killed only

        found = reattach.unattended(remembered, workspace=workspace, policy=policy, engine=engine)
        made = cls(found)
        made._session.stay_down()
        return made

    def fresh(self, files: BroughtFiles | None = None) -> Self:
        """Another sandbox from the same baseline, in which nothing has run; with `files`, if given.

        A command there may take ``limits.time``, not ``limits.command_timeout``: it is a check.
        Raises `SandboxLost` where this one is unattended, `WorkspaceError` where they can't be put.
        """
        return type(self)(self._opened.again(files))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the container with everything in it."""
        self._session.close()

    # -- what it is ------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The container's id."""
        return self._session.started.container

    @property
    def seal(self) -> SealReport:
        """What was read back from it when its guest began, the last time where more than once."""
        return self._session.started.seal

    @property
    def left_behind(self) -> tuple[LeftOut, ...]:
        """What of the workspace was not copied in or does not work there, and why."""
        return self._opened.snapshot.left_out

    @property
    def container_state(self) -> ContainerState:
        """What `reattach.take_up` must know where this process ends before its time."""
        return ContainerState(
            container=self.id,
            prepared_key=self._opened.prepared_key,
            snapshot_key=self._opened.snapshot.key,
            since_ns=self._session.started.since_ns,
            mounts=self._session.started.spec.mounts,
            volumes=self._session.started.volumes,
        )

    @cached_property
    def manifest(self) -> Manifest:
        """What was copied in."""
        return self._opened.snapshot.manifest()

    @property
    def base_tree(self) -> str:
        """Tree id of what was copied in: the left side of every patch from here."""
        return Trees.known(self.manifest.entries).root

    # -- the patch -------------------------------------------------------------------------

    def rouse(self) -> bool:
        """Have the sandbox live for a whole lifetime from now, where somebody comes back to it.

        Gives whether it had to be started again: then files are as they were, processes are gone.

        Raises:
            SandboxLost: it does not come back.
        """
        self._cancelled.clear()
        return self._session.rouse()

    def break_off(self) -> None:
        """Wait for no answer any more: nothing is asked until `rouse` has started it again."""
        self._session.link.give_up("the operator broke it off")

    def preview(
        self, *, keep_old: Path | None = None, compared: frozenset[bytes] = frozenset()
    ) -> Patch:
        """As `export`, of what stands now: what runs waits meanwhile, and goes on.

        Raises `SandboxLost` where the guest can't say what stands there, and `PatchError`.
        """
        return self._exported(self._exporter(keep_old, None, compared), Still.PAUSED)

    def export(
        self,
        *,
        keep_old: Path | None = None,
        spare: Path | None = None,
        compared: frozenset[bytes] = frozenset(),
    ) -> Patch:
        """End everything that runs, and make the patch: proved before it is given.

        Args:
            keep_old: a directory to be made, for the old side of the changed files: with it the
                patch can be merged later into files that changed since (`sandbox.patch.baseline`).
            spare: a directory to work in where the temporary one is full or gone.
            compared: names, in lower case, of files that the patch keeps whole, for a review.

        Raises:
            SandboxLost: neither the guest nor the engine can say what stands in the container.
            PatchError: the patch can't be made or proved.
        """
        with contextlib.suppress(SandboxError):
            if self._session.link.lost is not None:
                self._session.revive(SandboxLost(self._session.link.lost))
        return self._exported(self._exporter(keep_old, spare, compared), Still.ENDED)

    def export_tracked(
        self,
        files: Mapping[bytes, ManifestEntry | None],
        steps: Path,
        *,
        left_out: Sequence[LeftOut] = (),
        keep_old: Path | None = None,
        spare: Path | None = None,
        compared: frozenset[bytes] = frozenset(),
    ) -> Patch:
        """As `export`, of what `checkpoint` saw change, where the container is lost.

        Args:
            files: everything that is not as it was copied in; None: gone.
            steps: the directory that the looks were given.
            left_out: what is known to lack.
        """
        return self._exporter(keep_old, spare, compared).of_tracked(files, Store(steps), left_out)

    def _exported(self, maker: Exporter, still: Still) -> Patch:
        try:
            return maker.of_container(self._session.started, still)
        except SandboxError as error:
            if self._session.is_gone():
                raise ContainerGone(f"the container was removed: {error}") from error
            raise

    def _exporter(
        self, keep_old: Path | None, spare: Path | None, compared: frozenset[bytes]
    ) -> Exporter:
        return Exporter(
            engine=self._session.engine,
            copied=self._opened.snapshot,
            manifest=lambda: self.manifest,
            policy=self._session.plan.policy,
            workspace=self._opened.workspace,
            keep_old=keep_old,
            spare=spare,
            compared=compared,
        )

    def checkpoint(self, store: Path) -> Step:
        """What changed in the workspace since the last time this was asked, or since the start.

        Commands may go on running. Never raises: a step that could not be followed says so.

        Args:
            store: a directory, made where it is missing, for the content; the same one each time.
        """
        try:
            follower = self._following(store)
        except PatchError as error:
            return Step(unfollowed=str(error))
        return follower.step(self._session.link, times_tell=self.seal.moves_copy)

    def mark(self, store: Path) -> Mark:
        """What stands in the workspace now, to be gone back to. Commands may go on running.

        Never raises: a mark that tells nothing says why (`Mark.unkept`).

        Args:
            store: as for `checkpoint`, and the same one.
        """
        try:
            follower = self._following(store)
        except PatchError as error:
            return Mark(store=store, unkept=str(error))
        return follower.mark(self._session.link, times_tell=self.seal.moves_copy)

    def restore(self, mark: Mark) -> Restored:
        """End everything that runs, and put the workspace back to a mark: exact for everything that
        a patch can carry, and named what has changed since and stays as it is.

        Not gone back are ignored files, what was too large to be kept, any ``.git``, and whatever
        lies outside. The next command's directory, where it is gone, is the workspace.

        Raises:
            NotKept: the mark tells nothing; nothing was touched.
            SandboxLost: the guest does not come back; the workspace is between now and the mark.
            PatchError, EngineError: the baseline's files can't be had; no file was touched.
        """
        from sandbox.restore.restore import require, restore  # noqa: PLC0415 - few runs go back

        require(mark)
        return restore(
            self._session,
            self._following(mark.store),
            mark,
            copied=self._opened.snapshot,
            workspace=self._opened.workspace,
        )

    def _following(self, store: Path) -> Follower:
        if self._follower is None:
            rules = self._session.plan.policy.export
            made = Follower(store=Store(store), manifest=lambda: self.manifest, rules=rules)
            self._follower = made
        elif self._follower.store.directory != store:
            self._follower.store = Store(store)
        return self._follower

    def apply(self, patch: Patch) -> None:
        """Put a proved patch's result in place, for a verification.

        Raises `FileError` where the policy lets nothing be written where the patch does.
        """
        from sandbox.export.patched_copy import put_patched  # noqa: PLC0415 - to verify only

        put_patched(
            engine=self._session.engine,
            started=self._session.started,
            copied=self._opened.snapshot,
            manifest=self.manifest,
            workspace=self._opened.workspace,
            patch=patch,
        )

"""The sandbox as others use it: open, run, read, write, export, close."""

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

from policies.policy import Policy
from sandbox import reattach
from sandbox.container import opening
from sandbox.container.commands import SessionCommands
from sandbox.container.files import SessionFiles
from sandbox.container.opening import OpeningPlan, StartedContainer
from sandbox.container.output import OnOutput
from sandbox.container.prepared_image import PreparedImage, prepare
from sandbox.container.seal import KernelPolicy, SealReport
from sandbox.container.session import Session
from sandbox.engine.docker import Engine
from sandbox.errors import (
    ContainerGone,
    EngineError,
    ImageUnusable,
    PatchError,
    SandboxError,
    SandboxLost,
)
from sandbox.export import export
from sandbox.export.export import Still
from sandbox.git.manifest import Manifest
from sandbox.git.store import Store
from sandbox.git.trees import Trees
from sandbox.patch.values import LeftOut, Patch
from sandbox.reattach import ContainerState, ReattachState
from sandbox.restore import restore
from sandbox.restore.mark import Mark, Restored
from sandbox.restore.tracking import Follower, Step
from sandbox.results import (
    BackgroundStatus,
    CommandResult,
    Listing,
)
from sandbox.workspace import snapshot
from sandbox.workspace.scan import BackgroundScan, scan
from sandbox.workspace.snapshot import Snapshot, SnapshotMemory


class Sandbox:
    """A sealed container that holds a copy of a workspace. Use as a context manager.

    Not to be shared between threads, `cancel` excepted.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        plan: OpeningPlan,
        started: StartedContainer,
        copied: Snapshot,
        workspace: Path,
        prepared_key: str,
    ) -> None:
        self._session = Session(engine, plan, started)
        self._prepared_key = prepared_key
        self._files = SessionFiles(self._session)
        self._commands = SessionCommands(self._session, self._files)
        self._snapshot = copied
        self._workspace = workspace
        self._manifest: Manifest | None = None
        self._follower: Follower | None = None

    @classmethod
    def open(
        cls,
        *,
        workspace: Path,
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
            workspace: a directory on the host, git or not; it is only read.
            image: an engine's image reference; None: what the policy names, as
                ``moonpool image build`` left it.
            may_ask: somebody can be asked, so programs with ``ask: true`` may run.

        Raises:
            EngineUnavailable, EngineError: no engine, or it fails.
            ImageUnusable: the image is missing or has no python3.
            WorkspaceError: the workspace can't be copied as it is.
            KernelUnsupported: the kernel can't enforce the policy.
            SealBroken: what runs is not what was planned; nothing was run in it.
        """
        engine = engine or Engine.connect(os.environ)
        prepared = _prepared(engine, policy, image, on_progress)
        memory = SnapshotMemory(workspace, policy.workspace, prepared)

        def planned(image_ref: str) -> OpeningPlan:
            return opening.plan(
                policy,
                prepared,
                snapshot_image=image_ref,
                run_id=run_id,
                may_ask=may_ask,
                kernel_policy=kernel_policy,
            )

        recalled = memory.recall()
        if recalled is not None:
            fingerprint, racy, known = recalled
            # Looking through a large tree takes as long as a good part of the start, so both go
            # at once: the container is used only if the tree turns out to be the remembered one.
            # It begins when the engine is at work and we wait: before, the two would fight over
            # the interpreter.
            look = BackgroundScan(workspace)
            plan = planned(known.image)
            started = _started_or_none(engine, plan, look.begin)
            looked = look.result(lambda: _discard(engine, started))
            if started is not None and snapshot.unchanged(looked, fingerprint, racy):
                return cls(
                    engine=engine,
                    plan=plan,
                    started=started,
                    copied=known,
                    workspace=workspace,
                    prepared_key=prepared.key,
                )
            _discard(engine, started)
        else:
            looked = scan(workspace)
        copied, manifest = snapshot.take(
            engine, looked, policy.workspace, prepared, on_progress=on_progress
        )
        memory.keep(looked, copied, manifest)
        plan = planned(copied.image)
        started = opening.start(engine, plan)
        return cls(
            engine=engine,
            plan=plan,
            started=started,
            copied=copied,
            workspace=workspace,
            prepared_key=prepared.key,
        )

    @classmethod
    def take_up(
        cls,
        remembered: ReattachState,
        *,
        workspace: Path,
        policy: Policy,
        run_id: str,
        engine: Engine,
        may_ask: bool = False,
        kernel_policy: KernelPolicy = KernelPolicy.REQUIRE,
    ) -> Self:
        """Go on in a container whose orchestrator ended. Its guest is started again: files are as
        they were, processes are gone.

        Raises:
            ContainerGone: it stands no more.
            ImageUnusable: it was opened by another version.
            KernelUnsupported, SealBroken, SandboxLost: as for `open`; the container stays.
        """
        known = remembered.container_state
        reattach.require(engine, known, run_id)
        prepared = reattach.prepared(engine, known)
        copied = remembered.snapshot()
        plan = opening.plan(
            policy,
            prepared,
            snapshot_image=copied.image,
            run_id=run_id,
            may_ask=may_ask,
            kernel_policy=kernel_policy,
        )
        return cls(
            engine=engine,
            plan=plan,
            started=opening.take_up(
                engine,
                plan,
                known.container,
                spec=replace(plan.spec, mounts=known.mounts),
                volumes=known.volumes,
                since_ns=known.since_ns,
            ),
            copied=copied,
            workspace=workspace,
            prepared_key=known.prepared_key,
        )

    @classmethod
    def unattended(
        cls, remembered: ReattachState, *, workspace: Path, policy: Policy, engine: Engine
    ) -> Self:
        """A container that can be exported and closed, and nothing else: its guest is not asked.

        Raises:
            ContainerGone: when it is exported, and stands no more.
        """
        known = remembered.container_state
        copied = remembered.snapshot()
        plan = opening.plan_of_none(policy, snapshot_image=copied.image)
        made = cls(
            engine=engine,
            plan=plan,
            started=opening.unattended(
                plan,
                known.container,
                volumes=known.volumes,
                since_ns=known.since_ns,
                seal=remembered.seal,
            ),
            copied=copied,
            workspace=workspace,
            prepared_key=known.prepared_key,
        )
        made._session.stay_down()
        return made

    def fresh(self) -> Self:
        """Another sandbox from the same baseline, in which nothing has run.

        Raises:
            SandboxLost: this one is unattended, so the other could not be planned.
        """
        if not self._session.plan.lifetime_s:
            raise SandboxLost("a container that is only exported gives no fresh one")
        return type(self)(
            engine=self._session.engine,
            plan=self._session.plan,
            started=opening.start(self._session.engine, self._session.plan),
            copied=self._snapshot,
            workspace=self._workspace,
            prepared_key=self._prepared_key,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
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
        return self._session.started.seal

    @property
    def left_behind(self) -> tuple[LeftOut, ...]:
        """What of the workspace was not copied in, and why."""
        return self._snapshot.left_out

    @property
    def container_state(self) -> ContainerState:
        """What `take_up` must know where this process ends before its time."""
        return ContainerState(
            container=self.id,
            prepared_key=self._prepared_key,
            snapshot_key=self._snapshot.key,
            since_ns=self._session.started.since_ns,
            mounts=self._session.started.spec.mounts,
            volumes=self._session.started.volumes,
        )

    @property
    def manifest(self) -> Manifest:
        """What was copied in."""
        if self._manifest is None:
            self._manifest = self._snapshot.manifest()
        return self._manifest

    @property
    def base_tree(self) -> str:
        """Tree id of what was copied in: the left side of every patch from here."""
        return Trees.of(self.manifest.entries).root

    # -- commands --------------------------------------------------------------------------

    def run(
        self,
        command: str,
        *,
        timeout_s: float | None = None,
        stdin: bytes | None = None,
        on_output: OnOutput | None = None,
    ) -> CommandResult:
        """Run shell text in a fresh bash; directory and exported variables carry over.

        Args:
            timeout_s: at most the policy's ``command_timeout``, which is the default.
            on_output: gets output as it comes, up to half of the policy's output limit.

        Raises:
            SandboxLost: the container is gone and does not come back.
        """
        return self._commands.run(command, timeout_s=timeout_s, stdin=stdin, on_output=on_output)

    def run_program(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float | None = None,
        stdin: bytes | None = None,
    ) -> CommandResult:
        """Run one program without a shell.

        Raises:
            FileError: it does not exist, or the kernel refuses it under the policy.
            SandboxLost: as for `run`.
        """
        return self._commands.run_program(argv, timeout_s=timeout_s, stdin=stdin)

    def cancel(self) -> None:
        """End the command that runs now, or where none does, the next; callable from a signal
        handler or another thread."""
        self._commands.cancel()

    def start(self, command: str) -> int:
        """Start shell text in the background; gives an id for `poll` and `stop`."""
        return self._commands.start(command)

    def poll(self, background: int) -> BackgroundStatus:
        """Whether a background process still runs, and its output so far.

        Raises:
            FileError: there is none of that id.
        """
        return self._commands.poll(background)

    def stop(self, background: int) -> BackgroundStatus:
        """End a background process with all it started."""
        return self._commands.stop(background)

    # -- files -----------------------------------------------------------------------------

    def read_file(self, path: str, *, offset: int = 0, limit: int | None = None) -> bytes:
        """Bytes of a file; paths are relative to the workspace or absolute in the container.

        Args:
            offset, limit: in bytes; no limit means all of it, up to 64 MiB.

        Raises:
            FileMissing, FileDenied, FileWrongType: as the container's kernel says.
            FileError: it is larger than 64 MiB and no limit is given.
        """
        return self._files.read(path, offset=offset, limit=limit)

    def write_file(self, path: str, data: bytes, *, overwrite: bool = True) -> None:
        """Write a file, making its parent folders.

        Raises:
            FileExists: there is one, and `overwrite` is False.
            FileDenied, FileWrongType: as the container's kernel says.
        """
        self._files.write(path, data, overwrite=overwrite)

    def delete_file(self, path: str) -> None:
        """Remove a file or a link; FileWrongType for a directory."""
        self._files.delete(path)

    def list_dir(self, path: str = ".") -> Listing:
        """What stands in a directory, at most 2,000 entries, sorted by name."""
        return self._files.listing(path)

    # -- the patch -------------------------------------------------------------------------

    def rouse(self) -> bool:
        """Have the sandbox live for a whole lifetime from now, where somebody comes back to it.

        Gives whether it had to be started again, because its time was up or it was broken off:
        then files are as they were, and processes are gone.

        Raises:
            SandboxLost: it does not come back.
        """
        self._commands.forget_cancel()
        return self._session.rouse()

    def break_off(self) -> None:
        """Wait for no answer any more: nothing is asked until `rouse` has started it again."""
        self._session.link.give_up("the operator broke it off")

    def preview(self, *, keep_old: Path | None = None) -> Patch:
        """As `export`, of what stands now: what runs waits meanwhile, and goes on.

        Raises:
            SandboxLost: the guest can't say what stands in the container.
            PatchError: the patch can't be made or proved.
        """
        return self._exported(keep_old=keep_old, spare=None, still=Still.PAUSED)

    def export(self, *, keep_old: Path | None = None, spare: Path | None = None) -> Patch:
        """End everything that runs, and make the patch: proved before it is given.

        Args:
            keep_old: a directory to be made, for the old side of the changed files: with it the
                patch can be merged later into files that changed since (`sandbox.baseline`).
            spare: a directory to work in where the temporary one is full or gone.

        Raises:
            SandboxLost: neither the guest nor the engine can say what stands in the container.
            PatchError: the patch can't be made or proved.
        """
        with contextlib.suppress(SandboxError):
            if self._session.link.lost is not None:
                self._session.revive(SandboxLost(self._session.link.lost))
        return self._exported(keep_old=keep_old, spare=spare, still=Still.ENDED)

    def _exported(self, *, keep_old: Path | None, spare: Path | None, still: Still) -> Patch:
        try:
            return export.export(
                engine=self._session.engine,
                started=self._session.started,
                copied=self._snapshot,
                manifest=lambda: self.manifest,
                policy=self._session.plan.policy,
                workspace=self._workspace,
                keep_old=keep_old,
                spare=spare,
                still=still,
            )
        except SandboxError as error:
            if self._session.is_gone():
                raise ContainerGone(f"the container was removed: {error}") from error
            raise

    def checkpoint(self, store: Path) -> Step:
        """What changed in the workspace since the last time this was asked, or since the start.

        Commands may go on running. Never raises: a step that could not be followed says so.

        Args:
            store: a directory, made where it is missing, for the content of what changed; the same
                one each time.
        """
        try:
            follower = self._following(store)
        except PatchError as error:
            return Step(unfollowed=str(error))
        started = self._session.started
        return follower.step(started.link, times_tell=started.seal.moves_copy)

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
        started = self._session.started
        return follower.mark(started.link, times_tell=started.seal.moves_copy)

    def restore(self, mark: Mark) -> Restored:
        """End everything that runs, and put the workspace back to a mark: exact for everything that
        a patch can carry, and named what has changed since and stays as it is.

        Not gone back are ignored files, what was too large to be kept, any ``.git``, and whatever
        lies outside of the workspace. The next command's directory, where it is gone, is the
        workspace.

        Raises:
            NotKept: the mark tells nothing; nothing was touched.
            SandboxLost: the guest does not come back; the workspace is between now and the mark.
            PatchError, EngineError: the baseline's files can't be had; no file was touched.
        """
        restore.require(mark)
        return restore.restore(
            self._session,
            self._following(mark.store),
            mark,
            copied=self._snapshot,
            workspace=self._workspace,
        )

    def _following(self, store: Path) -> Follower:
        if self._follower is None:
            self._follower = Follower(
                store=Store(store),
                manifest=lambda: self.manifest,
                patterns=self._session.plan.policy.export.ignore,
            )
        elif self._follower.store.directory != store:
            self._follower.store = Store(store)
        return self._follower

    def apply(self, patch: Patch) -> None:
        """Put a proved patch's result in place, for a verification.

        Raises:
            FileError: the policy lets nothing be written where the patch does.
        """
        export.apply(
            engine=self._session.engine,
            started=self._session.started,
            copied=self._snapshot,
            manifest=self.manifest,
            workspace=self._workspace,
            patch=patch,
        )


def _prepared(
    engine: Engine, policy: Policy, image: str | None, on_progress: Callable[[str], None]
) -> PreparedImage:
    ref = image or f"moonpool/{policy.image}:latest"
    info = engine.image(ref)
    if info is None:
        raise ImageUnusable(
            f"there is no image {ref}: build it with `moonpool image build {policy.image}`"
        )
    return prepare(engine, info, on_progress=on_progress)


def _started_or_none(
    engine: Engine, plan: OpeningPlan, meanwhile: Callable[[], None]
) -> StartedContainer | None:
    """Start from a remembered snapshot; None where the engine no longer has it."""
    if engine.image(plan.snapshot_image) is None:
        return None
    try:
        return opening.start(engine, plan, meanwhile=meanwhile)
    except EngineError:
        return None


def _discard(engine: Engine, started: StartedContainer | None) -> None:
    if started is not None:
        opening.discard(engine, started)

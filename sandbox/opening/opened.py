"""A workspace in a fresh sealed container, from the copy of the last time where nothing changed."""

import contextlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from policies.frozen import dataclass
from policies.paths import WORKSPACE, within
from policies.policy import Policy
from sandbox.container import own_files, plan, prepared_image
from sandbox.container.opening import StartedContainer
from sandbox.container.plan import BroughtFiles, OpeningPlan
from sandbox.container.prepared_image import PreparedImage, image_of, prepare
from sandbox.container.seal import KernelPolicy
from sandbox.container.session import Session
from sandbox.engine.docker import Engine
from sandbox.engine.values import LABEL_LEFT
from sandbox.errors import EngineError, SandboxError, SandboxLost, WorkspaceError
from sandbox.git import config
from sandbox.git.config import PersonalConfig
from sandbox.git.manifest import Manifest
from sandbox.supply import DIRECT, ContainerSupply
from sandbox.threads import Background
from sandbox.workspace import snapshot
from sandbox.workspace import source as workspace_source
from sandbox.workspace.scan import Scan
from sandbox.workspace.snapshot import Snapshot, SnapshotMemory
from sandbox.workspace.source import NOWHERE, UNSEEN, ImageFolder, Workspace, folder, on_host

_Copied = tuple[Scan, Snapshot, Manifest | None]
"""A look, the copy that fits it, and what that holds; None where that is remembered already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedContainer:
    """A container with all that is known of how it came to be."""

    engine: Engine
    plan: OpeningPlan
    started: StartedContainer
    snapshot: Snapshot
    """The workspace copy in it."""
    workspace: Path
    """The directory on the host that was copied; `NOWHERE` where a folder of the image was."""
    prepared_key: str
    """Names image and guest version together."""
    supply: ContainerSupply = DIRECT
    """Where it is from, and who removes it."""

    def session(self) -> Session:
        """The right to use it, and to start it again; there is one."""
        discard = partial(self.supply.discard, self.engine)
        return Session(self.engine, self.plan, self.started, discard=discard)

    def again(self, files: BroughtFiles | None = None) -> "OpenedContainer":
        """Another one from the same baseline, in which nothing has run; with `files`, if given.

        A command in it, such as the operator's check, may last for as long as a run may.

        Raises:
            SandboxLost: this one is only exported, so the other could not be planned.
            WorkspaceError: the files can't be brought, or not to where they are to stand.
        """
        if not self.plan.lifetime_s:
            raise SandboxLost("a container that is only exported gives no fresh one")
        # What the agent was given beside the workspace is no part of what is tested.
        made = replace(self.plan.bringing_nothing(), policy=self.plan.policy.with_long_commands())
        supply = self.supply
        if files is not None:
            _require_place(files)
            made, supply = made.bringing(files), DIRECT
        started = supply.start(self.engine, made, meanwhile=lambda: None)
        return replace(self, plan=made, started=started, supply=supply)


def _require_place(files: BroughtFiles) -> None:
    for path in filter(None, (files.target, files.writable)):
        if folder(path).path != path or path == WORKSPACE:
            raise WorkspaceError(f"no files can be brought to {path}")


def open_workspace(
    workspace: Workspace,
    policy: Policy,
    *,
    image: str | None,
    run_id: str,
    may_ask: bool,
    kernel_policy: KernelPolicy,
    engine: Engine,
    on_progress: Callable[[str], None],
    supply: ContainerSupply = DIRECT,
    carried: Callable[[PreparedImage], Snapshot] | None = None,
    brought: BroughtFiles | None = None,
) -> OpenedContainer:
    """Copy a workspace into a fresh sealed container; arguments and errors as `Sandbox.open`.

    Args:
        supply: what it shares with others of this process.
        carried: gives the copy, on its image, of a workspace that is not on this machine.
        brought: what stands in the container beside, and in none that is made from it.
    """
    if brought is not None:
        _require_place(brought)
        if isinstance(workspace, ImageFolder) and (
            within(workspace.path, brought.target) or within(brought.target, workspace.path)
        ):
            raise WorkspaceError(f"the workspace {workspace} lies where {brought.target} is put")
    info = image_of(engine, policy, image)
    source = workspace_source.of(workspace, engine, info, policy.workspace)
    setup_labels = info.labels if policy.setup.makes_layer else {}
    personal = config.read_personal(engine.environ, NOWHERE if carried else on_host(workspace))
    for note in personal.notes:
        on_progress(note)
    below = prepare(engine, info, moved=source.moved, on_progress=on_progress)
    opening = _Opening(
        workspace=workspace,
        policy=policy,
        run_id=run_id,
        may_ask=may_ask,
        kernel_policy=kernel_policy,
        engine=engine,
        on_progress=on_progress,
        supply=supply,
        source=source,
        personal=personal,
        below=below,
        memory=SnapshotMemory(engine.cache, workspace, policy.workspace, below, personal=personal),
        of_setup=prepared_image.notes(policy, prepared_image.replaced(setup_labels)),
        brought=brought,
        prepares=bool(policy.setup.prepare) or LABEL_LEFT in setup_labels,
    )
    return opening.from_copy((UNSEEN, carried(below), None)) if carried else opening.opened()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opening:
    """One call of `open_workspace`, with what its image says of it."""

    workspace: Workspace
    policy: Policy
    run_id: str
    may_ask: bool
    kernel_policy: KernelPolicy
    engine: Engine
    on_progress: Callable[[str], None]
    supply: ContainerSupply
    source: workspace_source.HostSource | workspace_source.ImageSource
    personal: PersonalConfig
    below: PreparedImage
    """The image that the workspace is laid on."""
    memory: SnapshotMemory
    of_setup: tuple[str, ...]
    """What a person should know of the set-up."""
    brought: BroughtFiles | None
    prepares: bool
    """The copy is worked on before an agent sees it."""

    def opened(self) -> OpenedContainer:
        recalled, prepared = self.memory.recall(), self.below
        if recalled is not None and self.prepares:
            from sandbox.opening import preparation  # noqa: PLC0415 - few policies have one

            found = preparation.recalled(self.engine, self.policy, recalled.snapshot)
            if found is None:
                recalled = None
            else:
                recalled, prepared = recalled._replace(snapshot=found.copied), found.image
        if recalled is None:
            return self.from_copy(self._copied(None))
        remembered, known = recalled, recalled.snapshot

        def look() -> tuple[Scan | None, bool]:
            walk = self.supply.walk(self.source) if remembered.walk else ""
            if remembered.is_shown_by(walk):
                return None, True
            looked = workspace_source.after_walk(walk, self.supply.look(self.source))
            same = snapshot.unchanged(looked, remembered)
            if same and (walk or remembered.racy):
                self.memory.settle(looked, remembered)
            return looked, same

        return self._from_last(self._planned(prepared, known), known, prepared, look)

    def _from_last(
        self,
        made: OpeningPlan,
        known: Snapshot,
        prepared: PreparedImage,
        look: Callable[[], tuple[Scan | None, bool]],
    ) -> OpenedContainer:
        """A container from the remembered copy, or from another where that is not the workspace.

        Looking through a large tree takes as long as a good part of the start, so both go at once:
        the container is used only if the tree turns out to be the remembered one. What changed is
        copied while the container still comes up, and that is removed while the next one does.

        Args:
            look: gives what it saw, if it had to look so far, and whether that is what was
                remembered.
        """

        def look_and_copy() -> tuple[Scan | None, bool]:
            looked, same = look()
            if not same:
                copying.begin()
            return looked, same

        looking = Background(look_and_copy, name="look")
        copying = Background(lambda: self._copied(looking.result()[0]), name="copy")
        removing = Background(lambda: _discard(self.engine, started, self.supply), name="remove")
        started = None
        try:
            looking.begin()
            started = _started_or_none(self.engine, made, self.supply)
            if looking.result()[1] and started is not None:
                return self._with(made, started, known, prepared)
            removing.begin()
            return self.from_copy(copying.result())
        except BaseException:
            looking.wait()
            copying.wait()
            removing.begin()
            raise
        finally:
            removing.wait()

    def _copied(self, looked: Scan | None) -> _Copied:
        from sandbox.workspace.copying import take  # noqa: PLC0415 - for what is not cached only

        with self.supply.copying(self.source) as shared:
            again = self.memory.recall() if shared else None
            if again is not None:
                looked = looked or self.supply.look(self.source)
                same = snapshot.unchanged(looked, again)
                if same and self.engine.image(again.snapshot.image) is not None:
                    return looked, again.snapshot, None
            with self.source.whole(looked) as whole:
                looked, copied, manifest = take(
                    self.engine,
                    whole,
                    self.policy.workspace,
                    self.below,
                    self.memory,
                    personal=self.personal,
                    on_progress=self.on_progress,
                )
            if self.supply is not DIRECT:
                # Whoever waits for this copy finds it by what is remembered.
                self.memory.keep(looked, copied, manifest)
                return looked, copied, None
        return looked, copied, manifest

    def from_copy(self, new: _Copied) -> OpenedContainer:
        looked, copied, manifest = new
        prepared = self.below

        def keep() -> None:
            if manifest is not None:
                self.memory.keep(looked, copied, manifest)

        keeping = Background(keep, name="keep")
        if self.prepares:
            from sandbox.opening import preparation  # noqa: PLC0415 - few policies have one

            keeping.result()
            with self.supply.copying(self.source):
                done = preparation.prepared(
                    self.engine,
                    self.policy,
                    copied,
                    partial(self._planned, prepared),
                    on_progress=self.on_progress,
                )
            copied, prepared = done.copied, done.image
        made = self._planned(prepared, copied)
        return self._with(made, _start(self.engine, made, keeping, self.supply), copied, prepared)

    def _planned(
        self,
        prepared: PreparedImage,
        copied: Snapshot,
        policy: Policy | None = None,
        also_own: tuple[str, ...] = (),
    ) -> OpeningPlan:
        made = plan.plan(
            policy or self.policy,
            prepared,
            snapshot_image=copied.image,
            hosts_file=str(own_files.hosts_file(self.engine.cache)),
            run_id=self.run_id,
            may_ask=self.may_ask,
            kernel_policy=self.kernel_policy,
            also_own=also_own,
        )
        if self.of_setup:
            notes = (*made.rules.notes, *self.of_setup)
            made = replace(made, rules=replace(made.rules, notes=notes))
        return made if self.brought is None or policy is not None else made.bringing(self.brought)

    def _with(
        self, made: OpeningPlan, started: StartedContainer, copied: Snapshot, image: PreparedImage
    ) -> OpenedContainer:
        for line in started.services:
            self.on_progress(line)
        return OpenedContainer(
            engine=self.engine,
            plan=made,
            started=started,
            snapshot=copied,
            workspace=on_host(self.workspace),
            prepared_key=image.key,
            supply=self.supply,
        )


def _start(
    engine: Engine, plan: OpeningPlan, meanwhile: Background[None], supply: ContainerSupply
) -> StartedContainer:
    """Start a container, with some other work while it comes up."""
    started = None
    try:
        started = supply.start(engine, plan, meanwhile=meanwhile.begin)
        meanwhile.result()
    except BaseException:
        meanwhile.wait()
        _discard(engine, started, supply)
        raise
    return started


def _started_or_none(
    engine: Engine, plan: OpeningPlan, supply: ContainerSupply
) -> StartedContainer | None:
    """Start from a remembered snapshot; None where the engine no longer has it."""
    if engine.image(plan.snapshot_image) is None:
        return None
    try:
        return supply.start(engine, plan, meanwhile=lambda: None)
    except EngineError:
        return None


def _discard(engine: Engine, started: StartedContainer | None, supply: ContainerSupply) -> None:
    """Remove a container; what does not go now is left to `moonpool prune`."""
    with contextlib.suppress(SandboxError):
        if started is not None:
            supply.discard(engine, started)

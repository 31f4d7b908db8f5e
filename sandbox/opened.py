"""A workspace in a fresh sealed container, from the copy of the last time where nothing changed."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from policies.file.names import is_path
from policies.frozen import dataclass
from policies.policy import Policy
from sandbox.background import Background
from sandbox.container import opening, plan, setup_layers
from sandbox.container.opening import StartedContainer
from sandbox.container.plan import OpeningPlan
from sandbox.container.prepared_image import prepare
from sandbox.container.seal import KernelPolicy
from sandbox.engine.docker import Engine
from sandbox.engine.labels import LABEL_LEFT
from sandbox.engine.values import ImageInfo
from sandbox.errors import EngineError, ImageUnusable, SandboxLost
from sandbox.git import personal_config
from sandbox.git.manifest import Manifest
from sandbox.workspace import snapshot
from sandbox.workspace import source as workspace_source
from sandbox.workspace.place import Workspace, on_host
from sandbox.workspace.scan import Scan
from sandbox.workspace.snapshot import Snapshot, SnapshotMemory

_Copied = tuple[Scan, Snapshot, Manifest]
"""A look, the copy that fits it, and what that holds."""


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

    def again(self) -> "OpenedContainer":
        """Another one from the same baseline, in which nothing has run.

        Raises:
            SandboxLost: this one is only exported, so the other could not be planned.
        """
        if not self.plan.lifetime_s:
            raise SandboxLost("a container that is only exported gives no fresh one")
        return replace(self, started=opening.start(self.engine, self.plan))


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
) -> OpenedContainer:
    """Copy a workspace into a fresh sealed container; arguments and errors as `Sandbox.open`."""
    info = _image(engine, policy, image)
    source = workspace_source.of(workspace, engine, info, policy.workspace)
    prepared = below = prepare(engine, info, moved=source.moved, on_progress=on_progress)
    setup_labels = info.labels if policy.setup.makes_layer else {}
    prepares = bool(policy.setup.prepare) or LABEL_LEFT in setup_labels
    of_setup = setup_layers.notes(policy, setup_layers.replaced(setup_labels))
    personal = personal_config.read(os.environ, on_host(workspace))
    for note in personal.notes:
        on_progress(note)
    memory = SnapshotMemory(workspace, policy.workspace, below, personal=personal)

    def planned(
        copied: Snapshot,
        policy: Policy = policy,
        also_own: tuple[str, ...] = (),
    ) -> OpeningPlan:
        made = plan.plan(
            policy,
            prepared,
            snapshot_image=copied.image,
            run_id=run_id,
            may_ask=may_ask,
            kernel_policy=kernel_policy,
            also_own=also_own,
        )
        notes = (*made.rules.notes, *of_setup)
        return replace(made, rules=replace(made.rules, notes=notes)) if of_setup else made

    def opened(made: OpeningPlan, started: StartedContainer, copied: Snapshot) -> OpenedContainer:
        for line in started.services:
            on_progress(line)
        return OpenedContainer(
            engine=engine,
            plan=made,
            started=started,
            snapshot=copied,
            workspace=on_host(workspace),
            prepared_key=prepared.key,
        )

    def copied_of(looked: Scan | None) -> _Copied:
        from sandbox.workspace.copying import take  # noqa: PLC0415 - for what is not cached only

        with source.whole(looked) as whole:
            return take(
                engine,
                whole,
                policy.workspace,
                below,
                memory,
                personal=personal,
                on_progress=on_progress,
            )

    recalled = memory.recall()
    if recalled is not None and prepares:
        from sandbox import preparation  # noqa: PLC0415 - few policies have one

        found = preparation.recalled(engine, policy, recalled[2])
        if found is None:
            recalled = None
        else:
            recalled, prepared = (*recalled[:2], found.copied), found.image
    if recalled is None:
        new = copied_of(None)
    else:
        fingerprint, racy, known = recalled

        def look() -> tuple[Scan, bool]:
            looked = source.glance()
            return looked, snapshot.unchanged(looked, fingerprint, racy)

        made = planned(known)
        got = _started_or_copied(engine, made, look, copied_of)
        if isinstance(got, StartedContainer):
            return opened(made, got, known)
        new = got
    prepared = below
    looked, copied, manifest = new
    keeping = Background(lambda: memory.keep(looked, copied, manifest), name="keep")
    if prepares:
        from sandbox import preparation  # noqa: PLC0415

        keeping.result()
        done = preparation.prepared(engine, policy, copied, planned, on_progress=on_progress)
        copied, prepared = done.copied, done.image
    made = planned(copied)
    return opened(made, _start(engine, made, keeping), copied)


def _started_or_copied(
    engine: Engine,
    plan: OpeningPlan,
    look: Callable[[], tuple[Scan, bool]],
    copied_of: Callable[[Scan], _Copied],
) -> StartedContainer | _Copied:
    """A container from the remembered copy, or another copy where that is not the workspace.

    Looking through a large tree takes as long as a good part of the start, so both go at once: the
    container is used only if the tree turns out to be the remembered one. The look begins when the
    engine is at work and we wait: before, the two would fight over the interpreter. What changed is
    copied while the container still comes up.

    Args:
        look: gives what it saw, and whether that is what was remembered.
    """

    def look_and_copy() -> tuple[Scan, bool]:
        looked, same = look()
        if not same:
            copying.begin()
        return looked, same

    looking = Background(look_and_copy, name="look")
    copying = Background(lambda: copied_of(looking.result()[0]), name="copy")
    started = None
    try:
        started = _started_or_none(engine, plan, looking.begin)
        if looking.result()[1] and started is not None:
            return started
        _discard(engine, started)
        started = None
        return copying.result()
    except BaseException:
        looking.wait()
        copying.wait()
        _discard(engine, started)
        raise


def _start(engine: Engine, plan: OpeningPlan, meanwhile: Background[None]) -> StartedContainer:
    """Start a container, with some other work while it comes up."""
    started = None
    try:
        started = opening.start(engine, plan, meanwhile=meanwhile.begin)
        meanwhile.result()
    except BaseException:
        meanwhile.wait()
        _discard(engine, started)
        raise
    return started


def _image(engine: Engine, policy: Policy, image: str | None) -> ImageInfo:
    if image is None and policy.setup.makes_layer:
        raise ImageUnusable(
            f"the policy {policy.name} has a set-up, so its image is the layer that "
            "images.setup.layer.find_or_make gives: hand it over"
        )
    said = image or policy.image
    # A recipe's name comes before an image of that name.
    refs = (
        [said]
        if image or any(sign in said for sign in "/:@")
        else [f"moonpool/{said}:latest", said]
    )
    info = None if is_path(said) else next(filter(None, map(engine.image, refs)), None)
    if info is None:
        raise ImageUnusable(
            f"there is no image {said}: get it with `moonpool image build {policy.image}`"
        )
    return info


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

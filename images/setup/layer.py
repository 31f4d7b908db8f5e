"""A set-up's result: an image found again by what went into it, or made.

Owns the key and the lock between processes. Nothing half is ever taken for whole: the layer gets
its name last (`images.setup.keeping`).
"""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from images.setup.inputs import SetupInput, read_inputs
from policies.policy import Policy
from sandbox import cache
from sandbox.container import prepared_image
from sandbox.container.prepared_image import REPOSITORY, layer_file
from sandbox.engine.docker import Engine
from sandbox.engine.values import LABEL_SETUP, ImageInfo
from sandbox.errors import SetupFailed
from sandbox.workspace.source import Workspace

_FORM = 2
"""Version of what a layer is; one of another form is made again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupLayer:
    image: str
    """The engine's reference."""
    was_there: bool
    seconds: float
    """What making it took; 0 where it was there."""
    added_bytes: int
    """What it adds to the image below it."""
    replaced: tuple[str, ...]
    """Paths of the image's programs, and of what they load, that it replaced."""

    @property
    def line(self) -> str:
        """For a person."""
        size = f"{self.added_bytes / (1 << 20):.0f} MiB"
        if self.was_there:
            return f"set-up: there already ({size})"
        return f"set-up: done in {self.seconds:.0f} s ({size}), kept for the next runs"


def reference(engine: Engine, base: str, policy: Policy, workspace: Workspace) -> str:
    """The name that the layer of a policy's set-up has, or would get.

    Raises:
        ImageUnusable, WorkspaceError, EngineError: as `find_or_make`.
    """
    below = engine.existing_image(base)
    return f"{REPOSITORY}:{_keyed(below, workspace, policy)[0]}"


def find_or_make(
    engine: Engine,
    base: str,
    policy: Policy,
    workspace: Workspace,
    *,
    refresh: bool = False,
    on_progress: Callable[[str], None],
) -> SetupLayer:
    """The image that a policy's set-up makes of another; two processes at once make it once.

    Args:
        base: the engine's reference of the image that the commands run in.
        refresh: make it again, whatever stands.

    Raises:
        SetupFailed: a command failed, took too long or too much, or left a secret.
        ImageUnusable, WorkspaceError, EngineError: as they say.
    """
    below = engine.existing_image(base)
    key, inputs = _keyed(below, workspace, policy)

    def standing() -> SetupLayer | None:
        found = None if refresh else engine.image(f"{REPOSITORY}:{key}")
        if found is None or found.labels.get(LABEL_SETUP) != f"{REPOSITORY}:{key}":
            return None
        return _layer(found, below, key, seconds=None)

    layer = standing()
    if layer is None:
        waiting = "set-up: another moonpool runs the same, waiting"
        with cache.alone(engine.cache, f"setup-{key}", lambda: on_progress(waiting)):
            layer = standing()
            if layer is None:
                if inputs is None:
                    inputs = _inputs_in_image(engine, below, workspace, policy)
                layer = _made(engine, below, policy, inputs, key, on_progress=on_progress)
    cache.keep(layer_file(engine.cache, key), b"")  # its age tells `prune` when it was last used
    on_progress(layer.line)
    for note in prepared_image.notes(policy, layer.replaced):
        on_progress(note)
    return layer


def _keyed(
    below: ImageInfo, workspace: Workspace, policy: Policy
) -> tuple[str, Sequence[SetupInput] | None]:
    """The key, and the inputs where they had to be read for it."""
    if isinstance(workspace, Path):
        inputs = read_inputs(workspace, policy)
        return _key(below, policy, inputs), inputs
    # An image never changes, so the names of what is read of it say all.
    return _key(below, policy, (), str(workspace), policy.setup.inputs), None


def _inputs_in_image(
    engine: Engine, below: ImageInfo, workspace: Workspace, policy: Policy
) -> tuple[SetupInput, ...]:
    from sandbox.workspace.image_tree import opened  # noqa: PLC0415 - most runs find their layer

    if isinstance(workspace, Path) or not policy.setup.inputs:
        return ()
    with opened(engine, below, workspace, max_bytes=policy.workspace.max_bytes) as tree:
        return read_inputs(tree, policy)


def _made(
    engine: Engine,
    below: ImageInfo,
    policy: Policy,
    inputs: Sequence[SetupInput],
    key: str,
    *,
    on_progress: Callable[[str], None],
) -> SetupLayer:
    from images.setup.making import SetupMaker  # noqa: PLC0415 - most runs find theirs

    began = time.monotonic()
    ref = f"{REPOSITORY}:{key}"
    SetupMaker(engine, below, policy, on_progress=on_progress).make(inputs, ref)
    made = engine.image(ref)
    if made is None or made.labels.get(LABEL_SETUP) != ref:
        raise SetupFailed("the layer of the set-up is gone as soon as it was made: try again")
    return _layer(made, below, key, seconds=time.monotonic() - began)


def _layer(image: ImageInfo, below: ImageInfo, key: str, *, seconds: float | None) -> SetupLayer:
    return SetupLayer(
        image=f"{REPOSITORY}:{key}",
        was_there=seconds is None,
        seconds=seconds or 0.0,
        added_bytes=max(image.size_bytes - below.size_bytes, 0),
        replaced=prepared_image.replaced(image.labels),
    )


def _key(below: ImageInfo, policy: Policy, inputs: Sequence[SetupInput], *in_image: object) -> str:
    rules = policy.setup
    said = [_FORM, below.id, rules.commands, rules.network, rules.secrets, rules.as_root]
    said += [rules.cooldown_s, sorted(policy.env.items()), *in_image]
    digest = hashlib.sha256(json.dumps(said).encode())
    for one in inputs:
        head = (len(one.path), one.path, one.executable, len(one.content))
        digest.update(b"%d %s %d %d\0" % head + one.content)
    return digest.hexdigest()[:32]

"""What a policy's ``setup.prepare`` makes of a workspace copy, and what its set-up left there (such
as ``node_modules``): a baseline of its own, kept as one.

The commands run in the agent's own domain, without network, in a container of the copy; what stands
then is what the agent, and whatever verifies its patch, begins with. What they made is no part of
a patch, and what they changed is told.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from policies.frozen import dataclass
from policies.policy import Policy
from sandbox import cache
from sandbox.container import guest_runtime, opening
from sandbox.container.commands import SessionCommands
from sandbox.container.plan import OpeningPlan
from sandbox.container.prepared_image import PreparedImage, prepare
from sandbox.container.session import Session
from sandbox.engine import images
from sandbox.engine.docker import Engine
from sandbox.engine.images import reference
from sandbox.engine.values import LABEL_FOREIGN, LABEL_LAYERS, LABEL_PYTHON
from sandbox.errors import SetupFailed
from sandbox.export import engine_changes
from sandbox.git.manifest import Manifest, ManifestEntry
from sandbox.git.path_rules import all_above
from sandbox.git.store import Store
from sandbox.patch.values import LeftOut, LeftOutKind
from sandbox.results import CommandResult, Ending
from sandbox.workspace import snapshot
from sandbox.workspace.snapshot import Snapshot

_ENVIRONMENT = "/opt/venv"
"""Where set-up installs packages; an editable install writes there."""
_MADE = "was made by set-up, so the workspace has nothing there"
_CHANGED = "was changed by set-up: a patch of it may not fit the workspace"
_TOLD = 1000
_FIRST_LINES, _LAST_LINES = 10, 30
"""Of what a command printed that failed. Some say at first what was wrong, and then their usage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedCopy:
    copied: Snapshot
    image: PreparedImage
    """What stands in it: programs, and where commands look for them."""


def prepared(
    engine: Engine,
    policy: Policy,
    copied: Snapshot,
    planned: Callable[[Snapshot, Policy, tuple[str, ...]], OpeningPlan],
    *,
    on_progress: Callable[[str], None],
) -> PreparedCopy:
    """The copy as the policy's ``prepare`` leaves it; found again where it was made before.

    Raises:
        SetupFailed: a command failed; the message ends with what it printed.
        SandboxError: the sandbox fails.
    """
    known = recalled(engine, policy, copied)
    if known is not None:
        return known
    key = _key(policy, copied)
    domain = _domain(policy)
    own = (_ENVIRONMENT,) if policy.exec_workspace else ()
    plan = planned(copied, domain, own)
    session = Session(engine, plan, opening.start(engine, plan))
    try:
        for command in policy.setup.prepare:
            on_progress(f"prepare: {' '.join(command.split())[:100]}")
            _require(command, SessionCommands(session).run(command))
        container = session.started.container
        engine.kill(container)
        with tempfile.TemporaryDirectory(prefix="moonpool-prepare-") as place:
            changed, _ = engine_changes.from_engine(
                engine,
                container,
                (before := copied.manifest()),
                Store(Path(place)),
                limit_bytes=policy.workspace.max_bytes,
            )
        told = _told(before, changed)
        below = engine.image(plan.prepared_image)
        layers = _layers(engine, policy, plan.snapshot_image)
        labels = dict(images.snapshot_labels(key, layers))
        if below is None or below.labels.get(LABEL_PYTHON) == guest_runtime.PYTHON:
            labels[LABEL_FOREIGN] = "1"
        engine.commit(
            container,
            ref=reference(key),
            labels=labels,
            environment=() if below is None else below.environment,
        )
    finally:
        session.close()
    entries = {path: entry for path, entry in {**before.entries, **changed}.items() if entry}
    snapshot.keep_manifest(
        snapshot.manifest_file(engine.cache, key), replace(before, entries=entries)
    )
    rows = [[os.fsdecode(item.path), item.reason, item.kind] for item in told]
    cache.keep(_told_file(engine.cache, key), json.dumps(rows).encode())
    if changed:
        on_progress(f"prepare: {len(changed)} files are new or other in the workspace, as baseline")
    return _with(engine, key, copied, told, on_progress)


def _key(policy: Policy, copied: Snapshot) -> str:
    """All that decides what the commands do."""
    said = (
        policy.setup.prepare,
        policy.services,
        policy.commands,
        policy.paths,
        sorted(policy.env.items()),
    )
    return hashlib.sha256(f"{copied.key}\0prepared 4\0{said!r}".encode()).hexdigest()[:32]


def _domain(policy: Policy) -> Policy:
    """The agent's own, but that what the workspace builds may run, for as long as a run may."""
    return replace(policy.with_long_commands(), exec_workspace=True)


def _require(command: str, result: CommandResult) -> None:
    if result.exit_code == 0:
        return
    output = (result.stdout + result.stderr).decode("utf-8", "replace")
    lines = output.splitlines()
    if (between := len(lines) - _FIRST_LINES - _LAST_LINES) > 0:
        lines[_FIRST_LINES:-_LAST_LINES] = [f"[… {between} lines …]"]
    ended = result.ending is Ending.EXITED
    ending = f"ended with {result.exit_code}" if ended else f"was ended: {result.ending}"
    raise SetupFailed(
        f"setup.prepare: {' '.join(command.split())!r} {ending}; it has no network, and may run "
        "what the policy lists\n" + "\n".join(lines)
    )


def _told(before: Manifest, changed: Mapping[bytes, ManifestEntry | None]) -> list[LeftOut]:
    """What was made, as few paths as say it, and what was changed."""
    folders = all_above(before.entries)
    made: dict[bytes, None] = {}
    other = []
    for path in sorted(changed):
        if path in before.entries:
            other.append(path)
        else:
            made[_top_of(path, folders)] = None
    rows = [LeftOut(path=path, reason=_MADE, kind=LeftOutKind.PREPARED) for path in made]
    rows += [LeftOut(path=path, reason=_CHANGED, kind=LeftOutKind.UNUSABLE) for path in other]
    return rows


def _top_of(path: bytes, folders: set[bytes]) -> bytes:
    """The uppermost folder above a path that was not there, or the path itself."""
    parts = path.split(b"/")
    for depth in range(1, len(parts)):
        if b"/".join(parts[:depth]) not in folders:
            return b"/".join(parts[:depth])
    return path


def recalled(engine: Engine, policy: Policy, copied: Snapshot) -> PreparedCopy | None:
    """The copy as the policy's ``prepare`` left it the last time; None: it has to be made."""
    key = _key(policy, copied)
    try:
        # Its age tells `prune` when it was last used.
        os.utime(snapshot.manifest_file(engine.cache, key))
        rows = json.loads(_told_file(engine.cache, key).read_bytes())
        told = [
            LeftOut(path=os.fsencode(path), reason=reason, kind=LeftOutKind(kind))
            for path, reason, kind in rows
        ]
    except (OSError, ValueError, TypeError):
        return None
    if engine.image(reference(key)) is None:
        return None
    return _with(engine, key, copied, told, lambda _: None)


def _with(
    engine: Engine,
    key: str,
    copied: Snapshot,
    told: Iterable[LeftOut],
    on_progress: Callable[[str], None],
) -> PreparedCopy:
    image = engine.image(reference(key))
    if image is None:
        raise SetupFailed("the prepared copy is gone as soon as it was made: try again")
    left_out = (*copied.left_out, *list(told)[:_TOLD])
    return PreparedCopy(
        copied=snapshot.recorded(engine.cache, key, left_out),
        # Looked at anew: what was installed beside the workspace has programs of its own.
        image=prepare(engine, image, on_progress=on_progress),
    )


def _layers(engine: Engine, policy: Policy, below: str) -> int:
    """In how many layers the workspace is, with the one that is laid on an image here; 0 where some
    of it may be deeper, for a set-up left it."""
    found = engine.image(below)
    if policy.setup.makes_layer or found is None:
        return 0
    return int(found.labels.get(LABEL_LAYERS, 1)) + 1


def _told_file(cache_directory: Path, key: str) -> Path:
    return cache_directory / "prepared" / f"{key}.json"

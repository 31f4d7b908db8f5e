"""What a set-up left, looked through and named: nothing that gives rights, no secret, no device."""

import base64
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from images.setup import job, secrets
from sandbox.container import guest_runtime, seccomp
from sandbox.container.own_files import GUEST_DIRECTORY, hosts_file
from sandbox.container.prepared_image import DRAFT, REPOSITORY
from sandbox.container.spec import PATH, ContainerSpec
from sandbox.engine.docker import Engine
from sandbox.engine.values import (
    LABEL_ATTEMPT,
    LABEL_DEADLINE,
    LABEL_FOREIGN,
    LABEL_LEFT,
    LABEL_MANAGED,
    LABEL_REPLACED,
    LABEL_SETUP,
    ImageInfo,
)
from sandbox.errors import EngineError, SetupFailed

ENVIRONMENT = "/opt/venv"
"""The one folder outside of workspace and home that a set-up without root may fill."""

_CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER")
_TIME_S = 600
_MENTIONED = 5
_LABELLED = 200
_OF_THE_ENGINE = frozenset({"/etc/hostname", "/etc/hosts", "/etc/resolv.conf"})
"""Files that an engine makes new in each container, whatever the image holds there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweptLayer:
    """What the sweep saw, believed no more than what it looked at."""

    found: tuple[str, ...]
    """Files that hold a secret."""
    changed: tuple[str, ...]
    """Programs, and what they load, that are new or other."""
    has_environment: bool
    left: bool
    """Whether anything stands in the workspace, besides what it was given."""
    unseen: tuple[str, ...]
    """Directories that it could not look into."""


def keep(
    engine: Engine,
    container: str,
    below: ImageInfo,
    known: Mapping[str, str],
    ref: str,
    *,
    inputs: Sequence[bytes],
    as_root: bool,
    limit_bytes: int,
    on_free: Callable[[], object],
) -> None:
    """Make a named layer of what stands in a set-up's container, which has ended.

    Args:
        known: the secrets' values by name.
        inputs: files that the workspace brings itself.
        limit_bytes: the most that it may add.
        on_free: called once the container is needed no more.

    Raises:
        SetupFailed: a secret is in it, it is too large, or it can't be looked through.
    """
    foreign = guest_runtime.is_needed(below)
    replaceable = as_root or foreign
    if not foreign and engine.stands(container, f"/{GUEST_DIRECTORY}"):
        raise SetupFailed(f"set-up wrote to /{GUEST_DIRECTORY}, which is Moonpool's own: not kept")
    since_ns = _since_ns(engine.inspect(container)["State"])
    draft = f"{REPOSITORY}:{DRAFT}{ref.rpartition(':')[2]}-{os.urandom(8).hex()}"
    engine.commit(container, ref=draft, labels={LABEL_SETUP: "", LABEL_ATTEMPT: ""})
    if not replaceable:
        on_free()
    try:
        made = engine.image(draft)
        if made is not None and made.size_bytes - below.size_bytes > limit_bytes:
            raise SetupFailed(f"set-up left more than limits.disk, {limit_bytes >> 20} MiB")
        # A Python that may have been replaced tells what it likes. One of ours only root replaces.
        spec = _spec(engine, draft, job.BROUGHT_PYTHON if replaceable else job.PYTHON)
        sweeper = job.create(engine, spec, keeps_workspace=True)
        try:
            swept = _sweep(
                engine, sweeper, spec, known, inputs=inputs, since_ns=since_ns, whole=foreign
            )
            _require_no_secret(engine, draft, swept, known)
            if swept.unseen:
                raise SetupFailed(
                    f"set-up left {', '.join(swept.unseen[:_MENTIONED])}, which can't be looked "
                    "into: nothing was kept"
                )
            replaced: list[str] = []
            if replaceable:
                replaced = _replaced(engine, container, swept)
                on_free()
            labels = {LABEL_SETUP: ref, LABEL_REPLACED: json.dumps(replaced[:_LABELLED])}
            if swept.left:
                labels[LABEL_LEFT] = "1"
            if replaceable:
                labels[LABEL_FOREIGN] = "1"
            engine.commit(sweeper, ref=ref, labels=labels, environment=_environment(below, swept))
        finally:
            engine.remove(sweeper)
    finally:
        engine.remove_image(draft)


def _since_ns(state: Mapping[str, object]) -> int:
    """A time before anything that a container did, whichever way the clock was set meanwhile."""
    ends = (f"{str(state[name])[:19]}+00:00" for name in ("StartedAt", "FinishedAt"))
    return int((min(map(datetime.fromisoformat, ends)).timestamp() - 1) * 1e9)


def _replaced(engine: Engine, container: str, swept: SweptLayer) -> list[str]:
    changed = [path for path in swept.changed if path not in _OF_THE_ENGINE]
    if not changed:
        return []  # comparing takes the engine longer than storing
    try:
        stood = engine.changed_paths(container)
    except EngineError as error:
        raise SetupFailed(
            f"what set-up left can't be compared with the image: nothing was kept ({error!s:.200})"
        ) from error
    return [path for path in changed if path in stood]


def _spec(engine: Engine, image: str, command: tuple[str, ...]) -> ContainerSpec:
    return ContainerSpec(
        image=image,
        command=command,
        labels={LABEL_MANAGED: "1", LABEL_DEADLINE: str(int(time.time()) + 2 * _TIME_S)},
        cpus=2.0,
        memory_bytes=1 << 30,
        pids=16,
        file_bytes=1 << 20,
        seccomp_profile=seccomp.profile(exec_memory_files=False),
        user="0:0",
        capabilities=_CAPABILITIES,
        hosts_file=str(hosts_file(engine.cache)),
    )


def _sweep(
    engine: Engine,
    sweeper: str,
    spec: ContainerSpec,
    known: Mapping[str, str],
    *,
    inputs: Sequence[bytes],
    since_ns: int,
    whole: bool,
) -> SweptLayer:
    """`whole`: what a recipe of ours left gives no rights, and is not looked at again."""
    needles = sorted({form for value in known.values() for form in secrets.forms(value)})
    output = bytearray()
    ended = job.run(
        engine, sweeper, spec,
        source=job.source("sweep"),
        told=lambda: {
            "since_ns": since_ns,
            "whole": whole,
            "needles": [base64.b64encode(form).decode() for form in needles],
            "environment": ENVIRONMENT,
            "inputs": [base64.b64encode(path).decode() for path in inputs],
            "brought": f"/{GUEST_DIRECTORY}" if spec.command == job.BROUGHT_PYTHON else "",
        },
        on_output=output.extend, time_s=_TIME_S,
    )  # fmt: skip
    try:
        seen = json.loads(output)
        return SweptLayer(
            found=tuple(map(str, seen["found"])),
            changed=tuple(map(str, seen["changed"])),
            has_environment=bool(seen["environment"]),
            left=bool(seen["left"]),
            unseen=tuple(map(str, seen["unseen"])),
        )
    except (ValueError, KeyError, TypeError) as error:
        said = ended.stopped or bytes(output[-500:]).decode("utf-8", "replace")
        raise SetupFailed(f"what set-up left can't be looked through ({said})") from error


def _require_no_secret(
    engine: Engine, draft: str, swept: SweptLayer, known: Mapping[str, str]
) -> None:
    places = list(swept.found)
    if secrets.search(json.dumps(engine.history(draft)), known):
        places.append("the image's own settings")
    if places:
        shown = secrets.hidden(", ".join(places[:_MENTIONED]), known)
        raise SetupFailed(
            f"set-up left a secret in {shown}: nothing was kept; have the command remove it, or "
            "take it from the variable alone"
        )


def _environment(below: ImageInfo, swept: SweptLayer) -> Sequence[str]:
    """The image's own variables, with the environment's programs first where there are any."""
    said = dict(row.partition("=")[::2] for row in below.environment)
    said.setdefault("PATH", PATH)
    if swept.has_environment:
        said |= {"PATH": f"{ENVIRONMENT}/bin:{said['PATH']}", "VIRTUAL_ENV": ENVIRONMENT}
    return [f"{name}={value}" for name, value in said.items()]

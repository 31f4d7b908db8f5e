"""From a plan to a sealed, answering container: create, attach, start, greet, compare."""

import contextlib
import dataclasses
import os
import socket
import time
from collections.abc import Callable

from policies.frozen import dataclass
from policies.kernel.rules import Access, KernelRules
from policies.paths import WORKSPACE
from sandbox.container import own_files, seal
from sandbox.container.mounts import Mount, noexec_targets
from sandbox.container.plan import OpeningPlan
from sandbox.container.seal import KernelPolicy, SealReport
from sandbox.container.spec import ContainerSpec, differences
from sandbox.engine.docker import Engine
from sandbox.errors import (
    EngineError,
    EngineUnavailable,
    KernelUnsupported,
    SandboxError,
    SandboxLost,
    ServiceFailed,
    VolumeRefused,
)
from sandbox.guest.protocol import FirstWords
from sandbox.link import GuestLink

_GREETING_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedContainer:
    """A running container whose seal was checked."""

    container: str
    spec: ContainerSpec
    """What it was made from: the plan's, and the mounts of this one."""
    volumes: tuple[str, ...]
    """Names of the volumes that no other container uses, to be removed after this one."""
    link: GuestLink
    seal: SealReport
    services: tuple[str, ...] = ()
    """That each of them is ready, and after how long; for a person."""
    since_ns: int
    """The file system's clock when the guest began; what changed later has a later ctime."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerState:
    """One sandbox, as its record must hold it."""

    container: str
    prepared_key: str
    """Names image and guest version together: the guest in there must be the one we speak to."""
    snapshot_key: str
    """Names the workspace copy, and with it the manifest that the patch is made against."""
    since_ns: int
    """The file system's clock when the guest first began; what changed later has a later ctime."""
    mounts: tuple[Mount, ...]
    """The container's own, beside what the policy makes of every container."""
    volumes: tuple[str, ...]
    """Names of the volumes below its mounts; to be removed after it."""


def start(
    engine: Engine, made: OpeningPlan, *, meanwhile: Callable[[], None] = lambda: None
) -> StartedContainer:
    """Create a container, start its guest, and compare what runs with the plan.

    Args:
        meanwhile: called just before the engine's longest piece of work is waited for.

    Raises:
        SealBroken, KernelUnsupported, ServiceFailed, SandboxLost, EngineError: it is removed again.
    """
    if made.policy.exec_workspace:
        return _start(engine, made, meanwhile=meanwhile)
    from sandbox.container import volumes  # noqa: PLC0415 - for what may not be executed only

    try:
        own = volumes.make(
            engine,
            snapshot_image=made.snapshot_image,
            prepared_image=made.prepared_image,
            memory_bytes=made.spec.memory_bytes,
            labels=made.spec.labels,
        )
        return _start(engine, made, own.mounts, own.names, meanwhile=meanwhile)
    except VolumeRefused as error:
        if made.kernel_policy is KernelPolicy.REQUIRE:
            raise KernelUnsupported(
                "`exec_workspace: false` takes an engine that mounts overlayfs as a volume, which "
                f"this one does not ({error}): use another engine, or go on with execve alone "
                "refused by --kernel-policy=prefer"
            ) from error
        return _start(engine, made, meanwhile=meanwhile)


def _start(
    engine: Engine,
    made: OpeningPlan,
    mounts: tuple[Mount, ...] = (),
    volumes: tuple[str, ...] = (),
    *,
    meanwhile: Callable[[], None],
) -> StartedContainer:
    spec = dataclasses.replace(made.spec, mounts=mounts)
    container = None
    try:
        container = create(engine, spec)
        if made.brought is not None:
            from sandbox.container.brought_files import archive  # noqa: PLC0415 - few runs bring any

            engine.put_archive(container, "/", archive(made.brought))
        return _greet(engine, made, spec, volumes, container, since_ns=0, meanwhile=meanwhile)
    except BaseException:
        with contextlib.suppress(SandboxError):
            if container is not None:
                engine.remove(container)
        engine.remove_volumes(volumes)
        raise


def create(engine: Engine, spec: ContainerSpec) -> str:
    """A container with its /etc/hosts: mounted, or put in where an engine does not see our file."""
    own_files.keep_hosts_file(engine.cache)
    try:
        return engine.create(spec.body(mounts_hosts=True))
    except EngineError:
        # Any other reason to refuse is one here too.
        container = engine.create(spec.body())
    engine.put_archive(container, "/", [own_files.of_container()])
    return container


def discard(engine: Engine, started: StartedContainer) -> None:
    """Remove a container with everything in it."""
    started.link.close()
    engine.remove(started.container)
    engine.remove_volumes(started.volumes)


def restart(engine: Engine, made: OpeningPlan, before: StartedContainer) -> StartedContainer:
    """Start the guest of a container again; its files are as they were, those in memory excepted.

    Raises:
        SandboxLost: the container is gone or does not come back.
    """
    before.link.close()
    try:
        return take_up(
            engine,
            made,
            before.container,
            spec=before.spec,
            volumes=before.volumes,
            since_ns=before.since_ns,
        )
    except EngineUnavailable:
        raise
    except (EngineError, ServiceFailed) as error:
        raise SandboxLost(f"the sandbox ended and does not come back: {error}") from error


def take_up(
    engine: Engine,
    made: OpeningPlan,
    container: str,
    *,
    spec: ContainerSpec,
    volumes: tuple[str, ...],
    since_ns: int,
) -> StartedContainer:
    """Start the guest of a container that another process may have opened. Its files are as they
    were, those in memory excepted.

    Not attached to as it is: the other process may have ended in the middle of a frame, and the
    guest of a command. What it was at ends with it.

    Raises:
        SealBroken, KernelUnsupported: what runs is not what was planned.
        SandboxLost: the container is gone or its guest does not come back.
    """
    engine.kill(container)
    engine.wait(container, timeout_s=_GREETING_TIMEOUT_S)
    own_files.keep_hosts_file(engine.cache)
    return _greet(engine, made, spec, volumes, container, since_ns=since_ns, meanwhile=lambda: None)


def unattended(
    made: OpeningPlan, container: str, *, volumes: tuple[str, ...], since_ns: int, seal: SealReport
) -> StartedContainer:
    """A container whose guest is not spoken to: only the engine says what stands in it."""
    link = GuestLink(socket.socket(socket.AF_UNIX))
    link.give_up("the sandbox is only exported")
    link.close()
    return StartedContainer(
        container=container,
        spec=made.spec,
        volumes=volumes,
        link=link,
        seal=seal,
        since_ns=since_ns,
    )


def _withheld(rules: KernelRules, absent: list[bytes]) -> list[str]:
    """What the policy lists of the workspace and the guest gave no rule, for a person to know."""
    access = {os.fsencode(rule.path): rule.access for rule in rules.rules}
    top = WORKSPACE.encode()
    return [
        f"{os.fsdecode(path)} can't be {'written' if access[path] & Access.WRITE else 'read'}: "
        "nothing stands there, or a link does"
        for path in absent
        if path in access and (path + b"/").startswith(top + b"/")
    ]


def _loadable(rules: KernelRules, spec: ContainerSpec) -> list[str]:
    """What a policy lets be written beside the places mounted noexec, for a person to know."""
    tops = (*(f"{target}/" for target in noexec_targets(spec.mounts)), "/dev/")
    return [
        f"{rule.path} may be written and is not mounted noexec: code in it can be loaded"
        for rule in rules.rules
        if spec.mounts and rule.access & Access.WRITE and not f"{rule.path}/".startswith(tops)
    ]


def _greet(
    engine: Engine,
    made: OpeningPlan,
    spec: ContainerSpec,
    own: tuple[str, ...],
    container: str,
    *,
    since_ns: int,
    meanwhile: Callable[[], None],
) -> StartedContainer:
    link = GuestLink(engine.attach(container))
    try:
        # Said before the start: the guest finds it waiting.
        setup = made.setup(since_ns)
        link.send(setup)
        meanwhile()
        engine.start(container)
        _, words = link.receive(until=time.monotonic() + _GREETING_TIMEOUT_S)
        if not isinstance(words, FirstWords):
            raise link.nonsense(words, setup)
        report = seal.check(
            words,
            kernel_policy=made.kernel_policy,
            probe=made.probe,
            missing=(
                *made.rules.missing,
                *(
                    f"{program} (of service {service.rule.name})"
                    for service in made.services
                    for program in service.missing
                ),
            ),
            notes=(
                *made.rules.notes,
                *_withheld(made.rules, words.missing),
                *_loadable(made.rules, spec),
            ),
            engine_differences=differences(spec, engine.inspect(container)),
            seals_memory=not made.policy.exec_workspace,
            mounts=spec.mounts,
        )
        return StartedContainer(
            container=container,
            spec=spec,
            volumes=own,
            link=link,
            seal=report,
            services=_served(link, made, words.abi),
            since_ns=since_ns or words.since_ns,
        )
    except BaseException:
        link.close()
        raise


def _served(link: GuestLink, made: OpeningPlan, abi: int) -> tuple[str, ...]:
    if not made.services:
        return ()
    from sandbox.container import services  # noqa: PLC0415 - few policies have some

    return services.start(link, made.services, abi=abi)

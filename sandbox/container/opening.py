"""From a snapshot to a sealed, answering container: create, attach, start, greet, compare."""

import contextlib
import dataclasses
import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from policies.kernel.inventory import Inventory
from policies.kernel.rules import Access, KernelRules, kernel_rules
from policies.policy import Policy
from sandbox.container import seal, volumes
from sandbox.container.mounts import noexec_targets
from sandbox.container.prepared_image import GUEST_COMMAND, PreparedImage
from sandbox.container.seal import KernelPolicy, SealReport
from sandbox.container.spec import (
    HOME,
    PATH,
    WORKSPACE,
    ContainerSpec,
    container_spec,
    differences,
)
from sandbox.engine.docker import Engine
from sandbox.engine.labels import LABEL_DEADLINE, LABEL_MANAGED, LABEL_OWNER, LABEL_RUN
from sandbox.errors import (
    EngineError,
    EngineUnavailable,
    KernelUnsupported,
    SandboxError,
    SandboxLost,
)
from sandbox.link.connection import GuestLink, Value

_GREETING_TIMEOUT_S = 30.0
_GRACE_S = 600
"""How long past a run's own time limit its processes may live: for export and verification, or
until the guest of a run whose orchestrator died ends itself."""
_AFTERLIFE_S = 3600
"""How long after that the stopped container stands, for a resume or an export."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpeningPlan:
    """Everything that decides how one sandbox runs; a restart uses it again."""

    policy: Policy
    prepared_image: str
    snapshot_image: str
    spec: ContainerSpec
    rules: KernelRules
    kernel_policy: KernelPolicy
    probe: str | None
    lifetime_s: int

    def greeting(self, since_ns: int) -> list[Value]:
        """The first frame: what the guest is to enforce."""
        rules: list[Value] = [
            [os.fsencode(rule.path), int(rule.access)] for rule in self.rules.rules
        ]
        environment: list[Value] = [
            [name.encode(), value.encode()] for name, value in _environment(self.policy).items()
        ]
        return [
            b"hello",
            rules,
            1,
            WORKSPACE.encode(),
            environment,
            self.policy.limits.output_bytes,
            self.policy.limits.disk_bytes,
            self.lifetime_s,
            os.fsencode(self.probe) if self.probe else b"",
            since_ns,
            int(not self.policy.exec_workspace),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedContainer:
    """A running container whose seal was checked."""

    container: str
    spec: ContainerSpec
    """What it was made from: the plan's, and the mounts of this one."""
    volumes: tuple[str, ...]
    """Its own, to be removed after it."""
    link: GuestLink
    seal: SealReport
    since_ns: int
    """The file system's clock when the guest began; what changed later has a later ctime."""


def _environment(policy: Policy) -> dict[str, str]:
    """What commands find in their environment. Nothing of the host's."""
    return {
        "PATH": PATH,
        "HOME": HOME,
        "USER": "agent",
        "LOGNAME": "agent",
        "SHELL": "/bin/bash",
        # Characters are UTF-8; sorting and messages are C's. Setting LANG would mean the same, and
        # cost every command a tenth of a millisecond for loading the other categories.
        "LC_CTYPE": "C.UTF-8",
        "TERM": "dumb",
        "PAGER": "cat",
        "GIT_PAGER": "cat",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_AUTHOR_NAME": "agent",
        "GIT_AUTHOR_EMAIL": "agent@moonpool.invalid",
        "GIT_COMMITTER_NAME": "agent",
        "GIT_COMMITTER_EMAIL": "agent@moonpool.invalid",
        **policy.env,
    }


def plan(
    policy: Policy,
    prepared: PreparedImage,
    *,
    snapshot_image: str,
    run_id: str,
    may_ask: bool,
    kernel_policy: KernelPolicy,
) -> OpeningPlan:
    """Turn policy and image into a plan; nothing is done yet."""
    rules = _rules(policy, prepared, may_ask=may_ask)
    lifetime_s = int(policy.limits.time_s) + _GRACE_S
    labels = {
        LABEL_MANAGED: "1",
        LABEL_RUN: run_id,
        LABEL_OWNER: f"{os.getuid()}@{socket.gethostname()}",
        LABEL_DEADLINE: str(int(time.time()) + lifetime_s + _AFTERLIFE_S),
    }
    return OpeningPlan(
        policy=policy,
        prepared_image=prepared.id,
        snapshot_image=snapshot_image,
        spec=container_spec(policy, image=snapshot_image, command=GUEST_COMMAND, labels=labels),
        rules=rules,
        kernel_policy=kernel_policy,
        probe=_forbidden(prepared, rules),
        lifetime_s=lifetime_s,
    )


_NOTHING = Inventory(programs={}, links={}, directories={}, search_path=())


def plan_of_none(policy: Policy, *, snapshot_image: str) -> OpeningPlan:
    """For a container that is only read: nothing is ever started by it."""
    return OpeningPlan(
        policy=policy,
        prepared_image="",
        snapshot_image=snapshot_image,
        spec=container_spec(policy, image=snapshot_image, command=GUEST_COMMAND, labels={}),
        rules=kernel_rules(policy, _NOTHING),
        kernel_policy=KernelPolicy.REQUIRE,
        probe=None,
        lifetime_s=0,
    )


_known_rules: dict[tuple[str, str, bool], KernelRules] = {}
"""A batch opens many sandboxes under one policy; working the rules out takes some milliseconds."""


def _rules(policy: Policy, prepared: PreparedImage, *, may_ask: bool) -> KernelRules:
    key = (prepared.key, repr(policy), may_ask)
    found = _known_rules.get(key)
    if found is None:
        found = kernel_rules(policy, prepared.inventory, may_ask=may_ask)
        _known_rules[key] = found
    return found


def _forbidden(prepared: PreparedImage, rules: KernelRules) -> str | None:
    """A program that the rules leave out, to try the kernel with; None where they allow all."""
    allowed = {rule.path for rule in rules.rules if rule.access & (Access.READ | Access.EXECUTE)}

    def covered(path: str) -> bool:
        while path != "/":
            if path in allowed:
                return True
            path = path.rpartition("/")[0] or "/"
        return "/" in allowed

    for program in prepared.inventory.programs.values():
        if program.interpreter is None and not covered(program.path):
            return program.path
    return None


def start(
    engine: Engine, made: OpeningPlan, *, meanwhile: Callable[[], None] = lambda: None
) -> StartedContainer:
    """Create a container, start its guest, and compare what runs with the plan.

    Args:
        meanwhile: called just before the engine's longest piece of work is waited for.

    Raises:
        SealBroken, KernelUnsupported, SandboxLost, EngineError: it is removed again.
    """
    if made.policy.exec_workspace:
        return _start(engine, made, volumes.NONE, meanwhile=meanwhile)
    try:
        mounts = volumes.make(
            engine,
            snapshot_image=made.snapshot_image,
            prepared_image=made.prepared_image,
            memory_bytes=made.spec.memory_bytes,
            labels=made.spec.labels,
        )
        return _start(engine, made, mounts, meanwhile=meanwhile)
    except EngineUnavailable:
        raise
    except EngineError as error:
        if "volume" not in str(error) or "disk is full" in str(error):
            raise
        if made.kernel_policy is KernelPolicy.REQUIRE:
            raise KernelUnsupported(
                "`exec_workspace: false` takes an engine that mounts overlayfs as a volume, which "
                f"this one does not ({error}): use another engine, or go on with execve alone "
                "refused by --kernel-policy=prefer"
            ) from error
        return _start(engine, made, volumes.NONE, meanwhile=meanwhile)


def _start(
    engine: Engine, made: OpeningPlan, own: volumes.MadeVolume, *, meanwhile: Callable[[], None]
) -> StartedContainer:
    spec = dataclasses.replace(made.spec, mounts=own.mounts)
    container = None
    try:
        container = engine.create(spec.body())
        return _greet(engine, made, spec, own.names, container, since_ns=0, meanwhile=meanwhile)
    except BaseException:
        with contextlib.suppress(SandboxError):
            if container is not None:
                engine.remove(container)
        volumes.remove(engine, own.names)
        raise


def discard(engine: Engine, started: StartedContainer) -> None:
    """Remove a container with everything in it."""
    started.link.close()
    engine.remove(started.container)
    volumes.remove(engine, started.volumes)


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
    except EngineError as error:
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


def _withheld(rules: KernelRules, answer: Sequence[Value]) -> list[str]:
    """What the policy lists of the workspace and the guest gave no rule, for a person to know."""
    absent = answer[3] if len(answer) > 3 and isinstance(answer[3], list) else []
    access = {os.fsencode(rule.path): rule.access for rule in rules.rules}
    top = WORKSPACE.encode()
    return [
        f"{os.fsdecode(path)} can't be {'written' if access[path] & Access.WRITE else 'read'}: "
        "nothing stands there, or a link does"
        for path in absent
        if isinstance(path, bytes) and path in access and (path + b"/").startswith(top + b"/")
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
        link.send(*made.greeting(since_ns))
        meanwhile()
        engine.start(container)
        kind, *answer = link.receive(until=time.monotonic() + _GREETING_TIMEOUT_S)
        if kind != b"hello":
            raise SandboxLost("the guest's first words are malformed")
        report = seal.check(
            answer,
            kernel_policy=made.kernel_policy,
            probe=made.probe,
            missing=made.rules.missing,
            notes=(
                *made.rules.notes,
                *_withheld(made.rules, answer),
                *_loadable(made.rules, spec),
            ),
            engine_differences=differences(spec, engine.inspect(container)),
            seals_memory=not made.policy.exec_workspace,
            mounts=spec.mounts,
        )
        since = answer[6] if len(answer) > 6 and isinstance(answer[6], int) else 0
        return StartedContainer(
            container=container,
            spec=spec,
            volumes=own,
            link=link,
            seal=report,
            since_ns=since_ns or since,
        )
    except BaseException:
        link.close()
        raise

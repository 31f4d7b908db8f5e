"""Everything that decides how one sandbox runs, worked out before anything is done.

Owns too which of an image's own variables its commands get (an activated environment is made of
them), and which of them could turn a command into another before the policy has looked at it.
"""

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from policies.file.scalars import HIJACKING, OURS
from policies.frozen import dataclass
from policies.kernel.image import Inventory
from policies.kernel.rules import Access, KernelRules, PathRule, kernel_rules
from policies.paths import SCRATCH, WORKSPACE, normal, within
from policies.policy import Policy
from policies.shell.words import HOME
from sandbox.container.prepared_image import PreparedImage
from sandbox.container.seal import KernelPolicy
from sandbox.container.spec import ContainerSpec, container_spec
from sandbox.engine.values import LABEL_DEADLINE, LABEL_MANAGED, LABEL_OWNER, LABEL_RUN, owner
from sandbox.guest.protocol import GuestSetup, PathAccess, Variable
from sandbox.threads import Recent, Same

_VALUE_LIMIT = 1 << 15
_TOTAL_LIMIT = 1 << 17
_SHELL_FILE = "BASH_ENV"
_PLAIN_LOCALES = {"C", "C.UTF-8", "C.utf8", "POSIX"}


def passed_on(said: Sequence[str], *, written: Iterable[str]) -> dict[str, str]:
    """Those that reach commands, by name.

    A file that every shell reads first (`BASH_ENV`) is among them where only the image can have
    written it: conda and others activate their environment by it.

    Args:
        said: rows ``NAME=VALUE``, as the engine gives them.
        written: the policy's writable places, relative to the workspace or absolute.
    """
    found: dict[str, str] = {}
    room = _TOTAL_LIMIT
    for name, is_set, value in (row.partition("=") for row in said):
        room -= len(name) + len(value)
        if (
            not is_set
            or not _is_name(name)
            or not value.isprintable()
            or len(value) > _VALUE_LIMIT
            or room < 0
        ):
            continue
        if name == _SHELL_FILE:
            if _is_only_the_images(value, written):
                found[name] = value
        # Of the locales, ours means the same and costs a command less.
        elif not (HIJACKING.match(name) or name in OURS or _is_plain_locale(name, value)):
            found[name] = value
    return found


def _is_name(name: str) -> bool:
    return name.isidentifier() and name.isascii()


def _is_plain_locale(name: str, value: str) -> bool:
    return name in {"LANG", "LC_ALL"} and value in _PLAIN_LOCALES


def _is_only_the_images(path: str, written: Iterable[str]) -> bool:
    """By text: a link there that leads to the agent's files is the image's own doing."""
    tops = (WORKSPACE, HOME, *SCRATCH, "/proc", "/dev", *map(normal, written))
    return path.startswith("/") and not any(within(normal(path), top) for top in tops)


if TYPE_CHECKING:
    from sandbox.container.services import PlannedService

_GRACE_S = 600
"""How long past a run's own time limit its processes may live: for export and verification, or
until the guest of a run whose orchestrator died ends itself."""
_AFTERLIFE_S = 3600
"""How long after that the stopped container stands, for a resume or an export."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BroughtFiles:
    """Files of the operator's that a container has before its first command (`brought_files`)."""

    files: Path | Mapping[str, bytes]
    """A folder on this machine, of which all regular files are brought, and which may hold no
    links; or content by paths below `target`."""
    target: str
    """Where they stand in the container: absolute, and no place that the sandbox makes itself."""
    writable: str | None = None
    """A directory that is empty at the start, and that commands may write."""
    executable: bool = True
    """Whether commands may execute them; else they read them alone."""

    def rules(self) -> tuple[PathRule, ...]:
        """What commands may do there."""
        may = Access.READ | Access.LIST
        runs = Access.EXECUTE if self.executable else Access(0)
        found = [PathRule(path=self.target, access=may | runs)]
        if self.writable is not None:
            found.append(PathRule(path=self.writable, access=may | Access.WRITE))
        return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpeningPlan:
    """Everything that decides how one sandbox runs; a restart uses it again."""

    policy: Policy
    prepared_image: str
    """The engine's id of the image with the guest in it."""
    snapshot_image: str
    """The engine's reference of that image with the workspace copy on top."""
    spec: ContainerSpec
    environment: Mapping[str, str]
    """What commands find in their environment."""
    rules: KernelRules
    """What the guest has the kernel enforce, by path."""
    kernel_policy: KernelPolicy
    """The operator's: whether to go on where the kernel can't enforce the rules."""
    probe: str | None
    """A program of the image that the rules forbid, absolute: the guest tries to read and execute
    it before anything else runs, and has to fail. None where the rules allow every program."""
    services: "tuple[PlannedService, ...]" = ()
    brought: BroughtFiles | None = None
    """What stands in the container beside image and workspace before it is started."""
    before: "OpeningPlan | None" = None
    """The plan of a container without that."""
    lifetime_s: int
    """How long after its start a guest ends everything, itself too; it can be prolonged. 0 for a
    container in which nothing is started."""

    def bringing(self, files: BroughtFiles) -> "OpeningPlan":
        """The same with files beside it, and rules for them in place of any that were there."""
        own = {rule.path: rule for rule in files.rules()}
        kept = (rule for rule in self.rules.rules if not within_any(rule.path, own))
        rules = sorted((*kept, *own.values()), key=lambda rule: rule.path)
        probed = self.probe is not None and within_any(self.probe, own)
        return replace(
            self,
            rules=replace(self.rules, rules=tuple(rules)),
            probe=None if probed else self.probe,
            brought=files,
            before=self,
        )

    def bringing_nothing(self) -> "OpeningPlan":
        """The same without such files, as it was before."""
        return self if self.before is None else self.before

    def setup(self, since_ns: int) -> GuestSetup:
        """What a guest is told first.

        Args:
            since_ns: the file system's clock when the container's first guest began; 0 for that.
        """
        return GuestSetup(
            rules=[
                PathAccess(path=os.fsencode(rule.path), access=int(rule.access))
                for rule in self.rules.rules
            ],
            workspace=WORKSPACE.encode(),
            environment=[
                Variable(name=name.encode(), value=value.encode())
                for name, value in self.environment.items()
            ],
            keep_bytes=self.policy.limits.output_bytes,
            disk_bytes=self.policy.limits.disk_bytes,
            lifetime_s=self.lifetime_s,
            probe=os.fsencode(self.probe) if self.probe else None,
            since_ns=since_ns,
            seal_memory=not self.policy.exec_workspace,
            services=bool(self.services),
        )


def within_any(path: str, tops: Iterable[str]) -> bool:
    """Whether a path is one of some others, or lies below one."""
    return any(within(path, top) for top in tops)


def _environment(policy: Policy, prepared: PreparedImage) -> dict[str, str]:
    """What commands find in their environment: the image's own, ours, the policy's. Nothing of the
    host's."""
    return {
        **passed_on(prepared.environment, written=policy.paths.write),
        "PATH": ":".join(prepared.inventory.search_path),
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
        # Nobody is there to edit a message: git starts nothing for ":", and takes what it proposed.
        "GIT_EDITOR": ":",
        "GIT_SEQUENCE_EDITOR": ":",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_AUTHOR_NAME": "agent",
        "GIT_AUTHOR_EMAIL": "agent@moonpool.invalid",
        "GIT_COMMITTER_NAME": "agent",
        "GIT_COMMITTER_EMAIL": "agent@moonpool.invalid",
        # There is no network: of themselves npm asks a registry for 75 s and pip for 9 s.
        "NPM_CONFIG_FETCH_RETRIES": "0",
        "PIP_RETRIES": "1",
        **policy.env,
    }


def labels(run_id: str, *, lifetime_s: float) -> dict[str, str]:
    """What a container that begins its life now carries.

    Args:
        lifetime_s: how long its processes live at most.
    """
    return {
        LABEL_MANAGED: "1",
        LABEL_RUN: run_id,
        LABEL_OWNER: owner(),
        LABEL_DEADLINE: str(int(time.time() + lifetime_s) + _AFTERLIFE_S),
    }


def plan(
    policy: Policy,
    prepared: PreparedImage,
    *,
    snapshot_image: str,
    hosts_file: str,
    run_id: str,
    may_ask: bool,
    kernel_policy: KernelPolicy,
    also_own: tuple[str, ...] = (),
) -> OpeningPlan:
    """Turn policy and image into a plan; nothing is done yet.

    Args:
        hosts_file: the host's, which stands at /etc/hosts.
        also_own: as for `kernel_rules`.
    """
    rules, probe = _rules(policy, prepared, may_ask=may_ask, also_own=also_own)
    lifetime_s = int(policy.limits.time_s) + _GRACE_S
    return OpeningPlan(
        policy=policy,
        prepared_image=prepared.id,
        snapshot_image=snapshot_image,
        spec=container_spec(
            policy,
            image=snapshot_image,
            command=prepared.command,
            labels=labels(run_id, lifetime_s=lifetime_s),
            hosts_file=hosts_file,
            unset=prepared.unset,
        ),
        environment=_environment(policy, prepared),
        rules=rules,
        kernel_policy=kernel_policy,
        probe=probe,
        services=_services(policy, prepared),
        lifetime_s=lifetime_s,
    )


def _services(policy: Policy, prepared: PreparedImage) -> "tuple[PlannedService, ...]":
    if not policy.services:
        return ()
    from sandbox.container.services import planned  # noqa: PLC0415 - few policies have some

    return planned(policy, prepared.inventory)


_NOTHING = Inventory(programs={}, links={}, directories={}, search_path=())


def plan_of_none(policy: Policy, *, snapshot_image: str) -> OpeningPlan:
    """For a container that is only read: nothing is ever started by it."""
    return OpeningPlan(
        policy=policy,
        prepared_image="",
        snapshot_image=snapshot_image,
        spec=container_spec(policy, image=snapshot_image, command=(), labels={}, hosts_file=""),
        environment={},
        rules=kernel_rules(policy, _NOTHING),
        kernel_policy=KernelPolicy.REQUIRE,
        probe=None,
        lifetime_s=0,
    )


_KNOWN_LIMIT = 32
_known_rules = Recent[tuple[KernelRules, str | None]](_KNOWN_LIMIT)
"""A batch opens many sandboxes under one policy; working the rules out takes some milliseconds. By
key of the prepared image, policy, and whether somebody can be asked."""


def _rules(
    policy: Policy, prepared: PreparedImage, *, may_ask: bool, also_own: tuple[str, ...]
) -> tuple[KernelRules, str | None]:
    """The rules, and what to try them with (`OpeningPlan.probe`)."""

    def made() -> tuple[KernelRules, str | None]:
        rules = kernel_rules(policy, prepared.inventory, may_ask=may_ask, also_own=also_own)
        return rules, _forbidden(prepared, rules)

    return _known_rules.get((prepared.key, whole_text(policy), may_ask, also_own), made)


_texts = Recent[str](_KNOWN_LIMIT)


def whole_text(policy: Policy) -> str:
    """All that a policy says, as a text; worked out once for the runs of a process."""
    return _texts.get(Same(policy), lambda: repr(policy))


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

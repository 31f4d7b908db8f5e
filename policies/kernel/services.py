"""What the kernel lets a policy's services do: each has a domain of its own, apart from commands'.

Its programs are those that it lists and those that its two lines name. It reads what of the image
belongs to nobody else, and writes in its own directory: not the workspace, not home, not `/tmp`,
which it can't read either. Pure, as `rules`, which it asks.
"""

from collections.abc import Sequence
from dataclasses import replace

from policies.commands.judge import judge
from policies.commands.rules import CommandDecision, CommandRules, allowed
from policies.frozen import dataclass
from policies.kernel.image import Inventory
from policies.kernel.rules import Access, PathRule, kernel_rules
from policies.paths import SCRATCH, SERVICES, WORKSPACE, within_any
from policies.policy import TOOLS, CommandRule, PathRules, Policy, ServiceRule
from policies.shell.words import HOME, Word


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceDomain:
    """What one service may do."""

    rules: tuple[PathRule, ...]
    executable: frozenset[str]
    missing: tuple[str, ...]
    """Programs that it lists, or that its lines name, and the image does not hold."""


def service_directory(service: ServiceRule) -> str:
    """Where it starts and may write; absolute in the container."""
    return f"{SERVICES}/{service.name}"


def service_domain(policy: Policy, service: ServiceRule, inventory: Inventory) -> ServiceDomain:
    """The rules of one service in an image; sorted by path, one rule a path."""
    own = replace(
        policy,
        tools=(),
        commands=tuple(
            CommandRule(program=program, args=None, ask=False, where=policy.where)
            for program in programs(policy, service)
        ),
        exec_workspace=False,
        paths=PathRules(write=(), read=(), protect=()),
        bounds=None,
    )
    closed = (WORKSPACE, HOME, *SCRATCH, SERVICES, "/dev/pts")
    found = kernel_rules(own, inventory, apart=closed)
    rules = [rule for rule in found.rules if not within_any(rule.path, closed)]
    access = Access.READ | Access.WRITE | Access.LIST
    rules.append(PathRule(path=service_directory(service), access=access))
    return ServiceDomain(
        rules=tuple(sorted(rules, key=lambda rule: rule.path)),
        executable=found.granted.executable,
        missing=found.missing,
    )


def missing_programs(policy: Policy, inventory: Inventory) -> tuple[str, ...]:
    """What services list or name and the image does not hold, for a person to know."""
    return tuple(
        f"{program} (of service {service.name})"
        for service in policy.services
        for program in service_domain(policy, service, inventory).missing
    )


def programs(policy: Policy, service: ServiceRule) -> tuple[str, ...]:
    """Those that a service lists, and those that its lines name."""
    # By a path from where the service starts it would be its own file, which nothing executes.
    named = (
        name
        for line in (service.command, service.ready)
        for name, _ in named_programs(policy, line)
        if "/" not in name or name.startswith("/")
    )
    return tuple(dict.fromkeys((*service.programs, *named)))


NamedProgram = tuple[str, tuple[Word, ...]]


def named_programs(policy: Policy, text: str) -> list[NamedProgram]:
    """Every program that a command text names, with its arguments, whatever a policy lists."""
    anything = replace(
        policy,
        tools=TOOLS,
        commands=(),
        exec_workspace=True,
        paths=replace(policy.paths, write=("/",), read=None),
        bounds=None,
    )
    rules = _Witness(anything)
    for _ in judge(anything, text, rules):
        pass
    return rules.seen


class _Witness(CommandRules):
    """Allows every program, and remembers which there were."""

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy)
        self.seen: list[NamedProgram] = []

    def program(self, name: str, arguments: Sequence[Word]) -> CommandDecision:
        self.seen.append((name, tuple(arguments)))
        return allowed("seen")

"""The command rules of a policy, and what the check says of one part of a command by them.

Owns which rules a name or path falls under, which of them decides, how a rule is named, and the
sentences that the model reads when none allows it.
"""

import posixpath
from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from functools import partial

from policies.errors import listed
from policies.frozen import dataclass
from policies.paths import SCRATCH, WORKSPACE, place, within_any
from policies.policy import CommandRule, Policy
from policies.shell.words import HOME, Word

NO_MATCH = "no match"


class CommandOutcome(StrEnum):
    ALLOW = "allow"
    ASK = "ask"
    DENY = "deny"


SAID: Mapping[str, str] = {"allow": "allowed", "ask": "asked about", "deny": "denied"}
"""What a person reads of an outcome."""


class DecidingLayer(StrEnum):
    """Who decides: the check before it runs, or the kernel while it does."""

    CHECK = "check"
    KERNEL = "kernel"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandDecision:
    outcome: CommandOutcome
    rule: str
    """``FILE:LINE KEY``, or ``no match``."""
    reason: str = ""
    layer: DecidingLayer = DecidingLayer.CHECK


def allowed(rule: str) -> CommandDecision:
    return CommandDecision(outcome=CommandOutcome.ALLOW, rule=rule)


def denied(reason: str, rule: str = NO_MATCH) -> CommandDecision:
    return CommandDecision(outcome=CommandOutcome.DENY, rule=rule, reason=reason)


def left_to_kernel(reason: str) -> CommandDecision:
    return CommandDecision(
        outcome=CommandOutcome.ALLOW, rule="kernel", reason=reason, layer=DecidingLayer.KERNEL
    )


def rule_name(rule: CommandRule) -> str:
    return f"{rule.where} {rule.key or 'commands'} ({rule.program})"


def key_name(policy: Policy, key: str) -> str:
    """``FILE:LINE KEY`` of where the policy says something."""
    return f"{policy.places.get(key, policy.where)} {key}"


STANDARD_DIRECTORIES = frozenset(
    {"/bin", "/usr/bin", "/usr/local/bin", "/sbin", "/usr/sbin", "/usr/local/sbin"}
)
_MAX_TOPS = 16
_listed = partial(listed, most=24)

_NO_NETWORK = frozenset(
    {"curl", "wget", "ssh", "scp", "sftp", "rsync", "nc", "ncat", "netcat", "telnet", "ftp", "ping",
     "dig", "nslookup", "host", "socat"}
)  # fmt: skip
_NO_INSTALL = frozenset(
    {"apt", "apt-get", "aptitude", "dpkg", "yum", "dnf", "apk", "pacman", "brew", "npm", "gem",
     "cargo", "snap"}
)  # fmt: skip
_NO_OTHER_USER = frozenset({"sudo", "su", "doas", "pkexec"})


class CommandRules:
    """A policy's command rules, looked up by program."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._by_program: dict[str, list[CommandRule]] = {}
        for rule in policy.commands:
            self._by_program.setdefault(rule.program, []).append(rule)
        self.flagged = [rule for rule in policy.commands if rule.forbid or rule.require]
        """Rules that look at options, which variables could bring in too."""
        self._whatever_arguments: dict[str, CommandDecision] = {}
        """Of names whose rules look at no arguments."""

    def program(self, name: str, arguments: Sequence[Word]) -> CommandDecision:
        """The decision on a program, found by name or by path, with these arguments."""
        if "/" not in name:
            known = self._whatever_arguments.get(name)
            if known is None:
                rules = self._by_program.get(name, [])
                known = self._named(name, arguments, rules)
                if rules and not any(rule.looks_at_arguments for rule in rules):
                    self._whatever_arguments[name] = known
            return known
        path = place(self.policy, name)
        if within_any(path, (WORKSPACE, *SCRATCH, HOME)):
            key = key_name(self.policy, "exec_workspace")
            if self.policy.exec_workspace:
                return allowed(key)
            return denied(
                f"{name}: this policy runs nothing that lives in the workspace; "
                f"{self.instead(name)}",
                key,
            )
        rules = list(self._by_program.get(path, []))
        directory, base = posixpath.split(path)
        if directory in STANDARD_DIRECTORIES:
            rules += self._by_program.get(base, [])
        return self._named(name, arguments, rules)

    def started(
        self, name: str, arguments: Sequence[Word], moved_to: Collection[str] | None
    ) -> CommandDecision:
        """The decision on a program that a text starts.

        Args:
            moved_to: the directories that the text changes to; None: to none that is seen.
        """
        if "/" not in name or name.startswith(("/", "~")) or not self.policy.exec_workspace:
            return self.program(name, arguments)
        unsure = left_to_kernel("which file this is depends on the working directory")
        if moved_to is not None:
            known = of_the_image(name, moved_to)
            return unsure if known is None else self.program(known, arguments)
        decision = self.program(name, arguments)
        if decision.outcome is CommandOutcome.ALLOW and _may_end_in_the_image(name):
            # An earlier call, `env -C` or a text within a text may have changed to where it is one.
            asked = self.by_arguments(posixpath.basename(name), arguments)
            if asked is not None and asked.outcome is not CommandOutcome.ALLOW:
                return unsure
        return decision

    def by_arguments(self, name: str, arguments: Sequence[Word]) -> CommandDecision | None:
        """What the rules of a name say that look at arguments, or ask; None: there are none.

        Of a builtin of bash with that name, which the kernel can't hold, or of what may be the
        program.
        """
        rules = self._by_program.get(name, [])
        if any(rule.looks_at_arguments or rule.ask for rule in rules):
            return self._named(name, arguments, rules)
        return None

    def _named(
        self, name: str, arguments: Sequence[Word], rules: Sequence[CommandRule]
    ) -> CommandDecision:
        """Deny beats ask beats allow, over all the rules of a program."""
        if not rules:
            return denied(f"{name} is not allowed here: {self.instead(name)}")
        from policies.commands.argument_rules import RuleFit, fitted  # noqa: PLC0415 - builtins have none

        found = [(rule, fitted(rule, name, arguments)) for rule in rules]
        for rule, fit in found:
            if fit.fit is RuleFit.VETO:
                return denied(fit.reason, rule_name(rule))
        fits = [rule for rule, fit in found if fit.fit is RuleFit.FITS]
        if fits:
            # What may be a rule that asks is asked about.
            asking = [r for r, fit in found if r.ask and fit.fit in {RuleFit.FITS, RuleFit.MAYBE}]
            if asking:
                reason = f"{name} needs a person's consent"
                return CommandDecision(
                    outcome=CommandOutcome.ASK, rule=rule_name(asking[0]), reason=reason
                )
            return allowed(rule_name(fits[0]))
        for rule, fit in found:
            if fit.reason:
                return denied(fit.reason, rule_name(rule))
        return denied(self._wrong_arguments(name, arguments, rules), rule_name(rules[0]))

    def _wrong_arguments(
        self, name: str, arguments: Sequence[Word], rules: Sequence[CommandRule]
    ) -> str:
        shown = " ".join([name, *(word.text for word in arguments[:2])])
        permitted = sorted({" ".join(wanted) for rule in rules for wanted in rule.args or ()})
        first = arguments[0].value if arguments else None
        hint = "there is no network here; " if name.endswith("git") and first in _GIT_REMOTE else ""
        return f"{_cut(shown)} is not allowed: {hint}with {name} may stand {_listed(permitted)}"

    def instead(self, name: str) -> str:
        """What may be used in a program's place, for whoever was refused it."""
        base = posixpath.basename(name)
        if base in _NO_NETWORK:
            return "there is no network here; work with what is in the workspace"
        if base in _NO_INSTALL:
            return "nothing can be installed here; work with what the image holds"
        if base in _NO_OTHER_USER:
            return "there is no other user to become here"
        programs = sorted(self._by_program)
        from policies.suggestion import nearest  # noqa: PLC0415 - for a refusal only

        near = nearest(base, programs, most=3, cutoff=0.7)
        scripts = (
            "; a program in the workspace runs by its path, such as ./x"
            if self.policy.exec_workspace
            else ""
        )
        if near:
            return f"near it, allowed: {', '.join(near)}{scripts}"
        return f"allowed programs: {_listed(programs)}{scripts}"


def of_the_image(path: str, tops: Collection[str]) -> str | None:
    """The program of the image that a path such as ``../bin/ls`` leads to from one of these.

    ``..`` may lead up to the root from anywhere. None: it may be one of the workspace.
    """
    known = sorted(top for top in tops if top.startswith("/"))[:_MAX_TOPS]
    for top in ("/", *known) if path.startswith("../") else known:
        full = posixpath.normpath(posixpath.join(top, path))
        if posixpath.dirname(full) in STANDARD_DIRECTORIES:
            return full
    return None


def _may_end_in_the_image(path: str) -> bool:
    """Is there a working directory from which a relative path leads to a program of the image?"""
    above = posixpath.dirname(posixpath.normpath(path)).split("/")
    inside = "/".join(part for part in above if part not in {"", ".."})
    return any(f"{top}/".endswith(f"/{inside}/") for top in STANDARD_DIRECTORIES) or not inside


_GIT_REMOTE = frozenset({"push", "fetch", "pull", "clone", "remote", "ls-remote", "submodule"})


def _cut(text: str) -> str:
    return text if len(text) <= 120 else text[:117] + "..."

"""What a command does beside starting a program: files that it writes to, variables that it sets.

Owns which variables decide what runs: the ones that hold a command, that redefine a name, and that
give a program options which its rule can't see. What is written to by redirections and options is
held against the policy's paths by the text alone: links, and a working directory that a command
changed, are the kernel's to judge.
"""

import re
from functools import lru_cache

from policies import paths
from policies.commands.rules import (
    CommandDecision,
    CommandRules,
    denied,
    key_name,
    left_to_kernel,
    rule_name,
)
from policies.file.scalars import HIJACKING
from policies.paths import PathStanding
from policies.policy import CommandRule, Policy
from policies.shell.ast import Redirect
from policies.shell.words import Word

_NETWORK_FILES = re.compile(r"/dev/(tcp|udp)(/|\Z)")
_READS = frozenset({"<", "<<<", "<&"})
_DUPLICATES = frozenset({">&", "<&", "<&-", ">&-"})
_PLAIN_TARGETS = frozenset({"/dev/null", "/dev/stderr", "/dev/stdout"})


def redirection(policy: Policy, redirect: Redirect, *, moved: bool) -> CommandDecision | None:
    """What the check says of a redirection; None: nothing.

    Args:
        moved: the text changes the working directory somewhere.
    """
    target = redirect.target.value
    if target in _PLAIN_TARGETS:
        return None
    if target is not None and "/dev" in target and _NETWORK_FILES.match(paths.normal(target)):
        return denied("there is no network here, not through /dev/tcp either")
    if redirect.operator in _DUPLICATES and target is not None and set(target) & {"$", "`"}:
        return denied("bash expands the name after `>&` twice: write it with `>` and `2>&1`")
    if redirect.operator in _READS:
        return None
    if (
        redirect.operator in _DUPLICATES
        and target is not None
        and re.fullmatch(r"[0-9]+-?|-", target)
    ):
        return None
    return write(policy, redirect.target, moved=moved)


def write(policy: Policy, target: Word, *, moved: bool) -> CommandDecision | None:
    """What the check says of a file that a command writes to; None: nothing."""
    if target.value is None:
        return left_to_kernel("only the run can know which file this is")
    match paths.write_standing(policy, target.value, moved=moved):
        case PathStanding.INSIDE:
            return None
        case PathStanding.UNCERTAIN:
            return left_to_kernel("which file this is depends on the working directory")
        case PathStanding.OUTSIDE:
            return denied(
                f"writing to {target.value} is not allowed: {_writable(policy)} may be written",
                key_name(policy, "paths.write"),
            )


def _writable(policy: Policy) -> str:
    tops = [paths.absolute(entry) for entry in policy.paths.write]
    return ", ".join([*tops[:8], *paths.SCRATCH, "home"])


# Values of these are commands that programs run for their own ends.
_COMMAND_VARIABLES = frozenset(
    {"EDITOR", "VISUAL", "PAGER", "GIT_EDITOR", "GIT_PAGER", "GIT_SEQUENCE_EDITOR", "MANPAGER",
     "GIT_SSH_COMMAND", "GIT_SSH", "GIT_EXTERNAL_DIFF", "GIT_ASKPASS", "SSH_ASKPASS", "BROWSER",
     "LESSOPEN", "LESSCLOSE", "GIT_PROXY_COMMAND"}
)  # fmt: skip
# Beside a program's own name, the variables that give it options.
_OPTION_VARIABLES = {
    "make": "MAKEFLAGS|GNUMAKEFLAGS|MFLAGS",
    "pytest": "PYTEST_ADDOPTS|PYTEST_PLUGINS",
    "pip": "PIP_.*",
    "npm": "(npm|NPM)_CONFIG_.*|npm_config_.*",
    "node": "NODE_OPTIONS",
    "java": "_?JAVA_.*|JDK_JAVA_OPTIONS",
    "rg": "RIPGREP_CONFIG_PATH",
    "less": "LESS",
    "xz": "XZ_OPT|XZ_DEFAULTS",
    "gzip": "GZIP",
    "zip": "ZIPOPT|ZIP",
    "unzip": "UNZIP|UNZIPOPT",
    "docker": "DOCKER_.*",
    "git": "GIT_CONFIG.*|GIT_EXEC_PATH",
}


def is_command_variable(name: str) -> bool:
    return name in _COMMAND_VARIABLES


def variable(rules: CommandRules, name: str) -> CommandDecision | None:
    """What the check says of setting a variable; None: it decides nothing about what runs."""
    policy = rules.policy
    for rule in rules.flagged:
        if _gives_options(rule, name):
            reason = f"{name} gives {rule.program} options that its rule can't see: leave it out"
            return denied(reason, rule_name(rule))
    if not HIJACKING.match(name):
        return None
    if name.startswith("GIT_") and any(rule.program == "git" and rule.args is not None
                                       for rule in policy.commands):  # fmt: skip
        return denied(f"{name} can redefine what a git subcommand does: leave it out")
    if policy.exec_workspace:
        return left_to_kernel(f"{name} decides which file a name leads to")
    return denied(
        f"{name} decides which file a name leads to, and this policy runs nothing but its list: "
        "leave it out",
        key_name(policy, "exec_workspace"),
    )


def _gives_options(rule: CommandRule, variable: str) -> bool:
    """Does the variable give the program options that stand in no argument, or take them away?"""
    return bool(_option_variables(rule.program).fullmatch(variable)) or (
        # Options behind an operand are then none.
        bool(rule.require) and variable == "POSIXLY_CORRECT"
    )


@lru_cache(maxsize=256)
def _option_variables(program: str) -> re.Pattern[str]:
    base = re.sub(r"[0-9.]+$", "", program.rpartition("/")[2])
    own = re.escape(re.sub(r"[^A-Za-z0-9]", "_", base).upper())
    known = _OPTION_VARIABLES.get(base)
    usual = f"{own}_?(OPTIONS|OPTION|OPTS|OPT|FLAGS|ARGS|ADDOPTS)"
    return re.compile(f"{usual}|{known}" if known else usual)

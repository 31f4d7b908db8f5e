"""Variables that a command sets: which of them decide what runs.

Owns the ones that hold a command, the ones that redefine a name, and the ones that give a program
options which its rule can't see.
"""

import re
from functools import lru_cache

from policies.commands.outcome import (
    CommandDecision,
    denied,
    key_name,
    left_to_kernel,
    rule_name,
)
from policies.commands.rules import CommandRules
from policies.file.names import HIJACKING
from policies.policy import CommandRule

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

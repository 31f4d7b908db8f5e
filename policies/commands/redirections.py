"""What a command writes to by its redirections and options, held against the policy's paths.

By the text alone: links, and a working directory that a command changed, are the kernel's to judge.
"""

import re

from policies import paths
from policies.commands.outcome import CommandDecision, denied, key_name, left_to_kernel
from policies.paths import PathStanding
from policies.policy import Policy
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

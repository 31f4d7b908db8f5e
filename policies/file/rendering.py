"""A composed policy written out as YAML again, as `moonpool policy show` prints it."""

from collections.abc import Mapping
from typing import Any

import yaml

from policies.file.quantities import spelled_duration, spelled_size
from policies.policy import CommandRule, Policy


def render(policy: Policy) -> str:
    """The whole policy, nothing left to what it extends; loading it again gives the same."""
    return spelled(as_data(policy))


def spelled(data: Mapping[str, Any]) -> str:
    """What `as_data` gave, as YAML text."""
    return yaml.safe_dump(dict(data), sort_keys=False, allow_unicode=True, width=100)


def as_data(policy: Policy) -> dict[str, Any]:
    """The whole policy as it stands in a file, section by section, in values that JSON has too."""
    budget: dict[str, Any] = {
        "turns": policy.budget.turns,
        "input_tokens": policy.budget.input_tokens,
        "output_tokens": policy.budget.output_tokens,
        "usd": policy.budget.usd,
    }
    paths: dict[str, Any] = {"write": list(policy.paths.write)}
    if policy.paths.read is not None:
        paths["read"] = list(policy.paths.read)
    paths["protect"] = list(policy.paths.protect)
    return {
        "version": 1,
        "name": policy.name,
        "image": policy.image,
        "tools": list(policy.tools),
        "server_tools": list(policy.server_tools),
        "commands": [_command(rule) for rule in policy.commands],
        "exec_workspace": policy.exec_workspace,
        "paths": paths,
        "workspace": {
            "exclude": list(policy.workspace.exclude),
            "history": policy.workspace.history.value,
            "max_bytes": spelled_size(policy.workspace.max_bytes),
        },
        "setup": {
            "commands": list(policy.setup.commands),
            "network": list(policy.setup.network),
        },
        "env": dict(policy.env),
        "limits": {
            "cpus": policy.limits.cpus,
            "memory": spelled_size(policy.limits.memory_bytes),
            "pids": policy.limits.pids,
            "disk": spelled_size(policy.limits.disk_bytes),
            "command_timeout": spelled_duration(policy.limits.command_timeout_s),
            "output": spelled_size(policy.limits.output_bytes),
            "time": spelled_duration(policy.limits.time_s),
        },
        "budget": budget,
        "export": {
            "max_bytes": spelled_size(policy.export.max_bytes),
            "refuse": list(policy.export.refuse),
            "ignore": list(policy.export.ignore),
        },
        "examples": {"allow": list(policy.examples.allow), "deny": list(policy.examples.deny)},
    }


def _command(rule: CommandRule) -> str | dict[str, Any]:
    if not rule.looks_at_arguments and not rule.ask:
        return rule.program
    entry: dict[str, Any] = {"program": rule.program}
    if rule.args is not None:
        entry["args"] = [list(wanted) for wanted in rule.args]
    if rule.forbid:
        entry["forbid"] = list(rule.forbid)
    if rule.require:
        entry["require"] = list(rule.require)
    if rule.ask:
        entry["ask"] = True
    return entry

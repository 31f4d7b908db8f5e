"""A composed policy written out as YAML again, as `moonpool policy show` prints it."""

from collections.abc import Callable, Mapping
from typing import Any

import yaml

from policies.file.keys import KEYS
from policies.file.quantities import spelled_duration
from policies.policy import CommandRule, Policy, ServiceRule


def render(policy: Policy) -> str:
    """The whole policy, nothing left to what it extends; loading it again gives the same."""
    return spelled(as_data(policy))


def spelled(data: Mapping[str, Any]) -> str:
    """What `as_data` gave, as YAML text."""
    return yaml.safe_dump(dict(data), sort_keys=False, allow_unicode=True, width=100)


def as_data(policy: Policy) -> dict[str, Any]:
    """The whole policy as it stands in a file, section by section, in values that JSON has too."""
    data: dict[str, Any] = {"version": 1, "name": policy.name}
    for key in KEYS:
        value = key.of(policy)
        # A list that is None says nothing of the key; dollars that are None say that none bound.
        if key.path == "paths.read" and value is None:
            continue
        section = data.setdefault(key.section, {}) if key.section else data
        section[key.name] = (
            [_WRITTEN[key.path](rule) for rule in value]
            if key.path in _WRITTEN
            else key.written(value)
        )
    examples = policy.examples
    return data | {"examples": {"allow": list(examples.allow), "deny": list(examples.deny)}}


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


def _service(rule: ServiceRule) -> dict[str, Any]:
    return {
        "name": rule.name,
        "command": rule.command,
        "ready": rule.ready,
        "programs": list(rule.programs),
        "timeout": spelled_duration(rule.timeout_s),
    }


_WRITTEN: Mapping[str, Callable[[Any], Any]] = {"commands": _command, "services": _service}
"""Lists whose entries are more than a text."""

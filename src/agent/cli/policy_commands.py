"""``moonpool policy``: check, show, explain, schema."""

# Imports stand where they are needed, so that a command loads no SDK it does not use; and this is
# the terminal, where printing is the point.
# ruff: noqa: PLC0415, T201

import json
import shlex
from typing import Any

from agent.cli import exits, settings


def check(file: str) -> int:
    from policies.loading import load

    policy = load(file, directory=settings.policy_directory())
    print(
        f"{file}: fine: policy {policy.name}, image {policy.image}, {len(policy.tools)} tools, "
        f"{len(policy.commands)} command rules"
    )
    return exits.DONE


def show(name: str) -> int:
    """Print the policy as it counts: composed, every key said."""
    import yaml

    from agent.events import plain
    from policies.loading import load

    policy = load(name, directory=settings.policy_directory())
    print(f"# {policy.name}, from {policy.where}, with everything it extends")
    print(yaml.safe_dump(_tidy(plain(policy)), sort_keys=False, width=100), end="")
    return exits.DONE


def _tidy(value: Any) -> Any:
    """The policy without what only the program needs: places in files, names of types."""
    match value:
        case dict():
            return {key: _tidy(item) for key, item in value.items() if key not in {"where", "type"}}
        case list():
            return [_tidy(item) for item in value]
        case _:
            return value


def explain(policy_name: str, words: list[str]) -> int:
    from policies.explain import explain as explained

    from policies.loading import load

    policy = load(policy_name, directory=settings.policy_directory())
    command = words[0] if len(words) == 1 else shlex.join(words)
    print(explained(policy, command))
    return exits.DONE


def schema() -> int:
    from policies.loading import json_schema

    print(json.dumps(json_schema(), indent=2))
    return exits.DONE

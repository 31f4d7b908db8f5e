"""``moonpool policy``: check, show, explain, schema."""

# Imports stand where they are needed, so that a command loads no SDK it does not use; and this is
# the terminal, where printing is the point.
# ruff: noqa: PLC0415, T201

import json
import shlex
import sys

from agent.cli import exits, settings

_SAID = {"allow": "allowed", "ask": "asked about", "deny": "denied"}


def check(file: str) -> int:
    """Every error of a policy in its place, or what it amounts to and whether its examples hold."""
    from agent.cli.resolved_command import about_image
    from agent.text import visible
    from policies.checking import problems, run_examples, shown
    from policies.loading import load

    directory = settings.policy_directory()
    found = problems(file, directory=directory)
    for error in found:
        print(visible(shown(error)), file=sys.stderr)
    if found:
        return exits.USAGE
    policy = load(file, directory=directory)
    results = run_examples(policy)
    broken = [result for result in results if not result.holds]
    for result in broken:
        expected, got = _SAID[result.expected], _SAID[result.got]
        reason = f": {visible(result.reason)}" if result.reason else ""
        print(
            f"{file}: example {result.command!r} should be {expected}, and is {got}{reason}",
            file=sys.stderr,
        )
    if broken:
        return exits.USAGE
    print(
        f"{file}: fine: policy {policy.name}, image {policy.image}, {len(policy.tools)} tools, "
        f"{len(policy.commands)} command rules, {len(results)} examples hold"
    )
    for line in about_image(policy):
        print(f"{file}: {visible(line)}", file=sys.stderr)
    return exits.DONE


def show(name: str) -> int:
    """Print the policy as it counts: composed, every key said."""
    from policies.loading import load
    from policies.rendering import render

    print(render(load(name, directory=settings.policy_directory())), end="")
    return exits.DONE


def explain(policy_name: str, words: list[str]) -> int:
    from agent.text import visible
    from policies.explain import explain as explained
    from policies.loading import load

    policy = load(policy_name, directory=settings.policy_directory())
    command = words[0] if len(words) == 1 else shlex.join(words)
    print(visible(str(explained(policy, command))))
    return exits.DONE


def schema() -> int:
    from policies.loading import json_schema

    print(json.dumps(json_schema(), indent=2))
    return exits.DONE

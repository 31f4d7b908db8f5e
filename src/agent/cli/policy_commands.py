"""``moonpool policy``: check, show, explain, schema; `policy_trial`, `policy_compare`: the rest."""

# Imports stand where they are needed, so that a command loads no SDK it does not use; and this is
# the terminal, where printing is the point.
# ruff: noqa: PLC0415, T201

import json
import shlex
import sys

from agent.cli import exits, settings
from agent.cli.permits import permit

_SAID = {"allow": "allowed", "ask": "asked about", "deny": "denied"}


def check(file: str, *, ceiling: str | None = None) -> int:
    """Every error of a policy in its place, or what it amounts to and whether its examples hold."""
    from agent.text import visible
    from policies.ceiling import in_words
    from policies.checking import problems, run_examples, shown

    directory = settings.policy_directory()
    found = problems(file, directory=directory)
    for error in found:
        print(visible(shown(error)), file=sys.stderr)
    if found:
        return exits.USAGE
    policy = permit(file, ceiling)
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
    narrowed = in_words(policy)
    if narrowed is not None:
        print(visible(narrowed), file=sys.stderr)
    print(
        f"{file}: fine: policy {policy.name}, image {policy.image}, {len(policy.tools)} tools, "
        f"{len(policy.commands)} command rules, {len(results)} examples hold"
    )
    return exits.DONE


def show(name: str, *, ceiling: str | None = None) -> int:
    """Print the policy as it counts: composed, narrowed by its ceilings, every key said."""
    from agent.text import one_line
    from policies.rendering import render

    policy = permit(name, ceiling)
    if policy.bounds is not None:
        for over in policy.bounds.ceilings:
            print(one_line(f"# under the ceiling {over.where}"))
        for narrowing in policy.bounds.narrowings:
            print(one_line(f"#   {narrowing.key}: {narrowing.change} ({narrowing.by})"))
    print(render(policy), end="")
    return exits.DONE


def explain(policy_name: str, words: list[str], *, ceiling: str | None = None) -> int:
    from agent.text import visible
    from policies.explain import explain as explained

    policy = permit(policy_name, ceiling)
    command = words[0] if len(words) == 1 else shlex.join(words)
    print(visible(str(explained(policy, command))))
    return exits.DONE


def schema() -> int:
    from policies.loading import json_schema

    print(json.dumps(json_schema(), indent=2))
    return exits.DONE

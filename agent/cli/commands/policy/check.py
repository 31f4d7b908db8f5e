"""``moonpool policy`` check, show, explain and schema."""

import json
import shlex
import sys

from agent.cli.setup import exit_codes
from agent.cli.setup.policy import permit


def check(file: str, *, ceiling: str | None = None, as_json: bool = False) -> int:
    """Every error of a policy in its place, or what it amounts to and whether its examples hold."""
    from agent.cli.commands.policy.resolved import about_image
    from agent.record.events.wording import served_in_words
    from agent.untrusted_text import visible
    from policies.errors import PolicyError
    from policies.operator.check import as_data, broken_examples, shown

    found: tuple[PolicyError, ...]
    policy = None
    try:
        policy = permit(file, ceiling)
        # As the file says them: a ceiling that narrows it breaks none of its examples.
        found = broken_examples(policy.bounds.before if policy.bounds else policy)
    except PolicyError as unusable:
        found = unusable.all
    if as_json:
        print(json.dumps({"file": file, "errors": [as_data(error) for error in found]}, indent=2))
        return exit_codes.USAGE if found else exit_codes.DONE
    for error in found:
        print(visible(shown(error)), file=sys.stderr)
    if found or policy is None:
        return exit_codes.USAGE
    examples = len(policy.examples.allow) + len(policy.examples.deny)
    if policy.narrowed is not None:
        print(visible(policy.narrowed), file=sys.stderr)
    print(
        f"{file}: fine: policy {policy.name}, image {policy.image}, {len(policy.tools)} tools, "
        f"{len(policy.commands)} command rules, {examples} examples hold"
    )
    if policy.server_tools:
        print(f"{file}: {served_in_words(policy.server_tools)}", file=sys.stderr)
    for line in about_image(policy):
        print(f"{file}: {visible(line)}", file=sys.stderr)
    return exit_codes.DONE


def show(name: str, *, ceiling: str | None = None) -> int:
    """Print the policy as it counts: composed, narrowed by its ceilings, every key said."""
    from agent.untrusted_text import one_line
    from policies.file.rendering import render

    policy = permit(name, ceiling)
    if policy.bounds is not None:
        for over in policy.bounds.ceilings:
            print(one_line(f"# under the ceiling {over.where}"))
        for narrowing in policy.bounds.narrowings:
            print(one_line(f"#   {narrowing.key}: {narrowing.change} ({narrowing.by})"))
    print(render(policy), end="")
    return exit_codes.DONE


def explain(
    policy_name: str, words: list[str], *, tool: str, as_json: bool, ceiling: str | None = None
) -> int:
    """What a policy makes of a command, or of a file tool's path."""
    from agent.untrusted_text import visible
    from policies.operator.explain import explain as explained
    from policies.operator.explain import explain_file

    policy = permit(policy_name, ceiling)
    command = words[0] if len(words) == 1 else shlex.join(words)
    found = explained(policy, command) if tool == "bash" else explain_file(policy, tool, command)
    if as_json:
        print(json.dumps(found.as_data(), indent=2))
        return exit_codes.DONE
    if not sys.stdout.isatty():
        print(visible(str(found)))
        return exit_codes.DONE
    from rich.text import Text

    from agent.terminal.console import LeavableConsole
    from policies.commands.outcome import CommandOutcome

    styles = {
        CommandOutcome.ALLOW: "green",
        CommandOutcome.ASK: "yellow",
        CommandOutcome.DENY: "red",
        None: "dim",
    }
    screen = LeavableConsole()
    for outcome, line in found.lines():
        screen.print(Text(visible(line), styles[outcome]), soft_wrap=True)
    screen.print(Text(f"\n{visible(found.summary)}", "bold"), soft_wrap=True)
    return exit_codes.DONE


def schema() -> int:
    from policies.file.schema import json_schema

    print(json.dumps(json_schema(), indent=2))
    return exit_codes.DONE

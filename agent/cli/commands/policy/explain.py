"""``moonpool policy explain``."""

import shlex

from agent import exit_codes
from agent.cli.arguments import Command, Given, argument, choice, rest
from agent.cli.options import AS_JSON, CEILING
from agent.cli.saying import print_json
from agent.config import environment
from agent.preparation.policy import permit
from agent.terminal.screen import Line, open_screen
from agent.untrusted_text import visible
from policies.commands.rules import CommandOutcome
from policies.operator.explain import explain as explained
from policies.operator.explain import explain_file

POLICY = argument("POLICY")
WORDS = rest("-- COMMAND")
TOOL = choice(
    "--tool",
    words=(
        "bash",
        "read_file",
        "write_file",
        "edit_file",
        "delete_file",
        "list_dir",
        "search_files",
    ),
    help="Another tool than bash; its path stands for COMMAND.",
)


def explain(given: Given) -> int:
    """What a policy makes of a command, or of a file tool's path."""
    policy, words, tool = permit(given[POLICY], given[CEILING]), given[WORDS], given[TOOL]
    command = words[0] if len(words) == 1 else shlex.join(words)
    found = explained(policy, command) if tool == "bash" else explain_file(policy, tool, command)
    if given[AS_JSON]:
        print_json(found.as_data())
        return exit_codes.DONE
    styles = {
        CommandOutcome.ALLOW: "green",
        CommandOutcome.ASK: "yellow",
        CommandOutcome.DENY: "red",
        None: "dim",
    }
    screen = open_screen(environment.environ())
    for outcome, line in found.lines():
        screen.print(Line(visible(line), styles[outcome]))
    screen.print(Line(f"\n{visible(found.summary)}", "bold"))
    return exit_codes.DONE


COMMAND = Command(
    explain,
    (POLICY, WORDS, CEILING, TOOL, AS_JSON),
    """

    Example: moonpool policy explain default -- "git push"
    """,
)

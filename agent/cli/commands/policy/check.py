"""``moonpool policy check``."""

import sys

from agent import exit_codes
from agent.cli.arguments import Command, Given, argument
from agent.cli.commands.policy.image import about_image, unknown_image
from agent.cli.options import AS_JSON, CEILING
from agent.cli.saying import print_json
from agent.preparation.policy import permit
from agent.record.events.kinds import served_in_words
from agent.untrusted_text import visible
from policies.errors import PolicyError
from policies.operator.check import as_data, broken_examples, shown

FILE = argument("FILE")


def check(given: Given) -> int:
    """Every error of a policy in its place, or what it amounts to and whether its examples hold."""
    found: tuple[PolicyError, ...]
    policy = None
    file = given[FILE]
    try:
        policy = permit(file, given[CEILING])
        # As the file says them: a ceiling that narrows it breaks none of its examples.
        found = unknown_image(policy) + broken_examples(
            policy.bounds.before if policy.bounds else policy
        )
    except PolicyError as unusable:
        found = unusable.all
    if given[AS_JSON]:
        print_json({"file": file, "errors": [as_data(error) for error in found]})
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
        f"{len(policy.commands)} command rules, "
        + (
            f"{len(policy.services)} service{'s' * (len(policy.services) > 1)}, "
            if policy.services
            else ""
        )
        + (
            f"{examples} example{'s hold' if examples > 1 else ' holds'}"
            if examples
            else "no example"
        )
    )
    if policy.server_tools:
        print(f"{file}: {served_in_words(policy.server_tools)}", file=sys.stderr)
    for line in about_image(policy):
        print(f"{file}: {visible(line)}", file=sys.stderr)
    return exit_codes.DONE


COMMAND = Command(
    check,
    (FILE, CEILING, AS_JSON),
    """

    Example: moonpool policy check my-policy.yaml
    """,
)

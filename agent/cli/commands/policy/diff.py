"""``moonpool policy diff``."""

from collections.abc import Iterator

from agent import exit_codes
from agent.cli.arguments import Command, Given, argument, flag
from agent.cli.options import AS_JSON
from agent.cli.saying import print_json, progress
from agent.config import environment
from agent.untrusted_text import one_line
from images.build import ensure
from policies.kernel.image import Inventory
from policies.loading import load
from policies.operator.diff import WiderPermission, more
from policies.operator.kernel_diff import more_in_kernel
from policies.policy import Policy
from sandbox.container.prepared_image import prepare
from sandbox.engine.docker import Engine

MORE = 1
"""The code of `policy diff` where the second policy allows more: what `diff` itself gives."""


ONE = argument("A", "A name or a file.")
OTHER = argument("B", "A name or a file.")
BOTH = flag("--both", help="Also what A allows that B does not.")
KERNEL = flag("--kernel", help="Also by the kernel's rules in the image of B.")


def diff(given: Given) -> int:
    """Say what the second policy allows that the first does not."""
    one, other, both = given[ONE], given[OTHER], given[BOTH]
    directory = environment.policy_directory()
    before, after = load(one, directory=directory), load(other, directory=directory)
    inventory = _inventory(after) if given[KERNEL] else None
    more = _more(before, after, inventory)
    less = _more(after, before, inventory) if both else []
    if given[AS_JSON]:
        document: dict[str, object] = {"more": [_row(item) for item in more]}
        if both:
            document["less"] = [_row(item) for item in less]
        print_json(document)
    else:
        _print(f"{other} allows that {one} does not", f"{other} allows nothing beyond {one}", more)
        if both:
            nothing = f"{one} allows nothing beyond {other}"
            _print(f"{one} allows that {other} does not", nothing, less)
    return MORE if more else exit_codes.DONE


def _more(than: Policy, policy: Policy, inventory: Inventory | None) -> list[WiderPermission]:
    found = list(more(than, policy))
    if inventory is not None:
        found += more_in_kernel(than, policy, inventory)
    return found


def _inventory(policy: Policy) -> Inventory:
    """Of the image that the second policy names; the first is tried on the same."""
    engine = Engine.connect(environment.environ())
    if policy.setup.makes_layer:
        progress("what the policy's set-up installs is not looked at")
    ref = ensure(engine, policy.image, on_progress=progress)
    return prepare(engine, engine.existing_image(ref), on_progress=progress).inventory


def _row(item: WiderPermission) -> dict[str, object]:
    return {"key": item.key, "what": item.what, "where": str(item.where)}


def _print(head: str, nothing: str, items: list[WiderPermission]) -> None:
    print(one_line(f"{head}:" if items else nothing))
    for line in _grouped(items):
        print(one_line(f"  {line}"))


def _grouped(items: list[WiderPermission]) -> Iterator[str]:
    """A line for each, but for programs: those with any arguments on one, a program's on one."""
    whole = " with any arguments"
    together: dict[str, list[str]] = {}
    rest: list[str] = []
    for item in items:
        program, _, begins = item.what.partition(" ")
        if item.key == "commands" and item.what.endswith(whole):
            together.setdefault("any use of", []).append(program)
        elif item.key == "commands" and "," not in item.what:
            together.setdefault(f"{program}, to begin with", []).append(begins)
        else:
            rest.append(f"{item.key}: {item.what} ({item.where})")
    for what, names in together.items():
        yield f"commands: {what} {', '.join(names)}"
    yield from rest


COMMAND = Command(
    diff,
    (ONE, OTHER, BOTH, KERNEL, AS_JSON),
    """ Exit code 0: nothing; 1: something.

    The policies are compared as written, without a ceiling.

    Example: moonpool policy diff default my-policy.yaml
    """,
)

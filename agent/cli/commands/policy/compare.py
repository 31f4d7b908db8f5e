"""``moonpool policy diff`` and ``moonpool policy learn``."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from agent.cli.setup import environment, exit_codes
from agent.errors import UsageError

if TYPE_CHECKING:
    from agent.record.runs import RecordedRun
    from policies.kernel.inventory import Inventory
    from policies.operator.diff import WiderPermission
    from policies.policy import Policy

MORE = 1
"""The code of `policy diff` where the second policy allows more: what `diff` itself gives."""


def diff(one: str, other: str, *, both: bool, kernel: bool, as_json: bool) -> int:
    """Say what the second policy allows that the first does not."""
    from policies.loading import load

    directory = environment.policy_directory()
    before, after = load(one, directory=directory), load(other, directory=directory)
    inventory = _inventory(after) if kernel else None
    more = _more(before, after, inventory)
    less = _more(after, before, inventory) if both else []
    if as_json:
        document: dict[str, object] = {"more": [_row(item) for item in more]}
        if both:
            document["less"] = [_row(item) for item in less]
        print(json.dumps(document, indent=2))
    else:
        _print(f"{other} allows that {one} does not", f"{other} allows nothing beyond {one}", more)
        if both:
            nothing = f"{one} allows nothing beyond {other}"
            _print(f"{one} allows that {other} does not", nothing, less)
    return MORE if more else exit_codes.DONE


def _more(
    than: "Policy", policy: "Policy", inventory: "Inventory | None"
) -> "list[WiderPermission]":
    from policies.operator.diff import more
    from policies.operator.kernel_diff import more_in_kernel

    found = list(more(than, policy))
    if inventory is not None:
        found += more_in_kernel(than, policy, inventory)
    return found


def _inventory(policy: "Policy") -> "Inventory":
    """Of the image that the second policy names; the first is tried on the same."""
    from images.build import ensure
    from sandbox.container.prepared_image import prepare
    from sandbox.engine.docker import Engine
    from sandbox.errors import ImageUnusable

    def progress(text: str) -> None:
        print(text, file=sys.stderr)

    engine = Engine.connect(environment.environ())
    ref = ensure(engine, policy.image, on_progress=progress)
    image = engine.image(ref)
    if image is None:
        raise ImageUnusable(f"the image {ref} is gone again: build it once more")
    return prepare(engine, image, on_progress=progress).inventory


def _row(item: "WiderPermission") -> dict[str, object]:
    return {"key": item.key, "what": item.what, "where": str(item.where)}


def learn(name: str, *, include_refused: bool) -> int:
    """Print the smallest policy under which a run would have passed."""
    from agent.past_runs.policy_usage import lessons
    from agent.record.runs import events_of
    from agent.untrusted_text import one_line
    from policies.operator.learn import learn as learned

    run = _run(name)
    found = lessons(events_of(run), include_refused=include_refused)
    if not found.calls:
        raise UsageError(f"run {run.id} made no call: there is nothing to learn from")
    if not found.known:
        print(
            f"moonpool: the record of run {run.id} does not hold its policy: image, environment "
            "and limits are the built-in ones",
            file=sys.stderr,
        )
    workspace = Path(run.text("workspace"))
    lesson = learned(
        found.calls,
        base=found.policy,
        title=f"Learned from run {run.id}.",
        used=found.used,
        verify=found.verify,
        changed=found.changed,
        left_out=found.left_out,
        server_tools=found.server_tools,
        is_directory=lambda place: (workspace / place).is_dir(),
    )
    print(lesson.text, end="")
    for reason in lesson.unmet:
        print(f"moonpool: not allowed by it: {one_line(reason, 200)}", file=sys.stderr)
    return exit_codes.NOT_FINISHED if lesson.unmet else exit_codes.DONE


def _run(name: str) -> "RecordedRun":
    """A run by id, or the directory of one."""
    from agent.record.runs import RecordedRun, find, summary_of
    from agent.record.store import EVENTS

    directory = Path(name)
    if "/" in name and (directory / EVENTS).is_file():
        return RecordedRun(
            id=directory.resolve().name, directory=directory, summary=summary_of(directory)
        )
    return find(environment.home(), name)


def _print(head: str, nothing: str, items: "list[WiderPermission]") -> None:
    from agent.untrusted_text import one_line

    print(one_line(f"{head}:" if items else nothing))
    for line in _grouped(items):
        print(one_line(f"  {line}"))


def _grouped(items: "list[WiderPermission]") -> Iterator[str]:
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

"""``moonpool prune``: what runs left behind, exported first and then removed."""

import sys
from collections.abc import Sequence
from datetime import datetime

from agent.cli.arguments import Command, Given, flag
from agent.past_runs.rescue import KeptContainer, NothingToRescue, Rescued, Rescuer
from agent.preparation import environment, exit_codes
from agent.preparation import model as model_setup
from agent.preparation.exit_code_of import of_outcome
from agent.untrusted_text import one_line, visible
from sandbox.engine.docker import Engine
from sandbox.prune import DEFAULT_BUDGET_BYTES, Leftover, LeftoverKind, leftovers
from sandbox.prune import prune as remove

EVERYTHING = flag("--all", help="What is still in use too: running agents are ended.")
CACHE = flag("--cache", help="Only what can be made again: what is beyond its budget, or unused.")
FORCE = flag("--force", help="Even where an agent's work in it can't be exported.")


def prune(given: Given) -> int:
    """Remove what may go; 3 where an agent's work could not be exported and so was kept."""
    everything, force = given[EVERYTHING], given[FORCE]
    configuration = model_setup.load(root=None)
    budget = configuration.cache_budget_bytes
    budget_bytes = DEFAULT_BUDGET_BYTES if budget is None else budget
    engine = Engine.connect(environment.environ())
    if given[CACHE]:
        _print_removed(remove(engine, budget_bytes=budget_bytes, first=_can_be_made_again))
        return exit_codes.DONE
    rescue = Rescuer(
        engine=engine,
        home=environment.home(),
        environ=environment.environ(),
        known_secrets=model_setup.known_secrets(configuration),
        exit_code=of_outcome,
        end_running=everything,
    )
    lost = 0

    def first(item: Leftover) -> bool:
        nonlocal lost
        match rescue(item):
            case NothingToRescue():
                return True
            case Rescued() as done:
                _print_rescued(item, done)
                return True
            case KeptContainer(reason=reason):
                lost += not force
                does = "removed all the same" if force else "kept (--force removes it all the same)"
                words = (
                    f"container {item.id[:12]} of run {one_line(item.run, 80)}: {reason}; {does}"
                )
                print(f"moonpool: {visible(words)}", file=sys.stderr)
                return force

    removed = remove(engine, everything=everything, budget_bytes=budget_bytes, first=first)
    _print_removed(removed)
    kept = leftovers(engine)
    for item in kept:
        match rescue.early(item):
            case Rescued() as early:
                _print_rescued(item, early)
                until = datetime.fromtimestamp(item.deadline).astimezone()
                print(
                    f"  its container stays until {until:%Y-%m-%d %H:%M}: "
                    f"moonpool resume {visible(item.run)}"
                )
            case KeptContainer(reason=reason):
                words = f"container {item.id[:12]} of run {one_line(item.run, 80)} stays: {reason}"
                print(f"moonpool: {visible(words)}", file=sys.stderr)
            case NothingToRescue():
                pass
    if not removed:
        print("nothing to remove")
    if len(kept) > lost:
        print(f"{len(kept) - lost} in use or not yet due; --all removes them too")
    return exit_codes.ENVIRONMENT if lost else exit_codes.DONE


def _can_be_made_again(item: Leftover) -> bool:
    return item.kind is not LeftoverKind.CONTAINER and not item.deadline


def _print_removed(removed: Sequence[Leftover]) -> None:
    for item in removed:
        of_run = f" of run {visible(item.run)}" if item.run else ""
        size = f", {item.own_bytes >> 20} MiB" if item.own_bytes >> 20 else ""
        print(f"removed {item.kind} {item.id.removeprefix('sha256:')[:12]}{of_run}{size}")


def _print_rescued(item: Leftover, done: Rescued) -> None:
    count = "1 file" if done.files == 1 else f"{done.files} files"
    print(f"exported run {visible(item.run)}: {count} changed, {done.path}")
    if done.refused:
        kinds = ", ".join(sorted({finding.id for finding in done.refused}))
        print(f"  the export gate refuses it: {kinds}; read it before you use it")


COMMAND = Command(
    prune,
    (EVERYTHING, CACHE, FORCE),
    """

    An agent's work in a container is exported to its run first.

    Example: moonpool prune
    """,
)

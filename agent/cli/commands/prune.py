"""``moonpool prune``: what runs left behind, exported first and then removed."""

from collections.abc import Sequence
from datetime import datetime

from agent import exit_codes
from agent.cli.arguments import Command, Given, flag
from agent.cli.options import AS_JSON
from agent.cli.saying import print_json, progress
from agent.config import environment
from agent.past_runs.rescue import KeptContainer, NothingToRescue, Rescued, Rescuer
from agent.preparation import model as model_setup
from agent.untrusted_text import one_line, visible
from sandbox.engine.docker import Engine
from sandbox.opening.stored import LeftoverKind
from sandbox.prune import DEFAULT_BUDGET_BYTES, Leftover, leftovers
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
    told = _Told(as_json=given[AS_JSON])
    if given[CACHE]:
        told.removed(remove(engine, budget_bytes=budget_bytes, first=_can_be_made_again))
        told.end()
        return exit_codes.DONE
    rescue = Rescuer(
        engine=engine,
        home=environment.home(),
        environ=environment.environ(),
        known_secrets=model_setup.known_secrets(configuration),
        end_running=everything,
    )
    lost = 0

    def first(item: Leftover) -> bool:
        nonlocal lost
        match rescue(item):
            case NothingToRescue():
                return True
            case Rescued() as done:
                told.rescued(item, done)
                return True
            case KeptContainer(reason=reason):
                lost += not force
                does = "removed all the same" if force else "kept (--force removes it all the same)"
                told.not_exported(item, reason, f": {reason}; {does}")
                return force

    removed = remove(engine, everything=everything, budget_bytes=budget_bytes, first=first)
    told.removed(removed)
    kept = leftovers(engine)
    for item in kept:
        match rescue.early(item):
            case Rescued() as early:
                told.rescued(item, early)
                until = datetime.fromtimestamp(item.deadline).astimezone()
                told.say(
                    f"  its container stays until {until:%Y-%m-%d %H:%M}: "
                    f"moonpool resume {visible(item.run)}"
                )
            case KeptContainer(reason=reason):
                told.not_exported(item, reason, f" stays: {reason}")
            case NothingToRescue():
                pass
    if not removed:
        told.say("nothing to remove")
    if len(kept) > lost:
        told.say(f"{len(kept) - lost} in use or not yet due; --all removes them too")
    told.end(kept)
    return exit_codes.ENVIRONMENT if lost else exit_codes.DONE


def _can_be_made_again(item: Leftover) -> bool:
    return item.kind is not LeftoverKind.CONTAINER and not item.deadline


class _Told:
    """What is said while things are removed; or, as JSON, at the end."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._rows: dict[str, list[dict[str, object]]] = {
            "removed": [],
            "exported": [],
            "not_exported": [],
        }

    def say(self, line: str) -> None:
        if not self._as_json:
            print(line)

    def removed(self, removed: Sequence[Leftover]) -> None:
        for item in removed:
            self._rows["removed"].append(_as_data(item))
            of_run = f" of run {visible(item.run)}" if item.run else ""
            size = f", {item.own_bytes >> 20} MiB" if item.own_bytes >> 20 else ""
            name = item.id.removeprefix("sha256:")[:12]
            self.say(f"removed {item.kind} {name}{of_run}{size}")

    def rescued(self, item: Leftover, done: Rescued) -> None:
        refused = sorted({finding.id for finding in done.refused})
        exported = {"run_id": item.run, "patch": str(done.path), "files": done.files}
        self._rows["exported"].append({**exported, "refused": refused})
        count = "1 file" if done.files == 1 else f"{done.files} files"
        self.say(f"exported run {visible(item.run)}: {count} changed, {done.path}")
        if refused:
            self.say(
                f"  the export gate refuses it: {', '.join(refused)}; read it before you use it"
            )

    def not_exported(self, item: Leftover, reason: str, words: str) -> None:
        self._rows["not_exported"].append({**_as_data(item), "reason": reason})
        progress(f"moonpool: container {item.id[:12]} of run {one_line(item.run, 80)}{words}")

    def end(self, kept: Sequence[Leftover] = ()) -> None:
        """With `--json`: all of it."""
        if self._as_json:
            print_json({**self._rows, "kept": [_as_data(item) for item in kept]})


def _as_data(item: Leftover) -> dict[str, object]:
    return {
        "kind": item.kind.value,
        "id": item.id,
        "run_id": item.run or None,
        "bytes": item.own_bytes,
    }


COMMAND = Command(
    prune,
    (EVERYTHING, CACHE, FORCE, AS_JSON),
    """

    An agent's work in a container is exported to its run first.

    Example: moonpool prune
    """,
)

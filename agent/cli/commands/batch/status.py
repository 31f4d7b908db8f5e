"""``moonpool batch status``."""

import json

from agent import exit_codes
from agent.batch.queue.ownership import owner_of
from agent.batch.queue.states import AttemptState
from agent.batch.watching.tally import Tally
from agent.batch.watching.wording import named
from agent.cli.arguments import Command, Given
from agent.cli.batch.ending import closing_words
from agent.cli.batch.options import DIRECTORY, opened
from agent.cli.options import AS_JSON
from agent.untrusted_text import one_line

_SHOWN = 20
_TELLING = (AttemptState.RUNNING, AttemptState.SET_ASIDE, AttemptState.STOPPED)


def status(given: Given) -> int:
    """Say how far a batch is; gives the exit code."""
    directory = given[DIRECTORY]
    with opened(directory) as store:
        attempts, wanted = store.all(), store.steering()
    pid = owner_of(directory)
    tally = Tally(attempts)
    if given[AS_JSON]:
        rows = [
            {
                "task_id": one.task_id,
                "attempt": one.attempt,
                "state": one.state,
                "run_id": one.run_id,
                "outcome": one.result.outcome if one.result is not None else None,
                "error_kind": one.result.error_kind if one.result is not None else None,
                "detail": one.result.detail if one.result is not None else "",
            }
            for one in attempts
        ]
        of_all = {"process": pid, "paused": wanted.paused, "workers": wanted.workers}
        print(json.dumps({**of_all, "usd": round(tally.usd, 6), "attempts": rows}))
        return exit_codes.DONE
    print(closing_words(tally))
    if pid is not None or tally.over < tally.total:
        print(_worked_on(pid) + (", and is paused" if wanted.paused else ""))
    for state in _TELLING:
        found = [one for one in attempts if one.state is state]
        for one in found[:_SHOWN]:
            why = one.result.detail if one.result is not None else one.run_id or ""
            why = why.removeprefix(f"{state}: ")
            print(f"  {_word(state, pid)}: {named(one.task_id, one.attempt)}: {one_line(why, 200)}")
        if len(found) > _SHOWN:
            print(f"  and {len(found) - _SHOWN} more {state}")
    return exit_codes.DONE


def _word(state: AttemptState, pid: int | None) -> str:
    return "to be taken up" if state is AttemptState.RUNNING and pid is None else str(state)


def _worked_on(pid: int | None) -> str:
    if pid is None:
        return "no process works on it: the command that began it goes on with it"
    return f"process {pid} works on it" if pid else "a process works on it"


COMMAND = Command(
    status,
    (DIRECTORY, AS_JSON),
    """

    Example: moonpool batch status night
    """,
)

"""``moonpool batch run``."""

import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from agent.batch.board import Board
from agent.batch.plan import BatchPlan
from agent.batch.queue.ownership import owned
from agent.batch.queue.store import BatchQueue, Enlisted
from agent.batch.scheduler import Scheduler
from agent.batch.stopping import Stopping
from agent.batch.take_up import spent_of
from agent.batch.task import Task
from agent.batch.tasks.reading import TaskList, read_tasks
from agent.batch.watching.events import BatchEvent, BatchNotice
from agent.batch.watching.files import ResultFiles
from agent.batch.watching.tally import Tally
from agent.cli import options, tidying
from agent.cli.arguments import Command, Given, Parameter, argument, choice, flag, text
from agent.cli.batch import signals
from agent.cli.batch.ending import closing_words, exit_code, summary
from agent.cli.batch.options import (
    ATTEMPTS,
    DOLLARS,
    OUT,
    SHARD,
    TIME,
    TOKENS,
    WORKERS,
    Shard,
)
from agent.cli.batch.places import AttemptPlace, BegunBatch, place_of
from agent.cli.batch.preparation import prepared
from agent.cli.batch.watchers import open_watcher
from agent.config import environment
from agent.conversation.shared_budget import BatchUsed, SharedBudget, used_by
from agent.errors import RecordError
from agent.record.store import runs_directory
from agent.terminal.screen import print_line
from agent.untrusted_text import visible
from policies.errors import first_lines
from sandbox.engine.docker import Engine

_NAMED = 5
_WORKED_EVERY_S = 5.0

TASKS = argument("TASKS", "A file of tasks (.yaml, .jsonl, .json, .csv), or a folder of them.")
MODEL = text(
    "-m", "--model", metavar="MODEL", help="For tasks that name none; as for `moonpool run`."
)
ENGINE: Parameter[Literal["local", "ray"]] = choice(
    "--engine", words=("local", "ray"), help="Where the runs are: here, or on a Ray cluster."
)
RAY_ADDRESS = text(
    "--ray-address",
    metavar="HOST:PORT",
    help="With --engine ray: the cluster, of which this machine is one.",
)
FAIL_FAST = flag("--fail-fast", help="Begin no further task once one has failed.")


def run(given: Given) -> int:
    """Do a batch, or go on with it; gives the exit code."""
    file = Path(given[TASKS])
    directory = Path(os.path.realpath(given[OUT] or f"{file.stem}.batch"))
    listed = read_tasks(file, policies=environment.policy_directory())
    tasks = _shard(listed.tasks, given[SHARD])
    due = sum(task.attempts or given[ATTEMPTS] for task in tasks)
    at_once = min(due, given[WORKERS] or due)
    plan = prepared(
        tasks,
        options.of_run(given, given[MODEL]),
        directory=directory,
        in_dollars=given[DOLLARS] is not None,
    )
    place = place_of(given[ENGINE], given[RAY_ADDRESS], attempts=at_once)
    Engine.connect(environment.environ())  # said once, and not by each task
    with owned(directory):
        store = BatchQueue.open(directory, create=True)
        try:
            return _run(given, plan, store, place, listed)
        finally:
            store.close()


def _run(
    given: Given,
    plan: BatchPlan,
    store: BatchQueue,
    place: AttemptPlace,
    listed: TaskList,
) -> int:
    # A library's warning is no line for the person: it stands in the log of its run.
    logging.captureWarnings(True)
    logging.getLogger().addHandler(logging.NullHandler())
    tasks = tuple(plan.tasks.values())
    enlisted = store.enlist(tasks, attempts=given[ATTEMPTS])
    store.employ(None)  # what was asked of a process that ended
    files = ResultFiles(plan.directory, tasks, began=store.began())
    tally = Tally(store.all(), listed=plan.tasks)
    board = Board()
    watcher = open_watcher(tally, board, json_lines=given[options.EVENTS_AS_JSON])

    def tell(event: BatchEvent) -> None:
        tally.hear(event)
        watcher.tell(event)

    asked = given[WORKERS]
    workers, why = place.usual_workers() if asked is None else (asked, "")
    budget = _budget(given, plan, store)
    worked_s = 0.0

    def keep_time() -> None:
        nonlocal worked_s
        worked_s = budget.spent.seconds
        with suppress(RecordError):  # whatever else is written says so
            store.worked(worked_s)

    def refresh() -> None:
        watcher.refresh()
        files.keep_up(tally.rows)
        if budget.spent.seconds - worked_s > _WORKED_EVERY_S:
            keep_time()

    interrupted = (one.run_id or "" for one in store.interrupted() if one.task_id in plan.tasks)
    machine = place.open(
        BegunBatch(
            plan=plan,
            workers=workers,
            budget=budget,
            board=board,
            interrupted=frozenset(interrupted),
        )
    )
    scheduler = Scheduler(
        plan=plan,
        store=store,
        engine=machine,
        board=board,
        workers=workers,
        fail_fast=given[FAIL_FAST],
        tell=tell,
        refresh=refresh,
    )
    with signals.stopping(scheduler):
        try:
            for note in (*listed.notes, *_beginning(enlisted, listed, tally, workers, why)):
                tell(BatchNotice(text=note))
            scheduler.run()
            keep_time()
            left = () if scheduler.stopping is Stopping.DROPPED else machine.close()
        finally:
            watcher.close()
    _tell(left)
    code = exit_code(scheduler, tally, written=_finish(files, tally))
    if given[options.EVENTS_AS_JSON]:
        print_line(json.dumps(summary(tally, code)))
    else:
        print(f"{closing_words(tally)}\n{visible(str(plan.directory))}")
    tidying.begin(environment.environ())
    return code


def _budget(given: Given, plan: BatchPlan, store: BatchQueue) -> SharedBudget:
    before = store.spent()
    taken_up = used_by(
        spent_of(runs_directory(plan.directory) / one.run_id)
        for one in store.interrupted()
        if one.run_id is not None
    )
    return SharedBudget(
        usd=given[DOLLARS],
        tokens=given[TOKENS],
        seconds=given[TIME],
        used=BatchUsed(
            usd=before.usd + taken_up.usd,
            tokens=before.tokens + taken_up.tokens,
            seconds=before.seconds,
        ),
    )


def _shard(tasks: tuple[Task, ...], shard: Shard | None) -> tuple[Task, ...]:
    return tasks if shard is None else tasks[shard.number - 1 :: shard.of]


def _beginning(
    enlisted: Enlisted, listed: TaskList, tally: Tally, workers: int, why: str
) -> Iterator[str]:
    words = f"{tally.total - tally.over} of {tally.total} attempts to do, {workers} at once"
    yield words + (f" ({why}; -j N says otherwise)" if why else "")
    in_file = {task.id for task in listed.tasks}
    for names, where in (
        ([name for name in enlisted.gone if name not in in_file], "are not in the file any more"),
        ([name for name in enlisted.gone if name in in_file], "are another shard's"),
    ):
        if names:
            named = ", ".join(names[:_NAMED])
            yield f"{len(names)} of the folder's tasks {where}, and are kept: {named}"


def _finish(files: ResultFiles, tally: Tally) -> bool:
    """Write the results; gives whether that could be done."""
    try:
        _tell(files.finish(tally.rows()))
    except RecordError as error:
        _tell((visible(str(error)),))
        return False
    return True


def _tell(notes: Sequence[str]) -> None:
    for note in first_lines(notes, _NAMED):
        print(f"moonpool: {note}", file=sys.stderr)


COMMAND = Command(
    run,
    (
        *(TASKS, OUT, WORKERS, ENGINE, RAY_ADDRESS, ATTEMPTS, DOLLARS, TOKENS, TIME, SHARD),
        *(FAIL_FAST, options.POLICY, options.CEILING, MODEL, options.REVIEWER),
        *(*options.TO_MODEL, options.EVENTS_AS_JSON, *options.OF_RISK),
    ),
    """

    The same command goes on where it stopped. Ctrl-C once: no new tasks, those that run finish
    their call and export; twice: they export at once.

    With --json each line has an ``event``: attempt_begun, attempt_delayed, attempt_ended (with a
    row of results.jsonl), notice, and as the last summary.

    Example: moonpool batch run tasks.yaml -o night -j 4
    """,
)

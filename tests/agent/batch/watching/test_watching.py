"""What a person and a program see of a batch, whatever tasks and runs say."""

import json

import pytest

from agent.batch.attempt import ErrorKind
from agent.batch.board import Board, BoardLine
from agent.batch.queue.states import AttemptState, QueuedAttempt
from agent.batch.watching.events import (
    AttemptBegun,
    AttemptDelayed,
    AttemptEnded,
    BatchEvent,
    BatchNotice,
)
from agent.batch.watching.frame import SoFar, frame
from agent.batch.watching.json_lines import JsonWatcher
from agent.batch.watching.live import LiveWatcher
from agent.batch.watching.plain import PlainWatcher
from agent.batch.watching.tally import Tally
from agent.batch.watching.wording import in_words
from agent.cli.batch.ending import closing_words
from agent.record.events.conversation import CallStarted, ModelCalled, ModelRetry
from agent.record.events.kinds import Progress
from agent.terminal.screen import Line
from fakes.batches import a_row
from policies.decision import Allow

HOSTILE = "\x1b[2J\u202eevil\r\n"
EVENTS: list[BatchEvent] = [
    AttemptBegun(task_id=HOSTILE, attempt=2, run_id="r", taken_up=True),
    AttemptDelayed(
        result=a_row(HOSTILE, detail=HOSTILE, error_kind=ErrorKind.SERVICE), wait_s=15.0, tries=1
    ),
    AttemptEnded(
        state=AttemptState.DONE,
        result=a_row(HOSTILE, outcome=HOSTILE, detail=HOSTILE, error_kind=ErrorKind.AGENT),
    ),
    BatchNotice(text=HOSTILE),
]


class Lines:
    """A screen, and a block, that keeps what it is shown."""

    fancy = True
    width = None
    rows = 10

    def __init__(self) -> None:
        self.printed: list[str] = []
        self.shown: list[list[str]] = []

    def print(self, line: Line, *, end: str = "\n") -> None:
        self.printed.append(line.plain + end)

    def show(self, lines: list[Line]) -> None:
        self.shown.append([line.plain for line in lines])

    def close(self) -> None:
        self.printed.append("closed")


def queued(task: str, state: AttemptState, **values: object) -> QueuedAttempt:
    return QueuedAttempt(
        task_id=task,
        attempt=1,
        state=state,
        tries=0,
        run_id=None,
        result=a_row(task, **values) if values else None,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_nothing_that_a_task_says_acts_on_the_terminal(event: BatchEvent) -> None:
    screen = Lines()
    PlainWatcher(screen, Tally()).tell(event)  # type: ignore[arg-type]
    (line,) = screen.printed
    text = line.rstrip("\n").replace("\n", "") if isinstance(event, BatchNotice) else line[:-1]
    assert text.isprintable()
    assert "\\x1b" in text


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_a_program_gets_one_line_of_ascii_each(event: BatchEvent) -> None:
    lines: list[str] = []
    JsonWatcher(lines.append).tell(event)
    (line,) = lines
    assert line.isascii()
    assert line.isprintable()
    assert HOSTILE in json.loads(line).values()


def test_what_was_never_begun_is_said_once_for_all() -> None:
    screen = Lines()
    row = a_row("a", run_id=None, error_kind=ErrorKind.SETTING)
    event = AttemptEnded(state=AttemptState.STOPPED, result=row)
    PlainWatcher(screen, Tally()).tell(event)  # type: ignore[arg-type]
    assert screen.printed == []


def test_the_tally_counts_by_whose_failure_it_was() -> None:
    tally = Tally(
        [
            queued("a", AttemptState.DONE, usd=0.5),
            queued("b", AttemptState.RUNNING),
            queued("c", AttemptState.SET_ASIDE, outcome="x", error_kind=ErrorKind.ENVIRONMENT),
            queued("d", AttemptState.DELAYED, outcome="x", error_kind=ErrorKind.SERVICE),
            queued("e", AttemptState.WAITING),
        ]
    )
    assert (tally.total, tally.over, tally.finished(), tally.usd) == (5, 2, 1, 0.5)
    assert tally.failed() == {"environment": 1}
    assert tally.unfinished_tasks() == {"b", "c", "d", "e"}
    done = a_row("b", usd=0.25, input_tokens=3)
    tally.hear(AttemptEnded(state=AttemptState.DONE, result=done))
    assert (tally.over, tally.finished(), tally.usd, tally.tokens) == (3, 2, 0.75, 3)


def test_of_tasks_that_are_not_in_the_file_what_is_over_counts() -> None:
    attempts = [
        queued("a", AttemptState.DONE, usd=0.0),
        queued("gone", AttemptState.WAITING),
        queued("left", AttemptState.DONE, outcome="x", error_kind=ErrorKind.AGENT),
    ]
    tally = Tally(attempts, listed={"a"})
    assert (tally.total, tally.over, tally.unfinished_tasks()) == (2, 2, set())
    assert {row.task_id for row in tally.rows()} == {"a", "left"}


def line_of(task: str, began_s: float = 0.0, **values: object) -> BoardLine:
    return BoardLine(task_id=task, attempt=1, began_s=began_s, **values)  # type: ignore[arg-type]


def framed(tally: Tally, running: list[BoardLine], rows: int = 20) -> list[str]:
    lines = frame(
        tally,
        running,
        now_s=100.0,
        elapsed_s=60.0,
        before=SoFar(over=0, usd=0.0),
        rows=rows,
        fancy=True,
    )
    return [line.plain for line in lines]


def test_a_line_a_worker_then_how_far_it_is_and_how_fast() -> None:
    tally = Tally(
        [
            queued("a", AttemptState.DONE, usd=0.5),
            queued("b", AttemptState.RUNNING),
            *(queued(f"w{n}", AttemptState.WAITING) for n in range(8)),
        ]
    )
    worker, bar, pace = framed(tally, [line_of("b", 40.0, turn=3, doing="$ pytest -q")])
    assert worker.split() == ["b", "turn", "3", "1", "min", "$", "pytest", "-q"]
    assert "1 done · 1 running · 8 waiting" in bar
    assert bar.startswith("███▒▒▒░")
    assert pace == "$0.50, $30.00 an hour · 1 min, about 9 min left"


@pytest.mark.parametrize("workers", [0, 1, 17, 1000])
def test_it_never_has_more_rows_than_there_are(workers: int) -> None:
    lines = framed(Tally(), [line_of(f"t{n}") for n in range(workers)], rows=10)
    assert len(lines) <= 10
    if workers > 8:
        assert f"and {workers - 6} more" in lines[-3]


def test_a_bar_is_as_long_whatever_it_counts() -> None:
    many = Tally([queued(f"t{n}", AttemptState.DONE, usd=0.0) for n in range(7)])
    bars = [framed(Tally(), [])[-2], framed(many, [line_of("x")])[-2]]
    assert {len(bar.split(" ")[0]) for bar in bars} == {30}


def test_a_thousand_events_are_shown_some_times_a_second() -> None:
    block, board, now = Lines(), Board(), 0.0
    board.begin("r", "a", 1)
    watcher = LiveWatcher(block, Tally(), board, clock=lambda: now)  # type: ignore[arg-type]
    show = board.listener("r")
    for _ in range(1000):
        show(Progress(text="busy"), None)
        watcher.refresh()
        now += 0.001
    assert len(block.shown) <= 5
    watcher.close()
    assert block.printed == ["closed"]


def test_the_board_says_what_each_is_at_in_visible_words() -> None:
    board = Board()
    board.begin("r", "a", 1)
    show = board.listener("r")
    show(ModelCalled(turn=2, messages=1), None)
    assert (board.lines()["r"].turn, board.lines()["r"].doing) == (2, "thinking")
    show(ModelRetry(reason=HOSTILE, wait_s=1.0, attempt=1), None)
    assert board.lines()["r"].doing.isprintable()
    show(
        CallStarted(
            number=1,
            tool_use_id="u",
            tool="bash",
            arguments={"command": HOSTILE},
            decision=Allow(rules=()),
        ),
        None,
    )
    assert board.lines()["r"].doing.isprintable()
    board.end("r")
    show(Progress(text="late"), None)
    assert board.lines() == {}


def test_a_check_that_failed_is_said_once() -> None:
    detail = "false ends with 1 on a fresh copy"
    row = a_row(outcome="not verified", verified=False, error_kind=ErrorKind.AGENT, detail=detail)
    words = in_words(AttemptEnded(state=AttemptState.DONE, result=row))
    assert words == "t1: not verified, 0 turns, 0 s: false ends with 1 on a fresh copy"


def test_what_was_interrupted_or_cancelled_is_no_failure() -> None:
    rows = [
        a_row("a", outcome="interrupted"),
        a_row("b", outcome="cancelled", run_id=None),
        a_row("c", outcome="limit: turns", error_kind=ErrorKind.AGENT),
    ]
    tally = Tally()
    for row in rows:
        tally.hear(AttemptEnded(state=AttemptState.DONE, result=row))
    assert closing_words(tally) == (
        "0 of 3 attempts finished, 1 failed: agent, 1 cancelled, 1 interrupted; $0.00"
    )
    (bar, _) = framed(tally, [])[-2:]
    assert "1 failed: agent · 1 cancelled · 1 interrupted" in bar

"""What is done for a reviewer: once for two clicks, watched while it goes, cancelled."""

import threading
from collections.abc import Iterator

import pytest

from agent.errors import UsageError
from agent.review.decide.action import CANCELLED, ActionBoard, ActionFailed, ReviewAction
from agent.review.decide.applying import ActionWatch


@pytest.fixture
def board() -> Iterator[ActionBoard]:
    made = ActionBoard()
    yield made
    made.close()


def test_two_clicks_begin_one_action(board: ActionBoard) -> None:
    go, count = threading.Event(), []

    def work(_watch: ActionWatch) -> str:
        count.append(1)
        go.wait()
        return "done"

    first = board.begin("r", "key", "apply", work)
    assert board.begin("r", "key", "apply", work) is first
    assert board.begin("r", "another key", "apply", work) is first, "it still goes on"
    other = board.begin("s", "key", "apply", work)
    assert other is not first, "another run has its own"
    go.set()
    first.join()
    assert first.result == "done"
    assert board.begin("r", "key", "apply", work) is first, "the key was used"
    again = board.begin("r", "another key", "apply", work)
    again.join()
    other.join()
    assert count == [1, 1, 1]


def test_what_an_action_says_is_heard_while_it_goes(board: ActionBoard) -> None:
    heard = threading.Event()

    def work(watch: ActionWatch) -> str:
        watch.on_progress("verifying")
        watch.on_output("stdout", b"50 %\xff\n")
        heard.wait()
        watch.on_output("stderr", b"x" * 300_000)
        return "done"

    action = board.begin("r", "key", "apply", work)
    at, text = 0, ""
    while "50 %" not in text:
        at, more = action.said(at, wait_s=10)
        text += more
    assert text.startswith("\N{RIGHTWARDS ARROW} verifying\n50 %")
    assert action.result is None
    heard.set()
    action.join()
    end, rest = action.said(at)
    assert end == at + 300_000
    assert 0 < len(rest) <= 200_000, "it is bounded"
    assert action.said(end, wait_s=10) == (end, ""), "who waits for more of what is over does not"


def test_an_action_is_cancelled_and_its_errors_are_words(board: ActionBoard) -> None:
    begun = threading.Event()

    def waits(watch: ActionWatch) -> str:
        ended = threading.Event()
        with watch.interrupts.immediate(), watch.interrupts.ended_by(ended.set):
            begun.set()
            ended.wait()
        return "never"

    def fails(_watch: ActionWatch) -> str:
        raise UsageError("say what")

    def breaks(_watch: ActionWatch) -> str:
        raise ZeroDivisionError

    action = board.begin("r", "1", "apply", waits)
    begun.wait()
    board.close()
    assert action.result == ActionFailed(message=CANCELLED)
    for work, words in ((fails, "say what"), (breaks, "a defect of Moonpool: ZeroDivisionError()")):
        action = ReviewAction("k", "apply", work)
        action.join()
        assert action.result == ActionFailed(message=words)

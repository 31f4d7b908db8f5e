"""What a run has used, where its process ended in the middle of a call."""

import pytest

from agent.models.interface import Usage
from agent.record.events.conversation import CallReserved, ReplyDiscarded
from agent.record.events.kinds import Recorded
from agent.record.events.lifecycle import Resumed
from agent.record.events.recorded import Lossy
from agent.record.run_state import fold
from agent.record.timeline import timeline

BEFORE = ReplyDiscarded(usage=Usage(), used=Usage(output_tokens=2), usd=0.5)
CALL = CallReserved(used=Usage(input_tokens=7, output_tokens=9), usd=2.5)
TAKEN_UP = Resumed(
    model="m",
    version="1",
    pid=1,
    cut_bytes=0,
    in_doubt=None,
    lossy=Lossy(cut=0, redacted=0, exact_thinking=False),
)


def test_a_call_whose_end_nobody_told_costs_the_most_that_it_could() -> None:
    spent = fold([BEFORE, CALL]).spent
    assert (spent.used, spent.usd) == (BEFORE.used, 0.5)  # while its process lives
    assert (spent.settled().used, spent.settled().usd) == (CALL.used, 2.5)


def test_a_person_sees_what_a_run_that_was_taken_up_has_not_as_it_was() -> None:
    (plain,) = timeline([TAKEN_UP])
    assert plain.title == "taken up by moonpool 1, process 1"
    lossy = Lossy(cut=2, redacted=3, exact_thinking=True)
    less = TAKEN_UP.replaced({"in_doubt": 7, "cut_bytes": 90, "lossy": lossy})
    (row,) = timeline([less])
    for words in ("call 7 was under way", "torn (90 bytes)", "2 too long, 3 with a secret"):
        assert words in row.title


@pytest.mark.parametrize("after", [[BEFORE], [TAKEN_UP]])
def test_it_is_counted_once(after: list[Recorded]) -> None:
    spent = fold([BEFORE, CALL, *after]).spent
    assert spent == spent.settled()
    assert spent.usd == (0.5 if after == [BEFORE] else 2.5)

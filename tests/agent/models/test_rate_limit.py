"""All runs of a batch slow down together, lose nothing by it, and find the rate again."""

import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import ModelError, ModelRefusedRequest, ModelUnavailable
from agent.models.rate_limit import RateLimiter, RateWindow, RequestEnd
from agent.models.request_gate import PATIENCE_S, RequestGate
from agent.models.retrying import Retrier, RetryLimits, TransientError, asked_wait_s
from fakes.virtual_time import VirtualRate, VirtualTime, VirtualWait

ANSWER_S = 4.0


class TokenBucket:
    """So many requests a minute, as services count them."""

    def __init__(self, time: VirtualTime, a_minute: int) -> None:
        self._time, self._a_second = time, a_minute / 60
        self._most = self._left = float(a_minute)
        self._at = 0.0

    def refuses(self) -> bool:
        now = self._time()
        self._left = min(self._most, self._left + (now - self._at) * self._a_second)
        self._at = now
        if self._left < 1:
            return True
        self._left -= 1
        return False


@dataclass
class VirtualBatch:
    """Workers that each want so many replies of one service, in virtual time."""

    workers: int
    each: int
    fails: Callable[["VirtualBatch", int, int], TransientError | None]
    """By worker and reply: how a request made now fails, if it does."""
    time: VirtualTime = field(default_factory=VirtualTime)
    made_at: list[float] = field(default_factory=list)
    refused_at: list[float] = field(default_factory=list)
    requests_of: dict[tuple[int, int], int] = field(default_factory=dict)
    replies: set[tuple[int, int]] = field(default_factory=set)
    lost: dict[tuple[int, int], ModelError] = field(default_factory=dict)

    def run(self) -> "VirtualBatch":
        self.window = RateWindow(random=Random(1).random)
        self.time.run([self._worker(worker) for worker in range(self.workers)])
        return self

    def _worker(self, worker: int) -> Callable[[], None]:
        retrier = Retrier(RetryLimits())
        rate = VirtualRate(self.time, self.window)
        wait = VirtualWait(self.time)
        retrier.gate = RequestGate(rate, wait, random=Random(worker).random)

        def work() -> None:
            for reply in range(self.each):
                what = (worker, reply)
                try:
                    retrier.run(partial(self._ask, retrier, what), lambda _: None)
                    self.replies.add(what)
                except ModelError as error:
                    self.lost[what] = error

        return work

    def _ask(self, retrier: Retrier, what: tuple[int, int], _attempt: int) -> None:
        self.made_at.append(self.time())
        self.requests_of[what] = self.requests_of.get(what, 0) + 1
        failure = self.fails(self, *what)
        self.time.sleep(0.1)
        if failure is not None:
            self.refused_at.append(self.time())
            raise failure
        retrier.accepted()
        self.time.sleep(ANSWER_S)

    def all_came(self) -> bool:
        return len(self.replies) == self.workers * self.each and not self.lost


def too_many(asked_s: float | None = None) -> TransientError:
    return TransientError("429 rate_limit_error", asked_wait_s=asked_s, overload=True)


def unreachable() -> TransientError:
    return TransientError("the connection failed")


@pytest.mark.parametrize("failure", [too_many, unreachable])
def test_ten_minutes_of_refusals_lose_nothing_and_make_a_bounded_number_of_requests(
    failure: Callable[[], TransientError],
) -> None:
    def fails(batch: VirtualBatch, _worker: int, _reply: int) -> TransientError | None:
        return failure() if 60 <= batch.time() < 660 else None

    batch = VirtualBatch(64, 20, fails).run()
    assert batch.all_came()
    # Those that were under way together, five whose pauses double, and then one in 15 to 30 s.
    assert len(batch.refused_at) <= 64 + 5 + 600 / 15
    alone = [at for at in batch.made_at if 120 <= at < 660]
    assert len(alone) <= 540 / 15
    # Found again: without the ten minutes, it is done in about the time that it takes.
    assert batch.time() < 660 + 60 + 20 * (ANSWER_S + 0.1) * 4


def test_a_service_that_refuses_from_the_first_request_on_is_asked_by_one_at_a_time() -> None:
    def fails(batch: VirtualBatch, _worker: int, _reply: int) -> TransientError | None:
        return too_many() if batch.time() < 600 else None

    batch = VirtualBatch(64, 1, fails).run()
    assert batch.all_came()
    assert len(batch.refused_at) <= 8 + 5 + 600 / 15


def test_a_service_with_a_quota_is_asked_about_as_often_as_it_allows() -> None:
    bucket: list[TokenBucket] = []

    def fails(batch: VirtualBatch, _worker: int, _reply: int) -> TransientError | None:
        if not bucket:
            bucket.append(TokenBucket(batch.time, 60))
        return too_many() if bucket[0].refuses() else None

    batch = VirtualBatch(64, 10, fails).run()
    assert batch.all_came()
    assert len(batch.refused_at) < len(batch.replies) / 3
    # 640 replies at one a second.
    assert batch.time() < 640 * 2


def test_what_the_service_asks_to_wait_is_waited_by_everybody() -> None:
    def fails(batch: VirtualBatch, worker: int, reply: int) -> TransientError | None:
        first = worker == 0 and reply == 1 and batch.requests_of[worker, reply] == 1
        return too_many(40.0) if first else None

    batch = VirtualBatch(16, 30, fails).run()
    assert batch.all_came()
    (refused,) = batch.refused_at
    assert not [at for at in batch.made_at if refused < at < refused + 40]


def test_a_minute_without_the_service_costs_no_worker_its_reply() -> None:
    def fails(batch: VirtualBatch, _worker: int, _reply: int) -> TransientError | None:
        return unreachable() if 10 <= batch.time() < 70 else None

    for workers in (1, 2, 64):
        batch = VirtualBatch(workers, 10, fails).run()
        assert batch.all_came(), workers


def test_a_request_that_fails_for_itself_ends_as_if_it_were_alone() -> None:
    def fails(_batch: VirtualBatch, worker: int, _reply: int) -> TransientError | None:
        return TransientError("500 api_error") if worker == 0 else None

    batch = VirtualBatch(16, 200, fails)
    batch.run()
    assert set(batch.lost) == {(0, reply) for reply in range(200)}
    assert all(isinstance(error, ModelUnavailable) for error in batch.lost.values())
    # Those that failed while nothing was answered to others are not its own.
    assert batch.requests_of[0, 0] <= 2 * RetryLimits().attempts
    assert len(batch.replies) == 15 * 200


def test_a_request_that_is_refused_for_ever_does_not_hold_the_others_up_for_ever() -> None:
    def fails(_batch: VirtualBatch, worker: int, _reply: int) -> TransientError | None:
        return too_many() if worker == 0 else None

    def others(batch: VirtualBatch, worker: int, reply: int) -> TransientError | None:
        return fails(batch, worker, reply) if reply == 0 else None

    batch = VirtualBatch(16, 400, others).run()
    assert set(batch.lost) == {(0, 0)}
    assert batch.requests_of[0, 0] <= 4 * RetryLimits().attempts
    assert len(batch.replies) == 16 * 400 - 1


def test_a_service_that_never_answers_ends_its_runs_in_the_end() -> None:
    batch = VirtualBatch(4, 1, lambda *_: too_many()).run()
    assert len(batch.lost) == 4
    assert batch.time() > PATIENCE_S
    assert len(batch.made_at) <= 8 + 5 + PATIENCE_S / 15 + 4


def test_a_wait_of_days_is_not_waited_for() -> None:
    batch = VirtualBatch(1, 1, lambda *_: too_many(86_400.0)).run()
    (error,) = batch.lost.values()
    assert "wait 24 h:" in str(error)
    assert len(batch.made_at) == 1


def test_a_wrong_setting_is_told_after_one_more_request() -> None:
    lasting = ModelRefusedRequest("no such thing")
    batch = VirtualBatch(1, 1, lambda *_: TransientError("500", lasting=lasting)).run()
    assert batch.lost[0, 0] is lasting
    assert len(batch.made_at) == 2


def test_a_clock_of_ours_that_jumps_changes_no_wait_that_the_service_asked_for() -> None:
    headers = {
        "date": "Mon, 01 Jan 2001 00:00:00 GMT",
        "retry-after": "Mon, 01 Jan 2001 00:00:30 GMT",
    }
    assert asked_wait_s(headers) == 30
    assert asked_wait_s({**headers, "date": "yesterday"}) == 0


def test_a_run_alone_imports_nothing_of_it() -> None:
    code = (
        "import sys, agent.lifecycle.run, agent.cli.commands.run, agent.models.anthropic.client; "
        "print([m for m in sys.modules if m.rpartition('.')[2] in "
        "('rate_limit', 'request_gate', 'run_share', 'shared_budget')])"
    )
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


# -- the window -----------------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(
        st.sampled_from([*RequestEnd, "accept", "admit", "admit", "admit"]),
        st.floats(0, 100),
        st.integers(0, 1000),
        st.none() | st.floats(0, 10_000),
    ),
    max_size=200,
)


@settings(deadline=None)
@given(steps=STEPS)
def test_whatever_happens_no_more_are_in_flight_than_fit_and_it_always_opens_again(
    steps: list[tuple[RequestEnd | str, float, int, float | None]],
) -> None:
    window = RateWindow(most=16, random=Random(1).random)
    now = 0.0
    flying: list[int] = []
    for what, passed_s, which, asked_s in steps:
        now += passed_s
        if what == "admit":
            number = window.admit(now)
            if number is not None:
                flying.append(number)
        elif flying and isinstance(what, RequestEnd):
            window.ended(flying.pop(which % len(flying)), what, now, asked_s)
        elif flying:
            window.accepted(flying[which % len(flying)])
        assert len(window.in_flight) == len(flying) <= 16
        assert 1 / 64 <= window.at_once <= 16
    for number in flying:
        window.ended(number, RequestEnd.WITHDRAWN, now)
    opens_s = window.opens_in(now)
    # Sums of floating-point seconds are rounded.
    assert opens_s <= 3600 + 1e-6
    assert window.admit(now + opens_s + 1e-6) is not None


def test_one_burst_of_refusals_halves_once() -> None:
    window = RateWindow(first=8, random=lambda: 1.0)
    burst = [window.admit(0.0) for _ in range(8)]
    assert window.admit(0.0) is None
    for number in burst:
        assert number is not None
        window.ended(number, RequestEnd.SLOWED, 1.0)
    assert window.opens_in(1.0) == 1.0
    # One asks first, and only then the others may.
    probe = window.admit(2.0)
    assert probe is not None
    assert window.admit(2.0) is None
    window.accepted(probe)
    assert [window.admit(2.0) is not None for _ in range(4)] == [True, True, True, False]


def test_a_probe_that_hangs_is_not_waited_for_for_ever() -> None:
    window = RateWindow(random=lambda: 1.0)
    first = window.admit(0.0)
    assert first is not None
    window.ended(first, RequestEnd.SLOWED, 0.0)
    assert window.admit(1.0) is not None
    assert window.admit(30.0) is None
    assert window.admit(31.0) is not None


# -- threads --------------------------------------------------------------------------------------


@pytest.fixture
def limiter() -> RateLimiter:
    return RateLimiter(RateWindow(first=1))


class Waits:
    """Tells that a wait has begun, and breaks it off when it is told to."""

    def __init__(self) -> None:
        self.begun, self.stop = threading.Event(), threading.Event()

    def __call__(self) -> bool:
        self.begun.set()
        return self.stop.is_set()


def never() -> bool:
    return False


def started(target: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    return thread


def test_who_asked_first_is_admitted_first(limiter: RateLimiter) -> None:
    numbers: list[tuple[int, int | None]] = []
    held = limiter.admit(never)
    assert held is not None
    threads = []
    for worker in range(5):
        waits = Waits()

        def ask(worker: int = worker, waits: Waits = waits) -> None:
            number = limiter.admit(waits)
            numbers.append((worker, number))
            assert number is not None
            limiter.ended(number, RequestEnd.WITHDRAWN)

        threads.append(started(ask))
        assert waits.begun.wait(30)
    limiter.ended(held, RequestEnd.WITHDRAWN)
    for thread in threads:
        thread.join(30)
    assert [worker for worker, _ in numbers] == [0, 1, 2, 3, 4]


def test_a_wait_is_broken_off_and_holds_nobody_up(limiter: RateLimiter) -> None:
    held = limiter.admit(never)
    assert held is not None
    waits = Waits()
    got: list[int | None] = []
    thread = started(lambda: got.append(limiter.admit(waits)))
    assert waits.begun.wait(30)
    waits.stop.set()
    limiter.wake()
    thread.join(30)
    assert got == [None]
    limiter.ended(held, RequestEnd.WITHDRAWN)
    assert limiter.admit(never) is not None

"""What a run on another machine asks of its batch's desk, and what it leaves when it is lost."""

import threading
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack

from agent.batch.engines.cluster.desk import DeskNews, RunProgress, Told
from agent.batch.engines.cluster.link import DeskListener, RemoteBudget, RemoteRate
from agent.batch.thread_interrupts import ThreadInterrupts
from agent.conversation.shared_budget import BatchAllowance, BatchUsed, Reservation
from agent.models.interface import CallCost
from agent.models.rate_limit import RequestEnd
from agent.record.outcome import LimitReached, RunLimit
from fakes.cluster import ThreadDesk
from sandbox.threads import Background
from waiting import until

OpenDesk = Callable[..., ThreadDesk]


class CountingDesk(ThreadDesk):
    """Counts what it gives."""

    def __init__(self) -> None:
        super().__init__()
        self.answered: Counter[str] = Counter()
        self.names_sent = 0

    def ask(self, method: str, *values: object, until: Callable[[], bool] | None = None) -> object:
        got = super().ask(method, *values, until=until)
        self.answered[method] += 1
        if isinstance(got, Told):
            self.names_sent += sum(map(len, got.names.values()))
        elif method == "told" and isinstance(got, tuple):
            self.names_sent += len(got)
        return got


COST = CallCost(
    input_tokens=100,
    input_usd=1.0,
    answer_tokens=100,
    least_answer_tokens=100,
    usd_per_answer_token=0.01,
)
"""Two dollars at the most."""


def never() -> bool:
    return False


def budget(desk: ThreadDesk, run: str) -> RemoteBudget:
    return RemoteBudget(desk, run, desk.allowed, 0.0)


def waits(work: Callable[[], object]) -> "Background[object]":
    going = Background(work, name="waits")
    going.begin()
    return going


def test_what_two_machines_may_spend_together_is_never_more_than_the_batchs_budget(
    open_desk: OpenDesk,
) -> None:
    desk = open_desk(usd=3.0)
    one, other = budget(desk, "one"), budget(desk, "other")
    first = one.reserve(COST, never)
    assert isinstance(first, Reservation)
    second = waits(lambda: other.reserve(COST, never))
    assert second.is_alive()  # the first may yet cost two of the three dollars
    one.settle(first.number, 2.0, 200)
    reached = second.result()
    assert isinstance(reached, LimitReached)
    assert reached.limit is RunLimit.BATCH_USD


def test_money_that_a_call_did_not_need_goes_to_who_waits_for_it(open_desk: OpenDesk) -> None:
    desk = open_desk(usd=3.0)
    one, other = budget(desk, "one"), budget(desk, "other")
    first = one.reserve(COST, never)
    assert isinstance(first, Reservation)
    second = waits(lambda: other.reserve(COST, never))
    one.settle(first.number, 0.5, 50)
    assert isinstance(second.result(), Reservation)


def test_who_gives_up_waiting_leaves_nothing_set_aside(open_desk: OpenDesk) -> None:
    desk = open_desk(usd=2.0)
    one, other, third = (budget(desk, name) for name in ("one", "other", "third"))
    first = one.reserve(COST, never)
    assert isinstance(first, Reservation)
    stop = threading.Event()
    second = waits(lambda: other.reserve(COST, stop.is_set))
    stop.set()
    assert second.result() is None
    one.settle(first.number, 0.0, 0)
    assert isinstance(third.reserve(COST, never), Reservation)


def test_a_lost_run_is_billed_for_its_call_in_flight_and_holds_up_nobody(
    open_desk: OpenDesk,
) -> None:
    desk = open_desk(usd=4.0)
    one, other = budget(desk, "one"), budget(desk, "other")
    assert isinstance(one.reserve(COST, never), Reservation)
    assert isinstance(other.reserve(COST, never), Reservation)
    third = waits(lambda: budget(desk, "third").reserve(COST, never))
    assert desk.ask("forget", "one") == BatchUsed(usd=2.0, tokens=200)
    assert desk.ask("forget", "other") == BatchUsed(usd=2.0, tokens=200)
    assert isinstance(third.result(), LimitReached)


def test_where_nothing_is_bounded_a_call_waits_for_nobody_and_its_bill_is_told(
    open_desk: OpenDesk,
) -> None:
    desk = open_desk()
    one = budget(desk, "one")
    held = [one.reserve(COST, never) for _ in range(2)]
    for reserved in held:
        assert isinstance(reserved, Reservation)
        one.settle(reserved.number, 0.5, 50)
    assert desk.ask("forget", "one") == BatchUsed(usd=1.0, tokens=100)


def test_the_batchs_time_is_over_for_a_run_on_any_machine(open_desk: OpenDesk) -> None:
    desk = open_desk(seconds=10.0)
    late = RemoteBudget(desk, "one", BatchAllowance(seconds=10.0), 11.0)
    over = late.out_of_time()
    assert over is not None
    assert over.limit is RunLimit.BATCH_TIME
    assert isinstance(late.reserve(COST, never), LimitReached)


def test_a_refusal_on_one_machine_slows_every_other(open_desk: OpenDesk) -> None:
    desk = open_desk()
    one, other = RemoteRate(desk, "one", "m"), RemoteRate(desk, "other", "m")
    number = one.admit(never)
    assert number is not None
    health = one.ended(number, RequestEnd.SLOWED, 60.0)
    assert health.closed_s > 30
    stop = threading.Event()
    waiting = waits(lambda: other.admit(stop.is_set))
    assert waiting.is_alive()
    assert RemoteRate(desk, "third", "another model").admit(never) is not None
    stop.set()
    assert waiting.result() is None


def test_a_lost_runs_request_leaves_room_for_others(open_desk: OpenDesk) -> None:
    desk = open_desk()
    full = [RemoteRate(desk, f"run{n}", "m").admit(never) for n in range(8)]
    assert None not in full  # what a rate begins with
    waiting = waits(lambda: RemoteRate(desk, "late", "m").admit(never))
    assert waiting.is_alive()
    desk.tell("forget", "run3")
    assert waiting.result() is not None


def test_a_run_hears_what_it_is_told_though_it_was_said_before_it_began(
    open_desk: OpenDesk,
) -> None:
    desk, interrupts, other = open_desk(), ThreadInterrupts(), ThreadInterrupts()
    desk.tell("tell", "one", "SIGINT")
    listener = DeskListener(desk)
    desk.tell("tell", "two", "SIGINT")
    with listener.heard_by("one", interrupts):
        assert interrupts.requested
        desk.tell("tell", "one", "SIGTERM")
        until(lambda: interrupts.at_once)
    with listener.heard_by("two", other):
        assert other.requested
        assert not other.at_once


def test_a_run_hears_what_it_is_told_after_the_desk_was_out_of_reach_for_an_earlier_one(
    open_desk: OpenDesk,
) -> None:
    desk, interrupts = open_desk(), ThreadInterrupts()
    listener = DeskListener(desk)
    desk.gone = True
    until(lambda: not any(it.name == "moonpool-desk" for it in threading.enumerate()))
    desk.gone = False
    desk.tell("tell", "one", "SIGINT")
    with listener.heard_by("one", interrupts):
        until(lambda: interrupts.requested)


def test_a_run_that_another_process_goes_on_with_hears_what_the_first_one_was_told(
    open_desk: OpenDesk,
) -> None:
    desk, lost, interrupts = open_desk(), ThreadInterrupts(), ThreadInterrupts()
    first, second = DeskListener(desk), DeskListener(desk)
    with first.heard_by("one", lost), second.heard_by("another", ThreadInterrupts()):
        desk.tell("tell", "one", "SIGTERM")
        until(lambda: lost.requested)
        with second.heard_by("one", interrupts, taken_up=True):
            assert interrupts.requested
            desk.tell("tell", "one", "SIGTERM")
            until(lambda: interrupts.at_once)


def test_a_run_that_begins_sends_no_message_of_its_own_while_nobody_is_sought() -> None:
    desk = CountingDesk()
    listener = DeskListener(desk)
    until(lambda: desk.answered["beat"] > 0)
    for number in range(50):
        with listener.heard_by(f"run{number}", ThreadInterrupts()):
            pass
    assert desk.answered["told"] == 0
    desk.close()


def test_each_process_hears_of_its_own_run_alone_however_many_are_told_to_end() -> None:
    desk, count = CountingDesk(), 40
    listeners = [DeskListener(desk) for _ in range(count)]
    heard = [ThreadInterrupts() for _ in range(count)]
    with ExitStack() as running:
        for number, listener in enumerate(listeners):
            running.enter_context(listener.heard_by(f"run{number}", heard[number]))
        for number in range(count):
            desk.tell("tell", f"run{number}", "SIGINT")
        until(lambda: all(one.requested for one in heard))
        assert not any(one.at_once for one in heard)
    assert desk.names_sent == count
    desk.close()


def test_what_a_process_is_at_is_news_of_each_of_its_runs_once(open_desk: OpenDesk) -> None:
    desk = open_desk()
    listener = DeskListener(desk)
    listener.board.begin("one", "t1", 1)
    listener.board.put("one", turn=3, doing="thinking", usd=0.5)
    found: dict[str, RunProgress] = {}

    def heard() -> bool:
        news = desk.ask("news", ())
        assert isinstance(news, DeskNews)
        found.update(news.progress)
        return bool(found)

    until(heard)
    assert found == {"one": RunProgress(turn=3, doing="thinking", usd=0.5)}
    desk.ask("beat", "the same process", found, {})
    again = desk.ask("news", ())
    assert isinstance(again, DeskNews)
    assert again.progress == {}


def test_an_image_is_asked_for_once_and_given_to_all_who_wait(open_desk: OpenDesk) -> None:
    desk = open_desk()
    waiting = [waits(lambda: desk.ask("want", "image:1")) for _ in range(3)]
    names: list[str] = []

    def asked() -> bool:
        news = desk.ask("news", ())
        assert isinstance(news, DeskNews)
        names.extend(news.wanted)
        return bool(names)

    until(asked)
    desk.tell("deliver", "image:1", ("its", "parcel"))
    assert [one.result() for one in waiting] == [("its", "parcel")] * 3
    assert desk.ask("want", "image:1") == ("its", "parcel")
    assert names == ["image:1"]


def test_an_image_that_could_not_be_sent_once_is_asked_for_again(open_desk: OpenDesk) -> None:
    desk = open_desk()
    wanted: list[str] = []

    def asked(times: int) -> bool:
        news = desk.ask("news", ())
        assert isinstance(news, DeskNews)
        wanted.extend(news.wanted)
        return len(wanted) == times

    first = waits(lambda: desk.ask("want", "image:1"))
    until(lambda: asked(1))
    desk.tell("deliver", "image:1", "the engine is busy")
    assert first.result() == "the engine is busy"
    second = waits(lambda: desk.ask("want", "image:1"))
    until(lambda: asked(2))
    desk.tell("deliver", "image:1", ("a", "parcel"))
    assert second.result() == ("a", "parcel")

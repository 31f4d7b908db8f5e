"""Which calls a look covers, and that looking neither slows a run nor ends it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent.conversation import change_tracking
from agent.conversation.change_tracking import ChangeTracker
from agent.interrupts import Interrupts
from agent.record.events.conversation import CallStarted
from agent.record.events.kinds import Event, decode
from agent.record.events.lifecycle import ChangesRescanned, ChangesTracked, WorkspaceRestored
from fakes.box import TmpBox
from fakes.model import ToldModel, call, calls, say
from fakes.runs import FakeRun
from policies.policy import Policy
from sandbox.errors import NotKept, SandboxLost
from sandbox.tracking import Step


@dataclass
class Bench:
    """A box whose looks take as long as they are told to."""

    room: Path
    takes_s: float = 0.0
    now_s: float = 0.0
    log: list[Event] = field(default_factory=list)
    answers: list[Step] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.box = _SlowBox(self)
        self.interrupts = Interrupts()
        self.tracker = ChangeTracker(
            box=self.box,
            store=self.room / "steps",
            emit=self.log.append,
            interrupts=self.interrupts,
            clock=lambda: self.now_s,
        )

    def call(self, number: int, command: str, *, tool: str = "bash", after_s: float = 0.0) -> None:
        self.box.run(command)
        self.now_s += after_s
        self.tracker.after(number, tool, background=False)

    @property
    def told(self) -> list[tuple[int, int, list[bytes]]]:
        found = [event for event in self.log if isinstance(event, ChangesTracked)]
        return [(e.first, e.last, [item.path for item in e.changed]) for e in found]


class _SlowBox(TmpBox):
    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self._bench = bench

    def checkpoint(self, store: Path) -> Step:
        self._bench.now_s += self._bench.takes_s
        if self._bench.answers:
            return self._bench.answers.pop(0)
        return super().checkpoint(store)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.box.close()


def test_each_call_that_changed_something_is_told(bench: Bench) -> None:
    bench.call(1, "echo x > a")
    bench.call(2, "true")
    bench.call(3, "echo y > b; rm a")
    assert bench.told == [(1, 1, [b"a"]), (2, 2, []), (3, 3, [b"a", b"b"])]


def test_a_look_that_takes_long_waits_and_covers_several_calls(bench: Bench) -> None:
    bench.takes_s = 1.0
    bench.call(1, "echo x > a")
    bench.call(2, "echo x > b", after_s=5)
    bench.call(3, "echo x > c", after_s=6)
    assert bench.told == [(1, 1, [b"a"]), (2, 3, [b"b", b"c"])]
    bench.call(4, "echo x > d")
    bench.tracker.finish()
    assert bench.told[2:] == [(4, 4, [b"d"])]


def test_reading_calls_cost_no_look(bench: Bench) -> None:
    bench.answers = [Step(unfollowed="never asked for")]
    bench.call(1, "true", tool="read_file")
    assert bench.answers
    assert bench.log == []


def test_what_could_not_be_followed_is_told_once_and_covered_by_the_next_look(bench: Bench) -> None:
    bench.answers = [Step(unfollowed="too much"), Step(unfollowed="too much")]
    for number in (1, 2, 3):
        bench.call(number, f"echo x > f{number}")
    assert bench.told == [(1, 1, []), (1, 3, [b"f1", b"f2", b"f3"])]


def test_thousands_of_long_names_do_not_fill_the_record_nor_make_the_next_call_their_writer(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_tracking, "NAMES_BYTES", 100)
    bench.call(1, f"echo x > {'n' * 101}")
    bench.call(2, f"echo x > a; echo y >> {'n' * 101}")
    bench.call(3, "echo x > b")
    bench.call(4, "echo x > c")
    assert bench.told == [(1, 1, []), (1, 2, []), (1, 3, [b"b"]), (1, 4, [b"c"])]


def test_a_look_that_fails_otherwise_than_foreseen_ends_no_run(bench: Bench) -> None:
    bench.box.failures["checkpoint"] = ZeroDivisionError("here")
    bench.call(1, "echo x > a")
    bench.call(2, "true")
    assert bench.told == [(1, 1, []), (1, 2, [b"a"])]


def test_a_full_disk_under_the_record_is_said_and_nothing_is_written(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_tracking, "ROOM_BYTES", 1 << 62)
    bench.call(1, "echo x > a")
    (event,) = bench.log
    assert isinstance(event, ChangesTracked)
    assert "nearly full" in str(event.unfollowed)
    assert not (bench.room / "steps").exists()


def test_a_run_that_is_to_end_at_once_is_not_looked_at(bench: Bench) -> None:
    bench.interrupts.receive("SIGTERM")
    bench.answers = [Step()]
    bench.call(1, "echo x > a")
    assert bench.answers


def test_what_stands_at_a_resume_is_no_calls_doing(bench: Bench) -> None:
    bench.box.run("echo x > before")
    bench.tracker.anew()
    bench.call(7, "echo x > after")
    assert isinstance(bench.log[0], ChangesRescanned)
    assert [item.path for item in bench.log[0].changed] == [b"before"]
    assert bench.told == [(7, 7, [b"after"])]


def test_the_events_come_back_from_the_record_as_they_were(bench: Bench) -> None:
    bench.box.run("echo x > $'not\\xffutf8'; ln -s nowhere link")
    bench.tracker.anew()
    bench.call(1, "chmod +x not*; rm link")
    for event in bench.log:
        assert isinstance(event, ChangesTracked | ChangesRescanned)
        assert decode(event.json_object()) == event


def test_a_run_records_what_its_calls_changed(tmp_path: Path, default_policy: Policy) -> None:
    run = FakeRun(home=tmp_path, policy=default_policy, files={"a": b"1\n"})
    model = ToldModel(
        call("bash", command="echo 2 >> a"),
        calls(("read_file", {"path": "a"}), ("write_file", {"path": "b", "content": "x"})),
        say("Done."),
    )
    run.go(model)
    told = [event for event in run.log if isinstance(event, ChangesTracked)]
    assert [(e.last, [item.path for item in e.changed]) for e in told] == [(1, [b"a"]), (3, [b"b"])]
    assert sum(isinstance(event, CallStarted) for event in run.log) == 3
    assert (run.record.directory / "steps" / "objects").is_dir()


def test_what_was_gone_back_is_told_whole_and_is_no_later_calls_doing(bench: Bench) -> None:
    bench.call(1, "echo x > kept")
    point = bench.tracker.point()
    assert point.call == 1
    bench.call(2, "echo y > kept; echo z > new")
    restored = bench.tracker.go_back(point)
    assert (restored.back, restored.removed) == ((b"kept",), (b"new",))
    bench.call(3, "echo x > after")
    (event,) = [event for event in bench.log if isinstance(event, WorkspaceRestored)]
    assert (event.call, [item.path for item in event.changed]) == (1, [b"kept"])
    assert decode(json.loads(json.dumps(event.json_object()))) == event
    assert bench.told[-1] == (3, 3, [b"after"])


def test_a_point_that_could_not_be_kept_is_not_gone_back_to(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_tracking, "ROOM_BYTES", 1 << 62)
    point = bench.tracker.point()
    assert "nearly full" in str(point.mark.unkept)
    with pytest.raises(NotKept):
        bench.tracker.go_back(point)


def test_after_going_back_broke_off_what_is_found_is_not_only_the_next_calls(
    bench: Bench,
) -> None:
    point = bench.tracker.point()
    bench.call(1, "echo x > a")
    bench.box.failures["restore"] = SandboxLost("gone")
    with pytest.raises(SandboxLost):
        bench.tracker.go_back(point)
    bench.call(2, "echo x > b")
    assert bench.told[-1] == (1, 2, [b"b"])
    newest = bench.log[-1]
    assert isinstance(newest, ChangesTracked)
    assert newest.gap

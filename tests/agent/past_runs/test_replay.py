"""The recorded calls made once more, in a sandbox without an engine."""

from pathlib import Path

from agent.chat.requests import Chat
from agent.interrupts import Interrupts
from agent.lifecycle.session import RunSession
from agent.past_runs.replay import Replay, recording
from agent.record.outcome import Finished
from agent.record.reader import read_record
from fakes.box import TmpBox
from fakes.model import ToldModel, call, say
from fakes.runs import FakeRun
from policies.policy import Policy

FILES = {"calc.py": b"one\n"}


def test_what_was_gone_back_to_is_what_stood_there_when_it_was_marked(
    tmp_path: Path, policy: Policy
) -> None:
    def person(session: RunSession) -> Finished:
        chat = Chat(session)
        chat.ask("write it")
        chat.ask("say something")  # no call: its mark has the number of the one before
        chat.undo()
        chat.undo()
        chat.ask("write another")  # and so has this one's, of another state
        chat.undo()
        chat.ask("write a third")
        return Finished(message="left")

    writing = [call("write_file", path=name, content="made\n") for name in ("a", "b", "c")]
    model = ToldModel(
        *(writing[0], say("done"), say("words"), writing[1], say("done"), writing[2], say("done"))
    )
    run = FakeRun(home=tmp_path, policy=policy, files=FILES, driver=person)
    run.go(model, task="")
    recorded = recording(read_record(run.record.directory).require(), "r")
    box = TmpBox(files=FILES)
    try:
        replayed = Replay(
            recording=recorded,
            box=box,
            policy=policy,
            interrupts=Interrupts(),
            steps=tmp_path / "steps",
            on_call=lambda _made: None,
        ).go()
    finally:
        box.close()
    assert (replayed.tree, replayed.differing) == (recorded.exported.tree, ())
    assert [made.number for made in replayed.calls] == [1, 2, 3]

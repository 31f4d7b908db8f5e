"""What a new run takes over from the one that it goes on from."""

from pathlib import Path

from agent.past_runs.fork import fork
from agent.past_runs.fork_points import END, at
from agent.record.events.lifecycle import OpinionGiven, ReviewStarted
from agent.record.run_state import fold
from agent.risk.opinion import NoOpinion
from fakes.model import ToldModel, say
from fakes.records import lines_from, rows_of
from fakes.runs import FakeRun
from policies.policy import Policy


def test_what_was_said_of_another_runs_patch_is_said_of_none_of_the_forks(
    tmp_path: Path, policy: Policy
) -> None:
    run = FakeRun(home=tmp_path, policy=policy)
    run.go(ToldModel(say("Done.")))
    said = (
        ReviewStarted(model="script:r", patch_sha256="", shown_bytes=1, unshown=""),
        OpinionGiven(opinion=NoOpinion(model="script:r", reason="none"), finding=None),
    )
    lines = lines_from(rows_of([*run.log, *said]))
    made = fork(lines, at(lines, END, "r"), run_id="r", task="go on")
    state = fold([made.started, *made.events])
    assert state.opinion is None
    assert not [event for event in made.events if isinstance(event, ReviewStarted)]
    assert state.conversation.orders == ("mend it", "go on")

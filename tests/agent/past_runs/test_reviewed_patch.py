"""The part of a patch that a person takes, of a record that may be anything."""

from pathlib import Path

import pytest

from agent.errors import RecordError
from agent.past_runs.reviewed_patch import reviewed_patch
from agent.record.events.lifecycle import Notice
from agent.record.store import EVENTS
from fakes.records import written_record
from fakes.reviewed import SMALL, reviewed_run
from policies.policy import Policy


@pytest.mark.parametrize("events", [(), (Notice(text="one"),)])
def test_a_record_without_its_beginning_is_named(
    tmp_path: Path, policy: Policy, events: tuple[Notice, ...]
) -> None:
    run = reviewed_run(tmp_path, policy, work=SMALL, verify=None).run
    forged = written_record(tmp_path / "forged", *events)
    (run.directory / EVENTS).write_bytes((forged / EVENTS).read_bytes())
    with pytest.raises(RecordError, match="has no beginning"):
        reviewed_patch(run, None)

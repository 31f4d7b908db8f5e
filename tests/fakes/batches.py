"""A batch's folder as its runs leave it, made by whole runs without an engine."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.batch.attempt import AttemptResult, ErrorKind
from agent.batch.order import AttemptOrder
from agent.batch.results.rows import attempt_row
from agent.batch.task import FolderWorkspace, Task, TaskOrigin
from agent.config.instructions import Instructions
from agent.config.values import Configuration
from agent.models.pricing import UNKNOWN
from agent.record import outcome as outcomes
from agent.record.outcome import Outcome
from agent.record.store import runs_directory
from agent.record.summary import RunSummary
from agent.review.pages.report import write_reports
from fakes.model import Step, ToldModel
from fakes.runs import FakeRun
from policies.policy import Policy

BEGAN = "2026-11-29T01:00:00+00:00"


def a_task(name: str = "t1", *, instance_id: str | None = None) -> Task:
    return Task(
        id=name,
        prompt="mend it",
        workspace=FolderWorkspace(path=Path("/nowhere")),
        instance_id=instance_id,
        origin=TaskOrigin(file="tasks.yaml", line=1),
    )


def a_row(task: str = "t1", attempt: int = 1, **values: Any) -> AttemptResult:
    """Of a run that finished with a patch of 100 bytes, unless something else is said."""
    usual: dict[str, Any] = {
        "run_id": f"run-{task}-{attempt}",
        "outcome": "finished",
        "patch": f"runs/run-{task}-{attempt}/patch.diff",
        "patch_sha256": "0" * 64,
        "patch_bytes": 100,
        "model": "told:test",
        "started": BEGAN,
    }
    return AttemptResult(**{"task_id": task, "attempt": attempt, **usual, **values})


def a_summary(outcome: Outcome) -> RunSummary:
    return RunSummary(
        run_id="r",
        outcome=outcomes.name(outcome),
        detail=outcomes.detail(outcome),
        cause=outcomes.cause(outcome),
        task="mend it",
        workspace="/w",
        policy="default",
        policy_file="default.yaml",
        model="told:test",
        server_tools=(),
        verify=None,
        accepted_risks=(),
        forked_from=None,
        started="2026-11-29T01:00:00+00:00",
        turns=3,
    )


def an_order(directory: Path, policy: Policy, **changes: Any) -> AttemptOrder:
    """The order of one attempt, whose model says that it is done unless something else is said."""
    script = directory / "script.yaml"
    if "model" not in changes and not script.exists():
        script.write_text(json.dumps({"version": 1, "turns": [{"text": "Done."}]}))
    usual: dict[str, Any] = {
        "task": a_task(),
        "attempt": 1,
        "run_id": "20261129-010000-00000000",
        "take_up": False,
        "directory": directory,
        "policy": policy,
        "model": f"script:{script}",
        "facts": UNKNOWN,
        "configuration": Configuration(),
        "instructions": Instructions(),
        "kernel_policy": "require",
        "accepted_risks": frozenset(),
    }
    return AttemptOrder(**usual | changes)


@dataclass
class FakeBatch:
    """Its runs are real but for model and box."""

    directory: Path
    policy: Policy

    def attempt(
        self,
        task: Task,
        *steps: Step,
        files: Mapping[str, bytes] | None = None,
        verify: str | None = None,
        attempt: int = 1,
        error_kind: ErrorKind | None = None,
    ) -> AttemptResult:
        """Run it to its end, report and all."""
        fake = FakeRun(
            home=self.directory,
            policy=self.policy,
            files=files or {"a.py": b"one\n"},
            verify=verify,
        )
        result = fake.go(ToldModel(*steps), task.prompt)
        fake.record.write_summary(result.document.json_object())
        write_reports(fake.record, result, fake.run.journal.log)
        run = runs_directory(self.directory) / fake.record.run_id
        return attempt_row(task, attempt, self.directory, run, error_kind=error_kind)

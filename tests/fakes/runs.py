"""A whole run without an engine: everything of `agent.lifecycle.run` is real but the box."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agent.config.instructions import Instructions
from agent.conversation.run_share import RunShare
from agent.interrupts import Interrupts
from agent.lifecycle.job import Job, OnProgress
from agent.lifecycle.run import Run
from agent.lifecycle.session import RunSetup, SessionDriver, one_task
from agent.models.interface import Model
from agent.models.pricing import UNKNOWN, ModelInfo
from agent.record.events.kinds import Event
from agent.record.store import RunRecord
from agent.record.summary import RunResult
from agent.review.opinion.asking import Reviewer
from fakes.box import TmpBox
from fakes.records import FoldedTwin
from policies.decision import nobody_to_ask
from policies.policy import Policy


@dataclass
class FakeRun:
    """Set it up, `go`, look at what came of it."""

    home: Path
    policy: Policy
    files: Mapping[str, bytes] = field(default_factory=dict)
    verify: str | None = None
    accepted_risks: frozenset[str] = frozenset()
    instructions: Instructions = field(default_factory=Instructions)
    interrupts: Interrupts = field(default_factory=Interrupts)
    known_secrets: tuple[str, ...] = ()
    before_open: Callable[[], None] = lambda: None
    also: Callable[[Event], None] = lambda event: None
    driver: SessionDriver = one_task
    workspace: Path | None = None
    facts: ModelInfo = UNKNOWN
    share: RunShare | None = None
    reviewer: Reviewer | None = None
    box: TmpBox | None = None
    lines: list[str] = field(default_factory=list)
    log: list[Event] = field(default_factory=list)
    _twin: FoldedTwin = field(default_factory=FoldedTwin)

    def go(self, model: Model, task: str = "mend it") -> RunResult:
        self._twin = FoldedTwin()
        self.record = RunRecord.create(self.home, known_secrets=self.known_secrets)
        job = Job(
            run_id=self.record.run_id,
            task=task,
            workspace=self.workspace or self.home,
            policy=self.policy,
            verify=self.verify,
            may_ask=False,
            kernel_policy="require",
            accepted_risks=self.accepted_risks,
            instructions=self.instructions,
            environ={},
        )
        self.run = Run(
            RunSetup(
                job=job,
                model=model,
                open_box=self._open,
                record=self.record,
                show=self._show,
                approve=nobody_to_ask,
                interrupts=self.interrupts,
                driver=self.driver,
                facts=self.facts,
                share=self.share,
                reviewer=self.reviewer,
            )
        )
        result = self.run.go()
        self.record.close()
        return result

    def _open(self, _job: Job, on_progress: OnProgress) -> TmpBox:
        self.before_open()
        on_progress("making a fake box")
        self.box = self.box or TmpBox(files=self.files)
        return self.box

    def _show(self, event: Event, line: str | None) -> None:
        self.log.append(event)
        if line is not None:
            self.lines.append(line)
        self.also(event)
        self._twin.take(event, self.run.journal.state)

"""What every run settles before it begins, from the same options in the same order; and the run,
done from its first event to its written report.

Owns that order: whatever is wrong is said before a record is made and anything is spent. Owns too
what a person should know of a run before anything is done, who listens beside the one that shows
it, and what is written when it is over. Whoever leads a run comes through here: the command line, a
batch, a server, a program.
"""

import logging
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from agent.config import environment
from agent.config.instructions import Instructions
from agent.config.values import Configuration
from agent.lifecycle.job import Job
from agent.lifecycle.run import Run
from agent.lifecycle.session import RunSetup
from agent.preparation import model as model_setup
from agent.preparation import policy as policy_setup
from agent.preparation import workspace
from agent.record.events.lifecycle import Notice
from agent.record.journal import each
from agent.record.run_log import RunLog
from agent.record.store import RunRecord, new_run_id
from agent.record.summary import RunResult
from agent.risk.finding import accepted_risks
from policies.frozen import dataclass
from policies.policy import Policy
from sandbox.workspace.source import Workspace

if TYPE_CHECKING:
    from agent.observe.otlp import TelemetrySettings


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What an operator may say of a run beside its task, whoever asks: a command line, a server."""

    workspace: Path
    """A directory; ``image:PATH`` is a folder of the policy's image."""
    policy: str | None = None
    """A name or a file; None: the configuration's, or ``default``."""
    ceiling: str | None = None
    """A policy that nothing may exceed, beside the operator's standing one."""
    model: str | None = None
    """``anthropic:NAME`` and the like; None: the configuration's."""
    reviewer: str | None = None
    """A model that gives a second opinion on the patch; None: the policy's, if it has one."""
    instructions: Path | None = None
    context_files: bool | None = None
    """Whether the workspace's files for agents are shown; None: as the configuration says."""
    skills: Path | Literal["none"] | None = None
    """Their folder; None: the configuration's, or ``skills`` beside it."""
    prices: Path | None = None
    accept_risk: tuple[str, ...] = ()
    kernel_policy: Literal["require", "prefer"] = "require"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """All of a run but its task, and who watches it."""

    root: Workspace
    policy: Policy
    home: Path
    configuration: Configuration
    instructions: Instructions
    ready: model_setup.PreparedModel
    accepted: frozenset[str]
    kernel_policy: Literal["require", "prefer"]

    @contextmanager
    def recorded(self, run_id: str = "") -> Generator[RunRecord]:
        """Inside, the run's record is open; without an id, under a new one."""
        record = RunRecord.create(
            self.home,
            run_id=run_id or new_run_id(),
            known_secrets=model_setup.known_secrets(self.configuration),
        )
        try:
            yield record
        finally:
            record.close()

    def job(self, run_id: str, *, task: str, verify: str | None, may_ask: bool) -> Job:
        return Job(
            run_id=run_id,
            task=task,
            workspace=self.root,
            policy=self.policy,
            verify=verify,
            instructions=self.instructions,
            may_ask=may_ask,
            kernel_policy=self.kernel_policy,
            accepted_risks=self.accepted,
            environ=environment.environ(),
        )


def prepare(
    options: RunOptions, *, first: Callable[[Workspace], None] = lambda _: None
) -> Preparation:
    """Settle it.

    Args:
        first: done once the workspace is known, before a model is opened.

    Raises:
        UsageError, PolicyError, ModelAuth: something can't be used.
    """
    accepted = accepted_risks(options.accept_risk)
    root = workspace.resolve(options.workspace)
    configuration = model_setup.load(root=root)
    named = model_setup.policy_name(options.policy, configuration)
    policy = policy_setup.permit(named, options.ceiling, root=root, reviewer=options.reviewer)
    home = environment.home()
    workspace.refuse_inside(home, root, "MOONPOOL_HOME")
    first(root)
    instructions = model_setup.brief(
        options.instructions,
        configuration,
        context_files=options.context_files,
        workspace=root,
        skills=options.skills,
    )
    return Preparation(
        root=root,
        policy=policy,
        home=home,
        configuration=configuration,
        instructions=instructions,
        ready=model_setup.ready(options.model, policy, configuration, prices=options.prices),
        accepted=accepted,
        kernel_policy=options.kernel_policy,
    )


def notices_of(root: Workspace, policy: Policy) -> list[str]:
    """What the workspace has in vain, and what a ceiling took from the policy."""
    notices = [
        f"{name} in the workspace is ignored: a policy is never read from there"
        for name in workspace.ignored_policies(root)
    ]
    narrowed = policy.narrowed
    return notices if narrowed is None else [*notices, narrowed]


def setup_hint(root: Workspace) -> list[str]:
    """For a run whose policy nobody chose: the repository asks for packages, and gets none."""
    manifest = workspace.needing_setup(root)
    if manifest is None:
        return []
    what = f"{manifest} names packages that this policy does not install"
    return [f"{what}: moonpool init proposes one that does"]


def carry_out(
    setup: RunSetup,
    *,
    telemetry: "TelemetrySettings | None" = None,
    notices: Sequence[str] = (),
) -> RunResult:
    """Do a run and write all of it down; every way to end is a value in the result.

    Args:
        telemetry: None: the operator configured no collector, and nothing is sent anywhere.
        notices: what a person should know before anything is done.

    Raises:
        RecordError: the summary or a report can't be written; the run is over all the same.
    """
    with observed(setup, telemetry=telemetry, notices=notices) as run:
        result = run.go()
        write_down(setup.record, run, result)
    return result


@contextmanager
def observed(
    setup: RunSetup,
    *,
    telemetry: "TelemetrySettings | None",
    notices: Sequence[str] = (),
    unsent: Callable[[str], None] = lambda _: None,
) -> Generator[Run]:
    """A run that its log, and the operator's collector where there is one, listen to.

    Args:
        unsent: told where spans could not be sent; the run's log has it too.
    """
    record = setup.record
    with RunLog(record.directory, redact=record.redact) as log:
        listening, spans = [log.show], None
        if telemetry is not None:
            from agent.observe.spans import SpanRecorder  # an extra

            spans = SpanRecorder(telemetry, run_id=record.run_id, model=setup.model)
            listening.append(spans.show)
        run = Run(replace(setup, show=each(*listening, setup.show)))
        try:
            for notice in notices:
                run.journal.emit(Notice(text=notice))
            yield run
        finally:
            line = spans.close() if spans is not None else None
            if line is not None:
                log.write(logging.WARNING, line)
                unsent(line)


def write_down(record: RunRecord, run: Run, result: RunResult) -> None:
    """Write what stands beside the events once a run is over: summary, report, trajectory.

    Raises:
        RecordError: one can't be written.
    """
    # What only the end needs costs no start.
    from agent.review.pages.report import write_reports

    record.write_summary(result.document.json_object())
    write_reports(record, result, run.journal.log)

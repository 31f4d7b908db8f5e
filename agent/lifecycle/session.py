"""What a run is made of, and the sandbox with a conversation in it that it makes of that.

Owns the construction: every part that a run needs is put together here, in the order in which one
needs the other. Refuses to know what is done with them, and in which order (`agent.lifecycle.run`).
"""

import hashlib
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from agent import VERSION
from agent.conversation.budget import Budget, Stopwatch
from agent.conversation.change_tracking import ChangeTracker
from agent.conversation.loop import AgentLoop
from agent.conversation.prompts import context_of, system_prompt
from agent.conversation.tool_calls import ImageStore, ToolExecutor
from agent.interrupts import Interrupts
from agent.lifecycle.job import Job, OpenBox
from agent.models.interface import Model
from agent.models.open_model import DEFAULT_MAX_TOKENS
from agent.models.pricing import UNKNOWN, ModelInfo
from agent.record.events.lifecycle import Forked, ForkedFrom, Resumed, RunStarted
from agent.record.journal import Journal, Show
from agent.record.outcome import Conversation
from agent.record.run_state import RunState
from agent.record.store import IMAGES, STEPS, RunRecord
from agent.tools.sandbox_protocol import SandboxProtocol
from policies.decision import Approve
from policies.file.schema import as_data, as_yaml
from policies.frozen import dataclass
from policies.paths import WORKSPACE
from policies.policy import Policy
from sandbox.threads import Recent, Same
from sandbox.workspace.source import ImageFolder

if TYPE_CHECKING:
    from agent.conversation.resume_state import ResumeState
    from agent.conversation.run_share import RunShare
    from agent.review.opinion.asking import Reviewer

_CONTEXT_S = 30.0
"""For three small files; for the words after a signal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSession:
    """A sealed sandbox with a conversation in it, ready for requests."""

    job: Job
    box: SandboxProtocol
    loop: AgentLoop
    calls: ToolExecutor
    """Makes the loop's calls, or those of whoever stands in a model's place."""
    budget: Budget
    record: RunRecord
    journal: Journal
    tracker: ChangeTracker
    interrupts: Interrupts
    clock: Stopwatch
    """Seconds of the run's work; the budget goes by it."""

    def show_context(self) -> None:
        """Put the workspace's files for agents before what is said next, where that is wanted.

        Raises:
            SandboxError: the sandbox failed.
        """
        if not self.job.instructions.context_files:
            return
        with self.interrupts.calling(self.box.cancel, up_to_s=_CONTEXT_S):
            context = context_of(self.box, self.job.policy)
        if context is not None:
            self.journal.emit(context)


SessionDriver = Callable[[RunSession], Conversation]
"""All that is asked in a session, and how that ended."""


def one_task(session: RunSession) -> Conversation:
    """The whole of a run that is no chat."""
    return session.loop.run(session.job.task)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSetup:
    """What a run has before there is a sandbox."""

    job: Job
    model: Model
    facts: ModelInfo = UNKNOWN
    """What is known of the model: its prices and its window."""
    open_box: OpenBox
    record: RunRecord
    show: Show
    approve: Approve
    interrupts: Interrupts
    driver: SessionDriver = one_task
    """What is asked once the sandbox is ready; a run that is taken up goes on with what was asked
    already."""
    past: "ResumeState | None" = None
    """What the record says of a run that another process began."""
    torn_bytes: int = 0
    """Length of the record's last line, which that process did not finish."""
    share: "RunShare | None" = None
    """What the runs of a batch have in common; None: this one is alone."""
    reviewer: "Reviewer | None" = None
    """Gives the second opinion that the policy wants; None: nobody is there to be asked."""

    @property
    def price_sources(self) -> str:
        """Where the prices come from that are known, of the model and of the reviewer."""
        reviewer = () if self.reviewer is None else (self.reviewer.facts,)
        known = (it.source for it in (self.facts, *reviewer) if it.prices is not None)
        return "; ".join(dict.fromkeys(filter(None, known)))

    def image_store(self) -> ImageStore:
        shown = self.past.state.conversation.images if self.past is not None else ()
        return ImageStore(self.record.directory / IMAGES, shown=shown)

    def journal(self, images: ImageStore) -> Journal:
        past = self.past
        return Journal(
            record=self.record,
            show=self.show,
            interrupts=self.interrupts,
            recall=images.recall,
            state=past.state if past is not None else RunState(),
            log=list(past.log) if past is not None else [],
        )

    def stopwatch(self) -> Stopwatch:
        watch = Stopwatch(before_s=self.past.worked_s if self.past is not None else 0.0)
        for share in (self.share, self.reviewer.share if self.reviewer is not None else None):
            if share is not None:
                share.stop_in_waits(watch)
        return watch

    def budget(self, clock: Stopwatch) -> Budget:
        past = self.past
        # A service's cache cools while a person thinks, though no time of the run passes.
        return Budget(
            self.job.policy,
            clock=clock,
            before=None if past is None else past.state.spent.settled(),
            before_s=past.worked_s if past is not None else 0.0,
            prices=self.facts.prices,
            wall=time.monotonic,
            batch=None if self.share is None else self.share.budget,
        )

    def first_event(self) -> RunStarted | Resumed | Forked:
        """What this process tells before anything else."""
        past = self.past
        if past is None:
            return run_started(self.job, self.model.name)
        if past.forked is not None:
            return past.forked
        running = past.state.conversation.running
        return Resumed(
            model=self.model.name,
            version=VERSION,
            pid=os.getpid(),
            cut_bytes=self.torn_bytes,
            in_doubt=running.number if running is not None else None,
            lossy=past.lossy,
        )

    def session(
        self, box: SandboxProtocol, *, journal: Journal, images: ImageStore, clock: Stopwatch
    ) -> RunSession:
        """A session in a sandbox that is ready. A run's time begins here: it is the agent's, and a
        first build of the image does not count."""
        job, past = self.job, self.past
        if self.share is not None:
            self.share.lead(self.model)
        budget = self.budget(clock)
        tracker = ChangeTracker(
            box=box,
            store=self.record.directory / STEPS,
            emit=journal.emit,
            interrupts=self.interrupts,
            made=journal.state.conversation.calls,
        )
        if past is not None and past.forked is None and journal.state.conversation.calls:
            tracker.anew()
        calls = ToolExecutor(
            box=box,
            policy=job.policy_inside,
            approve=self.approve,
            interrupts=self.interrupts,
            journal=journal,
            tracker=tracker,
            image_store=images,
        )
        loop = AgentLoop(
            model=self.model,
            calls=calls,
            budget=budget,
            system=system_prompt(
                job.policy, _named(job), job.instructions.operator, job.instructions.skills
            ),
            server_tools=job.policy.server_tools,
            max_tokens=DEFAULT_MAX_TOKENS,
            interrupts=self.interrupts,
            journal=journal,
            facts=self.facts,
            share=self.share,
        )
        return RunSession(
            job=job,
            box=box,
            loop=loop,
            calls=calls,
            budget=budget,
            record=self.record,
            journal=journal,
            tracker=tracker,
            interrupts=self.interrupts,
            clock=clock,
        )


def _named(job: Job) -> str:
    """The workspace as the model is told of it."""
    if not isinstance(job.workspace, ImageFolder) or job.workspace.path == WORKSPACE:
        return WORKSPACE
    return f"{WORKSPACE}, to which the link {job.workspace.path} leads,"


def run_started(job: Job, model: str, *, forked_from: ForkedFrom | None = None) -> RunStarted:
    """The first line of a new run's record."""
    rules, rules_sha256 = _RULES.get(Same(job.policy), partial(_rules_of, job.policy))
    return RunStarted(
        run_id=job.run_id,
        began=datetime.now(UTC).isoformat(timespec="seconds"),
        task=job.task,
        workspace=str(job.workspace),
        policy=job.policy.name,
        policy_file=job.policy.where.file,
        policy_rules=rules,
        rules_sha256=rules_sha256,
        kernel_policy=job.kernel_policy,
        model=model,
        verify=job.verify,
        accepted_risks=tuple(sorted(job.accepted_risks)),
        server_tools=tuple(job.policy.server_tools),
        version=VERSION,
        pid=os.getpid(),
        instructions=job.instructions.operator,
        skills=job.instructions.skills.skills,
        forked_from=forked_from,
    )


_RULES = Recent[tuple[dict[str, Any], str]](8)
"""Of the policies that many runs of a batch have."""


def _rules_of(policy: Policy) -> tuple[dict[str, Any], str]:
    rules = as_data(policy)
    return rules, hashlib.sha256(as_yaml(rules).encode()).hexdigest()

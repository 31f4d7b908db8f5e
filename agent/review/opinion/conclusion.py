"""How a run ends once its patch has a second opinion.

Owns when one is asked for, what stands in its place where it is not, and that a patch without the
approval that its policy requires is refused. Refuses to know how an opinion is had (`asking`).
"""

from dataclasses import replace

from agent.conversation.budget import Budget
from agent.interrupts import Interrupts, SignalReceived
from agent.record.events.kinds import Progress
from agent.record.events.lifecycle import OpinionGiven
from agent.record.journal import Journal
from agent.record.outcome import (
    Conversation,
    ExportRefused,
    Finished,
    GaveUp,
    Interrupted,
    LimitReached,
    NotVerified,
    Outcome,
    Refused,
)
from agent.record.run_log import OWN
from agent.record.summary import DeliveredPatch
from agent.review.opinion.asking import Reviewer, asked
from agent.risk.finding import ordered
from agent.risk.opinion import NoOpinion, SecondOpinion, finding_of
from agent.tools.sandbox_protocol import SandboxProtocol
from policies.frozen import dataclass
from policies.policy import Policy

_COMPLETE = (Finished, LimitReached, GaveUp, Refused, NotVerified)
"""Ends of a run whose patch is one to be judged; any other was cut short."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchReview:
    """The second opinion on the patch of one run."""

    task: str
    """Empty in a chat."""
    policy: Policy
    """The run's, as it holds inside."""
    accepted_risks: frozenset[str]
    """Ids of findings that the operator lets pass."""
    reviewer: Reviewer | None
    """None: nobody is there to be asked."""
    interrupts: Interrupts
    journal: Journal

    def concluded(
        self,
        box: SandboxProtocol,
        delivery: DeliveredPatch,
        outcome: Outcome,
        ended: Conversation,
        budget: Budget,
    ) -> tuple[DeliveredPatch, Outcome]:
        """The patch with what the opinion adds to its findings, and how the run ends.

        Args:
            box: the run's.
            outcome: how the run would end without.
            ended: how its conversation did.
            budget: the run's, from which the opinion is paid.
        """
        rules = self.policy.review
        try:
            opinion = self._opinion(box, delivery, outcome, ended, budget)
        except SignalReceived as signal:
            opinion = self._none(f"interrupted by {signal.name}")
            outcome = Interrupted(signal=f"{signal.name}, while a second opinion was awaited")
        finding = finding_of(
            opinion, required=rules.require is not None, accepted=self.accepted_risks
        )
        self.journal.quietly(OpinionGiven(opinion=opinion, finding=finding))
        if finding is None:
            return delivery, outcome
        delivery = replace(delivery, findings=ordered((*delivery.findings, finding)))
        if finding.refuses and isinstance(outcome, (*_COMPLETE, ExportRefused)):
            outcome = ExportRefused(findings=delivery.findings, before=ended)
        return delivery, outcome

    def _opinion(
        self,
        box: SandboxProtocol,
        delivery: DeliveredPatch,
        outcome: Outcome,
        ended: Conversation,
        budget: Budget,
    ) -> SecondOpinion:
        """Raises SignalReceived: it was broken off."""
        if delivery.refused:
            return self._none("the export gate refused the patch")
        if not isinstance(outcome, _COMPLETE):
            return self._none("the run was cut short")
        if self.reviewer is None:
            return self._none("the run was only exported")
        model = self.reviewer.model.name
        self.journal.quietly(Progress(text=f"asking {model} for a second opinion"))
        try:
            return asked(
                box,
                delivery,
                ended,
                task=self.task,
                policy=self.policy,
                reviewer=self.reviewer,
                budget=budget,
                interrupts=self.interrupts,
                journal=self.journal,
            )
        except Exception as error:  # noqa: BLE001 - as in the export; and the patch is there already
            OWN.error("a defect of Moonpool in the review", exc_info=error)
            return self._none(f"a defect of Moonpool: {error!r}")

    def _none(self, reason: str) -> NoOpinion:
        return NoOpinion(model=self.policy.review.model or "anybody", reason=reason)

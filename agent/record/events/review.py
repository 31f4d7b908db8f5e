"""A second opinion: who is asked, what the reviewer says and looks at, what came of it.

Kinds of their own, so that nothing of it is taken for the agent's: it is no part of the
conversation that a resumed run goes on with, and no call that is replayed.
"""

from collections.abc import Mapping
from typing import Literal

from agent.models.interface import Reply, Usage
from agent.record.events.recorded import RecordedModel
from agent.review.opinion.values import SecondOpinion
from agent.risk.finding import Finding


class ReviewStarted(RecordedModel):
    """A reviewer is about to be asked; what one before it said in this run is void."""

    event: Literal["review_started"] = "review_started"
    model: str
    patch_sha256: str
    shown_bytes: int
    """Of what it is asked with: task, patch, verification and findings."""
    unshown: str
    """What of the patch does not stand in it, in words; empty: all of it does."""


class ReviewerReplied(RecordedModel):
    """A whole answer of the reviewer."""

    event: Literal["reviewer_replied"] = "reviewer_replied"
    turn: int
    """Counts the reviewer's own, from 1."""
    reply: Reply
    seconds: float
    used: Usage
    """Sum over the run so far, the agent's included."""
    usd: float | None
    """What `used` cost; None where a model's price is not known."""


class ReviewerCalled(RecordedModel):
    """A look of the reviewer into the files, or a call that was refused."""

    event: Literal["reviewer_called"] = "reviewer_called"
    number: int
    """Counts the reviewer's own, from 1."""
    tool: str
    arguments: Mapping[str, object]
    is_error: bool
    text: str
    """What the reviewer is told."""
    brief: str
    """One line for a person."""


class OpinionGiven(RecordedModel):
    """What came of it."""

    event: Literal["opinion_given"] = "opinion_given"
    opinion: SecondOpinion
    finding: Finding | None
    """What the export gate makes of it; None: it is approved."""

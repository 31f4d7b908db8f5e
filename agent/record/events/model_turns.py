"""What is asked of the model and what it answers, in order."""

from typing import Literal

from agent.models.interface import Reply, Usage
from agent.record.events.recorded import RecordedModel


class ModelCalled(RecordedModel):
    """A request is about to be sent: a resumed run knows from it that an answer is missing."""

    event: Literal["model_called"] = "model_called"
    turn: int
    system_sha256: str
    messages: int
    """In the whole history, whatever of it is sent."""


class ModelRetry(RecordedModel):
    """A request failed and will be made again."""

    event: Literal["model_retry"] = "model_retry"
    reason: str
    wait_s: float
    attempt: int
    """The one that failed, from 1."""


class ModelReplied(RecordedModel):
    """A whole answer."""

    event: Literal["model_replied"] = "model_replied"
    turn: int
    reply: Reply
    seconds: float
    used: Usage
    """Sum over the run so far."""
    usd: float | None
    """What `used` cost; None where the model's price is not known."""


class ReplyDiscarded(RecordedModel):
    """An answer broke off. What it used is billed all the same."""

    event: Literal["reply_discarded"] = "reply_discarded"
    usage: Usage
    """Of the answer that broke off."""
    used: Usage
    """Sum over the run so far."""
    usd: float | None
    """What `used` cost; None where the model's price is not known."""

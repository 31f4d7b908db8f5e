"""What is asked of the model and what it answers; what it is told; what of that is not sent."""

from typing import Literal

from agent.models.interface import Opaque, Reply, Usage
from agent.record.events.recorded import RecordedModel
from policies.frozen import dataclass


class ModelCalled(RecordedModel):
    """A request is about to be sent: a resumed run knows from it that an answer is missing."""

    event: Literal["model_called"] = "model_called"
    turn: int
    system_sha256: str
    messages: int
    """How many the whole history has, whatever of it is sent."""


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
    """What the answer used that broke off."""
    used: Usage
    """Sum over the run so far."""
    usd: float | None
    """What `used` cost; None where the model's price is not known."""


class UserMessageAdded(RecordedModel):
    """Words of ours to the model beside results: the task, a nudge, a warning."""

    event: Literal["user_message_added"] = "user_message_added"
    text: str
    what: Literal["request", "undone", "note"] = "note"
    """What the operator asked for and took back is said again where a summary stands for it."""


class TextFormChosen(RecordedModel):
    """From here on the tools stand in the prompt, and a call is read from the answer's text."""

    event: Literal["text_form_chosen"] = "text_form_chosen"
    model: str
    """The model of which that holds; another one is asked as usual."""
    label: str
    """Of the fences that are calls; drawn for the run."""
    why: Literal["configured", "learned", "refused"]
    """``learned``: the model wrote its calls as text; ``refused``: its service takes no tools."""


class RequestWithdrawn(RecordedModel):
    """A chat's newest request was declined: it, and what came of it, is not sent any more."""

    event: Literal["request_withdrawn"] = "request_withdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownFile:
    """A file of the workspace that is written for agents."""

    name: str
    sha256: str
    """Digest (hex) of what was read of the file."""
    size_bytes: int
    """So many bytes are shown."""
    cut: bool
    """The file is longer than what is shown."""


class ContextShown(RecordedModel):
    """Files of the workspace, put to the model before the task as a stranger's words."""

    event: Literal["context_shown"] = "context_shown"
    files: tuple[ShownFile, ...]
    text: str
    """What the model is told, all of it."""


class ImagesWithdrawn(RecordedModel):
    """The service did not take the images of the newest results: they were taken out again."""

    event: Literal["images_withdrawn"] = "images_withdrawn"
    text: str
    """What the model is told in their place."""


class ResultsShortened(RecordedModel):
    """The results of one reply are too large together: what is sent of each is cut."""

    event: Literal["results_shortened"] = "results_shortened"
    reply: int
    """Counts the replies in the history, from 1."""
    most_bytes: int
    """What is left of each result."""


class ResultsCleared(RecordedModel):
    """Old results are not sent any more; the record and the history keep them."""

    event: Literal["results_cleared"] = "results_cleared"
    through: int
    """The results of the replies up to this one are cleared; counts from 1."""
    bare: int
    """Replies up to this one are sent without what only their provider understands."""
    tokens_before: int
    """Estimated size of the next request, had nothing been cleared."""
    tokens_after: int
    """Estimated size of the next request."""


class HistorySummarised(RecordedModel):
    """A summary is sent in place of the older turns; the record and the history keep them."""

    event: Literal["history_summarised"] = "history_summarised"
    through: int
    """The summary stands for everything up to this reply and its results; counts from 1."""
    bare: int
    """Replies up to this one are sent without what only their provider understands."""
    block: Opaque | None
    """The summary, where the provider itself made it; to be sent back as it is."""
    notes: str
    """The summary, where the provider did not."""
    orders: tuple[str, ...]
    """What the operator asked for; sent before the notes."""
    author: Literal["service", "model", "nobody"]
    """Who wrote the summary; ``nobody``: a list of the calls stands in."""
    usage: Usage
    """What the request for the summary used."""
    used: Usage
    """Sum over the run so far."""
    usd: float | None
    """What `used` cost; None where the model's price is not known."""
    tokens_before: int
    """Estimated size of the next request, had nothing been summarised."""
    tokens_after: int
    """Estimated size of the next request."""

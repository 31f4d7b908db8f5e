"""What is asked of the model, what it answers and calls; what it is told, and what is not sent."""

import hashlib
from collections.abc import Mapping
from typing import Literal, Self

from agent.models.interface import Image, Opaque, Reply, Usage
from agent.record.events.recorded import RecordedModel
from policies.decision import Decision
from policies.frozen import dataclass
from sandbox.results import Ending, LimitMet


class ModelCalled(RecordedModel):
    """A request is about to be sent: a resumed run knows from it that an answer is missing."""

    event: Literal["model_called"] = "model_called"
    turn: int
    messages: int
    """How many the whole history has, whatever of it is sent."""


class CallReserved(RecordedModel):
    """A call to a model is about to be made, and what the run will have used then at the most.

    A process that ends while it waits for the answer can't say what it cost: this is taken for it.
    """

    event: Literal["call_reserved"] = "call_reserved"
    used: Usage
    usd: float | None


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


WhyRefused = Literal["unknown tool", "malformed", "denied", "not approved", "torn", "stopped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptImage:
    """An image as the record names it."""

    media_type: str
    sha256: str
    size_bytes: int

    @classmethod
    def of(cls, image: Image) -> Self:
        digest = hashlib.sha256(image.data).hexdigest()
        return cls(media_type=image.media_type, sha256=digest, size_bytes=len(image.data))


class CallStarted(RecordedModel):
    """A tool call that is about to run, with the decision that let it."""

    event: Literal["call_started"] = "call_started"
    number: int
    """Counts over the run, from 1."""
    tool_use_id: str
    tool: str
    arguments: Mapping[str, object]
    decision: Decision


class CallRefused(RecordedModel):
    """A tool call that did not run: unknown, malformed, denied, not approved, torn or too late."""

    event: Literal["call_refused"] = "call_refused"
    number: int
    """Counts over the run, from 1."""
    tool_use_id: str
    tool: str
    arguments: Mapping[str, object]
    why: WhyRefused
    decision: Decision | None
    text: str
    """What the model is told."""


class ApprovalAnswered(RecordedModel):
    """A person was asked about a call."""

    event: Literal["approval_answered"] = "approval_answered"
    number: int
    """The call's number."""
    digest: str
    """The call's digest, as `policies.decision.digest` makes it."""
    answer: Literal["approved", "approved before", "declined"]
    """``approved before``: for the rest of a chat."""


class CallEnded(RecordedModel):
    """A tool call that ran has ended, or nobody knows whether it has."""

    event: Literal["call_ended"] = "call_ended"
    number: int
    """Counts over the run, from 1."""
    tool_use_id: str
    tool: str
    is_error: bool
    exit_code: int | None
    """None for a tool that is not a command."""
    ending: Ending | None
    """How a command ended; None for a tool that is not a command."""
    seconds: float
    text: str
    """What the model is told."""
    brief: str
    """One line for a person."""
    refused: tuple[str, ...] = ()
    """Programs that the kernel refused under the call, by path; hostile text."""
    limits: tuple[LimitMet, ...] = ()
    """Limits that the call's processes were held to, though it ended by itself."""
    images: tuple[KeptImage, ...] = ()
    """Shown to the model after the text; their bytes lie in the record's ``images``."""

    @property
    def failed(self) -> bool:
        """It is an error, or a command that did not exit with 0."""
        return self.is_error or self.exit_code not in {None, 0}

    @property
    def in_a_word(self) -> str:
        """``ok``, ``error``, ``exit 1`` or ``exit 124, timed out``."""
        if self.exit_code is None:
            return "error" if self.is_error else "ok"
        ending = "" if self.ending in {None, Ending.EXITED} else f", {self.ending}"
        return f"exit {self.exit_code}{ending}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelRefusal:
    """A program that the kernel refused."""

    call: int
    """Number of the tool call."""
    program: str
    """Absolute path in the container; hostile text."""

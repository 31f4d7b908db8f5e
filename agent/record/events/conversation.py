"""What is asked of the model, what it answers and calls; what it is told, and what is not sent."""

import hashlib
from collections.abc import Mapping
from typing import Literal, Self

from agent.models.interface import Image, Opaque, Reply, Usage
from agent.record.events.recorded import RecordedEvent
from policies.decision import Decision
from policies.frozen import dataclass
from sandbox.results import Ending, LimitMet


class SpendingEvent(RecordedEvent):
    """What the run comes to with it."""

    used: Usage
    """Sum over the run, a reviewer's part included."""
    usd: float | None
    """What `used` cost; None where the price of a model is not known."""


class ModelCalled(RecordedEvent):
    """A request is about to be sent: a resumed run knows from it that an answer is missing."""

    turn: int
    messages: int
    """How many the whole history has, whatever of it is sent."""


class CallReserved(SpendingEvent):
    """A call to a model is about to be made, and what the run will have used then at the most.

    A process that ends while it waits for the answer can't say what it cost: this is taken for it.
    """


class ModelRetry(RecordedEvent):
    """A request failed and will be made again."""

    reason: str
    wait_s: float
    attempt: int
    """The one that failed, from 1."""


class ModelReplied(SpendingEvent):
    """A whole answer."""

    turn: int
    reply: Reply
    seconds: float


class ReplyDiscarded(SpendingEvent):
    """An answer broke off. What it used is billed all the same."""

    usage: Usage
    """What the answer used that broke off."""


class UserMessageAdded(RecordedEvent):
    """Words of ours to the model beside results: the task, a nudge, a warning."""

    text: str
    what: Literal["request", "undone", "note"] = "note"
    """What the operator asked for and took back is said again where a summary stands for it."""


class TextFormChosen(RecordedEvent):
    """From here on the tools stand in the prompt, and a call is read from the answer's text."""

    model: str
    """The model of which that holds; another one is asked as usual."""
    label: str
    """Of the fences that are calls; drawn for the run."""
    why: Literal["configured", "learned", "refused"]
    """``learned``: the model wrote its calls as text; ``refused``: its service takes no tools."""


class RequestWithdrawn(RecordedEvent):
    """A chat's newest request was declined: it, and what came of it, is not sent any more."""


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


class ContextShown(RecordedEvent):
    """Files of the workspace, put to the model before the task as a stranger's words."""

    files: tuple[ShownFile, ...]
    text: str
    """What the model is told, all of it."""


class ImagesWithdrawn(RecordedEvent):
    """The service did not take the images of the newest results: they were taken out again."""

    text: str
    """What the model is told in their place."""


class ResultsShortened(RecordedEvent):
    """The results of one reply are too large together: what is sent of each is cut."""

    reply: int
    """Counts the replies in the history, from 1."""
    most_bytes: int
    """What is left of each result."""


class ResultsCleared(RecordedEvent):
    """Old results are not sent any more; the record and the history keep them."""

    through: int
    """The results of the replies up to this one are cleared; counts from 1."""
    bare: int
    """Replies up to this one are sent without what only their provider understands."""
    tokens_before: int
    """Estimated size of the next request, had nothing been cleared."""
    tokens_after: int
    """Estimated size of the next request."""


class HistorySummarised(SpendingEvent):
    """A summary is sent in place of the older turns; the record and the history keep them."""

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


class ToolCallEvent(RecordedEvent):
    """Of one call of the model's."""

    number: int
    """Counts over the run, from 1."""
    tool_use_id: str
    tool: str


class CallStarted(ToolCallEvent):
    """A tool call that is about to run, with the decision that let it."""

    arguments: Mapping[str, object]
    decision: Decision


class CallRefused(ToolCallEvent):
    """A tool call that did not run: unknown, malformed, denied, not approved, torn or too late."""

    arguments: Mapping[str, object]
    why: WhyRefused
    decision: Decision | None
    text: str
    """What the model is told."""


class ApprovalAnswered(RecordedEvent):
    """A person was asked about a call."""

    number: int
    """The call's number."""
    digest: str
    """The call's digest, as `policies.decision.digest` makes it."""
    answer: Literal["approved", "approved before", "declined"]
    """``approved before``: for the rest of a chat."""


class CallEnded(ToolCallEvent):
    """A tool call that ran has ended, or nobody knows whether it has."""

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

"""The conversation as values: what every model module turns into its own wire form and back.

Append-only: a message once in the history is never changed. Owns the shapes, knows no SDK.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import field, fields, replace
from enum import StrEnum
from typing import Protocol

from policies.frozen import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    text: str
    extra: Mapping[str, object] = field(default_factory=dict, hash=False)
    """Fields beside the text that its provider wants back (citations, for one). Only its own
    model module writes or reads it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolUse:
    id: str
    name: str
    arguments: Mapping[str, object]
    """As the model wrote them, decoded from JSON but not yet checked against the tool's schema.
    With a ``problem`` they are only what goes back to the provider."""
    problem: str | None = None
    """Set where the call must not run: its arguments are no JSON object, or the reply was cut off
    in it. One sentence for the model; the loop answers with it as an error result."""
    extra: Mapping[str, object] = field(default_factory=dict, hash=False)
    """Fields beside ours that the provider wants back, as in `Text`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    media_type: str
    """``image/png``, ``image/jpeg``, ``image/gif`` or ``image/webp``, as its first bytes say."""
    data: bytes = field(repr=False)
    """The file's own bytes, as the tool read them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    tool_use_id: str
    text: str
    is_error: bool
    images: tuple[Image, ...] = ()
    """Shown to the model after the text, by providers that take images in results."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opaque:
    """A block only its provider understands (thinking, for one): sent back as it came."""

    provider: str
    raw: Mapping[str, object]
    server_side: str = ""
    """Set where the provider's own tool is at work in it: what it was asked to do, in a line for a
    person, such as ``web_search: landlock abi 6``. Hostile text, not yet made visible."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserMessage:
    blocks: tuple[Text | ToolResult, ...]
    """Tool results first: every result of one turn stands in one message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AssistantMessage:
    blocks: tuple[Text | ToolUse | Opaque, ...]


Message = UserMessage | AssistantMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    name: str
    description: str
    schema: Mapping[str, object]
    """JSON Schema of the arguments, an object with ``additionalProperties: false``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    system: str
    tools: tuple[ToolSpec, ...]
    messages: tuple[Message, ...]
    max_tokens: int
    """Most tokens the reply may have, thinking included."""
    server_tools: tuple[str, ...] = ()
    """Names of the tools that the provider may run itself (`policies.policy.SERVER_TOOLS`)."""
    compact: bool = False
    """Not to be answered but summarised, by means of the provider's own: the reply is one `Opaque`
    block that takes the place of these messages, with `StopReason.COMPACTION`. Only for models of
    which `agent.models.pricing` says that they do it; another reply means that there is none."""


class ToolForm(StrEnum):
    """How a model is offered tools."""

    AUTO = "auto"
    """By the service's own tool calls; in text once the model, or its service, has none."""
    NATIVE = "native"
    """By the service's own tool calls, whatever comes."""
    TEXT = "text"
    """In the prompt, and its calls are read from what it says (`agent.models.text_calls`)."""


class StopReason(StrEnum):
    """Why the model stopped; the union of what the providers say.

    Only after TOOL_USE do calls wait to be run. After any other reason none is run; where the
    conversation goes on, each still needs its result (the providers refuse one without).
    """

    END_TURN = "end_turn"
    TOOL_USE = "tool_use"
    MAX_TOKENS = "max_tokens"
    STOP_SEQUENCE = "stop_sequence"
    PAUSE_TURN = "pause_turn"
    REFUSAL = "refusal"
    CONTEXT_WINDOW = "model_context_window_exceeded"
    COMPACTION = "compaction"
    """Only after `Request.compact`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one reply, or a sum of them."""

    input_tokens: int = 0
    """Without those that were read from the cache or written to it."""
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    uncounted_replies: int = 0
    """Replies, whole or broken off, of which the service did not say what they used, or too little
    to be true (`agent.models.least_use`): the true counts are larger than those above.
    `agent.conversation.budget` adds estimates."""
    web_searches: int = 0
    """Made by the provider for the model: they cost by the piece."""
    web_fetches: int = 0

    @property
    def all_input(self) -> int:
        """Every token of the input, cached or not."""
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens

    def __add__(self, other: "Usage") -> "Usage":
        names = (each.name for each in fields(self))
        return Usage(**{name: getattr(self, name) + getattr(other, name) for name in names})


@dataclass(frozen=True, slots=True, kw_only=True)
class CallCost:
    """What one call may use at the most, were nothing of it read from a cache."""

    input_tokens: int
    input_usd: float | None
    """None: no price is known."""
    answer_tokens: int
    least_answer_tokens: int
    """With less it is not worth its input."""
    usd_per_answer_token: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    message: AssistantMessage
    stop: StopReason
    usage: Usage
    attempts: int = 1
    """HTTP requests made for it, failed ones included."""
    detail: str = ""
    """What the provider says beside the stop reason: a refusal's category and explanation."""
    request_id: str = ""
    """The provider's name for the request, for its support."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDelta:
    """A piece of text as it streams."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ThinkingDelta:
    """A piece of the model's summary of its own thinking, for a person to follow.

    Some models say what they do between tool calls only here.
    """

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrying:
    """A request failed and will be made again."""

    reason: str
    """One line, such as ``529 overloaded``."""
    wait_s: float
    """Seconds until the next attempt."""
    attempt: int
    """The number of the attempt that failed, from 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Discarded:
    """The stream broke: the text shown since the last reply is void and will come again."""

    usage: Usage = field(default_factory=Usage)
    """What the broken stream said it used: billed though void, and in no `Reply`."""


Delta = TextDelta | ThinkingDelta
StreamEvent = Delta | Retrying | Discarded


class Model(Protocol):
    """What the loop needs of a model. Raises `agent.errors.ModelError` and its children."""

    @property
    def name(self) -> str:
        """As the operator wrote it, such as ``anthropic:NAME``."""

    def reply(self, request: Request, on_event: Callable[[StreamEvent], None]) -> Reply: ...


def without_images(message: Message, words: str) -> Message:
    """The message without its images, which the service refused; ``words`` tell the model so."""
    if not isinstance(message, UserMessage):
        return message
    blocks = (
        replace(block, images=()) if isinstance(block, ToolResult) else block
        for block in message.blocks
    )
    return UserMessage(blocks=(*blocks, Text(text=words)))


def images_in(messages: Iterable[Message]) -> tuple[Image, ...]:
    """Every image that a conversation has shown."""
    return tuple(
        image
        for message in messages
        for block in message.blocks
        if isinstance(block, ToolResult)
        for image in block.images
    )


def uses_of(reply: Reply) -> list[ToolUse]:
    return [block for block in reply.message.blocks if isinstance(block, ToolUse)]


def worked(reply: Reply) -> bool:
    """Whether the reply does something, by a tool of ours or by one of the provider's own."""
    match reply.stop:
        case StopReason.TOOL_USE:
            return bool(uses_of(reply))
        case StopReason.PAUSE_TURN:
            return any(
                isinstance(block, Opaque) and block.server_side for block in reply.message.blocks
            )
        case _:
            return False


def words_of(reply: Reply) -> str:
    """Its words. Where sources are named, one sentence is cut into several blocks."""
    words = ""
    cited = False
    for block in reply.message.blocks:
        if isinstance(block, Text) and block.text.strip():
            goes_on = cited or "citations" in block.extra
            words += block.text if goes_on else f"\n{block.text.strip()}"
            cited = "citations" in block.extra
    return words.strip()

"""One prompt of an editor on its way through a run's thread, and how it ends.

Owns what ends a prompt in the protocol's words. The loop waits for `PromptTurn.ended`; the run's
thread settles it.
"""

import concurrent.futures
import threading
from typing import Literal, assert_never

from agent.chat.wording import ended_in_words
from agent.interrupts import Interrupts
from agent.record.outcome import (
    Conversation,
    Crashed,
    CutShort,
    Finished,
    GaveUp,
    Interrupted,
    LimitReached,
    ModelFailed,
    RecordFailed,
    Refused,
    RunLimit,
    SandboxFailed,
)
from agent.servers.acp.markup import without_pictures
from agent.servers.acp.prompt import Asked
from agent.untrusted_text import one_line
from policies.frozen import dataclass

StopReason = Literal["end_turn", "max_tokens", "max_turn_requests", "refusal", "cancelled"]
_WORDS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnEnded:
    """The agent stopped, for a reason that the protocol has a word for."""

    reason: StopReason
    words: str = ""
    """For the person, where the reason does not say it all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnFailed:
    """There is an error instead of an answer."""

    message: str


class PromptTurn:
    """One prompt. Mutable: it is waited for, begun, cancelled, settled."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.ended: concurrent.futures.Future[TurnEnded | TurnFailed] = concurrent.futures.Future()
        self._gate = threading.Lock()
        self._cancelled = False
        self._begun: Interrupts | None = None

    def begin(self, interrupts: Interrupts) -> None:
        """The run's thread has it now; what came before counts."""
        with self._gate:
            self._begun = interrupts
            if self._cancelled:
                interrupts.receive("SIGINT")
            elif interrupts.leaving:  # it came while signals about the prompt before were forgotten
                interrupts.receive(interrupts.name)

    def take_back(self) -> None:
        """The client wants it no more: a run that has it from now on ends it. Waits for nothing."""
        self._cancelled = True

    def cancel(self) -> None:
        """End it where a run has it already; it is over when it says so."""
        with self._gate:
            if self._begun is not None and not self.ended.done():
                self._begun.receive("SIGINT")

    def settle(self, ended: TurnEnded | TurnFailed) -> None:
        """It is over; the first word counts."""
        with self._gate:
            if not self.ended.done():
                self.ended.set_result(ended)


def told(ended: Conversation) -> TurnEnded | TurnFailed:
    """How a prompt ended, for the client."""
    # The words may be the model's, and an editor may show an error as Markdown too.
    words = without_pictures(one_line(ended_in_words(ended, "session"), _WORDS))
    match ended:
        case Finished() | GaveUp():
            return TurnEnded(reason="end_turn", words=words)
        case Interrupted():
            return TurnEnded(reason="cancelled", words=words)
        case Refused():
            return TurnEnded(reason="refusal", words=words)
        case LimitReached(limit=RunLimit.CONTEXT):
            return TurnEnded(reason="max_tokens", words=words)
        case LimitReached():
            return TurnEnded(reason="max_turn_requests", words=words)
        case ModelFailed() | SandboxFailed() | RecordFailed() | Crashed() | CutShort():
            return TurnFailed(message=words)
        case _:
            assert_never(ended)

"""One prompt of an editor on its way through a run's thread, and how it ends.

Owns what ends a prompt in the protocol's words. The loop waits for `PromptTurn.ended`; the run's
thread settles it.
"""

import concurrent.futures
import threading
from typing import Literal, assert_never

from agent.interrupts import Interrupts
from agent.record import outcome as outcomes
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
_DETAIL = 400


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
    said: TurnEnded | TurnFailed
    match ended:
        case Finished():
            said = TurnEnded(reason="end_turn")
        case Interrupted():
            words = "stopped: what was done stays; `/undo` takes it back"
            said = TurnEnded(reason="cancelled", words=words)
        case Refused():
            said = TurnEnded(reason="refusal", words=_words(ended))
        case GaveUp():
            said = TurnEnded(reason="end_turn", words=f"gave up: {_words(ended)}")
        case LimitReached(limit=RunLimit.CONTEXT):
            words = f"the conversation is full: {_words(ended)}; `/apply`, then a new session"
            said = TurnEnded(reason="max_tokens", words=words)
        case LimitReached():
            words = f"limit reached: {_words(ended)}; no prompt of this session is served any more"
            words += ": `/apply`, then a new session, or a policy with a larger budget"
            said = TurnEnded(reason="max_turn_requests", words=words)
        case ModelFailed():
            said = TurnFailed(message=f"{_words(ended)} (nothing is lost: ask again)")
        case SandboxFailed() | RecordFailed() | Crashed() | CutShort():
            said = TurnFailed(message=f"{outcomes.name(ended)}: {_words(ended)}")
        case _:
            assert_never(ended)
    return said


def _words(ended: Conversation) -> str:
    # They may be the model's, and an editor may show an error as Markdown too.
    return without_pictures(one_line(outcomes.detail(ended), _DETAIL))

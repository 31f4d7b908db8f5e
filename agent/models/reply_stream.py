"""What every reader of a provider's stream is to the client, and what each of them refuses alike.

Pure. Owns the rule why a call of a reply must not run. Refuses to know any wire form.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, assert_never

from agent.models.interface import Reply, StopReason, StreamEvent, Usage
from agent.models.retrying import TransientError


class ReplyStream(Protocol):
    """One attempt's stream, event by event."""

    @property
    def started(self) -> bool:
        """The service began to answer, and to bill."""

    @property
    def finished(self) -> bool:
        """Whatever a reply needs has come; `reply` may be called. A count may follow."""

    @property
    def usage(self) -> Usage:
        """As far as the stream told."""

    def feed(self, event: Mapping[str, Any]) -> Iterable[StreamEvent]:
        """Take the next event; gives what there is to show of it.

        Raises:
            TransientError: the events do not fit together.
        """

    def reply(self, *, attempts: int, request_id: str) -> Reply:
        """The whole reply.

        Raises:
            TransientError: the stream ended before it was complete, or contradicts itself.
            ModelError: it stopped for a reason that this version does not know.
        """


def broken(what: str) -> TransientError:
    return TransientError(f"the stream broke ({what})")


def call_problem(stop: StopReason, *, last: bool) -> str | None:
    """Why a call must not run, by how its reply ended; None: it may.

    Args:
        last: nothing comes after the call in its reply, so that a cut went through it.
    """
    match stop:
        case StopReason.MAX_TOKENS | StopReason.CONTEXT_WINDOW:
            # Even where what is left of the call reads as JSON, it may not be all.
            return "the reply was cut off in this call: make it again, shorter" if last else None
        case StopReason.REFUSAL:
            return "the reply ended in a refusal"
        case (
            StopReason.END_TURN
            | StopReason.TOOL_USE
            | StopReason.STOP_SEQUENCE
            | StopReason.PAUSE_TURN
            | StopReason.COMPACTION
        ):
            return None
        case _:
            assert_never(stop)

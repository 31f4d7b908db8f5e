"""What every reader of a provider's stream is to the client, and what each of them refuses alike.

Pure. Owns why a reply ended, by words that no API's own list has, and why a call of it must not
run. Refuses to know any wire form.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol, assert_never

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
        """


def broken(what: str) -> TransientError:
    return TransientError(f"the stream broke ({what})")


def stop_of(text: str, known: Mapping[str, StopReason], *, calls: bool) -> StopReason:
    """Why a reply ended, by the service's own word for it.

    A word that is not known is read by what is in it, and one that says nothing by what came with
    it: a call waits to be run, words are an answer.

    Args:
        known: the words of its API, in lower case.
        calls: the reply has calls.

    Raises:
        TransientError: the service broke the answer off.
    """
    word = text.lower()
    found = known.get(word)
    if found is not None:
        return found
    for pattern, stop in _BY_PART:
        if pattern.search(word):
            if stop is None:
                raise TransientError(f"the service broke the answer off ({word:.60})")
            return stop
    return StopReason.TOOL_USE if calls else StopReason.END_TURN


_BY_PART: Final[tuple[tuple[re.Pattern[str], StopReason | None], ...]] = (
    # A call that the service could not read is no filter's, whatever else the word says.
    (re.compile(r"malformed|unexpected_tool|too_many_tool"), None),
    (
        re.compile(
            r"filter|safety|refus|prohibit|blocklist|recitation|spii|toxic|sensitive|moderat"
        ),
        StopReason.REFUSAL,
    ),
    (re.compile(r"context|model_length|input_limit|prompt_too_long"), StopReason.CONTEXT_WINDOW),
    (
        re.compile(
            r"error|abort|cancel|time.?out|insufficient|overload|unavailable|interrupt|disconnect"
            r"|network|fail|^(?:un)?load$|capacity"
        ),
        None,
    ),
    (re.compile(r"max.*tokens|length|token_limit|truncat"), StopReason.MAX_TOKENS),
)
"""In this order; None: the service stopped, not the model."""


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

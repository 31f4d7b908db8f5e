"""The reader of one stream, which each API has one of, and what all of them refuse alike.

Pure. Owns that a reply exists only once its stream said how it ended, so that no torn tool call
ever leaves a reader; why a reply ended, by words that no API's own list has; and why a call of it
must not run. Refuses to know any wire form.
"""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, assert_never

from agent.models.interface import (
    AssistantMessage,
    Delta,
    Opaque,
    Reply,
    StopReason,
    Text,
    ToolUse,
    Usage,
)
from agent.models.retrying import TransientError
from agent.models.tool_arguments import too_deep


class ReplyStream(ABC):
    """One attempt's stream, event by event. Takes events as plain values."""

    def __init__(self) -> None:
        self.started = False
        """The service began to answer, and to bill."""
        self.finished = False
        """Whatever a reply needs has come; `reply` may be called. A count may follow."""
        self._usage: Usage | None = None
        """None: the stream did not say what it used."""

    @property
    def usage(self) -> Usage:
        """As far as the stream told."""
        if not self.started:
            return Usage()
        return self._usage or Usage(uncounted_replies=1)

    def feed(self, event: Mapping[str, Any]) -> list[Delta]:
        """Take the next event; gives what there is to show of it.

        Raises:
            TransientError: the events do not fit together.
        """
        try:
            return list(self._take(event))
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            kind = str(event.get("type") or event.get("object"))[:60]
            raise broken(f"a {kind} event does not have the form of one") from error

    def reply(self, *, attempts: int, request_id: str) -> Reply:
        """The whole reply.

        Raises:
            TransientError: the stream ended before it was complete, or contradicts itself.
        """
        if not self.finished:
            raise broken("its end is missing")
        stop, detail = self._ending()
        return Reply(
            message=AssistantMessage(blocks=tuple(self._blocks(stop))),
            stop=stop,
            usage=self.usage,
            attempts=attempts,
            detail=detail,
            request_id=request_id,
        )

    @abstractmethod
    def _take(self, event: Mapping[str, Any]) -> Iterable[Delta]:
        """As `feed`; may raise whatever a value raises that is not of the form expected."""

    @abstractmethod
    def _ending(self) -> tuple[StopReason, str]:
        """Why a finished stream ended, and what the service says beside that."""

    @abstractmethod
    def _blocks(self, stop: StopReason) -> Iterable[Text | ToolUse | Opaque]:
        """What a finished stream brought."""


def shown(kind: type[Delta], text: str) -> Iterator[Delta]:
    """A piece of text as it is shown; nothing for an empty one."""
    if text:
        yield kind(text=text)


def broken(what: str) -> TransientError:
    return TransientError(f"the stream broke ({what})")


def check_returnable(value: Mapping[str, Any]) -> None:
    """Hold what goes back to its service as it came against what a request can carry: Python reads
    NaN and any depth, and every later request would have to be refused.

    Raises:
        TransientError: it could not be sent.
    """
    if too_deep(value):
        raise broken("a part of the answer is nested too deeply")
    try:
        json.dumps(value, allow_nan=False)
    except ValueError as error:
        raise broken("a part of the answer holds what is no number in JSON") from error


def refusal_detail(stop: StopReason, words: str) -> str:
    """The detail of a reply of a service that tells of a refusal in words, or not at all."""
    if stop is not StopReason.REFUSAL:
        return ""
    return words.strip() or "the service's content filter stopped the answer"


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

"""A service as every provider's model uses it: each reply whole or not at all.

Owns how a stream is read to its end, what becomes of one that broke, and how long requests may
take. Refuses to know any SDK: the client of each provider sends through its own, and this module
hears of it by an `ErrorMap` and a stream.
"""

import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import field, replace
from io import StringIO
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import httpx2

from agent.errors import ModelError
from agent.models.http_errors import ServiceWords, request_id_in
from agent.models.interface import Discarded, Reply, Request, StreamEvent, uses_of
from agent.models.least_use import believed
from agent.models.listing import OfferedModel
from agent.models.reply_stream import ReplyStream
from agent.models.retrying import Retrier, RetryLimits, TransientError, wait
from agent.models.service_errors import ErrorMap
from agent.models.transport import READ_TIMEOUT_S, REPLY_TIMEOUT_S, check_events, decoded
from policies.frozen import dataclass

if TYPE_CHECKING:
    from agent.models.request_gate import RequestGate

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestTiming:
    """How long a request may take, and how often it is made."""

    read_timeout_s: float = READ_TIMEOUT_S
    reply_timeout_s: float = REPLY_TIMEOUT_S
    limits: RetryLimits = field(default_factory=RetryLimits)
    sleep: Callable[[float], None] = wait
    """Waits between two attempts."""


USUAL_TIMING: Final = RequestTiming()


class EventStream(AbstractContextManager[Any], Protocol):
    """What an SDK gives for a request that is answered with a stream."""

    @property
    def response(self) -> httpx2.Response: ...
    def __iter__(self) -> Iterator[Any]: ...


class ServiceModel(ABC):
    """One model of one service, whichever SDK asks it. Not for use by several threads at once."""

    def __init__(
        self,
        name: str,
        words: ServiceWords,
        errors: ErrorMap,
        *,
        close: Callable[[], None],
        timing: RequestTiming,
        beneath: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """Args:
        name: as the operator wrote it.
        close: ends the connections; called when the object or the process ends, at the latest.
        beneath: turns the errors of a library beneath the SDK into ours.
        """
        self.name = name
        self._words = words
        self._errors = errors
        self._beneath = beneath
        self._retrier = Retrier(timing.limits, sleep=timing.sleep)
        self.close = weakref.finalize(self, close)

    @abstractmethod
    def reply(self, request: Request, on_event: Callable[[StreamEvent], None]) -> Reply:
        """One whole reply; a broken attempt is void and made again.

        Raises:
            ModelError: one of its children, by what went wrong; see `agent.errors`.
        """

    @abstractmethod
    def offered(
        self, on_event: Callable[[StreamEvent], None] = lambda _: None
    ) -> tuple[OfferedModel, ...]:
        """The models that the service lists; this one need not be among them.

        Args:
            on_event: hears of retries.

        Raises:
            UsageError: this service has no such list.
            ModelError: as for a reply.
        """

    def request_through(self, gate: "RequestGate") -> None:
        """Make every request by way of a batch's gate, which then does the waiting too."""
        self._retrier.gate = gate

    def _retried(self, attempt: Callable[[int], _T], on_event: Callable[[StreamEvent], None]) -> _T:
        """Call ``attempt`` with its number, from 1, until it returns; see `Retrier.run`."""
        return self._retrier.run(attempt, on_event)

    def _listed(self, read: Callable[[], _T], on_event: Callable[[StreamEvent], None]) -> _T:
        """Call ``read``, which asks by `_document`, until it returns."""

        def attempt(_number: int) -> _T:
            with self._guard(reading=True):
                return read()

        return self._retried(attempt, on_event)

    @contextmanager
    def _guard(self, *, reading: bool) -> Generator[None]:
        """Raise ours for what the SDK raises; see `ErrorMap.translated`."""
        with self._errors.translated(self._words, reading=reading), self._beneath():
            yield

    def _document(self, send: Callable[[], bytes]) -> Any:
        """The answer to one request that is answered with JSON.

        Raises:
            NotTheApiError: it is something else; `_guard` makes a `ModelRefusedRequest` of it.
        """
        with self._guard(reading=False):
            answer = send()
        return decoded(answer)

    def _stream(
        self,
        send: Callable[[], EventStream],
        reply: ReplyStream,
        request: Request,
        on_event: Callable[[StreamEvent], None],
        *,
        attempts: int,
        id_headers: tuple[str, ...],
        types: tuple[str, ...] = (),
        failure: Callable[[Mapping[str, Any]], object] = lambda _event: None,
    ) -> Reply:
        """The reply to one request that is answered with a stream.

        Args:
            attempts: the number of this one.
            id_headers: where the service may name the request.
            types: content types beside an event stream's that the SDK reads too.
            failure: the error that an event says has ended the stream, where the SDK does not see
                it.

        Raises:
            TransientError: the stream broke; what was shown of it has been told to be void.
            ModelError: one of its children, by what went wrong; see `agent.errors`.
        """
        request_id, words = "", StringIO()

        def discard() -> None:
            if reply.started:
                on_event(Discarded(usage=believed(reply.usage, request, words.getvalue())))

        try:
            with self._guard(reading=False):
                answer = send()
            with answer:
                request_id = request_id_in(answer.response.headers, id_headers)
                with self._guard(reading=True):
                    self._errors.refuse_error(answer.response)
                    check_events(answer.response, *types)
                self._retrier.accepted()
                # What the reader and its listener raise never passes through the translation.
                for event in self._events(iter(answer)):
                    for shown in reply.feed(event):
                        words.write(shown.text)
                        on_event(shown)
                    # After the event was read: it may say what was used.
                    error = failure(event)
                    if error is not None:
                        with self._guard(reading=True):
                            raise self._errors.of_body(error, answer.response)
        except (TransientError, ModelError):
            # Where it broke after its last event, nothing is missing but perhaps a count.
            if not reply.finished:
                discard()
                raise
        try:
            whole = reply.reply(attempts=attempts, request_id=request_id)
        except TransientError:
            discard()
            raise
        used = believed(whole.usage, request, words.getvalue(), uses_of(whole))
        return replace(whole, usage=used)

    def _events(self, events: Iterator[Any]) -> Iterator[Mapping[str, Any]]:
        while True:
            with self._guard(reading=True):
                event = next(events, None)
                plain = None if event is None else _plain(event)
            if plain is None:
                return
            yield plain


def _plain(event: Any) -> Mapping[str, Any]:
    dump = getattr(event, "to_dict", None)
    # Without warnings: an event of a newer API does not fit the SDK's types. What fits none of
    # them comes as it was sent: a list, a text, a number.
    plain = event if dump is None else dump(mode="json", warnings=False)
    if not isinstance(plain, Mapping):
        raise TypeError("an event that is no object")
    return plain

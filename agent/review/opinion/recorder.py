"""What happens in a review, told to the run's journal in events of the review's own.

Owns the translation: the parts that a review shares with the agent's loop tell what they do as
events of a conversation, and none of that may be taken for the agent's.
"""

from collections.abc import Mapping

from agent.record.events.conversation import (
    CallEnded,
    CallRefused,
    CallReserved,
    CallStarted,
    ModelReplied,
    ModelRetry,
    ReplyDiscarded,
)
from agent.record.events.kinds import Event
from agent.record.events.lifecycle import Notice, ReviewerCalled, ReviewerReplied
from agent.record.journal import Journal


class ReviewRecorder:
    """Hears the events of a review's own conversation. Mutable."""

    def __init__(self, journal: Journal, *, priced: bool) -> None:
        """Args:
        priced: what replies cost is known, of the agent's model and of the reviewer's.
        """
        self._journal = journal
        self._priced = priced
        self._started: CallStarted | None = None

    def show(self, event: Event, _line: str | None) -> None:
        match event:
            case ModelReplied():
                self._journal.quietly(
                    ReviewerReplied(
                        turn=event.turn,
                        reply=event.reply,
                        seconds=event.seconds,
                        used=event.used,
                        usd=event.usd if self._priced else None,
                    )
                )
            case ReplyDiscarded() | CallReserved():
                usd = event.usd if self._priced else None
                self._journal.quietly(event.replaced({"usd": usd}))
            case ModelRetry() | Notice():
                self._journal.quietly(event)
            case CallStarted():
                self._started = event
            case CallEnded():
                begun = self._started.arguments if self._started is not None else {}
                self._called(event, begun, event.brief, is_error=event.is_error)
            case CallRefused():
                self._called(event, event.arguments, event.why, is_error=True)
            case _:
                pass  # what it says is told by its reply, and nothing of it is shown as it comes

    def _called(
        self,
        event: CallEnded | CallRefused,
        arguments: Mapping[str, object],
        brief: str,
        *,
        is_error: bool,
    ) -> None:
        self._journal.quietly(
            ReviewerCalled(
                number=event.number,
                tool=event.tool,
                arguments=arguments,
                is_error=is_error,
                text=event.text,
                brief=brief,
            )
        )

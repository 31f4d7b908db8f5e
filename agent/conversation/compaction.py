"""When a history has outgrown the model's window, and what is done then.

Owns the decision and the request for a summary. Refuses to know how large a request is and how its
messages read (`window`), and how they look on the wire (the provider's module writes them).

In this order, each only where the one before was not enough:

1. A turn whose results would fill half of what there is room for is shortened before it is sent.
2. The provider summarises, where its service does that (`agent.models.pricing`): the newest turns
   stay as they are, what the model thought in them included.
3. Elsewhere old results are cleared, many at a time, because each time breaks the prompt cache.
4. Then the model is asked for notes. What it answers is text, whatever it says: nothing it calls
   there is run. No notes (empty, a call, an error), and a list of the calls made stands in.
"""

from collections.abc import Sequence
from typing import Final, Literal

from agent.conversation.budget import (
    BYTES_A_TOKEN,
    LEAST_ANSWER_TOKENS,
    Budget,
    BudgetReached,
    TokensNeeded,
)
from agent.conversation.model_calls import ModelCaller
from agent.conversation.window import TokenEstimate, bytes_of, numbered, replies, sent, until
from agent.errors import ModelRefusedRequest
from agent.models.interface import (
    AssistantMessage,
    Message,
    Opaque,
    Reply,
    Text,
    Usage,
    UserMessage,
)
from agent.models.pricing import BOUNDLESS_TOKENS, ModelInfo
from agent.record.conversation_state import ContextWindow, SummaryNotes
from agent.record.events.conversation import HistorySummarised, ResultsCleared, ResultsShortened
from agent.record.journal import Journal

COMFORTABLE_TOKENS: Final = 150_000
"""More is not sent even to a model that would take it: it costs with every turn, and answers get
worse. Source: the threshold at which the API's own compaction begins by default."""
_SHARE_OF_WINDOW: Final = 0.75
_KEPT_SHARE: Final = 0.2
"""Share of the space that the newest turns keep."""
_ENOUGH: Final = 0.6
"""Share of the space that clearing must come down to: else it would be done again soon."""
_SUMMARY_TOKENS: Final = 12_000
"""Most tokens that the answer to the request for a summary may have, thinking included."""
_LEAST_SUMMARY_TOKENS: Final = 1_500
_LEAST_RESULT_BYTES: Final = 400
_AGAIN: Final = (
    "The conversation before was summarised to make room. What was asked for, word for word:\n\n"
)


class Compactor:
    """Keeps what is sent of one conversation within the window. Mutable: one to a run."""

    def __init__(
        self,
        *,
        facts: ModelInfo,
        budget: Budget,
        max_tokens: int,
        caller: ModelCaller,
        journal: Journal,
    ) -> None:
        """Args:
        max_tokens: of an answer, at most.
        caller: gets the summaries.
        """
        self._facts = facts
        self._budget = budget
        self._caller = caller
        self._journal = journal
        self._estimate = TokenEstimate(caller.system, caller.tools)
        limit = facts.output_tokens or max_tokens
        self.max_tokens = max(1, min(max_tokens, limit, facts.window // 4))
        """Most tokens of an answer: what the model can, and a quarter of a small window."""
        self._space = _space(facts.window, self.max_tokens)
        self._service = facts.compaction
        self._hard = False

    @property
    def _history(self) -> tuple[Message, ...]:
        return self._journal.state.conversation.history

    @property
    def _window(self) -> ContextWindow:
        return self._journal.state.conversation.window

    def take_up(self) -> None:
        """Go on where another process got to."""
        if replies(self._history):
            answered = self._history[: len(self._history) - len(_newest_results(self._history))]
            self._estimate.answered(answered, self._window, self._journal.state.spent.last)

    def withdraw(self) -> None:
        """The newest order is none any more, and history and window are those from before it."""
        self._estimate.forget()
        self._hard = False

    def answered(self, usage: Usage) -> None:
        """A reply came, and is the last message of the history."""
        self._hard = False
        self._estimate.answered(self._history, self._window, usage)

    def messages(self) -> tuple[Message, ...]:
        """Those of the next request."""
        return sent(self._history, self._window)

    def fit(self) -> None:
        """Leave out what is needed for the next request to fit, as far as can be told."""
        self._shorten_newest()
        if self._tokens() > self._space:
            self._leave_out()
        self._budget.expect(self._estimate.need(self._history, self._window))

    def overflowed(self) -> bool:
        """The service says that the history is too long: leave out much of it, once.

        False where that was done already, or nothing is left to leave out.
        """
        if self._hard:
            return False
        self._hard = True
        size = self._estimate.size(self._history, self._window)
        self._estimate.refused(self._history, self._window, least=self._facts.window)
        total = replies(self._history)
        self._shorten(total, self._space // 4)
        before = self._tokens()
        self._clear(through=total - 1, before=before)
        if self._tokens() > self._space * _ENOUGH:
            self._write_down(total - 1, before=before, ask=False)
        self._budget.expect(self._estimate.need(self._history, self._window))
        return self._estimate.size(self._history, self._window) < size

    def nearly_full(self) -> bool:
        """The history takes so much of the window that a refusal may be for its length."""
        return self._tokens() > self._facts.window // 2

    def restated(self) -> str | None:
        """The operator's words, where what is sent does not hold them any more."""
        if not isinstance(self._window.head, Opaque):
            return None
        said = {
            block.text
            for message in self.messages()
            if isinstance(message, UserMessage)
            for block in message.blocks
            if isinstance(block, Text)
        }
        orders = self._journal.state.conversation.orders
        # Those that were asked for after a summary stand there by themselves; those from before it
        # were said again all together.
        number = max((n for n in range(len(orders) + 1) if _again(orders[:n]) in said), default=0)
        missing = [order for order in orders[number:] if order not in said]
        return _again(orders) if missing else None

    def _tokens(self) -> int:
        return self._estimate.tokens(self._history, self._window)

    # -- leaving out -----------------------------------------------------------------------

    def _leave_out(self) -> None:
        before = self._tokens()
        keep_from = self._kept()
        if self._service and self._summarised_by_service(keep_from, before=before):
            return
        self._clear(through=keep_from, before=before)
        if self._tokens() > self._space * _ENOUGH:
            self._write_down(keep_from, before=before, ask=True)

    def _kept(self) -> int:
        """The reply after which everything stays: the newest turns as far as their share of the
        space goes, and the newest one whatever it has."""
        room = self._space * _KEPT_SHARE * BYTES_A_TOKEN
        total = number = replies(self._history)
        size = 0
        for message in reversed(self._history):
            size += bytes_of((message,))
            if isinstance(message, AssistantMessage):
                if size > room and number < total:
                    return number
                number -= 1
        return max(0, min(number, total - 1))

    def _shorten_newest(self) -> None:
        newest = replies(self._history)
        if any(reply == newest for reply, _ in self._window.shortened):
            return
        results = _newest_results(self._history)
        if bytes_of(results) / BYTES_A_TOKEN > self._space / 2:
            self._shorten(newest, self._space // 3)

    def _shorten(self, reply: int, tokens: int) -> None:
        """Bring the results of the newest reply down to so many tokens together."""
        results = _newest_results(self._history)
        if bytes_of(results) <= tokens * BYTES_A_TOKEN or not reply:
            return
        each = int(tokens * BYTES_A_TOKEN / max(1, sum(len(message.blocks) for message in results)))
        most = max(_LEAST_RESULT_BYTES, each)
        self._journal.emit(ResultsShortened(reply=reply, most_bytes=most))

    def _clear(self, *, through: int, before: int) -> None:
        if through <= max(self._window.cleared, self._window.cut):
            return
        bare = replies(self._history)
        self._narrow(
            ResultsCleared(through=through, bare=bare, tokens_before=before, tokens_after=0)
        )

    def _summarised_by_service(self, through: int, *, before: int) -> bool:
        from agent.conversation.summary import block_in  # noqa: PLC0415 - for a long run only

        if through <= self._window.cut:
            return False
        messages = sent(until(self._history, through), self._window)
        reply = self._asked(messages, compact=True)
        block = block_in(reply) if reply is not None else None
        if reply is None or block is None:
            self._service = False
            return False
        self._put(through, block, before=before, usage=reply.usage, author="service")
        return True

    def _write_down(self, through: int, *, before: int, ask: bool) -> None:
        from agent.conversation import summary  # noqa: PLC0415 - for a long run only

        if through <= self._window.cut:
            return
        messages = sent(until(self._history, through), self._window)
        question = UserMessage(blocks=(Text(text=summary.ASK_FOR_NOTES),))
        reply = self._asked((*messages, question), compact=False) if ask else None
        text = summary.notes_in(reply) if reply is not None else ""
        usage = reply.usage if reply is not None else Usage()
        earlier = summary.earlier_words(self._window)
        notes = summary.bounded(text) if text else summary.digest(messages, earlier)
        orders = self._journal.state.conversation.orders
        self._put(
            through,
            SummaryNotes(text=notes, orders=orders),
            before=before,
            usage=usage,
            author="model" if text else "nobody",
        )

    def _put(
        self,
        through: int,
        head: SummaryNotes | Opaque,
        *,
        before: int,
        usage: Usage,
        author: Literal["service", "model", "nobody"],
    ) -> None:
        # Thinking stays valid behind the service's own summary, and behind no other.
        bare = self._window.bare if isinstance(head, Opaque) else replies(self._history)
        self._narrow(
            HistorySummarised(
                through=through,
                bare=bare,
                block=head if isinstance(head, Opaque) else None,
                notes=head.text if isinstance(head, SummaryNotes) else "",
                orders=head.orders if isinstance(head, SummaryNotes) else (),
                author=author,
                usage=usage,
                used=self._budget.used,
                usd=self._budget.usd,
                tokens_before=before,
                tokens_after=0,
            )
        )

    def _narrow(self, event: ResultsCleared | HistorySummarised) -> None:
        """Tell what is left out, with the size that the next request has then."""
        after = self._estimate.tokens(self._history, self._window.after(event))
        self._journal.emit(event.replaced({"tokens_after": after}))

    def _asked(self, messages: tuple[Message, ...], *, compact: bool) -> Reply | None:
        """The reply to a request of our own, counted; None where there is none to be had."""
        known = min(self._estimate.known, self._space)
        rest = int((self._estimate.fixed_bytes + bytes_of(messages)) / BYTES_A_TOKEN)
        self._budget.expect(
            TokensNeeded(known=known, certain=known, most=rest) if known else TokensNeeded(new=rest)
        )
        most = min(_SUMMARY_TOKENS, max(self.max_tokens, LEAST_ANSWER_TOKENS))
        tokens = self._budget.answer_tokens(most)
        if self._budget.reached() is not None or tokens < min(_LEAST_SUMMARY_TOKENS, most):
            return None
        try:
            return self._caller.aside(messages, max_tokens=tokens, compact=compact)
        except ModelRefusedRequest:
            return None
        except BudgetReached as over:
            if not over.limit.limit.of_batch:
                raise
            return None


def _again(orders: Sequence[str]) -> str:
    return _AGAIN + "\n\n".join(orders)


def _space(window: int, max_tokens: int) -> int:
    if window >= BOUNDLESS_TOKENS:
        return window
    return int(min(window * _SHARE_OF_WINDOW, window * 0.95 - max_tokens, COMFORTABLE_TOKENS))


def _newest_results(history: Sequence[Message]) -> tuple[UserMessage, ...]:
    """What was answered to the newest reply."""
    newest = replies(history)
    return tuple(
        message
        for number, message in numbered(history)
        if number == newest and isinstance(message, UserMessage)
    )

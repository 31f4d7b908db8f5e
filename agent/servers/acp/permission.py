"""Asking the person at the editor: about one call, or whether the patch is to be applied.

What is approved is what was shown, to the last character. No answer in time, a request that was
cancelled, an editor that is gone, an option that was never offered: each is a no.
"""

import concurrent.futures
from collections.abc import Collection, Sequence

from acp.helpers import text_block, tool_content
from acp.schema import AllowedOutcome, DeniedOutcome, PermissionOption, ToolCallUpdate

from agent.interrupts import Interrupts
from agent.lifecycle.session import RunSession
from agent.record.events.kinds import call_in_words
from agent.servers.acp.markup import fenced, title
from agent.servers.acp.outbox import Outbox
from agent.servers.acp.view import EditorView, call_id
from agent.terminal.approval_text import question
from agent.untrusted_text import one_line
from policies.decision import Answered, Approved, ApprovedBefore, Ask, Call, Declined, digest
from policies.errors import duration

_WIDTH = 10_000
"""Nothing is broken for a terminal; a line that is longer yet has marks before its pieces."""
_ONCE, _ALWAYS, _NO = "allow-once", "allow-always", "reject-once"
_OPTIONS = [
    PermissionOption(option_id=_ONCE, name="Run this once", kind="allow_once"),
    PermissionOption(
        option_id=_ALWAYS, name="Always run this exact call, in this session", kind="allow_always"
    ),
    PermissionOption(option_id=_NO, name="Do not run it", kind="reject_once"),
]
_APPLY = [
    PermissionOption(option_id=_ONCE, name="Apply it", kind="allow_once"),
    PermissionOption(option_id=_NO, name="Leave the files as they are", kind="reject_once"),
]


class EditorAsker:
    """Fits `policies.decision.Approve`. Mutable: it remembers what is always approved."""

    def __init__(
        self, outbox: Outbox, session_id: str, interrupts: Interrupts, *, timeout_s: float
    ) -> None:
        self._outbox = outbox
        self._session_id = session_id
        self._interrupts = interrupts
        self._timeout_s = timeout_s
        self._always: set[str] = set()
        self._applies = 0

    def bind(self, session: RunSession, view: EditorView) -> None:
        """From now on questions are about calls of this session."""
        self._session = session
        self._view = view

    def __call__(self, call: Call, ask: Ask) -> Answered:
        # Of the call that is shown, not copied from the question.
        shown = digest(call)
        if shown in self._always:
            return ApprovedBefore(digest=shown)
        number = self._session.journal.state.conversation.calls + 1
        self._view.asks(number, call.tool, call.arguments)
        asked = ToolCallUpdate(
            tool_call_id=call_id(number),
            # All of it, whatever its length: an editor may show nothing else.
            title=title(one_line(call_in_words(call.tool, call.arguments))),
            status="pending",
            content=[tool_content(text_block(_whole(question(call, ask, width=_WIDTH))))],
            raw_input=dict(call.arguments),
        )
        chosen = self._answer(asked, _OPTIONS)
        if isinstance(chosen, Declined):
            return chosen
        if chosen == _ALWAYS:
            self._always.add(shown)
        return Approved(digest=shown)

    def may_apply(self, title: str, lines: Sequence[str]) -> Declined | None:
        """Whether a patch is to be applied; None: it is."""
        self._applies += 1
        asked = ToolCallUpdate(
            tool_call_id=f"apply-{self._applies}",
            title=title,
            kind="edit",
            status="pending",
            content=[tool_content(text_block(_whole(lines)))],
        )
        chosen = self._answer(asked, _APPLY)
        return chosen if isinstance(chosen, Declined) else None

    def _answer(self, asked: ToolCallUpdate, options: list[PermissionOption]) -> str | Declined:
        """The option with which the person said yes. Raises SignalReceived where the prompt was
        cancelled."""
        with self._session.clock.stopped(), self._interrupts.immediate():
            future = self._outbox.ask(self._session_id, asked, options)
            if future is None:
                return self._left()
            try:
                with self._interrupts.ended_by(lambda: self._outbox.forget(future)):
                    outcome = future.result(self._timeout_s).outcome
            except TimeoutError:
                waited = duration(self._timeout_s)
                return Declined(reason=f"nobody answered at the editor within {waited}")
            except ConnectionError:
                return self._left()
            except concurrent.futures.CancelledError:
                cancelled = Declined(reason="the question was cancelled")
                return self._left() if self._outbox.gone else cancelled
            except Exception as error:  # noqa: BLE001 - whatever a client's answer brings is a no
                return Declined(reason=f"the editor can't ask: {one_line(str(error), 200)}")
            finally:
                self._outbox.forget(future)
        return _chosen(outcome, {option.option_id for option in options})

    def _left(self) -> Declined:
        """The editor is gone, and nobody prompts any more: the session ends."""
        self._interrupts.receive("SIGHUP")
        return Declined(reason="there is no editor any more that could ask")


def _chosen(outcome: AllowedOutcome | DeniedOutcome, offered: Collection[str]) -> str | Declined:
    chosen = outcome.option_id if isinstance(outcome, AllowedOutcome) else _NO
    if chosen not in offered:
        return Declined(reason="the editor answered with what was not asked")
    if chosen == _NO:
        return Declined(reason="the person at the editor declined it")
    return chosen


def _whole(lines: Sequence[str]) -> str:
    """Nothing of it is cut."""
    text = "\n".join(lines)
    return fenced(text, limit=10 * len(text) + 1)

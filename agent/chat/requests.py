"""A chat: several requests in one session, and what its person does between them.

Owns what each request needs before and after (a sandbox that lives, a mark to go back to, the
waiting that costs no time); `patch` is the patch so far. Refuses to know the terminal.

A request that ends for whatever reason ends alone: another may be served, by a service that is back
or with what is left of the budget. Only a sandbox that can't go on ends the chat.
"""

from agent.chat.undo_text import to_model
from agent.conversation.change_tracking import RestorePoint
from agent.lifecycle.patch_so_far import PatchSoFar
from agent.lifecycle.session import RunSession
from agent.record.events.lifecycle import RequestAwaited
from agent.record.outcome import NOTHING_ASKED, Conversation
from agent.untrusted_text import one_line
from sandbox.tracking import Restored

_STARTED_AGAIN = (
    "The sandbox's command server was started again: the workspace is as it was; files in /tmp may "
    "be gone, the working directory and exported variables are reset, and background processes are "
    "ended."
)
_UNDONE = "The person took back your work on their request number {number} ({words!r})."
_WORDS = 80


class Chat:
    """One chat in one session. Mutable: it remembers the requests."""

    def __init__(self, session: RunSession) -> None:
        self.session = session
        self.patch = PatchSoFar(
            session=session, started_again=lambda: session.loop.inform(_STARTED_AGAIN)
        )
        self.last: Conversation = NOTHING_ASKED
        """How the newest request ended, and with it the chat if it is left now."""
        self._requests = 0
        self._points: list[tuple[int, str, RestorePoint]] = []
        self._await()

    def ask(self, text: str) -> Conversation:
        """Make a request; every way to end is a value.

        Raises:
            SandboxError: the sandbox can't go on, and the chat neither.
        """
        session = self.session
        with self.patch.at_the_box():
            point = session.tracker.point()
        self._requests += 1
        self._points.append((self._requests, one_line(text, _WORDS), point))
        self.last = session.loop.ask(text)
        self.patch.heard_out()
        session.tracker.finish()
        self._await()
        return self.last

    def undo(self) -> tuple[int, Restored] | None:
        """Have the files go back to before the newest request that is not undone; its number, and
        what came of it. None: there is none.

        Raises:
            FileError: that state was not kept; nothing was touched.
            SandboxError: as for `ask`.
        """
        if not self._points:
            return None
        session = self.session
        number, words, point = self._points[-1]
        with self.patch.at_the_box():
            restored = session.tracker.go_back(point)
        self._points.pop()
        undone = _UNDONE.format(number=number, words=words)
        # As much an order as the request was: who is told that again is told this too.
        session.loop.inform(f"{undone} {to_model(restored)}", "undone")
        return number, restored

    def _await(self) -> None:
        self.session.journal.emit(RequestAwaited(outcome=self.last))

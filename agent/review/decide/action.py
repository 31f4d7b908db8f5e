"""One thing that is done for a reviewer and takes its time: watched while it goes, and cancelled.

Owns its thread, what it said so far and how it ended. Refuses to know what is done.
"""

import secrets
import threading
from collections.abc import Callable
from typing import Literal

from agent.batch.thread_interrupts import ThreadInterrupts
from agent.errors import ModelError, RecordError, UsageError
from agent.interrupts import SignalReceived
from agent.review.decide.applying import ActionWatch
from agent.untrusted_text import decode
from policies.errors import PolicyError
from policies.frozen import dataclass
from sandbox.errors import FileError, SandboxError

ActionWork = Callable[[ActionWatch], object]
_KEPT_CHARACTERS = 200_000
"""Of what an action says; the middle of more is left out."""
CANCELLED = "cancelled: nothing was changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionFailed:
    """It could not be done; the words say why, and what to do."""

    message: str


class ReviewAction:
    """One action, in a thread of its own."""

    def __init__(self, key: str, kind: str, work: ActionWork, *, name: str = "") -> None:
        """Begin it.

        Args:
            key: what the page that asked for it calls it; the same key is the same action.
        """
        self.key = key
        self.kind = kind
        self.id = secrets.token_hex(8)
        self.result: object = None
        """What came of it: what the work gave, or `ActionFailed`; None as long as it goes on."""
        self._text = ""
        self._cut = 0
        self._news = threading.Condition()
        self._interrupts = ThreadInterrupts()
        self._thread = threading.Thread(target=self._go, args=(work,), name=f"{kind} {name}")
        self._thread.start()

    @property
    def is_over(self) -> bool:
        return self.result is not None

    def cancel(self) -> None:
        """End it soon: a command that runs is ended, and nothing is written after this."""
        self._interrupts.receive("cancelled")

    def join(self, timeout_s: float | None = None) -> None:
        self._thread.join(timeout_s)

    def said(self, since: int = 0, *, wait_s: float = 0.0) -> tuple[int, str]:
        """What it said from a place on, and the place of what comes next.

        Args:
            since: a place that this gave before.
            wait_s: for more, where there is none and it is not over.
        """
        with self._news:
            if wait_s:
                self._news.wait_for(
                    lambda: self.is_over or self._cut + len(self._text) > since, wait_s
                )
            return self._cut + len(self._text), self._text[max(0, since - self._cut) :]

    def _say(self, text: str) -> None:
        with self._news:
            self._text += text
            over = len(self._text) - _KEPT_CHARACTERS
            if over > 0:
                self._text, self._cut = self._text[over:], self._cut + over
            self._news.notify_all()

    def _print(self, _stream: Literal["stdout", "stderr"], data: bytes) -> None:
        self._say(decode(data))

    def _go(self, work: ActionWork) -> None:
        watch = ActionWatch(
            interrupts=self._interrupts,
            on_progress=lambda text: self._say(f"\N{RIGHTWARDS ARROW} {text}\n"),
            on_output=self._print,
        )
        result: object
        try:
            result = work(watch)
        except SignalReceived:
            result = ActionFailed(message=CANCELLED)
        except (UsageError, PolicyError, RecordError, SandboxError, FileError, ModelError) as error:
            result = ActionFailed(message=str(error))
        except Exception as error:  # noqa: BLE001 - a defect of ours must not hang the page
            result = ActionFailed(message=f"a defect of Moonpool: {error!r}")
        with self._news:
            self.result = result
            self._news.notify_all()


class ActionBoard:
    """The actions of a server: at most one at a time for a run, and none begun twice."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._newest: dict[str, ReviewAction] = {}

    def begin(self, run: str, key: str, kind: str, work: ActionWork) -> ReviewAction:
        """Begin it, or give the one that has the key, or that still goes on for this run."""
        with self._lock:
            there = self._newest.get(run)
            if there is not None and (there.key == key or not there.is_over):
                return there
            self._newest[run] = made = ReviewAction(key, kind, work, name=run)
            return made

    def newest(self, run: str) -> ReviewAction | None:
        with self._lock:
            return self._newest.get(run)

    def close(self) -> None:
        """Cancel what goes on, and wait for it: no container outlives the server."""
        with self._lock:
            going = [action for action in self._newest.values() if not action.is_over]
        for action in going:
            action.cancel()
        for action in going:
            action.join()

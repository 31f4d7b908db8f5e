"""One session of a client, on the event loop: its run, its mode, and the one prompt at a time.

Owns what a client may do in which order. A policy is enforced by the kernel from a container's
start, so a mode is one until the first prompt: until then another sandbox takes the place of the
first.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from acp.schema import SessionMode, SessionModeState

from agent.preparation.prepare import Preparation
from agent.servers.acp.editor_run import EditorRun
from agent.servers.acp.outbox import Outbox
from agent.servers.acp.prompt import Asked
from agent.servers.acp.settings import PolicyMode, ServerSettings
from agent.servers.acp.turns import PromptTurn, TurnEnded, TurnFailed


class SessionRefusal(Exception):
    """What was asked can't be done now; the message is for the person."""


class EditorSession:
    """Mutable, and used on the event loop alone."""

    def __init__(
        self,
        *,
        session_id: str,
        cwd: str,
        mode: str,
        prepared: Preparation,
        settings: ServerSettings,
        outbox: Outbox,
        notices: Sequence[str],
    ) -> None:
        self.id = session_id
        self.cwd = cwd
        self.mode = mode
        self._settings = settings
        self._outbox = outbox
        self._notices = notices
        self._turn: PromptTurn | None = None
        self._changing = asyncio.Lock()
        self._closed = False
        self._prepared = prepared
        self._run = self._new(prepared)
        self._run.open_ahead()

    def _new(self, prepared: Preparation) -> EditorRun:
        return EditorRun(
            run_id=self.id,
            session_id=self.id,
            place=Path(self.cwd),
            prepared=prepared,
            settings=self._settings,
            outbox=self._outbox,
            notices=self._notices,
        )

    @property
    def places(self) -> tuple[Path, ...]:
        """The workspace, by the names that the editor may have for it."""
        return Path(self.cwd), Path(str(self._prepared.root))

    async def prompt(self, asked: Asked) -> TurnEnded | TurnFailed:
        """Have it served; gives how it ended.

        Raises:
            SessionRefusal: another one is being served, or the session is closed.
        """
        if self._turn is not None:
            raise SessionRefusal("a prompt of this session is being served: wait for it, or cancel")
        turn = self._turn = PromptTurn(asked)
        try:
            async with self._changing:
                if self._closed:
                    raise SessionRefusal("the session is closed")
                self._run.ask(turn)
            return await asyncio.wrap_future(turn.ended)
        finally:
            self._turn = None

    async def cancel(self) -> None:
        """End the prompt that is being served, if one is; it says itself when it has ended."""
        if self._turn is not None:
            await asyncio.to_thread(self._turn.cancel)

    async def change(self, mode: str) -> None:
        """Be in another mode: under another policy, in another sandbox.

        Raises:
            SessionRefusal: something was asked already.
            UsageError, PolicyError, ModelError: the policy can't be used.
        """
        async with self._changing:
            if mode == self.mode:
                return
            if self._run.begun or self._turn is not None or self._closed:
                raise SessionRefusal(
                    f"this session's sandbox was sealed under the policy {self.mode} when it "
                    f"began, and stays so: for the mode {mode} begin a new session"
                )
            prepared = await asyncio.to_thread(self._settings.prepare, self.cwd, mode)
            before = self._run
            self._prepared, self.mode = prepared, mode
            self._run = self._new(prepared)
            self._run.open_ahead()
        await asyncio.to_thread(before.close)

    async def close(self, signal: str = "") -> None:
        """End it: what is asked is broken off, the patch is made, the sandbox is gone.

        Args:
            signal: what ended the server; empty where the client closes it, or is gone.
        """
        async with self._changing:
            self._closed = True
        if signal or self._turn is not None:
            await asyncio.to_thread(self._run.break_off, signal or "SIGTERM")
        await asyncio.to_thread(self._run.close)


def mode_state(session: EditorSession, modes: Sequence[PolicyMode]) -> SessionModeState:
    """The modes of a session, for the protocol."""
    return SessionModeState(
        current_mode_id=session.mode,
        available_modes=[
            SessionMode(id=mode.name, name=mode.name, description=mode.description)
            for mode in modes
        ],
    )

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
from agent.record.store import new_run_id
from agent.servers.acp.editor_run import EditorRun
from agent.servers.acp.outbox import Outbox
from agent.servers.acp.past import BegunFromPast, PastSession
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
        self._past: PastSession | None = None
        self._run: EditorRun | None = None
        self.places: tuple[Path, ...] = (Path(cwd),)
        """The workspace, by the names that the editor may have for it."""

    def begin(self, prepared: Preparation) -> None:
        """Be a new session: the sandbox opens from now on."""
        self._run = self._new(self.id, prepared, past=None)
        self._run.open_ahead()

    def go_on(self, past: PastSession) -> None:
        """Be a session of before: the first prompt opens its sandbox again."""
        self._past = past

    def _new(self, run_id: str, prepared: Preparation, past: BegunFromPast | None) -> EditorRun:
        self.places = (Path(self.cwd), Path(str(prepared.root)))
        return EditorRun(
            run_id=run_id,
            session_id=self.id,
            place=Path(self.cwd),
            prepared=prepared,
            settings=self._settings,
            outbox=self._outbox,
            notices=self._notices,
            past=past,
        )

    @property
    def over(self) -> bool:
        """Its run serves no prompt any more."""
        return self._run is not None and self._run.over

    async def prompt(self, asked: Asked) -> TurnEnded | TurnFailed:
        """Have it served; gives how it ended.

        Raises:
            SessionRefusal: another one is being served, or the session is closed.
            UsageError, PolicyError, ModelError, RecordError: a session of before can't go on.
        """
        if self._turn is not None:
            raise SessionRefusal("a prompt of this session is being served: wait for it, or cancel")
        turn = self._turn = PromptTurn(asked)
        try:
            async with self._changing:
                if self._closed:
                    raise SessionRefusal("the session is closed")
                run = await self._running()
                run.ask(turn)
            return await asyncio.wrap_future(turn.ended)
        finally:
            self._turn = None

    async def _running(self) -> EditorRun:
        if self._run is None:
            past = self._past
            if past is None:
                raise AssertionError("a session is begun, or gone on with")
            self._run = await asyncio.to_thread(self._again, past)
        return self._run

    def _again(self, past: PastSession) -> EditorRun:
        prepared = self._settings.prepare_again(past, self.cwd)
        return self._new(new_run_id(), prepared, past.beginning(self._settings.open_recorded))

    async def cancel(self) -> None:
        """End the prompt that is being served, if one is; it says itself when it has ended."""
        if self._turn is not None:
            self._turn.take_back()  # at once: the thread may be long in coming
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
            before = self._run
            if before is None or before.begun or self._turn is not None or self._closed:
                raise SessionRefusal(
                    f"this session's sandbox was sealed under the policy {self.mode} when it "
                    f"began, and stays so: for the mode {mode} begin a new session"
                )
            prepared = await asyncio.to_thread(self._settings.prepare, self.cwd, mode)
            self.mode = mode
            self.begin(prepared)
            # Before anything else is done: however often a client changes it, two stand at most.
            await asyncio.to_thread(before.close)

    async def close(self, signal: str = "") -> None:
        """End it: what is asked is broken off, the patch is made, the sandbox is gone.

        Args:
            signal: what ended the server; empty where the client closes it, or is gone.
        """
        async with self._changing:
            self._closed = True
            run = self._run
        if run is None:
            return
        if signal or self._turn is not None:
            await asyncio.to_thread(run.break_off, signal or "SIGTERM")
        await asyncio.to_thread(run.close)


def mode_state(session: EditorSession, modes: Sequence[PolicyMode]) -> SessionModeState:
    """The modes of a session, for the protocol."""
    return SessionModeState(
        current_mode_id=session.mode,
        available_modes=[
            SessionMode(id=mode.name, name=mode.name, description=mode.description)
            for mode in modes
        ],
    )

"""The methods of the protocol that a client may call, by the names that the SDK gives them.

Owns which sessions there are, and the protocol's own error for whatever goes wrong. Refuses to know
what a session does.
"""

import asyncio
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from acp.exceptions import RequestError
from acp.helpers import update_available_commands
from acp.interfaces import Client
from acp.meta import PROTOCOL_VERSION
from acp.schema import (
    AcpMcpServer,
    AgentCapabilities,
    ClientCapabilities,
    CloseSessionResponse,
    HttpMcpServer,
    Implementation,
    InitializeResponse,
    ListSessionsResponse,
    LoadSessionResponse,
    McpServerStdio,
    NewSessionResponse,
    PromptCapabilities,
    PromptResponse,
    ResumeSessionResponse,
    SessionCapabilities,
    SessionCloseCapabilities,
    SessionInfo,
    SessionListCapabilities,
    SessionModeState,
    SessionResumeCapabilities,
    SetSessionModeResponse,
    SseMcpServer,
)

from agent import VERSION
from agent.errors import ModelAuth, ModelError, RecordError, UsageError
from agent.record.store import STEPS, new_run_id
from agent.servers.acp.commands import COMMANDS
from agent.servers.acp.diffs import FileDiffs
from agent.servers.acp.outbox import Outbox
from agent.servers.acp.past import PastSession
from agent.servers.acp.prompt import Block, asked
from agent.servers.acp.session import EditorSession, SessionRefusal, mode_state
from agent.servers.acp.settings import LISTED, PolicyMode, ServerSettings
from agent.servers.acp.transport import ClientTransport
from agent.servers.acp.turns import TurnFailed
from agent.servers.acp.view import EditorView
from agent.untrusted_text import one_line, visible
from policies.errors import PolicyError
from sandbox.errors import SandboxError

McpServer = HttpMcpServer | SseMcpServer | AcpMcpServer | McpServerStdio
MOST_SESSIONS = 16
"""Open at once: each is a container."""
_TITLE = 120
_INVALID_REQUEST, _INVALID_PARAMS, _INTERNAL, _AUTH = -32600, -32602, -32603, -32000


class AcpAgent:
    """Fits the SDK's `Agent`, as far as it is served here."""

    def __init__(self, settings: ServerSettings, transport: ClientTransport) -> None:
        self._settings = settings
        self._transport = transport
        self._outbox: Outbox | None = None
        self._version: int | None = None
        self._sessions: dict[str, EditorSession] = {}
        self._opening = 0
        self._leaving = False

    def on_connect(self, client: Client) -> None:
        """The SDK hands over its connection."""
        self._outbox = Outbox(client, self._transport, asyncio.get_running_loop())

    async def initialize(
        self,
        protocol_version: int,
        client_capabilities: ClientCapabilities | None = None,  # noqa: ARG002 - none is used
        client_info: Implementation | None = None,  # noqa: ARG002 - whoever it is
    ) -> InitializeResponse:
        """Agree on a version: there is one, and a client that knows no such one leaves."""
        self._version = protocol_version
        return InitializeResponse(
            protocol_version=PROTOCOL_VERSION,
            agent_capabilities=AgentCapabilities(
                load_session=True,
                prompt_capabilities=PromptCapabilities(embedded_context=True),
                session_capabilities=SessionCapabilities(
                    list=SessionListCapabilities(),
                    resume=SessionResumeCapabilities(),
                    close=SessionCloseCapabilities(),
                ),
            ),
            auth_methods=[],
            agent_info=Implementation(name="moonpool", title="Moonpool", version=VERSION),
        )

    async def new_session(
        self,
        cwd: str,
        additional_directories: list[str] | None = None,
        mcp_servers: list[McpServer] | None = None,
    ) -> NewSessionResponse:
        """Begin a sealed chat on a copy of a directory."""
        self._require_room(additional_directories)
        with self._one_more():
            mode = await _said(self._settings.mode)
            modes = await _said(self._settings.modes)
            prepared = await _said(self._settings.prepare, cwd, mode)
        session = self._session_of(new_run_id(), cwd, mode, mcp_servers)
        session.begin(prepared)
        return NewSessionResponse(session_id=session.id, modes=mode_state(session, modes))

    async def load_session(
        self,
        cwd: str,
        session_id: str,
        mcp_servers: list[McpServer] | None = None,
        additional_directories: list[str] | None = None,
    ) -> LoadSessionResponse:
        """Tell a session of before again, all of it; the next prompt goes on with it."""
        past, session = await self._again(session_id, cwd, mcp_servers, additional_directories)
        await asyncio.to_thread(self._tell_again, past, session)
        return LoadSessionResponse(modes=_sealed(session))

    async def resume_session(
        self,
        session_id: str,
        cwd: str,
        additional_directories: list[str] | None = None,
        mcp_servers: list[McpServer] | None = None,
    ) -> ResumeSessionResponse:
        """As `load_session`, for a client that knows what was said."""
        _, session = await self._again(session_id, cwd, mcp_servers, additional_directories)
        return ResumeSessionResponse(modes=_sealed(session))

    async def list_sessions(
        self,
        cwd: str | None = None,
        cursor: str | None = None,
        additional_directories: list[str] | None = None,  # noqa: ARG002 - no session has any
    ) -> ListSessionsResponse:
        """The sessions there are, newest first, some at a time."""
        self._require_initialized()
        found = await _said(self._settings.sessions, cwd or "", cursor or "")
        page = found[:LISTED]
        return ListSessionsResponse(
            sessions=[
                SessionInfo(
                    session_id=item.id,
                    cwd=item.cwd,
                    title=one_line(item.title, _TITLE),
                    updated_at=item.updated.isoformat(timespec="seconds"),
                )
                for item in page
            ],
            next_cursor=page[-1].id if len(found) > LISTED else None,
        )

    async def prompt(self, session_id: str, prompt: list[Block]) -> PromptResponse:
        """Have a prompt served, and say why the agent stopped."""
        session = self._session(session_id)
        with _in_the_protocols_form():
            ended = await session.prompt(asked(prompt, session.places))
        if isinstance(ended, TurnFailed):
            raise RequestError(_INTERNAL, visible(ended.message))
        return PromptResponse(stop_reason=ended.reason)

    async def cancel(self, session_id: str) -> None:
        """End what is being served in a session; of one that is not there nobody hears."""
        session = self._sessions.get(session_id)
        if session is not None:
            await session.cancel()

    async def set_session_mode(self, session_id: str, mode_id: str) -> SetSessionModeResponse:
        """Have a session be under another policy, before anything was asked in it."""
        session = self._session(session_id)
        with _in_the_protocols_form():
            await session.change(mode_id)
        return SetSessionModeResponse()

    async def close_session(self, session_id: str) -> CloseSessionResponse:
        """End a session; its patch is made, and its sandbox gone, when this is answered."""
        session = self._session(session_id)
        del self._sessions[session_id]
        with self._one_more():  # its container stands until it is gone
            await session.close()
        return CloseSessionResponse()

    async def leave(self, signal: str = "") -> None:
        """End every session, as `EditorSession.close`: the server ends, or the client is gone."""
        self._leaving = True
        if self._outbox is not None:
            self._outbox.leave()
        sessions = list(self._sessions.values())
        self._sessions.clear()
        await asyncio.gather(*(session.close(signal) for session in sessions))

    # -- what they share -------------------------------------------------------------------

    @property
    def _box(self) -> Outbox:
        if self._outbox is None:
            raise AssertionError("the SDK connects before it calls")
        return self._outbox

    @contextmanager
    def _one_more(self) -> Generator[None]:
        """Inside, a session counts that is not open yet, or not any more."""
        self._opening += 1
        try:
            yield
        finally:
            self._opening -= 1

    def _require_room(self, additional_directories: list[str] | None) -> None:
        self._require_initialized()
        if additional_directories:
            raise _refused("a session has one workspace: additionalDirectories are not taken")
        if self._leaving:
            raise _refused("the server is ending")
        if len(self._sessions) + self._opening >= MOST_SESSIONS:
            raise _refused(f"{MOST_SESSIONS} sessions are open: close one first")

    def _session_of(
        self, session_id: str, cwd: str, mode: str, mcp_servers: Sequence[McpServer] | None
    ) -> EditorSession:
        """A session that is open from now on."""
        if self._leaving:
            raise _refused("the server is ending")
        session = EditorSession(
            session_id=session_id,
            cwd=cwd,
            mode=mode,
            settings=self._settings,
            outbox=self._box,
            notices=_unused(mcp_servers or []),
        )
        self._sessions[session.id] = session
        # After the answer: a client knows the session by then.
        asyncio.get_running_loop().call_soon(self._tell_commands, session.id)
        return session

    async def _again(
        self,
        session_id: str,
        cwd: str,
        mcp_servers: Sequence[McpServer] | None,
        additional_directories: list[str] | None,
    ) -> tuple[PastSession, EditorSession]:
        """Open a session of before."""
        self._require_room(additional_directories)
        known = self._sessions.get(session_id)
        if known is not None and not known.over:
            raise _refused("this session is open")
        with self._one_more():
            past = await _said(self._settings.past, session_id, cwd)
        if self._sessions.get(session_id) is not known:
            raise _refused("this session is open")
        session = self._session_of(session_id, cwd, past.started.policy, mcp_servers)
        session.go_on(past)
        return past, session

    def _tell_again(self, past: PastSession, session: EditorSession) -> None:
        view = EditorView(
            partial(self._box.tell, session.id),
            Path(session.cwd),
            FileDiffs(past.directory / STEPS, past.original()),
        )
        for line in past.lines:
            view.again(line.event)

    def _tell_commands(self, session_id: str) -> None:
        self._box.post(session_id, update_available_commands(COMMANDS))

    def _require_initialized(self) -> None:
        if self._version is None:
            raise _refused("the first request is initialize")

    def _session(self, session_id: str) -> EditorSession:
        self._require_initialized()
        session = self._sessions.get(session_id)
        if session is None:
            raise RequestError(-32002, f"there is no open session {one_line(session_id, 60)}")
        return session


def _sealed(session: EditorSession) -> SessionModeState:
    """The one mode of a session of before."""
    return mode_state(session, [PolicyMode(name=session.mode, description="as this session began")])


async def _said(work: Any, *arguments: str) -> Any:
    """What it gives, worked out beside the loop; its errors in the protocol's form."""
    with _in_the_protocols_form():
        return await asyncio.to_thread(work, *arguments)


@contextmanager
def _in_the_protocols_form() -> Generator[None]:
    """Inside, what we know to go wrong is told to the client as the protocol's own error."""
    try:
        yield
    except SessionRefusal as error:
        raise _refused(str(error)) from error
    except (UsageError, PolicyError, ModelError, RecordError, SandboxError) as error:
        code = _AUTH if isinstance(error, ModelAuth) else _INVALID_PARAMS
        raise RequestError(code, visible(str(error))) from error


def _refused(words: str) -> RequestError:
    return RequestError(_INVALID_REQUEST, words)


def _unused(servers: Sequence[McpServer]) -> tuple[str, ...]:
    """A client may bring servers of tools: they would run on the host, outside of every policy."""
    if not servers:
        return ()
    what = f"the editor's MCP servers ({len(servers)}) are not used"
    return (f"{what}: an agent here has the tools of its sandbox, and no others",)

"""An editor: the SDK's own client, which keeps what it is told and answers as a test says.

`Desk` serves it in this process, over a real socket pair, with boxes that need no engine.
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from acp.client.connection import ClientSideConnection
from acp.helpers import text_block
from acp.schema import (
    AllowedOutcome,
    DeniedOutcome,
    PermissionOption,
    RequestPermissionResponse,
    ToolCallUpdate,
)

from agent.lifecycle.job import Job, OnProgress
from agent.preparation.prepare import RunOptions
from agent.servers.acp.serving import serve_client
from agent.servers.acp.settings import ServerSettings
from agent.servers.acp.transport import LINE_LIMIT_BYTES, ClientTransport
from fakes.box import TmpBox
from fakes.model import saying
from waiting import WAIT_S

T = TypeVar("T")
Answer = Callable[[ToolCallUpdate, list[PermissionOption]], Awaitable[RequestPermissionResponse]]


def choosing(option_id: str) -> Answer:
    """Answers every question with this option."""

    async def answer(
        _call: ToolCallUpdate, _options: list[PermissionOption]
    ) -> RequestPermissionResponse:
        return RequestPermissionResponse(
            outcome=AllowedOutcome(outcome="selected", option_id=option_id)
        )

    return answer


async def cancelling(
    _call: ToolCallUpdate, _options: list[PermissionOption]
) -> RequestPermissionResponse:
    """Answers every question with the outcome of a prompt that is taken back."""
    return RequestPermissionResponse(outcome=DeniedOutcome(outcome="cancelled"))


async def silent(
    _call: ToolCallUpdate, _options: list[PermissionOption]
) -> RequestPermissionResponse:
    """Answers no question."""
    await asyncio.Event().wait()
    raise AssertionError


@dataclass
class FakeEditor:
    """Fits the SDK's `Client`."""

    answer: Answer = field(default_factory=lambda: choosing("reject-once"))
    updates: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Session and update, as JSON has it."""
    asked: list[ToolCallUpdate] = field(default_factory=list)

    async def session_update(self, session_id: str, update: Any) -> None:
        told = update.model_dump(mode="json", by_alias=True, exclude_none=True)
        self.updates.append((session_id, told))

    async def request_permission(
        self, session_id: str, tool_call: ToolCallUpdate, options: list[PermissionOption]
    ) -> RequestPermissionResponse:
        self.asked.append(tool_call)
        return await self.answer(tool_call, options)

    def of(self, kind: str, session_id: str | None = None) -> list[dict[str, Any]]:
        """Updates of one kind."""
        return [
            told
            for session, told in self.updates
            if told["sessionUpdate"] == kind and session_id in {None, session}
        ]

    def text(self, kind: str = "agent_message_chunk", session_id: str | None = None) -> str:
        """What was said, all of it."""
        return "".join(told["content"]["text"] for told in self.of(kind, session_id))

    def call(self, call_id: str) -> dict[str, Any]:
        """A tool call as it stands after all updates."""
        merged: dict[str, Any] = {}
        for _, told in self.updates:
            if told.get("toolCallId") == call_id:
                merged |= told
        return merged

    def diffs(self, call_id: str) -> dict[str, tuple[str | None, str]]:
        """Path to old and new text."""
        return {
            part["path"]: (part.get("oldText"), part["newText"])
            for part in self.call(call_id).get("content", [])
            if part["type"] == "diff"
        }


@dataclass
class Desk:
    """Serves one editor. Settings may be changed before `open`."""

    directory: Path
    turns: Sequence[dict[str, Any]] = ({"text": "Done."},)
    """Of the script that every session's model plays."""
    policy: str = "default"
    rules: str = ""
    """Lines of a policy of its own, which extends `policy`."""
    files: dict[str, bytes] = field(default_factory=lambda: {"calc.py": b"a + b\n"})
    ask_timeout_s: float = 60
    fresh_s: float = 60
    within: Path | None = None
    editor: FakeEditor = field(default_factory=FakeEditor)
    boxes: list[TmpBox] = field(default_factory=list)
    box: type[TmpBox] = TmpBox
    before_open: Callable[[Job], None] = lambda _job: None

    def __post_init__(self) -> None:
        self.workspace = self.directory / "workspace"
        self.workspace.mkdir()
        for name, data in self.files.items():
            (self.workspace / name).write_bytes(data)

    def settings(self) -> ServerSettings:
        """Those of a command line."""
        model = saying(self.directory / "script.yaml", *self.turns)
        policy = self.policy
        if self.rules:
            policy = str(self.directory / "rules.yaml")
            Path(policy).write_text(f"version: 1\nname: t\nextends: {self.policy}\n{self.rules}\n")
        return ServerSettings(
            options=RunOptions(workspace=self.directory, policy=policy, model=model),
            verify=None,
            within=self.within,
            open_box=self._open,
            open_recorded=lambda _lines, job, progress: self._open(job, progress),
            ask_timeout_s=self.ask_timeout_s,
            fresh_s=self.fresh_s,
        )

    def _open(self, job: Job, on_progress: OnProgress) -> TmpBox:
        self.before_open(job)
        on_progress("making a fake box")
        box = self.box(files=dict(self.files))
        self.boxes.append(box)
        return box

    @asynccontextmanager
    async def open(self) -> AsyncIterator[ClientSideConnection]:
        """Inside, the editor is connected; at the end it leaves, and the server with it."""
        ours, theirs = socket.socketpair()
        serving = asyncio.create_task(serve_on(ours, self.settings()))
        client_reader, client_writer = await asyncio.open_connection(
            sock=theirs, limit=LINE_LIMIT_BYTES
        )
        client = ClientSideConnection(
            self.editor,  # type: ignore[arg-type]
            client_writer,
            client_reader,
            use_unstable_protocol=True,
        )
        try:
            yield client
        finally:
            client_writer.close()  # first: the client answers what it was asked as it closes
            await client.close()
            await serving

    async def begun(self, client: ClientSideConnection) -> str:
        """Agree on the protocol, and begin a session; gives its id."""
        await client.initialize(protocol_version=1)
        opened = await client.new_session(cwd=str(self.workspace), mcp_servers=[])
        return opened.session_id

    def served(self, body: Callable[[ClientSideConnection], Awaitable[T]]) -> T:
        """What a body gives that is handed the editor's client."""

        async def serving() -> T:
            async with self.open() as client:
                return await body(client)

        return asyncio.run(serving())

    def led(self, body: Callable[[ClientSideConnection, str], Awaitable[T]]) -> T:
        """The same with a session that the client began."""

        async def leading(client: ClientSideConnection) -> T:
            return await body(client, await self.begun(client))

        return self.served(leading)

    def asked(self, *prompts: str) -> list[str]:
        """Make the prompts of one session; gives why the agent stopped at each."""

        async def body(client: ClientSideConnection, session: str) -> list[str]:
            return [await ask(client, session, prompt) for prompt in prompts]

        return self.led(body)

    def records(self) -> list[Path]:
        """Of the runs there are, in order."""
        runs = self.directory / "home" / "runs"
        return sorted(runs.iterdir()) if runs.is_dir() else []

    async def until(self, made: str) -> None:
        """Wait until a command has made this file in the newest box."""
        async with asyncio.timeout(WAIT_S):
            while not (self.boxes and (self.boxes[-1].workspace / made).exists()):
                await asyncio.sleep(0.01)

    def outcome(self, run: Path) -> str:
        """The word for how a run ended."""
        return str(json.loads((run / "run.json").read_text())["outcome"])

    def events(self, run: Path) -> list[dict[str, Any]]:
        """The lines of a record."""
        return [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]


async def serve_on(ours: socket.socket, settings: ServerSettings) -> None:
    """Serve the client at the other end of a socket pair until it leaves."""
    with ours:
        await serve_client(settings, ClientTransport(ours.fileno(), ours.fileno()), [])


async def ask(client: ClientSideConnection, session_id: str, text: str) -> str:
    """Make a prompt; gives why the agent stopped."""
    said = await client.prompt(session_id=session_id, prompt=[text_block(text)])
    return said.stop_reason

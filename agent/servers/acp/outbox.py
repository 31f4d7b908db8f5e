"""From a run's thread to the client: in order, and no faster than the client takes it.

A client that is gone hears nothing more, and that ends nothing: the run has its record.
"""

import asyncio
import concurrent.futures
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from acp.interfaces import Client
from acp.meta import CLIENT_METHODS
from acp.schema import (
    AgentMessageChunk,
    AgentPlanUpdate,
    AgentThoughtChunk,
    AvailableCommandsUpdate,
    CurrentModeUpdate,
    PermissionOption,
    RequestPermissionResponse,
    SessionNotification,
    ToolCallProgress,
    ToolCallStart,
    ToolCallUpdate,
    UserMessageChunk,
)
from acp.utils import serialize_params

from agent.servers.acp.envelope import Message
from agent.servers.acp.transport import ClientTransport

Update = (
    AgentMessageChunk
    | AgentPlanUpdate
    | AgentThoughtChunk
    | AvailableCommandsUpdate
    | CurrentModeUpdate
    | ToolCallProgress
    | ToolCallStart
    | UserMessageChunk
)
T = TypeVar("T")


class Outbox:
    """The one way to the client. Any thread but the loop's may call `tell`."""

    def __init__(
        self, client: Client, transport: ClientTransport, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._client = client
        self._transport = transport
        self._loop = loop
        self._gate = threading.Lock()
        self._gone = False
        self._waiting: set[concurrent.futures.Future[Any]] = set()

    def tell(self, session_id: str, update: Update) -> None:
        """Send it, and wait until the client's pipe has it."""
        if self._gone:
            return
        try:
            self._transport.tell(_notification(session_id, update))
        except OSError:
            self.leave()

    def post(self, session_id: str, update: Update) -> None:
        """As `tell`, from the loop: nobody waits."""
        self._begun(self._transport.send(_notification(session_id, update)))

    def ask(
        self, session_id: str, tool_call: ToolCallUpdate, options: list[PermissionOption]
    ) -> concurrent.futures.Future[RequestPermissionResponse] | None:
        """Ask the person at the client; None: there is no client any more."""
        return self._begun(self._client.request_permission(session_id, tool_call, options))

    def forget(self, future: concurrent.futures.Future[Any]) -> None:
        """Nobody waits for that answer any more."""
        future.cancel()

    @property
    def gone(self) -> bool:
        """There is no client any more."""
        return self._gone

    def leave(self) -> None:
        """The client is gone: whoever waits for it is let go."""
        with self._gate:
            self._gone = True
            waiting = list(self._waiting)
        for future in waiting:
            future.cancel()
        self._transport.hurry()

    def _begun(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T] | None:
        with self._gate:
            if not self._gone:
                future = asyncio.run_coroutine_threadsafe(work, self._loop)
                self._waiting.add(future)
                future.add_done_callback(self._waiting.discard)
                return future
        work.close()
        return None


def _notification(session_id: str, update: Update) -> Message:
    told = SessionNotification(session_id=session_id, update=update)
    return {
        "jsonrpc": "2.0",
        "method": CLIENT_METHODS["session_update"],
        "params": serialize_params(told),
    }

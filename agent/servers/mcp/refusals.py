"""What a tool refuses, told to the client as the protocol wants it: as the result of the call.

Of any exception but `ToolError` a client hears that there was one, and no more. So what we know of
becomes a `ToolError`, and what is a defect of ours stays one.
"""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from mcp.server.mcpserver.exceptions import ToolError

from agent.errors import ModelError, RecordError, UsageError
from agent.servers.mcp.desk import RequestRefused
from policies.errors import PolicyError
from sandbox.errors import FileError, SandboxError

P = ParamSpec("P")
T = TypeVar("T")

_KNOWN = (
    RequestRefused, UsageError, PolicyError, ModelError, RecordError, FileError, SandboxError,
)  # fmt: skip


def refusing(work: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """The same, with what is known to go wrong told to the client."""

    @wraps(work)
    async def tell(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await work(*args, **kwargs)
        except _KNOWN as error:
            raise ToolError(str(error)) from error

    return tell

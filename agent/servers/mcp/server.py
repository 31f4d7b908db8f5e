"""The server that a client sees: what it is for, and its tools."""

from typing import Annotated

from mcp.server.mcpserver import Context, MCPServer, RequestStateSecurity
from mcp.types import CallToolResult
from pydantic import Field

from agent import VERSION
from agent.record.outcome import Finished
from agent.servers.mcp import called, results
from agent.servers.mcp.arguments import Handle, effects
from agent.servers.mcp.client_sandbox import ClientSandbox
from agent.servers.mcp.command_tools import add_command_tools
from agent.servers.mcp.desk import RequestRefused
from agent.servers.mcp.file_tools import add_file_tools
from agent.servers.mcp.patch_tools import add_patch_tools
from agent.servers.mcp.progress import progress
from agent.servers.mcp.refusals import refusing
from agent.servers.mcp.results import ClosedSandbox, OpenedSandbox
from agent.servers.mcp.sandboxes import Sandboxes, ended
from agent.untrusted_text import one_line

_NAME = 60

INSTRUCTIONS = """\
Sealed sandboxes for work on code that nobody trusts. `open` copies a folder into a container \
without network, in which only the programs of a policy run, and gives a handle; every other \
tool takes it. Work there with run, read_file, write_file, edit_file, search_files. Nothing on \
the host changes: what comes out is a patch, which `diff` shows and `close` writes for a person \
to review. Always `close` what you opened. A refusal says which rule refused and what is allowed \
instead."""

_OPEN = """\
Copy a folder into a fresh sandbox and get its handle. The sandbox has no network, and only the \
programs of its policy run in it. The folder itself is only read. Takes about a second; the \
first time for a folder longer."""

_CLOSE = """\
End the sandbox with everything that runs in it. Its patch is written on the machine that this \
server runs on, proved, looked through for what is risky, and verified with the operator's \
command where there is one. The handle is of no use afterwards."""


def build(sandboxes: Sandboxes) -> MCPServer:
    """The server for one client, whose sandboxes these are."""
    settings = sandboxes.settings
    server: MCPServer = MCPServer(
        name="moonpool",
        title="Moonpool",
        version=VERSION,
        instructions=INSTRUCTIONS,
        # Ours ends a question first, and says so.
        request_state_security=RequestStateSecurity.ephemeral(ttl=settings.answer_s + 60),
        subscriptions=False,
        log_level="ERROR",
    )
    _add_sandbox_tools(server, sandboxes)
    add_command_tools(server, sandboxes)
    add_file_tools(server, sandboxes)
    add_patch_tools(server, sandboxes)
    return server


def _add_sandbox_tools(server: MCPServer, sandboxes: Sandboxes) -> None:
    settings = sandboxes.settings
    roots = ", ".join(map(str, settings.roots))
    policies = ", ".join(settings.policies)

    # Named otherwise than the tools: the builtin is not to be hidden.
    @server.tool(name="open", description=_OPEN, annotations=effects("Open a sandbox"))
    @refusing
    async def open_sandbox(
        ctx: Context,
        workspace: Annotated[
            str, Field(max_length=4096, description=f"A folder in one of these: {roots}")
        ] = "",
        policy: Annotated[
            str, Field(max_length=200, description=f"One of these: {policies}; empty: the first")
        ] = "",
        task: Annotated[
            str,
            Field(max_length=4000, description="What is to be done there, for who reviews it."),
        ] = "",
    ) -> Annotated[CallToolResult, OpenedSandbox]:
        opening: list[ClientSandbox] = []
        async with progress(ctx, lambda: opening[0].newest if opening else ""):
            one = await sandboxes.open(
                workspace,
                policy or None,
                task,
                request=ctx.request_context.request_id,
                client=_client(ctx),
                may_ask=_may_ask(ctx),
                begun=opening.append,
            )
        return called.result(await one.ask(lambda desk: results.opened(one.handle, desk.session)))

    @server.tool(
        name="close", description=_CLOSE, annotations=effects("Close a sandbox", again=True)
    )
    @refusing
    async def close_sandbox(
        ctx: Context,
        sandbox: Handle,
        summary: Annotated[
            str, Field(max_length=20_000, description="What was done, for who reviews the patch.")
        ] = "",
    ) -> Annotated[CallToolResult, ClosedSandbox]:
        one = sandboxes.of(sandbox)
        one.close(Finished(message=summary.strip() or "closed by its client"))
        async with progress(ctx, lambda: one.newest):
            over = await ended(one)
        if over is None:
            raise RequestRefused(one.last_words())
        return called.result(results.closed(over))


def _client(ctx: Context) -> str:
    params = ctx.session.client_params
    name = params.client_info.name if params is not None and params.client_info else "a client"
    return one_line(name, _NAME)


def _may_ask(ctx: Context) -> bool:
    """Whether the client says that it can put a question to its person."""
    capabilities = ctx.client_capabilities
    asks = capabilities.elicitation if capabilities is not None else None
    return asks is not None and (asks.form is not None or asks.url is None)

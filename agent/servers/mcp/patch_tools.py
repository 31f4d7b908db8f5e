"""Tools for what a sandbox has come to: look at the patch, write it out, verify it, apply it."""

from typing import Annotated

from mcp.server.mcpserver import Context, MCPServer
from mcp.types import CallToolResult
from pydantic import Field

from agent.lifecycle.patch_so_far import Preview
from agent.servers.mcp import called, results
from agent.servers.mcp.arguments import Handle, effects
from agent.servers.mcp.desk import Desk, RequestRefused
from agent.servers.mcp.progress import progress
from agent.servers.mcp.refusals import refusing
from agent.servers.mcp.results import AppliedFiles, DiffText, ExportedPatch, VerificationReport
from agent.servers.mcp.sandboxes import Sandboxes
from agent.untrusted_text import one_line
from sandbox.patch.selection import file_diffs

DIFF = """\
What has changed in the sandbox since it was opened, as `git diff` prints it, with what a \
reviewer should know of it. Nothing has to be committed or added for that. The text is bounded: \
ask for one file, or have it written out by export."""

EXPORT = """\
Write the patch of what stands in the sandbox now to a file on the machine that this server runs \
on, proved against the baseline, and give its path. The sandbox goes on; closing it writes its \
last patch in any case."""

VERIFY = """\
Run a command in a fresh sandbox that has what the workspace had at first and the patch so far, \
and nothing else: what passes there does not rest on anything that the patch does not carry. \
Without a command: the one that the operator started this server with."""

APPLY = """\
Apply what has changed in the sandbox to the folder on the host that it was copied from: all of \
it, or nothing. Fails where the export gate refuses the patch, or where the folder was changed \
so that it does not fit. Applied a second time, only what is new since the first is."""


def add_patch_tools(server: MCPServer, sandboxes: Sandboxes) -> None:
    @server.tool(description=DIFF, annotations=effects("Show the patch so far", reads_only=True))
    @refusing
    async def diff(
        sandbox: Handle,
        path: Annotated[
            str, Field(max_length=4096, description="Only this file of the patch; empty: all.")
        ] = "",
    ) -> Annotated[CallToolResult, DiffText]:
        return called.result(await sandboxes.of(sandbox).ask(lambda desk: _diff(desk, path)))

    @server.tool(description=EXPORT, annotations=effects("Write out the patch so far", again=True))
    @refusing
    async def export(sandbox: Handle) -> Annotated[CallToolResult, ExportedPatch]:
        taken, file = await sandboxes.of(sandbox).ask(Desk.export)
        return called.result(ExportedPatch(file=str(file), report=results.report(taken)))

    @server.tool(
        description=VERIFY, annotations=effects("Verify the patch so far", reads_only=True)
    )
    @refusing
    async def verify(
        ctx: Context,
        sandbox: Handle,
        command: Annotated[
            str, Field(max_length=1_000_000, description="Text for bash; empty: the operator's.")
        ] = "",
    ) -> Annotated[CallToolResult, VerificationReport]:
        one = sandboxes.of(sandbox)
        async with progress(ctx, lambda: one.newest):
            result = await one.ask(lambda desk: desk.verify(command or None))
        return called.result(results.verification(result))

    @refusing
    async def apply(sandbox: Handle) -> Annotated[CallToolResult, AppliedFiles]:
        one = sandboxes.of(sandbox)
        return called.result(results.applied(str(one.job.workspace), await one.ask(Desk.apply)))

    if sandboxes.settings.may_apply:
        server.add_tool(
            apply,
            description=APPLY,
            annotations=effects("Apply to the workspace", destroys=True, again=True),
        )


def _diff(desk: Desk, path: str) -> DiffText:
    taken = desk.preview()
    most_bytes = desk.session.job.policy.limits.output_bytes
    return results.diff_text(taken, _part(taken, path), most_bytes)


def _part(taken: Preview, path: str) -> bytes:
    if not path:
        return taken.patch.data
    wanted = path.encode("utf-8", "surrogateescape")
    for file in file_diffs(taken.patch.data, taken.patch.changes):
        if wanted in {file.path, file.old_path}:
            return file.raw
    raise RequestRefused(f"the patch changes no file {one_line(path, 200)}")

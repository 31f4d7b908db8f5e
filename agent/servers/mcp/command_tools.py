"""Tools that run something in a sandbox: `run`, and processes in the background."""

from typing import Annotated

from mcp.server.mcpserver import Context, ElicitationResult, MCPServer, Resolve
from mcp.types import CallToolResult
from pydantic import Field

from agent.servers.mcp import called, results
from agent.servers.mcp.approval import Approvals, Consent, bash_arguments
from agent.servers.mcp.arguments import Handle, ProcessNumber, ShellText, effects
from agent.servers.mcp.progress import progress
from agent.servers.mcp.refusals import refusing
from agent.servers.mcp.results import CommandOutput, ProcessOutput, StartedProcess
from agent.servers.mcp.sandboxes import Sandboxes

RUN = """\
Run a command with bash in a sandbox and wait for it to end.

Every call is a fresh bash, but the working directory (`cd`), the umask and exported variables \
carry over to the next call of the same sandbox; options, functions, aliases and variables that \
are not exported do not. The first call starts in the workspace. Standard input is empty, there \
is no terminal and no network. What the policy does not allow is refused, by name before it runs \
or by the kernel ("Permission denied") while it runs; another spelling of the same program will \
not help. Some programs are run only when a person approves that exact command.

You get both streams and the exit code; a command that fails is no error of this tool. Long \
output is cut in the middle, and the whole of it is then in a file, named in the result, that \
read_file and search_files can look at. A command that takes longer than its timeout is killed \
with everything it started. Processes that a command leaves behind are killed; use \
background_start for what should live on."""

START = """\
Start a command with bash in the background and come back at once, for servers and long builds. \
You get a number: background_read says what it printed so far and whether it still runs, \
background_stop ends it with all it started. It ends with the sandbox at the latest. What may \
run is decided as for run."""

READ = """\
What a background process has printed so far, whether it still runs, and its exit code. Long \
output is cut in the middle."""

STOP = "End a background process with all it started, and give what it printed."


def add_command_tools(server: MCPServer, sandboxes: Sandboxes) -> None:
    approvals = Approvals(sandboxes)

    @server.tool(description=RUN, annotations=effects("Run a command"))
    @refusing
    async def run(
        ctx: Context,
        sandbox: Handle,
        command: ShellText,
        approval: Annotated[ElicitationResult[Consent], Resolve(refusing(approvals.of_run))],
        timeout_s: Annotated[
            float | None,
            Field(
                gt=0,
                le=86_400,
                description="Seconds after which the command and all it started are killed. Can "
                "shorten the policy's limit, which is also the default, and not pass it.",
            ),
        ] = None,
    ) -> Annotated[CallToolResult, CommandOutput]:
        arguments = bash_arguments(command, timeout_s, background=False)
        answered = approvals.settled(sandbox, arguments, approval)
        one = sandboxes.of(sandbox)
        async with progress(ctx, lambda: one.newest):
            return called.command_result(await one.call("bash", arguments, answered))

    @server.tool(description=START, annotations=effects("Start a background process"))
    @refusing
    async def background_start(
        sandbox: Handle,
        command: ShellText,
        approval: Annotated[ElicitationResult[Consent], Resolve(refusing(approvals.of_background))],
    ) -> Annotated[CallToolResult, StartedProcess]:
        arguments = bash_arguments(command, None, background=True)
        answered = approvals.settled(sandbox, arguments, approval)
        return called.started_result(await sandboxes.of(sandbox).call("bash", arguments, answered))

    @server.tool(
        description=READ, annotations=effects("Read a background process", reads_only=True)
    )
    @refusing
    async def background_read(
        sandbox: Handle, process: ProcessNumber
    ) -> Annotated[CallToolResult, ProcessOutput]:
        status = await sandboxes.of(sandbox).ask(lambda desk: desk.poll(process))
        return called.result(results.process_output(status))

    @server.tool(description=STOP, annotations=effects("Stop a background process", again=True))
    @refusing
    async def background_stop(
        sandbox: Handle, process: ProcessNumber
    ) -> Annotated[CallToolResult, ProcessOutput]:
        status = await sandboxes.of(sandbox).ask(lambda desk: desk.stop(process))
        return called.result(results.process_output(status))

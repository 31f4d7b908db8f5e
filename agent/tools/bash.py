"""The ``bash`` tool: commands in the foreground, and processes in the background."""

import re
import time
from typing import Annotated, assert_never

from pydantic import Field

from agent.tools.interface import Arguments, Tool, ToolAnswer, ToolContext
from agent.tools.sandbox_protocol import SandboxProtocol
from agent.untrusted_text import decode, one_line, path_text
from policies.errors import listed
from policies.file.scalars import spelled_size
from policies.policy import ContainerLimits
from sandbox.patch.values import LeftOutKind
from sandbox.results import CommandResult, Ending, LimitMet

_LONGEST_S = 86_400
_REFUSED_NAMED = 8
_LONGEST_PATH = 4096
_PID_TRIES = 50
_PID_WAIT_S = 0.01


class BashArguments(Arguments):
    command: Annotated[
        str,
        Field(
            min_length=1,
            max_length=1_000_000,
            pattern=r"^[^\x00]*$",
            description="Text for bash: one command, a pipeline, or a script of several lines.",
        ),
    ]
    timeout_s: Annotated[
        float | None,
        Field(
            gt=0,
            le=_LONGEST_S,
            description="Seconds after which the command and all it started are killed. Can "
            "shorten the policy's limit, which is also the default, and not pass it.",
        ),
    ] = None
    background: Annotated[
        bool,
        Field(description="Start it and come back at once, for servers and long builds."),
    ] = False


DESCRIPTION = """\
Run a command with bash in the sandbox and wait for it to end.

Every call is a fresh bash, but the working directory (`cd`, `cd -`, `pushd`), the umask and \
exported variables carry over to the next call; options (`set`, `shopt`), shell functions, aliases \
and variables that are not exported do not. The first call starts in the workspace. Standard input \
is empty, there is no terminal and no network. What a policy does not allow is refused, by name \
before it runs or by the kernel ("Permission denied") while it runs; another spelling of the same \
program will not help.

You get standard output, standard error and the exit code. Long output is cut in the middle, and \
the whole of it is then in a file, named in the result, that read_file and search_files can look \
at. A command that takes longer than its timeout is killed with everything it started (exit code \
124). Processes that a command leaves behind when it ends are killed; use background for what \
should live on.

With background: true you get a number, and the files its output goes to: look at them with \
read_file, end it with `kill`. A background process ends with the run. Use read_file, edit_file \
and search_files rather than cat, sed and grep where you can: their results are shorter."""


def act(arguments: BashArguments, sandbox: SandboxProtocol, context: ToolContext) -> ToolAnswer:
    if arguments.background:
        return _background(arguments.command, sandbox)
    longest = max(0.1, min(context.limits.command_timeout_s, context.left_s))
    timeout_s = min(arguments.timeout_s or longest, longest)
    result = sandbox.run(arguments.command, timeout_s=timeout_s, on_output=context.on_output)
    exited = result.ending is Ending.EXITED
    return ToolAnswer(
        text=_report(result, timeout_s, context) + _unusable(arguments.command, sandbox),
        brief=f"exit {result.exit_code}" if exited else str(result.ending),
        exit_code=result.exit_code,
        ending=result.ending,
        is_error=not exited,
        refused=result.refused,
        limits=result.limits,
    )


def _report(result: CommandResult, timeout_s: float, context: ToolContext) -> str:
    parts = []
    if out := decode(result.stdout):
        parts.append(out.rstrip("\n"))
    if err := decode(result.stderr):
        parts.append(f"[stderr]\n{err.rstrip()}")
    if result.refused:
        parts.append(f"[the kernel refused {_refused_in_words(result.refused, context)}]")
    parts.append(_last_line(result, timeout_s, context.limits))
    return "\n".join(parts)


def _unusable(command: str, sandbox: SandboxProtocol) -> str:
    """What a command names that was copied and does not work in the sandbox."""
    return "".join(
        f"\n[{path_text(item.path)} {one_line(item.reason)}]"
        for item in sandbox.left_behind
        if item.kind is LeftOutKind.UNUSABLE and _touches(command, path_text(item.path))
    )


def _touches(command: str, path: str) -> bool:
    return (
        (re.search(r"\bgit\b", command) is not None) if path.startswith(".git") else path in command
    )


def _refused_in_words(programs: tuple[str, ...], context: ToolContext) -> str:
    named = listed((one_line(program, 200) for program in programs), _REFUSED_NAMED)
    hint = context.instead(programs[0].rpartition("/")[2])
    return f"{named}: not among what the policy lets run; {hint}"


def _limits_in_words(result: CommandResult, limits: ContainerLimits) -> list[str]:
    """What the kernel held its processes to, where the command's ending does not say it."""
    notes = []
    for limit in result.limits:
        match limit:
            case LimitMet.MEMORY if result.ending is not Ending.OUT_OF_MEMORY:
                size = spelled_size(limits.memory_bytes)
                notes.append(f"processes were killed: out of memory (limits.memory, {size})")
            case LimitMet.PIDS:
                notes.append(
                    f"processes could not be started: {limits.pids} run already (limits.pids)"
                )
            case LimitMet.DISK if result.ending is not Ending.OUT_OF_DISK:
                size = spelled_size(limits.disk_bytes)
                notes.append(
                    f"the disk limit is used up (limits.disk, {size}), background processes that "
                    "wrote were killed: delete what you can spare"
                )
    return notes


def _last_line(result: CommandResult, timeout_s: float, limits: ContainerLimits) -> str:
    notes = []
    match result.ending:
        case Ending.EXITED:
            notes.append(f"exit code {result.exit_code}")
        case Ending.TIMED_OUT:
            notes.append(
                f"killed after {timeout_s:g} s (limits.command_timeout is "
                f"{limits.command_timeout_s:g} s): give it a longer timeout_s up to the limit,"
                " less to do, or background: true"
            )
        case Ending.OUT_OF_MEMORY:
            size = spelled_size(limits.memory_bytes)
            notes.append(f"killed: out of memory (limits.memory, {size}); use less at a time")
        case Ending.LOST:
            notes.append(
                "lost: the sandbox's command server died under it and was started again; files are "
                "still there, the working directory and exported variables are reset"
            )
        case Ending.OUT_OF_DISK:
            size = spelled_size(limits.disk_bytes)
            notes.append(
                f"killed: the disk limit is used up (limits.disk, {size}); "
                "delete what you can spare"
            )
        case Ending.HOST_DISK_LOW:
            notes.append(
                "killed: the disk of the machine that the sandbox is on is nearly full; "
                "delete what you can spare"
            )
        case Ending.CANCELLED:
            notes.append("ended by the operator")
        case _:
            assert_never(result.ending)
    notes += _limits_in_words(result, limits)
    if result.leftovers:
        notes.append(f"{result.leftovers} processes it left running were killed")
    notes.append(f"{result.duration_s:.2f} s")
    # A directory's name may hold a line break, and what it says must stay a part of this line.
    notes.append(f"now in {one_line(result.cwd, _LONGEST_PATH)}")
    return f"[{'; '.join(notes)}]"


def _background(command: str, sandbox: SandboxProtocol) -> ToolAnswer:
    # The first line of its standard error is its process id, which is its group's id too.
    number = sandbox.start(f"printf '%s\\n' \"$$\" >&2\n{command}")
    status = sandbox.poll(number)
    for _ in range(_PID_TRIES):
        if status.err.head.find(b"\n") >= 0 or status.exit_code is not None:
            break
        time.sleep(_PID_WAIT_S)
        status = sandbox.poll(number)
    pid, _, _ = status.err.head.partition(b"\n")
    lines = [f"Background process {number} started."]
    if pid.isdigit():
        lines.append(f"To end it with all it started: kill -- -{pid.decode()}")
    for label, stream in (("output", status.out), ("error", status.err)):
        if stream.spill:
            lines.append(f"Its standard {label} goes to {stream.spill}")
    if status.exit_code is not None:
        lines.append(f"It has ended already, with exit code {status.exit_code}.")
        lines.append(decode(status.out.data + status.err.data).strip())
    return ToolAnswer(text="\n".join(lines), brief=f"background {number}")


TOOL = Tool(name="bash", description=DESCRIPTION, arguments=BashArguments, act=act)

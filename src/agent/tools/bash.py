"""The ``bash`` tool: commands in the foreground, and processes in the background."""

import time
from typing import Annotated, assert_never

from pydantic import Field

from agent.box import Box
from agent.text import decode
from agent.tools.tool import Answer, Arguments, Setting, Tool
from sandbox.results import CommandResult, Ending

_LONGEST_S = 86_400
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

Every call is a fresh bash, but the working directory (`cd`) and exported variables carry over to \
the next call; shell functions, aliases and variables that are not exported do not. The first call \
starts in the workspace. Standard input is empty, there is no terminal and no network. What a \
policy does not allow is refused, by name before it runs or by the kernel ("Permission denied") \
while it runs; another spelling of the same program will not help.

You get standard output, standard error and the exit code. Long output is cut in the middle, and \
the whole of it is then in a file, named in the result, that read_file and search_files can look \
at. A command that takes longer than its timeout is killed with everything it started (exit code \
124). Processes that a command leaves behind when it ends are killed; use background for what \
should live on.

With background: true you get a number, and the files its output goes to: look at them with \
read_file, end it with `kill`. A background process ends with the run. Use read_file, edit_file \
and search_files rather than cat, sed and grep where you can: their results are shorter."""


def act(arguments: BashArguments, box: Box, setting: Setting) -> Answer:
    if arguments.background:
        return _background(arguments.command, box)
    longest = max(0.1, min(setting.command_timeout_s, setting.left_s))
    timeout_s = min(arguments.timeout_s or longest, longest)
    result = box.run(arguments.command, timeout_s=timeout_s, on_output=setting.on_output)
    return Answer(
        text=_report(result, timeout_s),
        brief=_brief(result),
        exit_code=result.exit_code,
        ending=result.ending,
        is_error=result.ending is not Ending.EXITED,
    )


def _report(result: CommandResult, timeout_s: float) -> str:
    parts = []
    if out := decode(result.stdout):
        parts.append(out.rstrip("\n"))
    if err := decode(result.stderr):
        parts.append(f"[stderr]\n{err.rstrip()}")
    parts.append(_last_line(result, timeout_s))
    return "\n".join(parts)


def _last_line(result: CommandResult, timeout_s: float) -> str:
    notes = []
    match result.ending:
        case Ending.EXITED:
            notes.append(f"exit code {result.exit_code}")
        case Ending.TIMED_OUT:
            notes.append(
                f"killed after {timeout_s:g} s: give it a longer timeout_s up to the limit,"
                " less to do, or background: true"
            )
        case Ending.OUT_OF_MEMORY:
            notes.append("killed: out of memory (the sandbox's limit); use less at a time")
        case Ending.LOST:
            notes.append(
                "lost: the sandbox's command server died under it and was started again; files are "
                "still there, the working directory and exported variables are reset"
            )
        case Ending.OUT_OF_DISK:
            notes.append("killed: the sandbox's disk limit is used up; delete what you can spare")
        case Ending.CANCELLED:
            notes.append("ended by the operator")
        case _:
            assert_never(result.ending)
    if result.leftovers:
        notes.append(f"{result.leftovers} processes it left running were killed")
    notes.append(f"{result.duration_s:.2f} s")
    notes.append(f"now in {result.cwd}")
    return f"[{'; '.join(notes)}]"


def _brief(result: CommandResult) -> str:
    match result.ending:
        case Ending.EXITED:
            return f"exit {result.exit_code}"
        case _:
            return str(result.ending)


def _background(command: str, box: Box) -> Answer:
    # The first line of its standard error is its process id, which is its group's id too.
    number = box.start(f"printf '%s\\n' \"$$\" >&2\n{command}")
    status = box.poll(number)
    for _ in range(_PID_TRIES):
        if status.err.head.find(b"\n") >= 0 or status.exit_code is not None:
            break
        time.sleep(_PID_WAIT_S)
        status = box.poll(number)
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
    return Answer(text="\n".join(lines), brief=f"background {number}")


TOOL = Tool(name="bash", description=DESCRIPTION, arguments=BashArguments, act=act)

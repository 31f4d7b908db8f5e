"""The ``search_files`` tool: ripgrep in the container, or grep where there is none."""

from typing import Annotated

from pydantic import Field

from agent.tools.interface import Arguments, Path, Tool, ToolAnswer, ToolContext
from agent.tools.sandbox_protocol import SandboxProtocol
from agent.untrusted_text import decode
from sandbox.errors import FileError
from sandbox.results import CommandResult, Ending

_SHOWN_LINES = 200
_LONGEST_LINE = 300
_TIMEOUT_S = 60.0
_CANNOT_RUN = (126, 127)


class SearchArguments(Arguments):
    pattern: Annotated[
        str,
        Field(
            min_length=1,
            max_length=10_000,
            pattern=r"^[^\x00]*$",
            description="A regular expression, matched line by line, case-sensitive; (?i) first "
            "makes it insensitive.",
        ),
    ]
    path: Path = "."
    glob: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=1000,
            pattern=r"^[^\x00]*$",
            description="Only files whose names fit, such as *.py; ! in front excludes.",
        ),
    ] = None


DESCRIPTION = f"""\
Search the lines of all files below a path for a regular expression (ripgrep's syntax; literal \
( ) [ ] {{ }} . * + ? need a backslash). Each hit comes as path:line:text, at most {_SHOWN_LINES} \
of them, in order of their paths; a cut is said so. Files that .gitignore leaves out, .git and \
binary files are not searched; other hidden files are. No hit is a normal answer, not an error. \
Errors: a pattern that does not parse, a path that is not there."""


def act(arguments: SearchArguments, sandbox: SandboxProtocol, context: ToolContext) -> ToolAnswer:
    timeout_s = max(0.1, min(_TIMEOUT_S, context.limits.command_timeout_s, context.left_s))
    result = _try(sandbox, _ripgrep(arguments), timeout_s) or _try(
        sandbox, _grep(arguments), timeout_s
    )
    if result is None:
        return ToolAnswer(
            text="Neither rg nor grep can be run here: look with list_dir and read_file.",
            brief="no search program",
            is_error=True,
        )
    return _answer(result, arguments)


def _ripgrep(arguments: SearchArguments) -> list[str]:
    argv = [
        "rg",
        "--no-config",
        "--color=never",
        "--no-heading",
        "--with-filename",
        "--line-number",
    ]
    argv += ["--hidden", "--glob=!.git", "--sort=path", f"--max-columns={_LONGEST_LINE}"]
    argv += ["--max-columns-preview", f"--max-count={_SHOWN_LINES}"]
    if arguments.glob is not None:
        argv.append(f"--glob={arguments.glob}")
    return [*argv, f"--regexp={arguments.pattern}", "--", arguments.path]


def _grep(arguments: SearchArguments) -> list[str]:
    argv = ["grep", "-rnHIE", "--color=never", "--exclude-dir=.git", f"--max-count={_SHOWN_LINES}"]
    pattern = arguments.pattern
    if pattern.startswith("(?i)"):
        argv.append("-i")
        pattern = pattern.removeprefix("(?i)")
    if arguments.glob is not None:
        excluded = arguments.glob.startswith("!")
        option = "--exclude" if excluded else "--include"
        argv.append(f"{option}={arguments.glob.removeprefix('!')}")
    return [*argv, f"--regexp={pattern}", "--", arguments.path]


def _try(sandbox: SandboxProtocol, argv: list[str], timeout_s: float) -> CommandResult | None:
    """Run it; None where the image does not hold it or the policy does not let it run."""
    try:
        result = sandbox.run_program(argv, timeout_s=timeout_s)
    except FileError:
        return None
    if result.exit_code in _CANNOT_RUN and result.ending is Ending.EXITED:
        return None
    return result


def _answer(result: CommandResult, arguments: SearchArguments) -> ToolAnswer:
    # By line feeds alone: a form feed, or a line separator, is a part of what was found.
    lines = [line.removesuffix("\r") for line in decode(result.stdout).split("\n")]
    if not lines[-1]:
        lines.pop()
    if result.ending is not Ending.EXITED:
        return ToolAnswer(
            text="\n".join(
                [*lines[:_SHOWN_LINES], f"[the search ended: {result.ending}; narrow it]"]
            ),
            brief=str(result.ending),
            is_error=True,
        )
    if not lines and result.exit_code > 1:
        return ToolAnswer(
            text=f"The search failed: {decode(result.stderr).strip() or 'no reason given'}",
            brief="failed",
            is_error=True,
        )
    if not lines:
        where = f" in files like {arguments.glob}" if arguments.glob else ""
        return ToolAnswer(text=f"No line matches{where} below {arguments.path}.", brief="no hits")
    shown = [_cut(line.removeprefix("./")) for line in lines[:_SHOWN_LINES]]
    if len(lines) > _SHOWN_LINES or result.out.cut:
        shown.append(f"[only {len(shown)} hits are shown: narrow it by pattern, path or glob]")
    return ToolAnswer(text="\n".join(shown), brief=f"{min(len(lines), _SHOWN_LINES)} hits")


def _cut(line: str) -> str:
    longest = _LONGEST_LINE * 2
    return line if len(line) <= longest else line[:longest] + " [cut]"


TOOL = Tool(name="search_files", description=DESCRIPTION, arguments=SearchArguments, act=act)

"""The ``write_file``, ``edit_file`` and ``delete_file`` tools. Edits work on bytes: what is not
touched stays as it was, whatever its encoding and line ends."""

from typing import Annotated

from pydantic import Field

from agent.tools.interface import Arguments, Path, Tool, ToolAnswer, ToolContext
from agent.tools.sandbox_protocol import SandboxProtocol
from agent.untrusted_text import decode
from sandbox.errors import FileExists

_EDITABLE_BYTES = 16 << 20
_HINT_LINES = 5000
_HINT_RATIO = 0.6


class WriteArguments(Arguments):
    path: Path
    content: Annotated[str, Field(description="The whole file, final newline included.")]
    overwrite: Annotated[
        bool, Field(description="Must be true to replace a file that is there already.")
    ] = False


class EditArguments(Arguments):
    path: Path
    old_string: Annotated[
        str,
        Field(
            min_length=1,
            description="Text as it stands in the file, indentation included, without the line "
            "numbers of read_file; with enough around it to be found exactly once.",
        ),
    ]
    new_string: Annotated[str, Field(description="What takes its place; may be empty.")]
    replace_all: Annotated[
        bool, Field(description="Replace every occurrence, not exactly one.")
    ] = False


class DeleteArguments(Arguments):
    path: Path


WRITE_DESCRIPTION = """\
Write a whole text file as UTF-8. Missing parent folders are made. A file that is there already is \
left alone and you get an error, unless overwrite is true; to change a part of one, use edit_file. \
Errors: the file exists, the path is a directory, or the policy does not let you write there."""

EDIT_DESCRIPTION = """\
Replace a piece of text in a file. old_string must match exactly, blanks and all, and must stand \
in the file exactly once, unless replace_all is true. Where it does not you get an error that says \
how often it was found, or what comes nearest to it, and the file is unchanged. In a file whose \
lines end in CR LF, write plain newlines: they are matched and kept."""

DELETE_DESCRIPTION = """\
Delete one file or one symbolic link (the link, not what it points at). A directory is refused: \
delete what is in it; empty directories are no part of the result. Errors: no such file, a \
directory, or the policy does not let you write there."""


def write(arguments: WriteArguments, sandbox: SandboxProtocol, _context: ToolContext) -> ToolAnswer:
    data = arguments.content.encode("utf-8", "replace")
    try:
        sandbox.write_file(arguments.path, data, overwrite=arguments.overwrite)
    except FileExists:
        return ToolAnswer(
            text=f"{arguments.path} is there already, and was left as it is: use edit_file to "
            "change a part of it, or overwrite: true to replace all of it.",
            brief="exists already",
            is_error=True,
        )
    lines = data.count(b"\n") + (not data.endswith(b"\n") and bool(data))
    return ToolAnswer(
        text=f"Wrote {arguments.path}: {lines} lines, {len(data)} bytes.",
        brief=f"{lines} lines",
    )


def edit(arguments: EditArguments, sandbox: SandboxProtocol, _context: ToolContext) -> ToolAnswer:
    if arguments.old_string == arguments.new_string:
        return _unchanged("old_string and new_string are the same.", "nothing to do")
    data = sandbox.read_file(arguments.path, limit=_EDITABLE_BYTES + 1)
    if len(data) > _EDITABLE_BYTES:
        return _unchanged(
            f"{arguments.path} has more than {_EDITABLE_BYTES} bytes, too many for edit_file: "
            "use a program in bash.",
            "too large",
        )
    old = arguments.old_string.encode("utf-8", "replace")
    new = arguments.new_string.encode("utf-8", "replace")
    found = data.count(old)
    if not found and b"\r\n" in data and b"\r" not in old:
        old, new = _with_crlf(old), _with_crlf(new)
        found = data.count(old)
    if not found:
        hint = _nearest(decode(data), arguments.old_string)
        return _unchanged(f"old_string is not in {arguments.path}. {hint}", "no match")
    if found > 1 and not arguments.replace_all:
        lines = ", ".join(str(number) for number in _line_numbers(data, old)[:10])
        return _unchanged(
            f"old_string stands {found} times in {arguments.path} (at lines {lines}): give more of "
            "what is around it, or replace_all: true.",
            f"{found} matches",
        )
    sandbox.write_file(arguments.path, data.replace(old, new), overwrite=True)
    line = _line_numbers(data, old)[0]
    times = "1 replacement" if found == 1 else f"{found} replacements"
    return ToolAnswer(text=f"Edited {arguments.path}: {times}, first at line {line}.", brief=times)


def delete(
    arguments: DeleteArguments, sandbox: SandboxProtocol, _context: ToolContext
) -> ToolAnswer:
    sandbox.delete_file(arguments.path)
    return ToolAnswer(text=f"Deleted {arguments.path}.", brief="deleted")


def _unchanged(text: str, brief: str) -> ToolAnswer:
    return ToolAnswer(text=f"{text} The file is unchanged.", brief=brief, is_error=True)


def _with_crlf(data: bytes) -> bytes:
    return data.replace(b"\n", b"\r\n")


def _line_numbers(data: bytes, piece: bytes) -> list[int]:
    numbers = []
    at = data.find(piece)
    line, counted = 1, 0
    while at >= 0:
        line += data.count(b"\n", counted, at)
        counted = at
        numbers.append(line)
        at = data.find(piece, at + len(piece))
    return numbers


def _nearest(text: str, wanted: str) -> str:
    """Where the first telling line of what was wanted stands, or something like it."""
    lines = text.split("\n")[:_HINT_LINES]
    telling = next((line for line in wanted.split("\n") if line.strip()), "")
    if not telling:
        return "It is blank: give text that can be found."
    for number, line in enumerate(lines, 1):
        if line.strip() == telling.strip():
            if line.rstrip("\r") == telling:
                return f"Its first line stands at line {number}; what follows there differs."
            return f"Line {number} differs in blanks only: {line[:300]!r}."
    from difflib import get_close_matches  # noqa: PLC0415 - for a mistake only

    close = get_close_matches(telling, lines, n=1, cutoff=_HINT_RATIO)
    if not close:
        return "Nothing like its first line is in the file: read it again."
    return f"Nearest is line {lines.index(close[0]) + 1}: {close[0][:300]!r}."


WRITE = Tool(name="write_file", description=WRITE_DESCRIPTION, arguments=WriteArguments, act=write)
EDIT = Tool(name="edit_file", description=EDIT_DESCRIPTION, arguments=EditArguments, act=edit)
DELETE = Tool(
    name="delete_file", description=DELETE_DESCRIPTION, arguments=DeleteArguments, act=delete
)

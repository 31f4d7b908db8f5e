"""The ``write_file``, ``edit_file`` and ``delete_file`` tools. Edits work on bytes: what is not
touched stays as it was, whatever its encoding and line ends."""

import contextlib
import posixpath
from typing import Annotated

from pydantic import Field

from agent.tools.interface import Arguments, Path, Tool, ToolAnswer, ToolContext
from agent.tools.sandbox_protocol import SandboxProtocol
from policies.paths import WORKSPACE, normal
from sandbox.errors import FileDenied, FileError, FileExists
from sandbox.patch.values import LeftOutKind

_EDITABLE_BYTES = 16 << 20


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
Replaced files keep CR LF line ends and a byte order mark. \
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
    _refuse_left_out(arguments.path, sandbox)
    data = arguments.content.encode("utf-8", "replace")
    kept: list[str] = []
    if arguments.overwrite:
        from agent.tools.text_edit import SAMPLE_BYTES, in_form_of  # noqa: PLC0415 - as below

        with contextlib.suppress(FileError):
            before = sandbox.read_file(arguments.path, limit=SAMPLE_BYTES)
            data, kept = in_form_of(before, data)
    try:
        sandbox.write_file(arguments.path, data, overwrite=arguments.overwrite)
    except FileExists:
        return ToolAnswer(
            text=f"{arguments.path} is there already, and was left as it was. The policy lets you "
            "change it: use edit_file for a part of it, or overwrite: true to replace all of it.",
            brief="exists already",
            is_error=True,
        )
    lines = data.count(b"\n") + (not data.endswith(b"\n") and bool(data))
    return ToolAnswer(
        text=f"Wrote {arguments.path}: {lines} lines, {len(data)} bytes."
        + (f" It keeps {' and '.join(kept)}." if kept else ""),
        brief=f"{lines} lines",
    )


def edit(arguments: EditArguments, sandbox: SandboxProtocol, _context: ToolContext) -> ToolAnswer:
    if arguments.old_string == arguments.new_string:
        return _unchanged("old_string and new_string are the same.", "nothing to do")
    _refuse_left_out(arguments.path, sandbox)
    data = sandbox.read_file(arguments.path, limit=_EDITABLE_BYTES + 1)
    if len(data) > _EDITABLE_BYTES:
        return _unchanged(
            f"{arguments.path} has more than {_EDITABLE_BYTES} bytes, too many for edit_file: "
            "use a program in bash.",
            "too large",
        )
    from agent.tools.text_edit import NotEdited, replaced  # noqa: PLC0415 - runs that read need none

    edited = replaced(data, arguments.old_string, arguments.new_string, every=arguments.replace_all)
    if isinstance(edited, NotEdited):
        return _unchanged(f"{arguments.path} was not edited. {edited.reason}", edited.brief)
    sandbox.write_file(arguments.path, edited.data, overwrite=True)
    times = "1 replacement" if len(edited.lines) == 1 else f"{len(edited.lines)} replacements"
    return ToolAnswer(
        text=f"Edited {arguments.path}: {times}, first at line {edited.lines[0]}.", brief=times
    )


def delete(
    arguments: DeleteArguments, sandbox: SandboxProtocol, _context: ToolContext
) -> ToolAnswer:
    _refuse_left_out(arguments.path, sandbox)
    sandbox.delete_file(arguments.path)
    return ToolAnswer(text=f"Deleted {arguments.path}.", brief="deleted")


def _refuse_left_out(path: str, sandbox: SandboxProtocol) -> None:
    """Raise for a file that stands in the user's workspace and not in the copy of it: what is done
    to one here is no change of the other. By its text: what a link leads to, the export sees.
    """
    at = posixpath.relpath(normal(path), WORKSPACE).encode("utf-8", "surrogateescape")
    for item in sandbox.left_behind:
        if item.kind is LeftOutKind.RULE and (at + b"/").startswith(item.path + b"/"):
            raise FileDenied(
                "the policy leaves it out of the sandbox: in the user's workspace it "
                f"{item.reason}. A change of it can't become part of the patch; tell the user what "
                "to change instead"
            )


def _unchanged(text: str, brief: str) -> ToolAnswer:
    return ToolAnswer(text=f"{text} The file is unchanged.", brief=brief, is_error=True)


WRITE = Tool(name="write_file", description=WRITE_DESCRIPTION, arguments=WriteArguments, act=write)
EDIT = Tool(name="edit_file", description=EDIT_DESCRIPTION, arguments=EditArguments, act=edit)
DELETE = Tool(
    name="delete_file", description=DELETE_DESCRIPTION, arguments=DeleteArguments, act=delete
)

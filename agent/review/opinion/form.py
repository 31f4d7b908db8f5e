"""How a reviewer answers: the one tool that it answers by, and its answer with places looked up.

Owns the form, which is strict: an answer that does not fit is none. A place that a reviewer names
is a claim: the file must be in the patch or in the result, and the line in the file.
"""

import os
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

from pydantic import Field

from agent.risk.opinion import Concern, OpinionVerdict
from agent.tools.interface import Arguments, Tool, ToolAnswer, ToolContext
from agent.tools.sandbox_protocol import SandboxProtocol
from agent.untrusted_text import path_text
from policies.paths import WORKSPACE
from sandbox.errors import FileError, SandboxError
from sandbox.patch.values import Change

GIVE_OPINION = "give_opinion"
_PIECE_BYTES = 1 << 20
_SCAN_BYTES = 16 << 20
"""How far into a file lines are counted."""


class ConcernArguments(Arguments):
    concern: Annotated[
        str, Field(min_length=1, max_length=2000, description="What is wrong, and why it matters.")
    ]
    file: Annotated[
        str | None, Field(max_length=4096, description="Path of the file, as the patch has it.")
    ] = None
    line: Annotated[
        int | None, Field(ge=1, description="Line in the new file, counted from 1.")
    ] = None


class OpinionArguments(Arguments):
    # Not strict: in JSON a verdict is a string, which strict mode would not take for the enum.
    verdict: Annotated[OpinionVerdict, Field(strict=False)]
    reason: Annotated[
        str, Field(min_length=1, max_length=4000, description="Why, in a few sentences.")
    ]
    concerns: Annotated[
        list[ConcernArguments], Field(max_length=50, description="The gravest first; may be empty.")
    ]
    missed: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=1000)]],
        Field(max_length=20, description="What the task asks for and the patch does not do."),
    ]


_DESCRIPTION = """\
Give your opinion of the patch. This ends the review, so call it once, alone, when you have looked \
at what you need to. approve: it does what the task asks, and you found nothing that a person \
must mend first. reject: it must not be taken as it is. unsure: you can't tell, or could not see \
enough."""


def _act(_given: OpinionArguments, _box: SandboxProtocol, _context: ToolContext) -> ToolAnswer:
    return ToolAnswer(text="", brief="")  # nothing is done with it in a sandbox


TOOL = Tool(name=GIVE_OPINION, description=_DESCRIPTION, arguments=OpinionArguments, act=_act)


def placed(
    concerns: Sequence[ConcernArguments], changes: Sequence[Change], box: SandboxProtocol
) -> Iterator[Concern]:
    """The concerns, each at a place that is there, or at none.

    Args:
        box: has baseline + patch.
    """
    names = {path_text(change.path): change for change in changes}
    names |= {path_text(it.old_path): it for it in changes if it.old_path is not None} | names
    for concern in concerns:
        yield _placed(concern, names, box)


def _placed(given: ConcernArguments, names: Mapping[str, Change], box: SandboxProtocol) -> Concern:
    if not (given.file or "").strip():
        return Concern(path=b"", line=None, text=given.concern)
    named = given.file or ""
    change = names.get(named) or names.get(_inside(named))
    if change is not None and not change.new_mode:
        return Concern(path=change.path, line=None, text=given.concern)
    try:
        path = change.path if change is not None else os.fsencode(_inside(named))
        line_is_there = _has_line(box, os.fsdecode(path), given.line) if path else None
    except (FileError, SandboxError, ValueError):
        path, line_is_there = b"" if change is None else change.path, None
    if line_is_there is None and change is None:
        where = named if given.line is None else f"{named}:{given.line}"
        words = f"{given.concern} (said of {where}, which is not there)"
        return Concern(path=b"", line=None, text=words)
    if given.line is not None and not line_is_there:
        words = f"{given.concern} (said of line {given.line}, which is not there)"
        return Concern(path=path, line=None, text=words)
    return Concern(path=path, line=given.line, text=given.concern)


def _inside(named: str) -> str:
    """The path below the workspace; empty where it leads elsewhere."""
    path = posixpath.normpath(posixpath.join(WORKSPACE, named))
    inside = path.removeprefix(f"{WORKSPACE}/")
    return inside if inside != path and inside not in {"", "."} else ""


def _has_line(box: SandboxProtocol, path: str, line: int | None) -> bool:
    """Whether a file has so many lines. Raises `FileError` where it can't be read."""
    lines, at, last = 0, 0, b"\n"
    while at < _SCAN_BYTES:
        data = box.read_file(path, offset=at, limit=_PIECE_BYTES)[:_PIECE_BYTES]
        if not data:
            break
        lines, last, at = lines + data.count(b"\n"), data[-1:], at + len(data)
        if line is None or lines >= line:
            return True
    return line is None or lines + (last != b"\n") >= line

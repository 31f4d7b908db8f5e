"""Results of the protocol, and what calls of the agent's own tools come to as such."""

import base64
from collections.abc import Sequence

from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import CallToolResult, ContentBlock, ImageContent, TextContent

from agent.models.interface import Image
from agent.record.events.conversation import CallEnded, CallRefused
from agent.servers.mcp.desk import CallReport
from agent.servers.mcp.results import ClientResult, CommandOutput, StartedProcess, ToolOutput


def command_result(report: CallReport) -> CallToolResult:
    """Of a command: one that fails is a result, one that was ended is an error with its output.

    Raises:
        ToolError: it did not run.
    """
    ended = _ended(report)
    output = CommandOutput(
        output=_text(report),
        exit_code=ended.exit_code,
        ending="" if ended.ending is None else str(ended.ending),
        refused=list(ended.refused),
    )
    return result(output, is_error=ended.is_error)


def started_result(report: CallReport) -> CallToolResult:
    """Of a process that was started in the background. Raises: as `command_result`."""
    ended = _ended(report)
    number = ended.brief.rpartition(" ")[2]
    return result(StartedProcess(process=int(number), output=_text(report)))


def tool_result(report: CallReport) -> CallToolResult:
    """Of any other tool. Raises: as `command_result`."""
    _ended(report)
    return result(ToolOutput(output=_text(report)), images=report.images)


def _ended(report: CallReport) -> CallEnded:
    """The call, where it ran. Raises ToolError where it did not, or nothing came of it."""
    ended = report.ended
    if isinstance(ended, CallRefused) or (ended.is_error and ended.ending is None):
        raise ToolError(_text(report))
    return ended


def _text(report: CallReport) -> str:
    return "\n".join(filter(None, (report.note, report.ended.text)))


def result(
    value: ClientResult, *, images: Sequence[Image] = (), is_error: bool = False
) -> CallToolResult:
    """A value for programs, and the same in words for a model."""
    content: list[ContentBlock] = [TextContent(type="text", text=value.in_words())]
    content += [
        ImageContent(
            type="image", data=base64.b64encode(image.data).decode(), mime_type=image.media_type
        )
        for image in images
    ]
    return CallToolResult(
        content=content, structured_content=value.model_dump(mode="json"), is_error=is_error
    )

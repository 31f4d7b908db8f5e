"""Results of tools in words, as both APIs take them.

Pure. Neither API has a field for an error, or takes an empty text everywhere.
"""

import base64
from typing import Final

from agent.models.interface import Image, ToolResult
from agent.models.utf8 import encodable

NOTHING_SAID: Final = "(an empty message)"
_NO_OUTPUT: Final = "(no output)"
"""Some services refuse a message of no text."""


def outcome(result: ToolResult) -> str:
    text = encodable(result.text) if result.text.strip() else _NO_OUTPUT
    return f"Error: {text}" if result.is_error else text


def images_of(result: ToolResult) -> str:
    """How many images a result has, in words."""
    number = len(result.images)
    return f"{number} image{'s' if number > 1 else ''} of the result of {result.tool_use_id}"


def without_images(result: ToolResult) -> str:
    """What stands for its images where the service takes none."""
    return encodable(f"({images_of(result)}: left out, this service takes no images.)")


def data_url(image: Image) -> str:
    return f"data:{image.media_type};base64,{base64.b64encode(image.data).decode('ascii')}"

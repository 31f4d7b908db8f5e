"""``moonpool image list``."""

from rich.table import Table

from agent.cli.arguments import Command, Given
from agent.cli.setup import environment, exit_codes
from agent.terminal.rich_screen import console
from images.listing import rows
from sandbox.engine.docker import Engine

_MEGABYTE = 1_000_000


def list_images(_given: Given) -> int:
    """Print a row an image; gives the exit code."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("IMAGE", "STATE", "REFERENCE", "SIZE", "BASE"):
        table.add_column(name, overflow="fold")
    for row in rows(Engine.connect(environment.environ())):
        size = f"{row.size_bytes / _MEGABYTE:.0f} MB" if row.size_bytes else ""
        table.add_row(row.recipe, row.state, row.reference, size, row.base)
    console().print(table)
    return exit_codes.DONE


COMMAND = Command(
    list_images,
    (),
    """

    Example: moonpool image list
    """,
)

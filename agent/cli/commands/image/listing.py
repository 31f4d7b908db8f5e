"""``moonpool image list``."""

import time

from rich.table import Table

from agent.cli.arguments import Command, Given
from agent.preparation import environment, exit_codes
from agent.terminal.rich_screen import console
from images.listing import rows
from sandbox.engine.docker import Engine
from sandbox.opening.stored import time_of

_MEGABYTE = 1_000_000


def list_images(_given: Given) -> int:
    """Print a row an image; gives the exit code."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    now = time.time()
    for name in ("IMAGE", "STATE", "REFERENCE", "SIZE", "AGE", "USED", "BASE"):
        table.add_column(name, overflow="fold")
    for row in rows(Engine.connect(environment.environ())):
        size = f"{row.size_bytes / _MEGABYTE:.0f} MB" if row.size_bytes else ""
        made = time_of(row.created) or now
        used = "" if row.used_s is None else _age(now - row.used_s)
        age = _age(now - made) if row.image_id else ""
        table.add_row(row.recipe or "-", row.state, row.reference, size, age, used, row.base)
    console().print(table)
    return exit_codes.DONE


def _age(seconds: float) -> str:
    """In the largest unit of which there is one."""
    for unit, size_s in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size_s:
            return f"{seconds / size_s:.0f} {unit}"
    return "now"


COMMAND = Command(
    list_images,
    (),
    """

    Example: moonpool image list
    """,
)

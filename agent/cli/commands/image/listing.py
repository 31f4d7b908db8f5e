"""``moonpool image list``."""

import time
from dataclasses import asdict

from agent import exit_codes
from agent.cli.arguments import Command, Given
from agent.cli.options import AS_JSON
from agent.cli.saying import print_json
from agent.config import environment
from agent.terminal.screen import open_screen
from agent.terminal.table import Column, print_table
from agent.untrusted_text import one_line
from images.listing import ImageRow, rows
from sandbox.engine.docker import Engine
from sandbox.opening.stored import time_of

_MEGABYTE = 1_000_000
_COLUMNS = (
    Column(head="IMAGE"),
    Column(head="STATE"),
    Column(head="REFERENCE", least=16, drop=1, from_end=True),
    Column(head="SIZE", drop=2, right=True),
    Column(head="AGE", drop=4, right=True),
    Column(head="USED", drop=3, right=True),
    Column(head="BASE", drop=5),
)


def list_images(given: Given) -> int:
    """Print a row an image; gives the exit code."""
    found = rows(Engine.connect(environment.environ()))
    if given[AS_JSON]:
        print_json({"images": [asdict(row) for row in found]})
        return exit_codes.DONE
    now = time.time()
    screen = open_screen(environment.environ())
    print_table(screen, _COLUMNS, [_cells(row, now) for row in found])
    return exit_codes.DONE


def _cells(row: ImageRow, now: float) -> tuple[str, ...]:
    size = f"{row.size_bytes / _MEGABYTE:.0f} MB" if row.size_bytes else ""
    age = _age(now - (time_of(row.created) or now)) if row.image_id else ""
    used = "" if row.used_s is None else _age(now - row.used_s)
    name = one_line(row.recipe) or "-"
    return name, row.state, one_line(row.reference), size, age, used, one_line(row.base)


def _age(seconds: float) -> str:
    """In the largest unit of which there is one."""
    for unit, size_s in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size_s:
            return f"{seconds / size_s:.0f} {unit}"
    return "now"


COMMAND = Command(
    list_images,
    (AS_JSON,),
    """

    Example: moonpool image list
    """,
)

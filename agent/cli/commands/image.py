"""``moonpool image``: what agents work in."""

from agent.cli.commands.runs import console
from agent.cli.setup import environment, exit_codes

_MEGABYTE = 1_000_000


def list_images() -> int:
    from rich.table import Table

    from images.listing import rows
    from sandbox.engine.docker import Engine

    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("IMAGE", "STATE", "REFERENCE", "SIZE", "BASE"):
        table.add_column(name, overflow="fold")
    for row in rows(Engine.connect(environment.environ())):
        size = f"{row.size_bytes / _MEGABYTE:.0f} MB" if row.size_bytes else ""
        table.add_row(row.recipe, row.state, row.reference, size, row.base)
    console().print(table)
    return exit_codes.DONE


def build(names: list[str], *, refresh: bool) -> int:
    from images.build import ensure, rebuild
    from sandbox.engine.docker import Engine

    make = rebuild if refresh else ensure
    engine = Engine.connect(environment.environ())
    for name in names:
        reference = make(engine, name, on_progress=print)
        print(f"{name} is ready: {reference}")
    return exit_codes.DONE

"""Which programs a prepared image holds, kept in the host's cache."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from policies.kernel.inventory import Inventory, Program
from sandbox import cache
from sandbox.cache import cache_directory
from sandbox.recent import Recent


def inventory_file(key: str) -> Path:
    """Where the list of programs of a prepared image is kept."""
    return cache_directory() / "inventories" / f"{key}.json"


def keep(key: str, inventory: Inventory) -> None:
    """Keep what a prepared image holds."""
    data = json.dumps(
        {
            "programs": _program_rows(inventory.programs),
            "scripts": _program_rows(inventory.scripts),
            "libraries": dict(inventory.libraries),
            "links": dict(inventory.links),
            "directories": dict(inventory.directories),
            "search_path": inventory.search_path,
        }
    )
    cache.keep(inventory_file(key), data.encode())


def _program_rows(programs: Mapping[str, Program]) -> list[object]:
    return [[p.path, p.interpreter, p.inode, p.needs] for p in programs.values()]


def _programs_of(rows: list[Any]) -> dict[str, Program]:
    return {
        path: Program(path=path, interpreter=line, inode=inode, needs=tuple(needs))
        for path, line, inode, needs in rows
    }


def load(key: str) -> Inventory | None:
    """What `keep` kept; None where there is nothing that can be read."""
    file = inventory_file(key)
    try:
        file.stat()
        return _loaded.get(file, lambda: _load(file))
    except (OSError, ValueError, KeyError, TypeError):
        return None


_loaded = Recent[Inventory](4)


def _load(file: Path) -> Inventory:
    raw = json.loads(file.read_bytes())
    return Inventory(
        programs=_programs_of(raw["programs"]),
        scripts=_programs_of(raw["scripts"]),
        libraries={path: tuple(needs) for path, needs in raw["libraries"].items()},
        links=raw["links"],
        directories={path: tuple(names) for path, names in raw["directories"].items()},
        search_path=tuple(raw["search_path"]),
    )

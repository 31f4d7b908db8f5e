"""An image made ready for sandboxes: the guest inside, and the list of programs it holds.

Done once per image and guest version, before anything of a workspace is there; the result is an
image with the guest compiled for its own Python, and an inventory kept in the host's cache.
"""

import hashlib
import io
import json
import os
import tarfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from policies.kernel.inventory import Inventory, Program
from sandbox import cache
from sandbox.cache import cache_directory
from sandbox.container import seccomp
from sandbox.container.mounts import KINDS, PLACES, ROOM
from sandbox.container.spec import ContainerSpec, shelf
from sandbox.engine.docker import Engine
from sandbox.engine.labels import LABEL_DEADLINE, LABEL_MANAGED, LABEL_PREPARED
from sandbox.engine.values import ImageInfo
from sandbox.errors import EngineError, ImageUnusable, SandboxLost
from sandbox.link.connection import GuestLink, Value

_DIRECTORY = "opt/moonpool"
_SCAN_TIMEOUT_S = 120.0
_ROWS_LIMIT = 200_000
_MODULE_LIMIT = 64

_PYTHON = ("python3", "-I", "-S", "-c")

GUEST_COMMAND = (
    *_PYTHON,
    f"import sys; sys.path.insert(0, '/{_DIRECTORY}')\nfrom sandbox.guest.init import main\nmain()",
)
"""Main process of every sandbox. Isolated (-I): it must not import from where it stands."""

_SCAN_COMMAND = (
    *_PYTHON,
    (
        f"import sys; sys.path.insert(0, '/{_DIRECTORY}')\n"
        f"from sandbox.guest.inventory import main\nmain('/{_DIRECTORY}/sandbox/guest')"
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedImage:
    id: str
    """The engine's id of the image with the guest in it."""
    key: str
    """Names image and guest version together, for what is cached on top."""
    inventory: Inventory


def guest_sources() -> dict[str, bytes]:
    """The guest's modules by file name, from the installed package."""
    folder = resources.files("sandbox") / "guest"
    return {
        item.name: item.read_bytes()
        for item in sorted(folder.iterdir(), key=lambda item: item.name)
        if item.name.endswith(".py")
    }


def inventory_file(key: str) -> Path:
    """Where the list of programs of a prepared image is kept."""
    return cache_directory() / "inventories" / f"{key}.json"


def prepare(
    engine: Engine, image: ImageInfo, *, on_progress: Callable[[str], None]
) -> PreparedImage:
    """Find or make the prepared form of an image.

    Raises:
        ImageUnusable: the image has no python3 (3.8 or later) or the guest does not run in it.
    """
    sources = guest_sources()
    key = _key(image.id, sources)
    ref = f"moonpool/prepared:{key}"
    file = inventory_file(key)
    found = engine.image(ref)
    if found is not None:
        inventory = _load(file)
        if inventory is not None:
            os.utime(file)  # its age tells `prune` when the image was last used
            return PreparedImage(id=found.id, key=key, inventory=inventory)
    on_progress("preparing the image (once)")
    identity, inventory = _make(engine, image, ref, sources)
    cache.keep(file, _dump(inventory))
    return PreparedImage(id=identity, key=key, inventory=inventory)


def recalled(engine: Engine, key: str) -> PreparedImage | None:
    """The prepared form of an image that a standing container was made from.

    None where the guest in it is not ours, or what is known of it is gone.
    """
    found = engine.image(f"moonpool/prepared:{key}")
    inventory = _load(inventory_file(key))
    if found is None or inventory is None:
        return None
    if _key(found.labels.get(LABEL_PREPARED, ""), guest_sources()) != key:
        return None
    return PreparedImage(id=found.id, key=key, inventory=inventory)


def _key(image_id: str, sources: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256(image_id.encode())
    for name, source in sources.items():
        digest.update(name.encode() + b"\0" + source)
    digest.update(_room())
    return digest.hexdigest()[:24]


def _make(
    engine: Engine, image: ImageInfo, ref: str, sources: Mapping[str, bytes]
) -> tuple[str, Inventory]:
    deadline = str(int(time.time() + 10 * _SCAN_TIMEOUT_S))
    spec = ContainerSpec(
        image=image.id,
        command=_SCAN_COMMAND,
        labels={LABEL_MANAGED: "1", LABEL_DEADLINE: deadline},
        cpus=1.0,
        memory_bytes=1 << 30,
        pids=64,
        file_bytes=1 << 30,
        seccomp_profile=seccomp.profile(exec_memory_files=False),
    )
    container = engine.create(spec.body())
    try:
        package = {f"{_DIRECTORY}/sandbox/guest/{name}": data for name, data in sources.items()}
        package[f"{_DIRECTORY}/sandbox/__init__.py"] = b""
        engine.put_archive(container, "/", [_tar(package)])
        link = GuestLink(engine.attach(container))
        try:
            engine.start(container)
            inventory, modules = _scan(link)
        except EngineError as error:
            raise ImageUnusable(
                f"the image {image.tags[0] if image.tags else image.id} can't hold a guest: "
                f"it needs python3 (3.8 or later) on its PATH ({error})"
            ) from error
        except SandboxLost as error:
            raise ImageUnusable(
                f"the guest does not run in the image {image.tags[0] if image.tags else image.id}: "
                f"{error}"
            ) from error
        finally:
            link.close()
        compiled = {
            f"{_DIRECTORY}/sandbox/guest/{name}.pyc": data for name, data in modules.items()
        }
        # Python takes a source before a compiled module of the same name, so the sources go.
        return _assemble(engine, image, ref, compiled), inventory
    finally:
        engine.remove(container)


def _assemble(
    engine: Engine,
    image: ImageInfo,
    ref: str,
    files: Mapping[str, bytes],
) -> str:
    """A fresh container, never started, so that the layer holds the guest and nothing else."""
    container = engine.create(shelf(image.id))
    try:
        package = dict(files)
        package[f"{_DIRECTORY}/sandbox/__init__.py"] = b""
        engine.put_archive(container, "/", [_tar(package)])
        engine.put_archive(container, "/", [_room()])
        return engine.commit(container, ref=ref, labels={LABEL_PREPARED: image.id})
    finally:
        engine.remove(container)


def _tar(files: Mapping[str, bytes]) -> bytes:
    """A plain tar of root's files, readable by all."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        directories = sorted({str(parent) for name in files for parent in Path(name).parents})
        for directory in directories:
            if directory != ".":
                info = tarfile.TarInfo(directory)
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(info)
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o644
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _room() -> bytes:
    """A plain tar of root's closed directory: two places in it tell owner and mode, all are there
    so that a sandbox does not make them."""
    out = io.BytesIO()
    places = [(f"{ROOM}/{name}{kind}", 0o755, 1000) for name in PLACES for kind in KINDS]
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path, mode, owner in ((ROOM, 0o700, 0), *places):
            info = tarfile.TarInfo(path[1:])
            info.type, info.mode, info.uid, info.gid = tarfile.DIRTYPE, mode, owner, owner
            tar.addfile(info)
    return out.getvalue()


def _text(value: Value) -> str:
    if not isinstance(value, bytes):
        raise ImageUnusable("the guest's list of programs is malformed")
    return value.decode("utf-8", "surrogateescape")


def _rows(value: Value) -> list[list[Value]]:
    if not isinstance(value, list):
        raise ImageUnusable("the guest's list of programs is malformed")
    return [row for row in value if isinstance(row, list)]


def _names(value: Value) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ImageUnusable("the guest's list of programs is malformed")
    return tuple(_text(name) for name in value)


def _program(row: list[Value]) -> tuple[str, Program]:
    match row:
        case [bytes() as path, None | bytes() as line, int() as inode, list() as needs]:
            name = _text(path)
            interpreter = None if line is None else _text(line)
            return name, Program(
                path=name, interpreter=interpreter, inode=inode, needs=_names(needs)
            )
        case _:
            raise ImageUnusable("the guest's list of programs is malformed")


def _scan(link: GuestLink) -> tuple[Inventory, dict[str, bytes]]:
    programs: dict[str, Program] = {}
    scripts: dict[str, Program] = {}
    libraries: dict[str, tuple[str, ...]] = {}
    links: dict[str, str] = {}
    directories: dict[str, tuple[str, ...]] = {}
    modules: dict[str, bytes] = {}
    until = time.monotonic() + _SCAN_TIMEOUT_S
    while True:
        kind, *rest = link.receive(until=until)
        match kind, rest:
            case b"programs", [rows]:
                programs.update(map(_program, _rows(rows)))
            case b"scripts", [rows]:
                scripts.update(map(_program, _rows(rows)))
            case b"libraries", [rows]:
                libraries.update((_text(path), _names(needs)) for path, needs in _rows(rows))
            case b"links", [rows]:
                links.update((_text(path), _text(target)) for path, target in _rows(rows))
            case b"directory", [path, list() as names]:
                name = _text(path)
                directories[name] = (*directories.get(name, ()), *map(_text, names))
            case b"module", [name_, bytes() as code] if len(modules) < _MODULE_LIMIT:
                modules[_text(name_)] = code
            case b"end", [path]:
                search = tuple(part for part in _text(path).split(":") if part.startswith("/"))
                return (
                    Inventory(
                        programs=programs,
                        scripts=scripts,
                        libraries=libraries,
                        links=links,
                        directories=directories,
                        search_path=search,
                    ),
                    modules,
                )
            case _:
                raise ImageUnusable("the guest's list of programs is malformed")
        rows_so_far = len(programs) + len(scripts) + len(libraries) + len(links) + len(directories)
        if rows_so_far > _ROWS_LIMIT:
            raise ImageUnusable("the image holds too many programs to list")


def _dump(inventory: Inventory) -> bytes:
    return json.dumps(
        {
            "programs": _program_rows(inventory.programs),
            "scripts": _program_rows(inventory.scripts),
            "libraries": dict(inventory.libraries),
            "links": dict(inventory.links),
            "directories": dict(inventory.directories),
            "search_path": inventory.search_path,
        }
    ).encode()


def _program_rows(programs: Mapping[str, Program]) -> list[object]:
    return [[p.path, p.interpreter, p.inode, p.needs] for p in programs.values()]


def _programs_of(rows: list[Any]) -> dict[str, Program]:
    return {
        path: Program(path=path, interpreter=line, inode=inode, needs=tuple(needs))
        for path, line, inode, needs in rows
    }


def _load(file: Path) -> Inventory | None:
    """The cached inventory; None where there is none that can be read."""
    try:
        raw = json.loads(file.read_bytes())
        return Inventory(
            programs=_programs_of(raw["programs"]),
            scripts=_programs_of(raw["scripts"]),
            libraries={path: tuple(needs) for path, needs in raw["libraries"].items()},
            links=raw["links"],
            directories={path: tuple(names) for path, names in raw["directories"].items()},
            search_path=tuple(raw["search_path"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None

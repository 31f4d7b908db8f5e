"""An image made ready for sandboxes: the guest inside, and the list of programs it holds.

Done once per image and guest version, before anything of a workspace is there; the result is an
image with the guest compiled for its own Python, and an inventory kept in the host's cache.
"""

import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from policies.frozen import dataclass
from policies.kernel.inventory import Inventory, Program
from policies.paths import WORKSPACE
from sandbox.container import inventory_cache, own_files, seccomp
from sandbox.container.spec import PATH, ContainerSpec, shelf
from sandbox.engine.docker import Engine
from sandbox.engine.labels import LABEL_DEADLINE, LABEL_MANAGED, LABEL_PREPARED
from sandbox.engine.values import ImageInfo
from sandbox.errors import EngineError, ImageUnusable, SandboxLost
from sandbox.guest import image_protocol
from sandbox.link.connection import GuestLink

_DIRECTORY = "opt/moonpool"
_SCAN_TIMEOUT_S = 120.0
_ROWS_LIMIT = 200_000
_MODULE_LIMIT = 64
_PATH_LIMIT = 4096

_PYTHON = ("python3", "-I", "-S", "-c")

GUEST_COMMAND = (
    *_PYTHON,
    f"import sys; sys.path.insert(0, '/{_DIRECTORY}')\nfrom sandbox.guest.init import main\nmain()",
)
"""Main process of every sandbox. Isolated (-I): it must not import from where it stands."""

_SCAN = (
    f"import sys; sys.path.insert(0, '/{_DIRECTORY}')\n"
    f"from sandbox.guest.inventory import main\n"
    f"main('/{_DIRECTORY}/sandbox/guest', {WORKSPACE.encode()!r}, sys.argv[1])"
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
    folder = Path(__file__).parents[1] / "guest"
    return {
        item.name: item.read_bytes()
        for item in sorted(folder.iterdir(), key=lambda item: item.name)
        if item.name.endswith(".py")
    }


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
    found = engine.image(ref)
    if found is not None:
        inventory = inventory_cache.load(key)
        if inventory is not None:
            # Its age tells `prune` when the image was last used.
            os.utime(inventory_cache.inventory_file(key))
            return PreparedImage(id=found.id, key=key, inventory=inventory)
    on_progress("preparing the image (once)")
    identity, inventory = _make(engine, image, ref, sources)
    inventory_cache.keep(key, inventory)
    return PreparedImage(id=identity, key=key, inventory=inventory)


def recalled(engine: Engine, key: str) -> PreparedImage | None:
    """The prepared form of an image that a standing container was made from.

    None where the guest in it is not ours, or what is known of it is gone.
    """
    found = engine.image(f"moonpool/prepared:{key}")
    inventory = inventory_cache.load(key)
    if found is None or inventory is None:
        return None
    if _key(found.labels.get(LABEL_PREPARED, ""), guest_sources()) != key:
        return None
    return PreparedImage(id=found.id, key=key, inventory=inventory)


def _key(image_id: str, sources: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256(image_id.encode())
    for name, source in sources.items():
        digest.update(name.encode() + b"\0" + source)
    digest.update(own_files.of_image(own_files.OPTIONAL))
    return digest.hexdigest()[:24]


def _make(
    engine: Engine, image: ImageInfo, ref: str, sources: Mapping[str, bytes]
) -> tuple[str, Inventory]:
    deadline = str(int(time.time() + 10 * _SCAN_TIMEOUT_S))
    spec = ContainerSpec(
        image=image.id,
        command=(*_PYTHON, _SCAN, _search_path(image)),
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
        engine.put_archive(container, "/", [own_files.package(package)])
        link = GuestLink(engine.attach(container))
        try:
            engine.start(container)
            inventory, modules = _look(link)
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
        engine.put_archive(container, "/", [own_files.package(package)])
        lacking = tuple(p for p in own_files.OPTIONAL if _lacks(engine, container, p))
        engine.put_archive(container, "/", [own_files.of_image(lacking)])
        return engine.commit(container, ref=ref, labels={LABEL_PREPARED: image.id})
    finally:
        engine.remove(container)


def _lacks(engine: Engine, container: str, path: str) -> bool:
    try:
        next(iter(engine.get_archive(container, path)), b"")
    except FileNotFoundError:
        return True
    return False


def _search_path(image: ImageInfo) -> str:
    """Where the image says that programs are; what is no absolute path is left out, for it would
    name a place in whatever directory a command stands."""
    said = dict(row.partition("=")[::2] for row in image.environment).get("PATH", "")
    entries = [entry for entry in said.split(":") if entry.startswith("/") and entry.isprintable()]
    return ":".join(entries) if entries and len(said) <= _PATH_LIMIT else PATH


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _texts(values: Sequence[bytes]) -> tuple[str, ...]:
    return tuple(map(_text, values))


def _program(found: image_protocol.FoundProgram) -> Program:
    return Program(
        path=_text(found.path),
        interpreter=None if found.line is None else _text(found.line),
        inode=found.identity,
        needs=_texts(found.needs),
    )


def _look(link: GuestLink) -> tuple[Inventory, dict[str, bytes]]:
    """What the guest finds in the image, and its own modules compiled, by name."""
    programs: dict[str, Program] = {}
    scripts: dict[str, Program] = {}
    libraries: dict[str, tuple[str, ...]] = {}
    links: dict[str, str] = {}
    directories: dict[str, tuple[str, ...]] = {}
    modules: dict[str, bytes] = {}
    until = time.monotonic() + _SCAN_TIMEOUT_S
    while True:
        match link.receive(until=until)[1]:
            case image_protocol.FoundPrograms(on_path=on_path, programs=rows):
                into = programs if on_path else scripts
                into.update((program.path, program) for program in map(_program, rows))
            case image_protocol.FoundLibraries(libraries=rows):
                libraries.update((_text(row.path), _texts(row.needs)) for row in rows)
            case image_protocol.FoundLinks(links=rows):
                links.update((_text(row.path), _text(row.target)) for row in rows)
            case image_protocol.FoundDirectory(path=path, names=names):
                name = _text(path)
                directories[name] = (*directories.get(name, ()), *_texts(names))
            case image_protocol.CompiledModule(name=module, code=code) if (
                len(modules) < _MODULE_LIMIT
            ):
                modules[_text(module)] = code
            case image_protocol.ImageSeen(search_path=path):
                inventory = Inventory(
                    programs=programs,
                    scripts=scripts,
                    libraries=libraries,
                    links=links,
                    directories=directories,
                    search_path=tuple(p for p in _text(path).split(":") if p.startswith("/")),
                )
                return inventory, modules
            case other:
                raise ImageUnusable(
                    f"the guest told {type(other).__name__} where it was to list programs"
                )
        rows_so_far = len(programs) + len(scripts) + len(libraries) + len(links) + len(directories)
        if rows_so_far > _ROWS_LIMIT:
            raise ImageUnusable("the image holds too many programs to list")

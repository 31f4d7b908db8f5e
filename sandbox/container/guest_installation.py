"""The guest put into an image: compiled by the Python there, once it has looked at what it holds.

Owns the container in which it looks, and what the image made of it is made from.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from policies.frozen import dataclass
from policies.kernel.image import Inventory, Program
from policies.paths import WORKSPACE
from sandbox.container import guest_runtime, moved_folder, own_files, seccomp
from sandbox.container.own_files import GUEST_DIRECTORY, ISOLATED, OWN_PYTHON
from sandbox.container.spec import PATH, ContainerSpec, shelf, variable_names
from sandbox.engine.docker import Engine
from sandbox.engine.values import (
    LABEL_DEADLINE,
    LABEL_MANAGED,
    LABEL_MOVED,
    LABEL_PREPARED,
    LABEL_PYTHON,
    ImageInfo,
)
from sandbox.errors import EngineError, ImageUnusable, SandboxLost
from sandbox.guest import image_protocol
from sandbox.link import GuestLink

_SCAN_TIMEOUT_S = 120.0
_ROWS_LIMIT = 1_000_000
"""Of all that an image's Python tells: programs, libraries, links, names, and messages too."""
_MODULE_LIMIT = 64
_PATH_LIMIT = 4096

_SCAN = (
    f"import sys; sys.path.insert(0, '/{GUEST_DIRECTORY}')\n"
    f"from sandbox.guest.inventory import main\n"
    f"main('/{GUEST_DIRECTORY}/sandbox/guest', {WORKSPACE.encode()!r}, sys.argv[1])"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Origin:
    """What a prepared image is made from."""

    image: ImageInfo
    base: str
    """The engine's id of an image with the same files."""
    runtime: ImageInfo | None
    """Brought into it; None: it has a Python that the guest may use."""
    moved: str
    """Folder of it that becomes a link to the workspace; empty: none."""

    @property
    def python(self) -> str:
        return OWN_PYTHON if self.runtime is None else guest_runtime.PYTHON


def install(
    engine: Engine,
    image: ImageInfo,
    ref: str,
    sources: Mapping[str, bytes],
    *,
    moved: str,
    on_progress: Callable[[str], None],
) -> Inventory:
    """Make the prepared form of an image, and give what it holds.

    Args:
        ref: the name that the image made gets.
        sources: the guest's modules by file name.
        moved: as `prepared_image.prepare`.

    Raises:
        ImageUnusable: the guest does not run in it, or the runtime that it needs is not built.
    """
    runtime = guest_runtime.find(engine) if guest_runtime.is_needed(image) else None
    on_progress("preparing the image (once)")
    origin = _Origin(
        image=image,
        base=image.id if runtime is None else guest_runtime.without_volumes(engine, image),
        runtime=runtime,
        moved=moved,
    )
    deadline = str(int(time.time() + 10 * _SCAN_TIMEOUT_S))
    spec = ContainerSpec(
        image=origin.base,
        command=(origin.python, *ISOLATED, _SCAN, _search_path(image)),
        labels={LABEL_MANAGED: "1", LABEL_DEADLINE: deadline},
        cpus=1.0,
        memory_bytes=1 << 30,
        pids=64,
        file_bytes=1 << 30,
        seccomp_profile=seccomp.profile(exec_memory_files=False),
        unset=variable_names(image.environment),
    )
    container = engine.create(spec.body())
    try:
        _bring(engine, container, origin)
        package = {
            f"{GUEST_DIRECTORY}/sandbox/guest/{name}": data for name, data in sources.items()
        }
        package[f"{GUEST_DIRECTORY}/sandbox/__init__.py"] = b""
        engine.put_archive(container, "/", [own_files.package(package)])
        link = GuestLink(engine.attach(container))
        try:
            engine.start(container)
            inventory, modules = _look(link)
        except EngineError as error:
            raise ImageUnusable(
                f"the image {image.tags[0] if image.tags else image.id} can't hold a guest: "
                f"its python3 (3.8 or later) does not start ({error})"
            ) from error
        except SandboxLost as error:
            raise ImageUnusable(
                f"the guest does not run in the image {image.tags[0] if image.tags else image.id}: "
                f"{error}"
            ) from error
        finally:
            link.close()
        compiled = {
            f"{GUEST_DIRECTORY}/sandbox/guest/{name}.pyc": data for name, data in modules.items()
        }
        # Python takes a source before a compiled module of the same name, so the sources go.
        _assemble(engine, origin, ref, compiled)
    finally:
        engine.remove(container)
    if runtime is not None:
        return replace(inventory, search_path=guest_runtime.search_path(inventory))
    return inventory


def _assemble(
    engine: Engine,
    origin: _Origin,
    ref: str,
    files: Mapping[str, bytes],
) -> None:
    """A fresh container, never started, so that the layer holds the guest and nothing else."""
    variables = {"Env": list(origin.image.environment)}
    container = engine.create({**shelf(origin.base), **variables})
    labels = {LABEL_PREPARED: origin.image.id, LABEL_PYTHON: origin.python}
    labels |= {LABEL_MOVED: origin.moved} if origin.moved else {}
    try:
        _bring(engine, container, origin)
        package = dict(files)
        package[f"{GUEST_DIRECTORY}/sandbox/__init__.py"] = b""
        engine.put_archive(container, "/", [own_files.package(package)])
        lacking = tuple(p for p in own_files.OPTIONAL if not engine.stands(container, p))
        engine.put_archive(container, "/", [own_files.of_image(lacking)])
        engine.commit(container, ref=ref, labels=labels)
    finally:
        engine.remove(container)


def _bring(engine: Engine, container: str, origin: _Origin) -> None:
    """What the image lacks, and the link in place of the folder that is the workspace."""
    if origin.moved:
        moved_folder.link(engine, container, origin.image, origin.moved)
    if origin.runtime is not None:
        kept = guest_runtime.is_looked_through(origin.image)
        guest_runtime.bring(engine, container, origin.runtime, keeps_workspace=kept)


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
    directories: dict[str, list[str]] = {}
    modules: dict[str, bytes] = {}
    told = 0
    until = time.monotonic() + _SCAN_TIMEOUT_S
    while True:
        told += 1
        match link.receive(until=until)[1]:
            case image_protocol.FoundPrograms(on_path=on_path, programs=rows):
                into = programs if on_path else scripts
                into.update((program.path, program) for program in map(_program, rows))
                told += sum(1 + len(row.needs) for row in rows)
            case image_protocol.FoundLibraries(libraries=rows):
                libraries.update((_text(row.path), _texts(row.needs)) for row in rows)
                told += sum(1 + len(row.needs) for row in rows)
            case image_protocol.FoundLinks(links=rows):
                links.update((_text(row.path), _text(row.target)) for row in rows)
                told += len(rows)
            case image_protocol.FoundDirectory(path=path, names=names):
                directories.setdefault(_text(path), []).extend(_texts(names))
                told += len(names)
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
                    directories={path: tuple(names) for path, names in directories.items()},
                    search_path=tuple(p for p in _text(path).split(":") if p.startswith("/")),
                )
                return inventory, modules
            case other:
                raise ImageUnusable(
                    f"the guest told {type(other).__name__} where it was to list programs"
                )
        if told > _ROWS_LIMIT:
            raise ImageUnusable("the image holds too many files to list")

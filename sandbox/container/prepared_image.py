"""An image made ready for sandboxes: the guest inside, and the list of programs it holds.

Done once per image and guest version, before anything of a workspace is there; the result is an
image with the guest compiled for its own Python, and an inventory kept in the host's cache. Owns
the names of the set-up layers under it too, with the record of their last use.
"""

import hashlib
import json
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from policies.file.scalars import is_path
from policies.frozen import dataclass
from policies.kernel.image import Inventory, Program
from policies.policy import Policy
from sandbox import cache
from sandbox.container import own_files
from sandbox.container.own_files import GUEST_DIRECTORY, ISOLATED, OWN_PYTHON
from sandbox.container.spec import variable_names
from sandbox.engine.docker import Engine
from sandbox.engine.values import (
    LABEL_MOVED,
    LABEL_PREPARED,
    LABEL_PYTHON,
    LABEL_REPLACED,
    ImageInfo,
)
from sandbox.errors import ImageUnusable
from sandbox.threads import Recent

REPOSITORY = "moonpool/setup"
DRAFT = "draft-"
"""What the tag of one begins with that has not been looked through."""


def layer_file(cache_directory: Path, key: str) -> Path:
    """A file whose age tells when a layer was last used."""
    return cache_directory / "setup" / key


def replaced(labels: Mapping[str, str]) -> tuple[str, ...]:
    """Paths of the image's programs, and of what they load, that a layer's set-up replaced."""
    return tuple(map(str, json.loads(labels.get(LABEL_REPLACED) or "[]")))


def notes(policy: Policy, replaced: Collection[str]) -> tuple[str, ...]:
    """What whoever reads a run's report should know of its set-up."""
    rules = policy.setup
    if not rules.makes_layer:
        return ()
    found = []
    if rules.network:
        found.append(f"set-up reached: {', '.join(rules.network)}")
    if rules.as_root:
        found.append("set-up ran as root (setup.as_root)")
    named = {rule.program.rpartition("/")[2] for rule in policy.commands}
    told = [path for path in replaced if path.rpartition("/")[2] in named]
    if told:
        found.append(f"set-up replaced programs that the policy lists: {', '.join(told)}")
    return tuple(found)


def inventory_file(cache_directory: Path, key: str) -> Path:
    """Where the list of programs of a prepared image is kept."""
    return cache_directory / "inventories" / f"{key}.json"


def keep(file: Path, inventory: Inventory) -> None:
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
    cache.keep(file, data.encode())


def _program_rows(programs: Mapping[str, Program]) -> list[object]:
    return [[p.path, p.interpreter, p.inode, p.needs] for p in programs.values()]


def _programs_of(rows: list[Any]) -> dict[str, Program]:
    return {
        path: Program(path=path, interpreter=line, inode=inode, needs=tuple(needs))
        for path, line, inode, needs in rows
    }


def load(file: Path) -> Inventory | None:
    """What `keep` kept; None where there is nothing that can be read."""
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


_MAIN = (
    f"import sys; sys.path.insert(0, '/{GUEST_DIRECTORY}')\n"
    "from sandbox.guest.init import main\nmain()"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedImage:
    id: str
    """The engine's id of the image with the guest in it."""
    key: str
    """Names image and guest version together, for what is cached on top."""
    inventory: Inventory
    python: str
    """What runs the guest in it: by name the image's own, by path the one that was brought."""
    environment: tuple[str, ...]
    """What the image sets for its processes, as ``NAME=VALUE``."""

    @property
    def command(self) -> tuple[str, ...]:
        """Main process of every sandbox."""
        return (self.python, *ISOLATED, _MAIN)

    @property
    def unset(self) -> tuple[str, ...]:
        """Variables of the image that the guest is not to see: one could load code into it."""
        return variable_names(self.environment)


def guest_sources() -> dict[str, bytes]:
    """The guest's modules by file name, from the installed package."""
    folder = Path(__file__).parents[1] / "guest"
    return {
        item.name: item.read_bytes()
        for item in sorted(folder.iterdir(), key=lambda item: item.name)
        if item.name.endswith(".py")
    }


def image_of(engine: Engine, policy: Policy, image: str | None) -> ImageInfo:
    """The image that a policy names, or that it is given in its place. Raises ImageUnusable."""
    if image is None and policy.setup.makes_layer:
        raise ImageUnusable(
            f"the policy {policy.name} has a set-up, so its image is the layer that "
            "images.setup.layer.find_or_make gives: hand it over"
        )
    said = image or policy.image
    # A recipe's name comes before an image of that name.
    refs = (
        [said]
        if image or any(sign in said for sign in "/:@")
        else [f"moonpool/{said}:latest", said]
    )
    info = None if is_path(said) else next(filter(None, map(engine.image, refs)), None)
    if info is None:
        raise ImageUnusable.missing(said)
    return info


def prepare(
    engine: Engine, image: ImageInfo, *, moved: str = "", on_progress: Callable[[str], None]
) -> PreparedImage:
    """Find or make the prepared form of an image.

    Args:
        moved: a folder of the image that is the workspace: a link leads from it to where
            workspaces are, so that programs in it are the workspace's.

    Raises:
        ImageUnusable: the guest does not run in it, or the runtime that it needs is not built.
    """
    sources = guest_sources()
    key = _key(image.id, sources, moved)
    ref = f"moonpool/prepared:{key}"
    found = _found(engine, ref, key)
    if found is not None:
        return found
    from sandbox.container import guest_installation  # noqa: PLC0415 - once for an image

    with cache.alone(engine.cache, "preparing"):
        found = _found(engine, ref, key)
        if found is not None:
            return found  # another one did, meanwhile
        inventory = guest_installation.install(
            engine, image, ref, sources, moved=moved, on_progress=on_progress
        )
        made = engine.image(ref)
        if made is None:
            raise ImageUnusable("the prepared image is gone again: run once more")
        keep(inventory_file(engine.cache, key), inventory)
        return _described(made, key, inventory)


def _found(engine: Engine, ref: str, key: str) -> PreparedImage | None:
    found = engine.image(ref)
    file = inventory_file(engine.cache, key)
    inventory = None if found is None else load(file)
    if found is None or inventory is None:
        return None
    # Its age tells `prune` when the image was last used.
    os.utime(file)
    return _described(found, key, inventory)


def _described(found: ImageInfo, key: str, inventory: Inventory) -> PreparedImage:
    return PreparedImage(
        id=found.id,
        key=key,
        inventory=inventory,
        python=found.labels.get(LABEL_PYTHON, OWN_PYTHON),
        environment=found.environment,
    )


def recalled(engine: Engine, key: str) -> PreparedImage | None:
    """The prepared form of an image that a standing container was made from.

    None where the guest in it is not ours, or what is known of it is gone.
    """
    found = engine.image(f"moonpool/prepared:{key}")
    inventory = load(inventory_file(engine.cache, key))
    if found is None or inventory is None:
        return None
    said = found.labels
    if _key(said.get(LABEL_PREPARED, ""), guest_sources(), said.get(LABEL_MOVED, "")) != key:
        return None
    return _described(found, key, inventory)


def _key(image_id: str, sources: Mapping[str, bytes], moved: str) -> str:
    digest = hashlib.sha256(f"{image_id}{moved}".encode())
    for name, source in sources.items():
        digest.update(name.encode() + b"\0" + source)
    digest.update(own_files.of_image(own_files.OPTIONAL))
    return digest.hexdigest()[:24]

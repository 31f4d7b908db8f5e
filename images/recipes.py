"""The recipes that ship with Moonpool, and what one is made of.

A recipe is a folder of package data with an ordinary Dockerfile in it. Owns finding them, the build
context (a tar made in memory) and the content-addressed names. Knows no engine and runs nothing.
"""

import hashlib
import io
import re
from collections.abc import Mapping
from pathlib import Path

from policies.frozen import dataclass
from sandbox.errors import ImageUnusable

REPOSITORY = "moonpool"
DOCKERFILE = "Dockerfile"
SHARED_FOLDER = "shared"
"""What each recipe's context holds beside its own folder: the scripts that make them alike."""
TRUST_FOLDER = "trust"
"""Where a build context holds the certificate authorities that the host adds to the public ones."""

_FROM = re.compile(r"^FROM\s+(?:--\S+\s+)*(\S+)", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    name: str
    """The folder's name; a policy says ``image: NAME``."""
    files: Mapping[str, bytes]
    """Content by path relative to the folder; `DOCKERFILE` is among them, and `SHARED_FOLDER`."""

    @property
    def base(self) -> str:
        """The image it starts from: the last ``FROM``."""
        found = _FROM.findall(self.files[DOCKERFILE].decode())
        if not found:
            raise ImageUnusable(f"the recipe {self.name} names no base image: add a FROM line")
        return str(found[-1])

    def digest(self, trust: Mapping[str, bytes]) -> str:
        """SHA-256 (hex) over everything that goes into a build.

        The base takes part by the name in its ``FROM``, not by what an engine holds under it: so
        an image that is there already is found with one question, on any engine, also where the
        base itself was removed meanwhile. `images.build.rebuild` is the way to a newer base.
        """
        state = hashlib.sha256(b"moonpool recipe 1\0")
        for path, content in sorted(_context(self, trust).items()):
            state.update(f"{path}\0{len(content)}\0".encode())
            state.update(content)
        return state.hexdigest()

    def reference(self, trust: Mapping[str, bytes]) -> str:
        """The content-addressed name: ``moonpool/NAME:<12 hex digits>``."""
        return f"{REPOSITORY}/{self.name}:{self.digest(trust)[:12]}"

    @property
    def latest(self) -> str:
        """The name for people: whatever was built or found last."""
        return f"{REPOSITORY}/{self.name}:latest"


def names() -> tuple[str, ...]:
    """Names of the recipes there are, sorted."""
    found = (folder.name for folder in _root().iterdir() if folder.joinpath(DOCKERFILE).is_file())
    return tuple(sorted(found))


def find(name: str) -> Recipe:
    """A recipe by its name.

    Raises:
        ImageUnusable: there is none of that name.
    """
    if name not in names():
        raise ImageUnusable(f"no image recipe named {name!r}: there is {', '.join(names())}")
    own = dict(_files(_root().joinpath(name)))
    shared = dict(_files(_root().joinpath(SHARED_FOLDER), f"{SHARED_FOLDER}/"))
    return Recipe(name=name, files={**own, **shared})


def context_tar(recipe: Recipe, trust: Mapping[str, bytes]) -> bytes:
    """The build context.

    Made here file by file and never read from a directory at build time: an ignore file lying about
    would decide what arrives, and a link what is read. Owner, mode and time are fixed, so that the
    engine's own cache sees the same files on every machine.
    """
    import tarfile  # noqa: PLC0415 - for a build only

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        # COPY of a folder that is not in the context fails, and there are often no authorities.
        folder = tarfile.TarInfo(TRUST_FOLDER)
        folder.type = tarfile.DIRTYPE
        folder.mode = 0o755
        tar.addfile(folder)
        for path, content in sorted(_context(recipe, trust).items()):
            member = tarfile.TarInfo(path)
            member.size = len(content)
            member.mode = 0o644
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _context(recipe: Recipe, trust: Mapping[str, bytes]) -> dict[str, bytes]:
    certificates = {f"{TRUST_FOLDER}/{name}": content for name, content in trust.items()}
    return {**recipe.files, **certificates}


def _root() -> Path:
    return Path(__file__).with_name("recipes")


def _files(folder: Path, prefix: str = "") -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for child in folder.iterdir():
        if child.is_dir():
            found += _files(child, f"{prefix}{child.name}/")
        else:
            found.append((prefix + child.name, child.read_bytes()))
    return found

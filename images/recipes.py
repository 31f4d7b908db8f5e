"""The recipes that ship with Moonpool, and what one is made of.

A recipe is a folder of package data with an ordinary Dockerfile in it. Owns finding them, the
certificate authorities that go along with each, which this machine's administrator added to the
public ones, the build context (a tar made in memory) and the content-addressed names. Knows no
engine and runs nothing.
"""

import hashlib
import io
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from policies.frozen import dataclass
from sandbox.errors import ImageUnusable

REPOSITORY = "moonpool"
OPERATORS_REPOSITORY = "moonpool-operator"
"""For images of an operator's own Dockerfiles: nothing is known of what is in them."""
DOCKERFILE = "Dockerfile"
SHARED_FOLDER = "shared"
"""What each recipe's context holds beside its own folder: the scripts that make them alike."""
TRUST_FOLDER = "trust"
"""Where a build context holds the certificate authorities that the host adds to the public ones."""

ANCHOR_DIRECTORIES = (
    Path("/usr/local/share/ca-certificates"),
    Path("/etc/pki/ca-trust/source/anchors"),
    Path("/usr/share/pki/ca-trust-source/anchors"),
    Path("/etc/pki/trust/anchors"),
    Path("/etc/ca-certificates/trust-source/anchors"),
)
"""Where Debian, Red Hat, SUSE and Arch have an administrator put them."""

RUNTIME = "runtime"
"""The recipe of what the guest needs in other images: no image to work in."""
PROXY = "proxy"
"""The one way out of a set-up."""
INTERNAL = frozenset({RUNTIME, PROXY})
"""What no agent works in."""

_FROM = re.compile(r"^FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", re.IGNORECASE | re.MULTILINE)
_AUTHORITIES_BYTES = 1 << 20
_CERTIFICATE = re.compile(
    rb"-----BEGIN CERTIFICATE-----\s[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----"
)
_OPERATORS_FILES = 2_000
_OPERATORS_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    name: str
    """The folder's name; a policy says ``image: NAME``."""
    files: Mapping[str, bytes]
    """Content by path relative to the folder; `DOCKERFILE` is among them, and `SHARED_FOLDER`."""
    repository: str = REPOSITORY

    @property
    def bases(self) -> tuple[str, ...]:
        """The images it starts from, a stage each; not those that only the build will know."""
        found = _FROM.findall(self.files[DOCKERFILE].decode("utf-8", "replace"))
        stages = {stage.lower() for _, stage in found} | {"scratch"}
        return tuple(name for name, _ in found if name.lower() not in stages and "$" not in name)

    @property
    def base(self) -> str:
        """The last of them."""
        if not self.bases:
            raise ImageUnusable(f"the recipe {self.name} names no base image: add a FROM line")
        return self.bases[-1]

    def digest(self, trust: Mapping[str, bytes]) -> str:
        """SHA-256 (hex) over everything that goes into a build.

        A base that is no recipe takes part by the name in its ``FROM``, not by what an engine holds
        under it: so an image that is there already is found with one question, on any engine, also
        where the base itself was removed meanwhile. `images.build.rebuild` is the way to a newer
        base.
        """
        state = hashlib.sha256(b"moonpool recipe 1\0")
        for base in filter(None, map(of_reference, self.bases)):
            state.update(f"{find(base).digest(trust)}\0".encode())
        for path, content in sorted(_context(self, trust).items()):
            state.update(f"{path}\0{len(content)}\0".encode())
            state.update(content)
        return state.hexdigest()

    def reference(self, trust: Mapping[str, bytes]) -> str:
        """The content-addressed name: ``moonpool/NAME:<12 hex digits>``."""
        return f"{self.repository}/{self.name}:{self.digest(trust)[:12]}"

    @property
    def latest(self) -> str:
        """The name for people: whatever was built or found last."""
        return f"{self.repository}/{self.name}:latest"


def names() -> tuple[str, ...]:
    """Names of the recipes of images to work in, sorted."""
    return tuple(sorted(_folders() - INTERNAL))


def _folders() -> set[str]:
    return {folder.name for folder in _root().iterdir() if folder.joinpath(DOCKERFILE).is_file()}


def find(name: str) -> Recipe:
    """A recipe by its name.

    Raises:
        ImageUnusable: there is none of that name.
    """
    if name not in _folders():
        from policies.suggestion import did_you_mean  # noqa: PLC0415 - for a mistake only

        known, near = ", ".join(names()), did_you_mean(name, names())
        raise ImageUnusable(f"no image recipe named {name!r}: there is {known}{near}")
    return Recipe(name=name, files={**_files(_root() / name), **_shared_files()})


def of_reference(reference: str) -> str | None:
    """The recipe whose image a ``FROM`` names; None: another's."""
    name = reference.removesuffix(":latest").removeprefix(f"{REPOSITORY}/")
    return name if reference.startswith(f"{REPOSITORY}/") and name in names() else None


def of_operator(path: Path) -> Recipe:
    """The recipe of a Dockerfile of the operator's: that file alone, or a folder with one.

    Never what stands around a file: a folder of policies, or a repository, would go along with it.
    Beside its files the context holds `SHARED_FOLDER` and `TRUST_FOLDER`, as for our own recipes.

    Raises:
        ImageUnusable: it is none, or too large.
    """
    # By one name, from wherever it is looked at.
    path = Path(os.path.realpath(path.parent)) / path.name
    try:
        if path.is_dir():
            files = _bounded_files(path)
        else:
            files = {DOCKERFILE: path.read_bytes()} if path.is_file() else {}
    except OSError as error:
        raise ImageUnusable(f"{path} can't be read: {error.strerror}") from error
    if DOCKERFILE not in files:
        raise ImageUnusable(f"there is no Dockerfile at {path}: the policy's `image` names it")
    # Two files of one name in two places are two recipes.
    place = hashlib.sha256(os.fsencode(path)).hexdigest()[:8]
    plain = re.sub(r"[^a-z0-9]+", "-", path.name.lower()).strip("-") or "image"
    return Recipe(
        name=f"{plain[:40]}-{place}",
        files={**_shared_files(), **files},
        repository=OPERATORS_REPOSITORY,
    )


def _bounded_files(folder: Path) -> dict[str, bytes]:
    """The regular files of a folder. A link is an error, neither followed nor left out."""
    found: dict[str, bytes] = {}
    size = 0
    for top, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(top, name)
            if path.is_symlink() or not (path.is_dir() or path.is_file()):
                raise ImageUnusable(f"{path} is neither a file nor a folder: an image is of those")
        for name in names:
            path = Path(top, name)
            size += path.stat().st_size
            if size > _OPERATORS_BYTES or len(found) >= _OPERATORS_FILES:
                raise ImageUnusable(
                    f"{folder} holds more than {_OPERATORS_FILES} files or "
                    f"{_OPERATORS_BYTES >> 20} MiB: give the Dockerfile a folder of its own"
                )
            found[path.relative_to(folder).as_posix()] = path.read_bytes()
    return found


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


def _files(folder: Path, prefix: str = "") -> dict[str, bytes]:
    """Content by path, but for what Python leaves beside a module where it imports or installs."""
    return {
        prefix + path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.parent.name != "__pycache__"
    }


def _shared_files() -> dict[str, bytes]:
    return _files(_root() / SHARED_FOLDER, f"{SHARED_FOLDER}/")


def local_authorities(directories: Iterable[Path] = ANCHOR_DIRECTORIES) -> Mapping[str, bytes]:
    """PEM certificates by the file name they get in an image, one certificate to a file.

    On a network with an authority of its own, nothing inside an image reaches a package registry
    without it. Only what was *added* is taken, never the whole bundle: then an update of the public
    bundle changes no image. Only certificate blocks are taken over, whatever else a file holds (a
    private key lying beside its certificate must not travel). Names come from the content: the same
    authorities give the same image, however an administrator named the files.
    """
    found: dict[str, bytes] = {}
    for directory in directories:
        for path in _authority_files(directory):
            for certificate in certificates(path):
                found[f"{hashlib.sha256(certificate).hexdigest()[:16]}.crt"] = certificate
    return found


def certificates(path: Path) -> list[bytes]:
    """The certificates in a file, PEM, each with a newline at its end."""
    blocks = _CERTIFICATE.findall(_content(path))
    return [b"\n".join(block.split(b"\r\n")) + b"\n" for block in blocks]


def _authority_files(directory: Path) -> list[Path]:
    try:
        return sorted(path for path in directory.rglob("*") if path.is_file())
    except OSError:
        return []


def _content(path: Path) -> bytes:
    """What can be read of it; an unreadable or outsized file is no authority."""
    try:
        with path.open("rb") as file:
            content = file.read(_AUTHORITIES_BYTES + 1)
    except OSError:
        return b""
    return content if len(content) <= _AUTHORITIES_BYTES else b""

"""A stranger's repository as a private store of ours, and one revision of it as a directory.

Owns what is taken over: objects and references, by value. Host git runs in the private store alone:
of the other repository's configuration, hooks and attributes it reads nothing, and a folder of this
machine is not fetched from but read (gitrepository-layout(5)). Filters have no driver here, and no
submodule is followed.
"""

import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from sandbox.cache import regular_file
from sandbox.errors import PatchError
from sandbox.git import alternates
from sandbox.git.alternates import NotLent
from sandbox.git.run import GitRefused, run_git
from sandbox.git.store import Store

_FETCH_TIMEOUT_S = 3600.0
_WORK_TIMEOUT_S = 1800.0
_REFERENCES_LIMIT_BYTES = 1 << 26
_FILE_LIMIT_BYTES = 1 << 16
_COUNT_LIMIT = 1_000_000
_ID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")
_SHORT_ID = re.compile(r"[0-9a-f]{4,64}\Z")
_NAME = re.compile(
    r"(?!.*(?:\.\.|//|@\{|\.lock(?:/|\Z)|/\.))[A-Za-z0-9_@+][A-Za-z0-9_.@+#=/-]*(?<![/.])\Z"
)
_PACKED = re.compile(rb"^([0-9a-f]{40}(?:[0-9a-f]{24})?) (refs/[^\s\0]+)$", re.MULTILINE)
_POINTS = re.compile(rb"(?:ref: (refs/[^\s\0]+)|([0-9a-f]{40}(?:[0-9a-f]{24})?))\s*\Z")
_OF_SERVERS = (
    "ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "all_proxy", "https_proxy", "http_proxy",
    "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "SSH_AUTH_SOCK",
)  # fmt: skip
"""Variables of the operator's that say how a server is reached."""
_SSH = "ssh -o BatchMode=yes -o ClearAllForwardings=yes -o PermitLocalCommand=no"


def is_revision(text: str) -> bool:
    """Whether it can be the id of a commit, or the name of a branch or a tag."""
    return bool(_NAME.match(text))


def fetch(store: Store, url: str, protocol: str, revision: str, environ: Mapping[str, str]) -> None:
    """Get a server's branches and tags, and the revision where that is something else.

    Args:
        protocol: the only one that is spoken, whatever the server answers.

    Raises:
        PatchError: it can't be had.
    """
    allowed = "http:https" if protocol == "http" else protocol
    more = {name: environ[name] for name in _OF_SERVERS if name in environ}
    more |= {"GIT_ALLOW_PROTOCOL": allowed, "GIT_SSH_COMMAND": _SSH}

    def get(*wanted: str) -> None:
        run_git(
            store.directory,
            ["fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head",
             "--no-auto-maintenance", "--end-of-options", url, *wanted],
            settings=("submodule.recurse=false", "credential.helper=", "transfer.bundleURI=false"),
            more=more,
            timeout_s=_FETCH_TIMEOUT_S,
        )  # fmt: skip

    get("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
    if found(store, revision) is None and (revision.startswith("refs/") or _ID.match(revision)):
        # A pull request's reference, or a commit that no branch holds any more.
        where = revision if revision.startswith("refs/") else f"refs/wanted/{revision}"
        get(f"+{revision}:{where}")


def read_over(folder: Path, directory: Path) -> Store:
    """A store that sees the objects of a repository of this machine, with its references.

    Args:
        folder: the repository, or a work tree of its own.
        directory: where the store is made.

    Raises:
        PatchError: it is no repository that can be read so; the message says what to do.
    """
    top = folder / ".git" if os.path.lexists(folder / ".git") else folder
    if not stat.S_ISDIR(os.lstat(top).st_mode):
        raise PatchError(f"{top} leads to a repository that stands elsewhere: name that one")
    for name in ("objects", "refs"):
        # Git would follow one to whatever of this machine it leads to (CVE-2022-39253).
        if (top / name).is_symlink():
            raise PatchError(
                f"{top / name} is a link, and may lead to what the repository has no right to: put "
                "there what it leads to"
            )
    try:
        lenders = alternates.stores(
            os.fsencode(top / "objects"), root=str(directory), owner=os.lstat(top).st_uid
        )
    except NotLent as error:
        raise PatchError(
            f"the repository {folder} {error}: give it its own objects (git repack -a -d)"
        ) from error
    if len(lenders) > 1:
        raise PatchError(
            f"the repository {folder} borrows objects from {lenders[1]}, which may hold more than "
            "it has a right to: give it its own (git repack -a -d, then remove "
            "objects/info/alternates)"
        )
    settings, shallow = _content(top / "config"), _content(top / "shallow")
    store = alternates.store_over(directory, lenders, settings, shallow)
    references = dict(sorted(_references(top)))
    head = _POINTS.match(_content(top / "HEAD"))
    if head is not None:
        at = head[2] or references.get(head[1])
        if at is not None:
            references[b"refs/read/HEAD"] = at
    lines = (at + b" " + name + b"\n" for name, at in sorted(references.items()))
    (directory / "packed-refs").write_bytes(b"".join(lines))
    return store


def found(store: Store, revision: str) -> str | None:
    """The id of the commit that a revision names there; None: there is none, or several."""
    names = [f"refs/heads/{revision}", f"refs/tags/{revision}", f"refs/remotes/origin/{revision}"]
    if _SHORT_ID.match(revision):
        names.insert(0 if _ID.match(revision) else len(names), revision)
    if revision == "HEAD":
        names = ["refs/read/HEAD"]
    elif revision.startswith("refs/"):
        names.insert(0, revision)
    for name in names if is_revision(revision) else ():
        try:
            said = run_git(
                store.directory,
                ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"],
            )
        except GitRefused:
            continue
        return said.decode().strip()
    return None


def write_out(store: Store, commit: str, directory: Path) -> None:
    """Make a directory of a commit: its files, and a repository with its history and no later one.

    Args:
        directory: empty.

    Raises:
        PatchError: the commit can't be written out, or holds what no work tree may.
    """
    own = Store(directory / ".git", object_format="sha256" if len(commit) == 64 else "sha1")
    (own.directory / "HEAD").write_text(f"{commit}\n")
    text = (own.directory / "config").read_text().replace("bare = true", "bare = false")
    (own.directory / "config").write_text(text)
    packs = own.directory / "objects" / "pack"
    packs.mkdir()
    shallow = store.directory / "shallow"
    if shallow.exists():
        (own.directory / "shallow").write_bytes(shallow.read_bytes())
    run_git(
        store.directory,
        ["pack-objects", "--revs", "--quiet", str(packs / "pack")],
        stdin=f"{commit}\n".encode(),
        timeout_s=_WORK_TIMEOUT_S,
    )
    index = own.directory / "index"
    work = {"GIT_WORK_TREE": str(directory)}
    for words in (["read-tree", commit], ["checkout-index", "--all", "--index", "--quiet"]):
        # From outside of the directory: git writes what lies below the one that it is started in.
        run_git(store.directory, words, index=index, more=work, timeout_s=_WORK_TIMEOUT_S)


def _references(top: Path) -> Iterator[tuple[bytes, bytes]]:
    """Every reference of a repository that is an id, by name; loose ones last, for they count."""
    taken = 0
    for match in _PACKED.finditer(_content(top / "packed-refs", _REFERENCES_LIMIT_BYTES)):
        if is_revision(os.fsdecode(match[2])):
            yield match[2], match[1]
    for folder, inner, files in os.walk(top / "refs"):  # no link is followed
        inner.sort()
        for file in sorted(files):
            path = Path(folder, file)
            name = os.fsencode(path.relative_to(top))
            points = _POINTS.match(_content(path))
            taken += 1
            if taken > _COUNT_LIMIT:
                raise PatchError(f"{top} has too many references")
            if points is not None and points[2] and is_revision(os.fsdecode(name)):
                yield name, points[2]


def _content(path: Path, limit: int = _FILE_LIMIT_BYTES) -> bytes:
    """A regular file of a repository, by its own name; empty where there is none."""
    try:
        with regular_file(path) as stream:
            data = stream.read(limit + 1)
    except (FileNotFoundError, NotADirectoryError):
        return b""
    except OSError as error:
        raise PatchError(f"{path} can't be read: {error.strerror}") from error
    if len(data) > limit:
        raise PatchError(f"{path} is too large")
    return data

"""A patch applied to a few files in a private index.

Owns the index file, the call of ``git apply`` and the reading of its complaints. No work tree is
involved: files are blobs of the store, before and after.
"""

import re
from collections.abc import Collection, Mapping
from pathlib import Path

from policies.errors import CarryingError, listed
from sandbox.errors import PatchError
from sandbox.git.manifest import ManifestEntry
from sandbox.git.run import GitRefused, run_git
from sandbox.git.store import Store

_APPLY = ("apply", "--cached", "--binary", "--whitespace=nowarn", "-p1")
# Read once, then gone. Not for a diff: there the same setting would be that of the patch.
_OBJECTS_AS_THEY_ARE = ("core.looseCompression=0",)
_SIZED = re.compile(rb"([0-9a-f]{40}|[0-9a-f]{64}) blob (\d+)")
_LISTED = re.compile(rb"(\d{6}) ([0-9a-f]{40}|[0-9a-f]{64}) 0\t(.*)", re.DOTALL)
_LONG_IDS = re.compile(rb"index [0-9a-f]{64}\.\.[0-9a-f]{64}\b")
_FAILED_HUNK = re.compile(r"error: patch failed: (.*):(\d+)")
_OTHER_BINARY = re.compile(r"error: the patch applies to '(.*)' \(.*which does not match.*")
_FAILED_FILE = re.compile(r"error: (.*): (.*)")


class DoesNotApply(CarryingError, PatchError):
    """The patch does not fit these files. `conflicts` has a line for each."""

    def __init__(self, message: str, *, conflicts: tuple[str, ...]) -> None:
        super().__init__(message)
        self.conflicts = conflicts


class AppliedAlready(DoesNotApply):
    """What the patch does is done: there is nothing to apply."""

    def __init__(self) -> None:
        super().__init__("all that the patch does is there already", conflicts=())


def apply_to_entries(
    store: Store,
    entries: Mapping[bytes, ManifestEntry],
    patch: Path,
    *,
    index: Path,
    timeout_s: float,
    backwards: bool = False,
) -> dict[bytes, ManifestEntry]:
    """These files after the patch, or before it, as git made them of blobs in the store.

    A patch for a repository whose ids are SHA-256 is applied to the same files in such a store.
    `index` is a path where nothing is yet. Raises `DoesNotApply`, or `PatchError` for the rest.
    """
    if not _has_long_ids(patch):
        return _applied(store, entries, patch, index, timeout_s, backwards=backwards)
    twin = Store(index.with_name(f"{index.name}-sha256"), object_format="sha256")
    there = {path: _copied(entry, store, twin) for path, entry in entries.items()}
    after = _applied(twin, there, patch, index, timeout_s, backwards=backwards)
    same = {entry: entries[path] for path, entry in there.items()}
    return {path: same.get(entry) or _copied(entry, twin, store) for path, entry in after.items()}


def _has_long_ids(patch: Path) -> bool:
    with patch.open("rb") as lines:
        first = next((line for line in lines if line.startswith(b"index ")), b"")
    return _LONG_IDS.match(first) is not None


def _copied(entry: ManifestEntry, source: Store, target: Store) -> ManifestEntry:
    """The same file in another store, by the id that it has there."""
    blob = target.put(source.read(entry.blob), entry.size)
    return ManifestEntry(entry.mode, blob, entry.size)


def _applied(
    store: Store,
    entries: Mapping[bytes, ManifestEntry],
    patch: Path,
    index: Path,
    timeout_s: float,
    *,
    backwards: bool,
) -> dict[bytes, ManifestEntry]:
    rows = b"".join(
        b"%06o %s 0\t%s\0" % (entry.mode, entry.blob.encode(), path)
        for path, entry in sorted(entries.items())
    )
    run_git(
        store.directory,
        ("update-index", "-z", "--index-info"),
        index=index,
        stdin=rows,
        timeout_s=timeout_s,
    )
    try:
        run_git(
            store.directory,
            (*_APPLY, *(["--reverse"] if backwards else []), str(patch)),
            index=index,
            settings=_OBJECTS_AS_THEY_ARE,
            timeout_s=timeout_s,
        )
    except GitRefused as refused:
        conflicts = _conflicts(refused.complaint)
        shown = listed(conflicts, 5, empty=str(refused), between="; ")
        raise DoesNotApply(f"the patch does not fit: {shown}", conflicts=conflicts) from None
    out = run_git(store.directory, ("ls-files", "-s", "-z"), index=index, timeout_s=timeout_s)
    found = [_listed(row) for row in out.split(b"\0")[:-1]]
    sizes = {entry.blob: entry.size for entry in entries.values()}
    made = {blob for _, _, blob in found} - sizes.keys()
    sizes |= _sizes(store, made, timeout_s)
    return {path: ManifestEntry(mode, blob, sizes[blob]) for path, mode, blob in found}


def _listed(row: bytes) -> tuple[bytes, int, str]:
    match = _LISTED.fullmatch(row)
    if match is None:
        raise PatchError(f"git ls-files printed what can't be read: {row[:80]!r}")
    return match[3], int(match[1], 8), match[2].decode()


def _sizes(store: Store, blobs: Collection[str], timeout_s: float) -> dict[str, int]:
    """What git says of each: one call, where reading ten thousand files takes seconds."""
    if not blobs:
        return {}
    asked = "".join(f"{blob}\n" for blob in sorted(blobs)).encode()
    arguments = ("cat-file", "--batch-check", "--buffer")
    out = run_git(store.directory, arguments, stdin=asked, timeout_s=timeout_s)
    sizes = {}
    for row in out.splitlines():
        match = _SIZED.fullmatch(row)
        if match is None:
            raise PatchError(f"git cat-file printed what can't be read: {row[:80]!r}")
        sizes[match[1].decode()] = int(match[2])
    if sizes.keys() != set(blobs):
        raise PatchError("git cat-file did not tell the size of every file of the patch.")
    return sizes


def _conflicts(complaint: bytes) -> tuple[str, ...]:
    """git's errors as one line for each file, with the line of the hunk where it names one."""
    hunks: dict[str, str] = {}
    found: dict[str, str] = {}
    # By line feeds alone: a name may hold whatever else `splitlines` takes for a line's end.
    for line in complaint.decode("utf-8", "backslashreplace").split("\n"):
        if match := _FAILED_HUNK.fullmatch(line):
            hunks[match[1]] = f"the hunk at line {match[2]} does not match"
        elif match := _OTHER_BINARY.fullmatch(line):
            hunks[match[1]] = "is another binary file than the patch was made for"
        elif match := _FAILED_FILE.fullmatch(line):
            name, problem = match[1], match[2]
            if problem == "patch does not apply" and name in hunks:
                problem = hunks[name]
            elif problem == "does not exist in index":
                problem = "is not there"
            elif problem == "already exists in index":
                problem = "is there already"
            found.setdefault(name, problem)
        elif line.startswith("error: "):
            found.setdefault("", line.removeprefix("error: "))
    return tuple(
        plain(f"{name}: {problem}" if name else problem) for name, problem in found.items()
    )


def plain(text: str) -> str:
    """Fit for a terminal: names and complaints may hold what moves its cursor."""
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)[:300]

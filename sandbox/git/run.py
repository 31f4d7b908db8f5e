"""The one way host git is run: in a private store, with nobody's configuration.

Owns which program that is, its environment and its bounds, and how names are quoted in what it
prints. Knows no trees and no patches. What git reads here is only what we wrote: the git directory,
an index and a patch file named by the caller. One call reads a person's own configuration, as data,
in no repository (`listed_config`).
"""

import os
import re
import selectors
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO

from policies.errors import CarryingError
from sandbox.errors import PatchError

_SYSTEM_DIRECTORIES = (
    "/usr/bin",
    "/bin",
    "/usr/local/bin",
    "/opt/homebrew/bin",
    "/opt/local/bin",
    "/run/current-system/sw/bin",
)
_STDERR_LIMIT_BYTES = 256 * 1024
_CONFIG_LIMIT_BYTES = 4 << 20
_CONFIG_TIMEOUT_S = 20.0
_PIECE_BYTES = 1 << 20
# Set by us on every call: a value in the environment or in a file could name a program to run.
_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.pager=cat",
    "core.quotePath=true",
    "core.precomposeUnicode=false",
    "core.protectNTFS=true",
    "core.protectHFS=true",
    "core.symlinks=true",
    "core.fileMode=true",
    "core.ignoreCase=false",
    # Where lines are only counted; for a patch, `gitdiff.carry_whole` has to do it.
    "core.bigFileThreshold=32m",
    "gc.auto=0",
    "maintenance.auto=false",
    "advice.waitingForEditor=false",
)


class GitTooSlow(PatchError):
    """git was stopped at its time limit."""


class GitRefused(CarryingError, PatchError):
    """git ended with an error. `complaint` holds what it wrote, bounded."""

    def __init__(self, message: str, *, complaint: bytes) -> None:
        super().__init__(message)
        self.complaint = complaint


@cache
def git_program() -> str:
    """Absolute path of the host's git. Raises `PatchError` where there is none.

    System directories come first; an entry of PATH counts only if it is absolute and lies in no
    work tree: with direnv and its like, PATH may lead into the very repository that is untrusted.
    """
    for entry in (*_SYSTEM_DIRECTORIES, *os.get_exec_path()):
        program = os.path.join(entry, "git")
        if not os.path.isabs(entry) or not os.access(program, os.X_OK):
            continue
        if entry in _SYSTEM_DIRECTORIES or not _in_work_tree(Path(program)):
            return program
    raise PatchError(
        "git was not found on this host, and making or applying a patch needs it. "
        "Install it (Debian: apt-get install git)."
    )


def _in_work_tree(program: Path) -> bool:
    real = program.resolve()
    return any((above / ".git").exists() for above in (*program.parents, *real.parents))


_NOTHING: Mapping[str, str] = {}


def environment(
    git_directory: Path, index: Path | None, more: Mapping[str, str] = _NOTHING
) -> Mapping[str, str]:
    """All that git gets to see of the host; nothing is inherited but what is in `more`."""
    values = {
        "GIT_DIR": str(git_directory),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_PAGER": "cat",
        # A few bytes of a binary patch can ask for any amount (wrapper.c, memory_limit_check).
        "GIT_ALLOC_LIMIT": "2g",
        "HOME": "/nonexistent",
        "LC_ALL": "C",
        "PATH": "/usr/bin:/bin",
        "TMPDIR": str(git_directory),
    }
    if index is not None:
        values["GIT_INDEX_FILE"] = str(index)
    return {**values, **more}


def run_git(
    git_directory: Path,
    arguments: Sequence[str],
    *,
    index: Path | None = None,
    settings: Sequence[str] = (),
    more: Mapping[str, str] = _NOTHING,
    stdin: bytes = b"",
    output_limit_bytes: int = 1 << 28,
    timeout_s: float = 120,
) -> bytes:
    """Run git there and give what it prints.

    Args:
        more: variables beside those that git always gets: for a fetch from a server.

    Raises `GitRefused` (it failed), `GitTooSlow`, and `PatchError` (more output than the limit).
    """
    pieces: list[bytes] = []
    stream_git(
        git_directory,
        arguments,
        pieces.append,
        index=index,
        settings=settings,
        more=more,
        stdin=stdin,
        output_limit_bytes=output_limit_bytes,
        timeout_s=timeout_s,
    )
    return b"".join(pieces)


def stream_git(
    git_directory: Path,
    arguments: Sequence[str],
    take: Callable[[bytes], object],
    *,
    index: Path | None = None,
    settings: Sequence[str] = (),
    more: Mapping[str, str] = _NOTHING,
    stdin: bytes = b"",
    output_limit_bytes: int,
    timeout_s: float,
) -> None:
    """As `run_git`, but hands the output on in pieces: a patch may be larger than a good string."""
    command = [git_program(), "--no-pager"]
    for setting in (*_SETTINGS, *settings):
        command += ["-c", setting]
    # A file, not a pipe, for input: nothing to interleave, so nothing to deadlock on.
    with tempfile.TemporaryFile(dir=git_directory) as source:
        source.write(stdin)
        source.seek(0)
        process = subprocess.Popen(
            [*command, *arguments],
            cwd=git_directory,
            env=environment(git_directory, index, more),
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        with process:
            try:
                complaint = _pump(process, arguments[0], take, output_limit_bytes, timeout_s)
            finally:
                if process.poll() is None:
                    process.kill()
    if process.returncode:
        first = complaint.decode("utf-8", "replace").strip().partition("\n")[0][:300]
        raise GitRefused(
            f"git {arguments[0]} failed with status {process.returncode}: {first!r}",
            complaint=complaint,
        )


def listed_config(environ: Mapping[str, str], file: bytes | None) -> bytes:
    """A person's own configuration as ``git config --list -z --show-origin`` tells it.

    Run in no repository, and nothing is included. Of `environ` git sees where a configuration is.

    Args:
        file: this one, instead of what counts everywhere on the host.

    Raises:
        PatchError: git is missing, fails, takes too long or says too much.
    """
    names = ("HOME", "XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM",
             "GIT_CONFIG_NOSYSTEM")  # fmt: skip
    seen = {name: environ[name] for name in names if name in environ}
    which = [] if file is None else ["--file", os.fsdecode(file)]
    command = [git_program(), "config", *which, "--list", "-z", "--show-origin", "--no-includes"]
    try:
        done = subprocess.run(
            command,
            cwd="/",
            env={**seen, "GIT_DIR": os.devnull, "LC_ALL": "C", "PATH": "/usr/bin:/bin"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_CONFIG_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PatchError(f"git config can't be run: {error}") from error
    if done.returncode or len(done.stdout) > _CONFIG_LIMIT_BYTES:
        said = done.stderr.decode("utf-8", "replace").strip().partition("\n")[0][:300]
        raise PatchError(f"git config failed with status {done.returncode}: {said!r}")
    return done.stdout


def _pump(
    process: subprocess.Popen[bytes],
    name: str,
    take: Callable[[bytes], object],
    output_limit_bytes: int,
    timeout_s: float,
) -> bytes:
    """Read both pipes to their ends within the bounds; gives what stood on standard error."""
    deadline = time.monotonic() + timeout_s
    complaint = bytearray()
    total = 0
    with selectors.DefaultSelector() as ready:
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            ready.register(stream, selectors.EVENT_READ)
        while ready.get_map():
            left_s = deadline - time.monotonic()
            events = ready.select(max(left_s, 0))
            if left_s <= 0 or not events:
                raise GitTooSlow(f"git {name} was stopped after {timeout_s:g} s.")
            for key, _ in events:
                piece = _read(key.fileobj)
                if not piece:
                    ready.unregister(key.fileobj)
                elif key.fileobj is process.stderr:
                    complaint += piece[: _STDERR_LIMIT_BYTES - len(complaint)]
                else:
                    total += len(piece)
                    if total > output_limit_bytes:
                        raise PatchError(
                            f"git {name} was stopped: it printed more than the limit of "
                            f"{output_limit_bytes} bytes."
                        )
                    take(piece)
    try:
        process.wait(max(deadline - time.monotonic(), 1))
    except subprocess.TimeoutExpired:
        raise GitTooSlow(f"git {name} was stopped after {timeout_s:g} s.") from None
    return bytes(complaint)


def _read(stream: object) -> bytes:
    file: IO[bytes] = stream  # type: ignore[assignment]
    return os.read(file.fileno(), _PIECE_BYTES)


QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(rb"\\([0-3][0-7]{2}|.)", re.DOTALL)
_LETTERS = {
    b"a": b"\a",
    b"b": b"\b",
    b"t": b"\t",
    b"n": b"\n",
    b"v": b"\v",
    b"f": b"\f",
    b"r": b"\r",
}


def unquoted(name: bytes) -> bytes:
    """What stands between the quotes, as it is."""

    def plain(match: re.Match[bytes]) -> bytes:
        code = match[1]
        return bytes((int(code, 8),)) if len(code) == 3 else _LETTERS.get(code, code)

    return _ESCAPE.sub(plain, name)

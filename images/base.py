"""The image that a recipe starts from: pulled where a registry answers, else bootstrapped.

Owns the one fallback there is: Debian's own bootstrap tool with the package mirror that this
machine already uses, imported under the public name, so that a recipe stays an ordinary Dockerfile.
Knows how to make no other image.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from sandbox.engine.docker import Engine
from sandbox.errors import EngineError, EngineUnavailable, ImageUnusable

BOOTSTRAPPABLE = {"debian:bookworm-slim": "bookworm", "debian:trixie-slim": "trixie"}
"""Public image name to the Debian release whose minimal system stands in for it."""

BOOTSTRAPPED_LABEL = "moonpool.bootstrapped"

_PULL_TIMEOUT_S = 20
"""How long a pull may be silent: a registry that answers reports its progress much more often."""
_BOOTSTRAP_TIMEOUT_S = 900
_INSTALL_TIMEOUT_S = 300
_TOOL = "mmdebstrap"
_TOOL_PATHS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Never the caller's PATH: it may name a folder of the workspace."""

_PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
_KEPT_VARIABLES = ("HOME", "TMPDIR")

# What the public slim image leaves out, so that the two come near each other.
_LEFT_OUT = ("doc", "info", "locale", "man")


def ensure_base(engine: Engine, ref: str, *, on_progress: Callable[[str], None]) -> None:
    """Make sure the engine holds the base image.

    Raises:
        ImageUnusable: it can be neither pulled nor bootstrapped; the message says what to do.
    """
    if engine.image(ref) is None:
        refresh_base(engine, ref, on_progress=on_progress)


def refresh_base(engine: Engine, ref: str, *, on_progress: Callable[[str], None]) -> None:
    """Get the base image as it is today, whatever the engine holds; errors as `ensure_base`."""
    on_progress(f"{ref}: pulling")
    try:
        tagged = ref if re.search(r"[:@][^/]*\Z", ref) else f"{ref}:latest"
        engine.pull(tagged, timeout_s=_PULL_TIMEOUT_S)
        # An engine may answer 200 and report the failure in the body only: look at the result.
        if engine.image(ref) is not None:
            return
        reason = "the engine has no such image after the pull"
    except (EngineError, EngineUnavailable) as error:
        reason = _first_line(error)
    suite = BOOTSTRAPPABLE.get(ref)
    if suite is None:
        raise ImageUnusable(
            f"the base image {ref} can't be pulled ({reason}): connect to a registry, or load it "
            "into the engine with `docker load`"
        )
    on_progress(f"{ref}: no registry answers, bootstrapping {suite} from Debian packages")
    bootstrap(engine, ref, suite, on_progress=on_progress)


def bootstrap(
    engine: Engine,
    ref: str,
    suite: str,
    *,
    on_progress: Callable[[str], None],
) -> None:
    """Make a minimal Debian from packages and import it; errors as `ensure_base`."""
    tool = _bootstrap_tool(ref, engine.environ, on_progress)
    # Not below the workspace, whoever owns that: a fresh directory only we can enter. The tool
    # makes its own elsewhere, as apt drops its rights.
    with tempfile.TemporaryDirectory(prefix="moonpool-base-") as directory:
        rootfs = Path(directory) / "rootfs.tar"
        command = bootstrap_command(
            tool, suite, rootfs, mirrors(_apt_targets(engine.environ), suite)
        )
        _run(
            command,
            doing=f"bootstrapping {ref}",
            timeout_s=_BOOTSTRAP_TIMEOUT_S,
            environ=engine.environ,
            on_line=lambda line: on_progress(f"{ref}: {line.removeprefix('I: ')}"),
        )
        on_progress(f"{ref}: importing")
        engine.import_rootfs(rootfs, ref=ref, labels={BOOTSTRAPPED_LABEL: suite})


def bootstrap_command(tool: str, suite: str, target: Path, sources: Sequence[str]) -> list[str]:
    """The bootstrap tool's argument list. No sources: the tool's own default mirror."""
    return [
        tool,
        "--variant=minbase",
        '--aptopt=Acquire::Languages "none"',
        *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _LEFT_OUT),
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        # A mirror over TLS can only be used from inside with a trust store there.
        *(["--include=ca-certificates"] if any("https://" in line for line in sources) else []),
        "--",
        suite,
        str(target),
        *sources,
    ]


def mirrors(targets: str, suite: str) -> tuple[str, ...]:
    """One-line apt sources for a release, from the Debian mirrors this machine uses.

    ``targets`` is a line ``URI RELEASE COMPONENT`` for each index apt holds from Debian. The host
    may run another release than the image: then its mirror is taken, with the image's release.
    Mirrors the image could not use, or must not hold (credentials in the address), are left out.
    """
    found: dict[str, None] = {}
    for line in targets.splitlines():
        fields = line.split()
        if len(fields) != 3 or fields[2] != "main":
            continue
        uri, release, _ = fields
        address = urlsplit(uri)
        if address.scheme not in {"http", "https"} or "@" in address.netloc:
            continue
        pocket = re.search(r"-(updates|security)$", release)
        found[f"deb {uri.rstrip('/')} {suite}{pocket.group() if pocket else ''} main"] = None
    # Without the release itself its updates are no use.
    complete = any(line.split()[2] == suite for line in found)
    return tuple(found) if complete else ()


def _apt_targets(environ: Mapping[str, str]) -> str:
    """What apt says of its own configuration; empty where there is no apt."""
    apt = shutil.which("apt-get", path=_TOOL_PATHS)
    if apt is None:
        return ""
    columns = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
    command = [apt, "indextargets", "--format", columns, "Created-By: Packages", "Origin: Debian"]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
            text=True,
            env=_tool_environment(environ),
            cwd="/",
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _bootstrap_tool(
    ref: str, environ: Mapping[str, str], on_progress: Callable[[str], None]
) -> str:
    tool = shutil.which(_TOOL, path=_TOOL_PATHS)
    if tool is not None:
        return tool
    apt = shutil.which("apt-get", path=_TOOL_PATHS)
    if apt is None or os.geteuid() != 0:
        raise ImageUnusable(
            f"the base image {ref} can't be pulled and {_TOOL} is not here to make it: connect to "
            f"a registry, or as root `apt-get install {_TOOL}`"
        )
    for arguments in (["update"], ["install", "-y", "--no-install-recommends", _TOOL]):
        on_progress(f"{ref}: apt-get {' '.join(arguments)}")
        _run(
            [apt, "-qq", *arguments],
            doing=f"installing {_TOOL}",
            timeout_s=_INSTALL_TIMEOUT_S,
            environ=environ,
        )
    tool = shutil.which(_TOOL, path=_TOOL_PATHS)
    if tool is None:
        raise ImageUnusable(f"apt-get installed no {_TOOL}: install it and try again")
    return tool


def proxy_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """The proxy settings of this machine, in both spellings of their names."""
    names = [*_PROXY_VARIABLES, *(name.lower() for name in _PROXY_VARIABLES)]
    return {name: environ[name] for name in names if environ.get(name)}


def _tool_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """All that Debian's tools, which run as root, get of this process's environment.

    An image made of it must be the same whoever builds it, and no API key has any business there.
    """
    kept = {name: environ[name] for name in _KEPT_VARIABLES if environ.get(name)}
    return {
        **proxy_settings(environ),
        **kept,
        "PATH": _TOOL_PATHS,
        "LC_ALL": "C.UTF-8",
        "DEBIAN_FRONTEND": "noninteractive",
    }


def _run(
    command: Sequence[str],
    *,
    doing: str,
    timeout_s: float,
    environ: Mapping[str, str],
    on_line: Callable[[str], None] = lambda _: None,
) -> None:
    """Run one of Debian's tools to its end; `ImageUnusable` with its last lines where it fails."""
    last: list[str] = []
    try:
        # timeout(1) rather than a timer of our own: it ends the tool's children too.
        process = subprocess.Popen(
            ["timeout", "--kill-after=10", str(int(timeout_s)), *command],  # noqa: S607
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=_tool_environment(environ),
            cwd="/",
        )
    except OSError as error:
        raise ImageUnusable(f"{doing}: {command[0]} does not start ({error})") from error
    with process:
        assert process.stdout is not None
        try:
            for raw in process.stdout:
                line = raw.decode(errors="replace").rstrip().rpartition("\r")[2].strip()
                if line:
                    last = [*last[-7:], line[:300]]
                    on_line(line[:300])
        except BaseException:
            # An interrupt from the terminal does not reach it: timeout(1) leads its own group.
            process.terminate()
            raise
    if process.returncode != 0:
        tail = "\n".join(last)
        raise ImageUnusable(
            f"{doing} failed ({command[0]} ended with {process.returncode}): see its last lines, "
            f"then try again\n{tail}"
        )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]

"""What CI, Dockerfiles, dev containers and .gitmodules say beside the manifests.

Only told, as comments: each is another machine's description, and root's work.
"""

import re
from collections.abc import Iterator

from agent.proposal import setup_script
from agent.proposal.repository import RepositoryFiles, section, strings

_INSTALL = re.compile(r"\bapt(?:-get)?\s+(?:-\S{1,100}\s+){0,20}install\s+([^\n&|;#`$()]{1,2000})")
"""Bounded: of `apt -apt -apt …` each word is a beginning, and would have all others as options."""
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]{1,60}\Z", re.ASCII)
_HEADERS = {
    "curl": "libcurl4-openssl-dev",
    "jpeg": "libjpeg-dev",
    "pq": "libpq-dev",
    "sqlite3": "libsqlite3-dev",
    "xml2": "libxml2-dev",
    "xslt": "libxslt1-dev",
}
"""Debian's package with the headers of a library, by the name it is linked by; the image `python`
has those of ffi, ssl, yaml and z."""
_FROM, _IMAGE = r"(?mi)^FROM\s+(\S{1,200})", r'"image"\s*:\s*"([^"\n]{1,200})"'
_BASES = (
    ("Dockerfile", _FROM, "builds on"),
    (".devcontainer/Dockerfile", _FROM, "builds on"),
    (".devcontainer/devcontainer.json", _IMAGE, "works in"),
    (".devcontainer.json", _IMAGE, "works in"),
)
_ZONE = re.compile(
    r"(?m)^ {2,20}TZ: *[\"']?([A-Z][A-Za-z_]{1,30}/[A-Z][A-Za-z_]{1,30}|UTC)[\"']? *$"
)
_MAX_SUBMODULES = 20
_MAX_WORKFLOWS = 20
_MAX_PACKAGES = 40


def system_packages(files: RepositoryFiles) -> dict[str, str]:
    """Debian packages that somebody installs, each with the file that says so."""
    script = setup_script.read(files.text("setup.py") or "")
    found = {
        _HEADERS[name]: f"setup.py links with {name}"
        for name in script.libraries
        if name in _HEADERS
    }
    for path in _scripts(files):
        text = (files.text(path) or "").replace("\\\n", " ")
        for install in _INSTALL.finditer(text):
            for word in install[1].split():
                if _PACKAGE.match(word) and len(found) < _MAX_PACKAGES:
                    found.setdefault(word, path)
    return found


def time_zone(files: RepositoryFiles) -> str | None:
    """The one that CI tests in, where it names a single one."""
    zones = {it for path in _workflows(files) for it in _ZONE.findall(files.text(path) or "")}
    return zones.pop() if len(zones) == 1 else None


def _workflows(files: RepositoryFiles) -> tuple[str, ...]:
    return files.matching(".github/workflows", "*.yml", "*.yaml")[:_MAX_WORKFLOWS]


def _scripts(files: RepositoryFiles) -> Iterator[str]:
    yield from _workflows(files)
    for path in (".gitlab-ci.yml", ".travis.yml", "Dockerfile", ".devcontainer/Dockerfile"):
        if path in files:
            yield path


def _submodules(files: RepositoryFiles) -> tuple[str, ...]:
    paths = [section(said).get("path") for said in files.ini(".gitmodules").values()]
    return strings(paths)[:_MAX_SUBMODULES]


def notes(files: RepositoryFiles) -> tuple[str, ...]:
    """Images that others work in, none of which is used unseen; submodules that are not there."""
    found = []
    absent = [path for path in _submodules(files) if not files.listed(path)]
    if absent:
        found.append(
            "submodules are not checked out, and the copy has no network to fetch them by (git "
            f"submodule update --init): {', '.join(absent)}"
        )
    for path, pattern, says in _BASES:
        base = re.search(pattern, files.text(path) or "")
        if base:
            found.append(f"{path} {says} {base[1]}: as `image:` an engine's reference works too")
    return tuple(found)

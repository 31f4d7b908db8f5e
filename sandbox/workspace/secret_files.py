"""Which of the files that may hold secrets are copied all the same.

What git tracks is a fixture: whoever has the repository has it. Certificates are no secrets, and no
TLS code works without them. A source archive has no git to ask: there a file among the tests is a
fixture if its content is harmless, or, of a Python archive, if it is as old as what was published.
Judged by content, on the host, before anything is copied.
"""

import hashlib
import re
import stat
from functools import cached_property

from sandbox.git.ignore import OperatorPatterns
from sandbox.git.index import tracked_blobs
from sandbox.git.path_rules import all_above
from sandbox.patch.values import LeftOut, LeftOutKind
from sandbox.workspace.scan import FoundFile, Scan, open_file, read_git_file

_MAY_HOLD = "may hold a secret (the policy's workspace.secrets)"
_FILE_LIMIT = 16 << 20
_INDEX_LIMIT = 1 << 28
_LEAST_DIFFERENT = 10
"""A token of fewer different signs is a placeholder."""

_LIVE = re.compile(
    rb"(?<![A-Za-z0-9_])(?:"
    rb"(?P<AWS>A(?:KIA|SIA)[A-Z2-7]{16})"
    rb"|(?P<GitHub>gh[opsur]_[A-Za-z0-9]{36,}|github_pat_\w{22,})|(?P<GitLab>gl[a-z]{2,5}-[\w-]{20,})"
    rb"|(?P<npm>npm_[A-Za-z0-9]{36}|_(?:authToken|auth|password)\s*=\s*[\"']?[\w+/=.-]{16,})"
    rb"|(?P<PyPI>pypi-[\w-]{50,})|(?P<OpenAI>sk-(?:proj-|svcacct-|admin-)?[\w-]{32,})"
    rb"|(?P<Anthropic>sk-ant-[\w-]{20,})|(?P<HuggingFace>hf_[A-Za-z0-9]{34,})"
    rb"|(?P<Google>AIza[\w-]{35}|ya29\.[\w-]{20,}|GOCSPX-[\w-]{28})|(?P<Slack>xox[abeprs]-[\w-]{20,})"
    rb"|(?P<Stripe>[rs]k_live_[A-Za-z0-9]{20,}|whsec_[A-Za-z0-9+/=]{32,})"
    rb"|(?P<SendGrid>SG\.[\w-]{20,}\.[\w-]{20,})|(?P<DigitalOcean>do[opr]_v1_[a-f0-9]{64})"
    rb"|(?P<Docker>dckr_(?:pat|oat)_[\w-]{20,})|(?P<Vault>hv[sb]\.[\w-]{24,})"
    rb"|(?P<Azure>AccountKey=[A-Za-z0-9+/]{60,}={0,2})|(?P<age>AGE-SECRET-KEY-1[A-Z0-9]{58})"
    rb")"
)
_KEY = b"PRIVATE KEY"
_ASSIGNED = re.compile(
    rb"(?<![\w.-])([\w.-]++)(?=[\"']?\s*+[:=]\s*+[\"']?[^\s\"'#;]{4})|://[^/\s:@]*:[^/\s@]{3,}@"
)
"""A name with a value; an address with a password. Each name is read through once, however long:
begun anew at every word in it, a file of one long name would be looked at for days."""
_TELLING = re.compile(
    rb"secret|token|passw|pwd|api_?-?key|access_?-?key|credential|auth|dsn", re.IGNORECASE
)
"""What of a name speaks of a secret."""

_RANDOM = re.compile(rb"[A-Za-z0-9+/_=-]{24,}")
"""So much in one piece may be a token of a form that nobody knows."""
_OF_TESTS = re.compile(rb"(?:^|/)(?:tests?|testing|testdata|fixtures|specs?|__tests__)/")
_PUBLISHED = b"PKG-INFO"
"""What Python's build tools write last into an archive of sources."""


class SecretsGuard:
    """Judges what a policy's ``workspace.secrets`` match in one workspace."""

    def __init__(self, looked: Scan, patterns: tuple[str, ...]) -> None:
        self._root = looked.root
        self._linked = looked.linked
        self._rows = looked.rows
        self._patterns = OperatorPatterns(patterns)
        self._below: set[bytes] = set()
        """Directories that match and hold tracked files: all in them is judged."""

    def refusal(self, item: FoundFile) -> LeftOut | None:
        """Why something may not be copied; None where it may. Parents are to be asked first."""
        directory = stat.S_ISDIR(item.mode)
        inside = bool(self._below) and item.path.rpartition(b"/")[0] in self._below
        if (
            not (inside or self._patterns.names(item.path, directory=directory))
            or b"/.git/" in b"/" + item.path
        ):
            return None
        if directory:
            if item.path not in self._above_tracked:
                return _refused(f"{_MAY_HOLD}, and git tracks nothing in it")
            self._below.add(item.path)
            return None
        return self._of_file(item, self._tracked.get(item.path))

    def _of_file(self, item: FoundFile, blob: bytes | None) -> LeftOut | None:
        fixture = blob is None and self._is_archive and _OF_TESTS.search(item.path) is not None
        public = blob is None and item.path.endswith(b".pem")
        if stat.S_ISLNK(item.mode) or (blob is None and not public and not fixture):
            return None if blob else _UNTRACKED
        data = self._content(item)
        if data is None:
            return _refused(f"{_MAY_HOLD}, and can't be looked at for one")
        if kind := live_secret(data):
            return _refused(f"holds what looks like a live secret: {kind}")
        if blob is None:
            public = public and _is_public(data)
            fixture = fixture and (item.mtime_ns <= self._published_ns or _is_harmless(data))
            return None if public or fixture else _UNTRACKED
        if _object_id(data, len(blob)) != blob and (_KEY in data or _assigns(data)):
            # Whoever has the repository does not have this. An index may say that anything is
            # tracked, so its word alone brings in no secret of the operator's.
            return _refused(f"{_MAY_HOLD}, and is not as git has it")
        return None

    def _content(self, item: FoundFile) -> bytes | None:
        try:
            with open_file(self._root, item.path) as file:
                data = file.read(_FILE_LIMIT + 1)
        except OSError:
            return None
        return data if len(data) <= _FILE_LIMIT else None

    @cached_property
    def _is_archive(self) -> bool:
        """No history comes with it, nor a pointer to one, that would say what is tracked."""
        return self._linked is None and all(row[0] != b".git" for row in self._rows)

    @cached_property
    def _published_ns(self) -> int:
        """When an archive was made, by the time that its unpacking kept; 0 where nothing says so.

        What a person puts there later is newer. What the archive itself says of times can hide
        nothing but what came with it.
        """
        found = (FoundFile._make(row) for row in self._rows)
        return next((it.mtime_ns for it in found if it.path == _PUBLISHED), 0)

    @cached_property
    def _tracked(self) -> dict[bytes, bytes]:
        """Object id of each path in the index of the workspace's repository."""
        try:
            data = read_git_file(self._root, b".git/index", self._linked, _INDEX_LIMIT + 1)
        except OSError:
            return {}
        return (tracked_blobs(data) if len(data) <= _INDEX_LIMIT else None) or {}

    @cached_property
    def _above_tracked(self) -> set[bytes]:
        return all_above(self._tracked)


def live_secret(data: bytes) -> str | None:
    """The kind of the first thing that has the form of a token in use; None where nothing has."""
    for match in _LIVE.finditer(data):
        text = match[0]
        if len(set(text)) >= _LEAST_DIFFERENT and b"EXAMPLE" not in text.upper():
            return f"{match.lastgroup} token"
    return None


def _assigns(data: bytes) -> bool:
    """Whether something that has a secret's name gets a value, or an address has a password."""
    found = _ASSIGNED.finditer(data)
    return any(match[1] is None or _TELLING.search(match[1]) for match in found)


def _is_public(data: bytes) -> bool:
    """Text without a private key: certificates, public keys, parameters."""
    return b"\0" not in data and data.isascii() and _KEY not in data


def _is_harmless(data: bytes) -> bool:
    """Text in which nothing has a secret's name, or might be one by its look."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    found = (_KEY in data, b"\0" in data, _assigns(data), _RANDOM.search(data))
    return not any(found)


def _object_id(data: bytes, length: int) -> bytes:
    kind = "sha256" if length == 32 else "sha1"
    return hashlib.new(kind, b"blob %d\0" % len(data) + data, usedforsecurity=False).digest()


def _refused(reason: str) -> LeftOut:
    return LeftOut(path=b"", reason=reason, kind=LeftOutKind.RULE)


_UNTRACKED = _refused(f"{_MAY_HOLD}, and git does not track it")

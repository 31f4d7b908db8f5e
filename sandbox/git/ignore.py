"""Which files the workspace's own ignore rules keep out of the patch.

Owns gitignore(5): nested files, their precedence, tracked paths. Knows the baseline only, so that
nothing the agent writes into an ignore file hides a change. The rules are the repository's, and
with them the time that they take: everything is bounded, and what goes past a bound ignores
nothing, so that the most a hostile rule can do is to leave a file in the patch.
"""

from collections.abc import Iterable

from sandbox.git.manifest import PERSONAL_EXCLUDE, SYMLINK, Manifest
from sandbox.git.pattern import PathPattern, parse_pattern

FILE_LIMIT_BYTES = 1 << 20
PATTERN_LIMIT_BYTES = 1024
PATTERNS_LIMIT = 20_000
"""In all files together."""
WORK_LIMIT = 100_000_000
"""How much work one `IgnoreRules` does, in patterns tried and bytes matched: some fifteen
seconds."""

_EXCLUDE_FILE = b".git/info/exclude"
_GITIGNORE = b".gitignore"


class OperatorPatterns:
    """An operator's patterns, in the form of an ignore file, for any path whatever.

    Not by a library: those turn a pattern into a regular expression, and a path that the adversary
    named can then keep it busy for as long as they like.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        parsed = [parse_pattern(line.encode("utf-8", "surrogateescape"), line) for line in lines]
        self._patterns = [pattern for pattern in reversed(parsed) if pattern is not None]
        # Most paths fit none of them, and that can be told at once.
        plain = [pattern for pattern in self._patterns if pattern.ending is None]
        self._endings = tuple(p.ending for p in self._patterns if p.ending is not None)
        self._names = tuple(pattern.literal for pattern in plain if pattern.by_name)
        self._paths = tuple(pattern.literal for pattern in plain if not pattern.by_name)

    def names(self, path: bytes, *, directory: bool) -> bool:
        """Whether this very path is meant; what stands above it is not asked."""
        name = path.rpartition(b"/")[2]
        if not (
            name.endswith(self._endings)
            or name.startswith(self._names)
            or path.startswith(self._paths)
        ):
            return False
        for pattern in self._patterns:
            if (directory or not pattern.directory_only) and pattern.matches(path, name)[0]:
                return pattern.reason is not None
        return False

    def cover(self, path: bytes) -> bool:
        """Whether this file is meant, or a directory that it is in."""
        at = path.find(b"/")
        while at >= 0:
            if self.names(path[:at], directory=True):
                return True
            at = path.find(b"/", at + 1)
        return self.names(path, directory=False)


class IgnoreRules:
    """The ignore rules of a baseline, and the operator's (`extra_patterns`) for new paths.

    `included` are the operator's too: what they match is kept out by none of these rules.
    """

    def __init__(
        self,
        manifest: Manifest,
        extra_patterns: Iterable[str] = (),
        included: Iterable[str] = (),
        *,
        work_limit: int = WORK_LIMIT,
    ) -> None:
        self._manifest = manifest
        self._included = OperatorPatterns(included)
        self._work_left = work_limit
        self._patterns_left = PATTERNS_LIMIT
        self._notes: list[str] = []
        self._files: dict[bytes, list[PathPattern]] = {}
        self._everywhere: list[PathPattern] = []
        self._known: dict[tuple[bytes, bool], str | None] = {(b"", True): None, (b"", False): None}
        for path, data in sorted(manifest.rule_files.items()):
            entry = manifest.entries.get(path)
            if entry is not None and entry.mode == SYMLINK:
                continue  # git does not read ignore rules through a link
            if path in (_EXCLUDE_FILE, PERSONAL_EXCLUDE):  # sorted: the repository's counts more
                self._everywhere += self._parsed(path, data)
            elif path.rpartition(b"/")[2] == _GITIGNORE:
                self._files[path.rpartition(b"/")[0]] = self._parsed(path, data)
        operators = [
            parse_pattern(
                line.encode("utf-8", "surrogateescape"),
                f"ignored by the policy's export.ignore: {line}",
            )
            for line in extra_patterns
        ]
        self._operators = [pattern for pattern in reversed(operators) if pattern is not None]

    @property
    def notes(self) -> tuple[str, ...]:
        """Which rules were left out of account, and why; for the report."""
        return tuple(self._notes)

    def ignored(self, path: bytes) -> str | None:
        """The rule that keeps this file or link out of the patch; None where none does.

        A tracked path is never kept out. Where nothing tells what is tracked, the rules count for
        what stood in the baseline too: a patch of it would not fit a clean clone.
        """
        if path in (self._manifest.tracked or ()) or self._included.cover(path):
            return None
        new = path not in self._manifest.entries
        above = self._directory(path.rpartition(b"/")[0], new=new)
        return above or self._judged(path, directory=False, new=new)

    def _directory(self, directory: bytes, *, new: bool) -> str | None:
        """Whether a directory is ignored, and with it all that is in it; each is asked once."""
        unknown = []
        while (directory, new) not in self._known:
            unknown.append(directory)
            directory = directory.rpartition(b"/")[0]
        reason = self._known[directory, new]
        for below in reversed(unknown):
            # Under an ignored directory no rule is read any more: nothing is taken back there.
            if reason is None:
                self._spend(1 + len(below) // 4)
                reason = self._judged(below, directory=True, new=new)
            self._known[below, new] = reason
        return reason

    def _judged(self, path: bytes, *, directory: bool, new: bool) -> str | None:
        """The last pattern that matches decides; deeper files come before higher ones."""
        name = path.rpartition(b"/")[2]
        for above in self._files_above(path):
            inner = path[len(above) + 1 :] if above else path
            if found := self._last(self._files[above], inner, name, directory=directory):
                return found.reason
        if found := self._last(self._everywhere, path, name, directory=directory):
            return found.reason
        for pattern in self._operators if new else ():
            if (directory or not pattern.directory_only) and pattern.matches(path, name)[0]:
                return pattern.reason
        return None

    def _files_above(self, path: bytes) -> list[bytes]:
        """Directories above with an ignore file, deepest first, the root as empty."""
        if len(self._files) < path.count(b"/"):
            above = [at for at in self._files if not at or path.startswith(at + b"/")]
            return sorted(above, key=len, reverse=True)
        above = []
        while path:
            path = path.rpartition(b"/")[0]
            if path in self._files:
                above.append(path)
        return above

    def _last(
        self, patterns: list[PathPattern], inner: bytes, name: bytes, *, directory: bool
    ) -> PathPattern | None:
        work = 0
        found = None
        for pattern in patterns:
            if work >= self._work_left:
                break
            if pattern.directory_only and not directory:
                continue
            matched, cost = pattern.matches(inner, name)
            work += cost
            if matched:
                found = pattern
                break
        self._spend(work)
        return found

    def _spend(self, work: int) -> None:
        if self._work_left > 0 >= self._work_left - work:
            self._notes.append(
                "the workspace's ignore rules take too long to match: from some file on none of "
                "them was applied, and the patch may hold ignored files"
            )
        self._work_left -= work

    def _parsed(self, path: bytes, data: bytes) -> list[PathPattern]:
        """The patterns of one file, last one first."""
        own = path == PERSONAL_EXCLUDE
        shown = "your core.excludesFile" if own else path.decode("utf-8", "backslashreplace")
        if len(data) > FILE_LIMIT_BYTES:
            self._notes.append(f"{shown} is larger than {FILE_LIMIT_BYTES} bytes: not applied")
            return []
        patterns: list[PathPattern] = []
        for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
            # As git reads it: a C string, and one CR before the newline is not part of it.
            content = line.removesuffix(b"\r").partition(b"\0")[0]
            if content.startswith(b"#"):
                continue
            if len(content) > PATTERN_LIMIT_BYTES:
                self._notes.append(f"{shown}:{number} is a pattern too long to apply")
                continue
            text = content.decode("utf-8", "backslashreplace")
            if pattern := parse_pattern(content, f"ignored by {shown}:{number}: {text}"):
                patterns.append(pattern)
        if len(patterns) > self._patterns_left:
            self._notes.append(f"{shown} has too many patterns: not applied")
            return []
        self._patterns_left -= len(patterns)
        return patterns[::-1]

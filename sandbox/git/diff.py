"""The difference of two trees in a private store, as git prints it, and the paths a patch names.

Owns the options under which host git compares, and the decoding of its records. Knows no manifest
and no proof. What is found in a patch's headers decides only which files are *read* for git to
apply it to; what is written follows from what git then did.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from policies.frozen import dataclass
from sandbox.errors import PatchError
from sandbox.git.run import QUOTED, run_git, stream_git, unquoted

_PLAIN = ("--no-ext-diff", "--no-textconv", "--no-color", "--no-indent-heuristic", "--no-relative")
# Names of a thing that moved help a reviewer; comparing everything that came with everything that
# went does not: above so many of each, only exact renames are looked for.
_RENAMES = ("-M", "-l400")
_RAW = re.compile(rb":(\d{6}) (\d{6}) ([0-9a-f]{40}) ([0-9a-f]{40}) ([AMDTR])\d*")
_HEADER = b"diff --git "
_IDS = re.compile(rb"index ([0-9a-f]{40})\.\.([0-9a-f]{40})\b")
_COUNTS = re.compile(rb"(\d+|-)\t(\d+|-)\t(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffRecord:
    """One changed path, or one pair of a rename."""

    status: str
    """A, M, D, T (another type, such as a file that is a link now) or R."""
    path: bytes
    old_path: bytes | None
    """The path before a rename; None for any other change."""
    old_mode: int
    new_mode: int
    old_blob: str
    new_blob: str
    added_lines: int | None
    """None for a binary file."""
    deleted_lines: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Which trees of which store, and how."""

    directory: Path
    """The store's."""
    old: str
    new: str
    renames: bool
    """Whether a file that went and one like it that came are told as one that moved."""
    timeout_s: float

    def _arguments(self, *form: str) -> tuple[str, ...]:
        renames = _RENAMES if self.renames else ("--no-renames",)
        return ("diff-tree", "-r", *_PLAIN, *renames, *form, self.old, self.new)

    def write_patch(self, file: Path, *, limit_bytes: int) -> None:
        """What ``git apply`` takes, streamed to a file: it may be large."""
        form = ("-p", "--binary", "--full-index", "--src-prefix=a/", "--dst-prefix=b/", "-U3")
        with file.open("wb") as out:
            stream_git(
                self.directory,
                self._arguments(*form),
                out.write,
                output_limit_bytes=limit_bytes,
                timeout_s=self.timeout_s,
            )

    def records(self) -> list[DiffRecord]:
        """The changed paths in git's order, with the lines that came and went."""
        out = run_git(
            self.directory,
            self._arguments("--raw", "--numstat", "-z", "--no-abbrev"),
            timeout_s=self.timeout_s,
        )
        return _decode(out)


def carry_whole(directory: Path, paths: Iterable[bytes]) -> None:
    """Have files of this store carried as binary data, not line by line.

    git holds eight times the size of a large text in memory while it compares it, and with
    ``--binary`` its own core.bigFileThreshold does nothing about that (seen with 2.39). These
    attributes are the only ones the store has.
    """
    (directory / "info").mkdir(exist_ok=True)
    lines = [b'"/%s" -diff\n' % _as_pattern(path) for path in paths]
    (directory / "info" / "attributes").write_bytes(b"".join(lines))


def _as_pattern(path: bytes) -> bytes:
    """A path as a pattern that matches it alone, in quotes: all but plain bytes as octal."""
    literal = re.sub(rb"([*?\[\\])", rb"\\\1", path)
    return b"".join(
        bytes((byte,))
        if (chr(byte).isalnum() and byte < 128) or byte in b"/._-"
        else b"\\%03o" % byte
        for byte in literal
    )


def rewrite_headers(file: Path, *, quote: bool, long_ids: Callable[[str], str] | None) -> None:
    """Rewrite lines of a patch's headers in place.

    Args:
        quote: put the names in ``diff --git a/PATH b/PATH`` in quotes, for paths with a folder
            whose name ends in a space: git does not quote them, and then can't read its own header
            where no other line has the name (apply.c, git_header_name; seen with 2.39).
        long_ids: the id that a blob has in a repository of another object format, where the patch
            is for one: git takes binary data with whole ids only.
    """
    # Only a header can begin so: a line of a hunk has its sign first, binary data no spaces.
    rewritten = file.with_suffix(".rewritten")
    with file.open("rb") as source, rewritten.open("wb") as out:
        for line in source:
            if quote and line.startswith(_HEADER):
                out.write(_quoted_header(line))
            elif long_ids is not None and (ids := _IDS.match(line)):
                old, new = (long_ids(ids[number].decode()).encode() for number in (1, 2))
                out.write(b"index %s..%s%s" % (old, new, line[ids.end() :]))
            else:
                out.write(line)
    rewritten.replace(file)


def _quoted_header(line: bytes) -> bytes:
    names = line.removeprefix(_HEADER).removesuffix(b"\n")
    middle = len(names) // 2
    first, second = names[:middle], names[middle + 1 :]
    if names.startswith(b'"') or first[2:] != second[2:]:
        return line  # quoted, or a rename, which has lines of its own for its names
    return b'%s"%s" "%s"\n' % (_HEADER, first, second)


def _decode(out: bytes) -> list[DiffRecord]:
    """All the raw records come first, then the counts of each in the same order."""
    fields = iter(out.split(b"\0")[:-1])
    counts: dict[bytes, tuple[int | None, int | None]] = {}
    raw: list[tuple[re.Match[bytes], bytes, bytes | None]] = []
    for field in fields:
        if match := _RAW.fullmatch(field):
            first = _next(fields)
            moved = match[5] == b"R"
            raw.append((match, _next(fields) if moved else first, first if moved else None))
        elif match := _COUNTS.fullmatch(field):
            path = match[3]
            if not path:  # a rename: both names follow
                _next(fields)
                path = _next(fields)
            counts[path] = (_count(match[1]), _count(match[2]))
        else:
            raise PatchError(f"git diff-tree printed what can't be read: {field[:80]!r}")
    return [
        DiffRecord(
            status=match[5].decode(),
            path=path,
            old_path=old_path,
            old_mode=int(match[1], 8),
            new_mode=int(match[2], 8),
            old_blob=match[3].decode(),
            new_blob=match[4].decode(),
            added_lines=counts.get(path, (0, 0))[0],
            deleted_lines=counts.get(path, (0, 0))[1],
        )
        for match, path, old_path in raw
    ]


def _next(fields: Iterator[bytes]) -> bytes:
    field = next(fields, None)
    if field is None:
        raise PatchError("git diff-tree printed half a record.")
    return field


def _count(number: bytes) -> int | None:
    return None if number == b"-" else int(number)


# Lines of a hunk begin with a space, a sign or a backslash, and binary data has no spaces: none of
# these can stand there.
_NAMES = re.compile(rb"^(?:diff --git (.*)|(?:rename|copy) (?:from|to) (.*))$", re.MULTILINE)


def touched_paths(patch: bytes) -> frozenset[bytes]:
    """Old and new path of each file in the patch."""
    found: set[bytes] = set()
    for match in _NAMES.finditer(patch):
        both, one = match.groups()
        path = _one_name(one) if both is None else _common_name(both)
        if path:
            found.add(path)
    return frozenset(found)


def _one_name(name: bytes) -> bytes:
    quoted = QUOTED.fullmatch(name)
    return unquoted(quoted[1]) if quoted else name


def _common_name(names: bytes) -> bytes | None:
    """The path in ``a/PATH b/PATH``; None where they differ: other lines tell of a rename."""
    if quoted := QUOTED.match(names):
        first, second = unquoted(quoted[1]), _one_name(names[quoted.end() + 1 :])
    else:
        # Of equal length but for the prefix, so the middle is known, whatever spaces there are.
        middle = len(names) // 2
        first, second = names[:middle], names[middle + 1 :]
    same = first[:2] == b"a/" and second[:2] == b"b/" and first[2:] == second[2:]
    return first[2:] if same else None

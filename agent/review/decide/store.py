"""``review.db`` beside a folder's runs: the marks of its reviewers, which survive a reload.

Owns the file and the rule of several reviewers at once: who writes says what they had seen, and a
mark that somebody else changed since is not written over. Refuses to know what the marks mean.
"""

import secrets
import sqlite3
import threading
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import tenacity

from agent.errors import RecordError, UsageError
from agent.review.decide.marks import WHOLE, LineComment, PatchMarks, SetMark, Verdict
from agent.untrusted_text import path_text
from policies.errors import CarryingError
from policies.frozen import dataclass

NAME = "review.db"
_VERSION = 1
_APPLICATION = 0x4D504F52
"""``MPOR``: whose file it is."""
_BUSY_S = 10.0
_NOT_WAITED_FOR = tenacity.Retrying(
    retry=tenacity.retry_if_exception_type(sqlite3.OperationalError),
    stop=tenacity.stop_after_delay(_BUSY_S),
    wait=tenacity.wait_fixed(0.02),
    reraise=True,
)
"""Another's write to a file that is new: SQLite refuses at once, whatever the time-out."""
COMMENT_CHARACTERS = 10_000
_COMMENTS = 2_000
"""At most for one patch."""
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS marks (
    run TEXT NOT NULL,
    patch TEXT NOT NULL,
    kind TEXT NOT NULL,
    path BLOB NOT NULL,
    part INTEGER NOT NULL,
    value TEXT NOT NULL,
    by TEXT NOT NULL,
    revision INTEGER NOT NULL,
    PRIMARY KEY (run, patch, kind, path, part)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS comments (
    run TEXT NOT NULL,
    patch TEXT NOT NULL,
    id TEXT NOT NULL,
    path BLOB NOT NULL,
    side TEXT NOT NULL,
    line INTEGER NOT NULL,
    text TEXT NOT NULL,
    by TEXT NOT NULL,
    at TEXT NOT NULL,
    revision INTEGER NOT NULL,
    PRIMARY KEY (run, patch, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS revisions (
    run TEXT NOT NULL,
    patch TEXT NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (run, patch)
) STRICT, WITHOUT ROWID;
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {_VERSION};
"""
_VERDICT, _REVIEWED = "verdict", "reviewed"


class MarkedMeanwhile(CarryingError, UsageError):
    """Somebody else decided otherwise since the page was loaded: nothing was written."""

    def __init__(self, path: bytes, mark: SetMark) -> None:
        self.path = path
        self.mark = mark
        said = mark.value or "undecided"
        super().__init__(
            f"{path_text(path)}: {mark.by} set it to {said} meanwhile; nothing was changed"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedPatch:
    """Which patch is meant."""

    run: str
    patch: str
    """Its sha256, hex."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecidedParts:
    """How many parts of a patch were decided about, and how much was said of it."""

    accepted: int = 0
    rejected: int = 0
    comments: int = 0


class MarkStore:
    """The marks of one folder. May be used from several threads, and by several processes."""

    def __init__(self, home: Path) -> None:
        self._path = home / NAME
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None

    def close(self) -> None:
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None

    def marks(self, of: MarkedPatch) -> PatchMarks:
        """All that stands about a patch. Raises `RecordError` where that can't be read."""
        where = (of.run, of.patch)
        with self._used() as database:
            revision = _revision(database, of)
            rows = database.execute(
                "SELECT kind, path, part, value, by, revision FROM marks WHERE run=? AND patch=?",
                where,
            ).fetchall()
            said = database.execute(
                "SELECT id, path, side, line, text, by, at, revision FROM comments "
                "WHERE run=? AND patch=? ORDER BY revision",
                where,
            ).fetchall()
        verdicts: dict[tuple[bytes, int], SetMark] = {}
        reviewed: dict[bytes, SetMark] = {}
        for kind, path, part, value, by, at_revision in rows:
            mark = SetMark(value=value, by=by, revision=at_revision)
            if kind == _VERDICT:
                verdicts[path, part] = mark
            else:
                reviewed[path] = mark
        names = ("id", "path", "side", "line", "text", "by", "at", "revision")
        comments = tuple(LineComment(**dict(zip(names, row, strict=True))) for row in said)
        return PatchMarks(
            revision=revision, verdicts=verdicts, reviewed=reviewed, comments=comments
        )

    def decide(
        self,
        of: MarkedPatch,
        verdicts: Mapping[tuple[bytes, int], Verdict],
        *,
        by: str,
        seen: int | None,
    ) -> int:
        """Accept or reject parts, all of them or none; gives the new revision.

        Args:
            verdicts: by file and part (`marks.parts_of`).
            seen: the revision that the reviewer had before their eyes; None: write over all.

        Raises:
            MarkedMeanwhile: one of them was set to something else after that.
        """
        rows = [(path, part, str(verdict)) for (path, part), verdict in verdicts.items()]
        return self._mark(of, _VERDICT, rows, by=by, seen=seen)

    def review(self, of: MarkedPatch, path: bytes, *, done: bool, by: str, seen: int) -> int:
        """Say that a file is read, or that it is not; as `decide`."""
        rows = [(path, WHOLE, "yes" if done else "")]
        return self._mark(of, _REVIEWED, rows, by=by, seen=seen)

    def comment(
        self, of: MarkedPatch, path: bytes, *, side: str, line: int, text: str, by: str
    ) -> LineComment:
        """Add a comment to a line. Nobody's is ever written over: each has an id of its own.

        Raises:
            UsageError: it is empty, too long, or one too many.
        """
        text = text.strip().replace("\r\n", "\n").replace("\0", "\ufffd")
        if not text or len(text) > COMMENT_CHARACTERS:
            raise UsageError(f"a comment has from 1 to {COMMENT_CHARACTERS} characters")
        if side not in {"new", "old"} or not 0 <= line < 1 << 31:
            raise UsageError("a comment stands at a line of the new or the old file")
        with self._writing(of) as (database, revision):
            (count,) = database.execute(
                "SELECT count(*) FROM comments WHERE run=? AND patch=?", (of.run, of.patch)
            ).fetchone()
            if count >= _COMMENTS:
                raise UsageError(f"a patch has {_COMMENTS} comments at most")
            made = LineComment(
                id=secrets.token_hex(8),
                path=path,
                side=side,
                line=line,
                text=text,
                by=by,
                at=datetime.now(UTC).isoformat(timespec="seconds"),
                revision=revision,
            )
            database.execute(
                "INSERT INTO comments VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (of.run, of.patch, made.id, path, side, line, text, by, made.at, revision),
            )
        return made

    def withdraw(self, of: MarkedPatch, comment: str) -> bool:
        """Remove a comment; False: it was gone already."""
        with self._writing(of) as (database, _):
            gone = database.execute(
                "DELETE FROM comments WHERE run=? AND patch=? AND id=?", (of.run, of.patch, comment)
            )
        return gone.rowcount == 1

    def decided(self) -> dict[MarkedPatch, DecidedParts]:
        """What is decided of every patch: one question for a whole folder."""
        with self._used() as database:
            rows = database.execute(
                "SELECT run, patch, sum(accepted), sum(rejected), sum(comments) FROM ("
                "SELECT run, patch, value='accepted' AS accepted, value='rejected' AS rejected, "
                "0 AS comments FROM marks WHERE kind='verdict' "
                "UNION ALL SELECT run, patch, 0, 0, 1 FROM comments) GROUP BY run, patch"
            ).fetchall()
        return {
            MarkedPatch(run=run, patch=patch): DecidedParts(
                accepted=accepted, rejected=rejected, comments=comments
            )
            for run, patch, accepted, rejected, comments in rows
        }

    def _mark(
        self,
        of: MarkedPatch,
        kind: str,
        rows: Iterable[tuple[bytes, int, str]],
        *,
        by: str,
        seen: int | None,
    ) -> int:
        with self._writing(of) as (database, revision):
            for path, part, value in rows:
                key = (of.run, of.patch, kind, path, part)
                there = database.execute(
                    "SELECT value, by, revision FROM marks "
                    "WHERE run=? AND patch=? AND kind=? AND path=? AND part=?",
                    key,
                ).fetchone()
                if there is not None:
                    mark = SetMark(value=there[0], by=there[1], revision=there[2])
                    if mark.value == value:
                        continue
                    if seen is not None and mark.revision > seen:
                        raise MarkedMeanwhile(path, mark)
                database.execute(
                    "INSERT OR REPLACE INTO marks VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (*key, value, by, revision),
                )
        return revision

    @contextmanager
    def _writing(self, of: MarkedPatch) -> Generator[tuple[sqlite3.Connection, int]]:
        """Inside, nobody else writes; gives the revision of what is written."""
        with self._used() as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                revision = _revision(database, of) + 1
                yield database, revision
                database.execute(
                    "INSERT OR REPLACE INTO revisions VALUES (?, ?, ?)",
                    (of.run, of.patch, revision),
                )
                database.execute("COMMIT")
            except BaseException:
                database.execute("ROLLBACK")
                raise

    @contextmanager
    def _used(self) -> Generator[sqlite3.Connection]:
        with self._lock:
            try:
                if self._database is None:
                    self._database = _opened(self._path)
                yield self._database
            except (sqlite3.Error, OSError) as error:
                raise RecordError(f"{self._path} can't be used: {error}") from error


def _revision(database: sqlite3.Connection, of: MarkedPatch) -> int:
    found = database.execute(
        "SELECT number FROM revisions WHERE run=? AND patch=?", (of.run, of.patch)
    ).fetchone()
    return 0 if found is None else int(found[0])


def _opened(path: Path) -> sqlite3.Connection:
    path.touch(mode=0o600)
    database = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        (application,) = database.execute("PRAGMA application_id").fetchone()
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if (application, version) not in {(0, 0), (_APPLICATION, _VERSION)}:
            raise RecordError(
                f"{path} holds no marks that this version reads: move it away, and begin anew"
            )
        _NOT_WAITED_FOR(database.execute, "PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")  # a power cut may cost the last marks
        if not version:
            database.executescript(_SCHEMA)
    except BaseException:
        database.close()
        raise
    return database

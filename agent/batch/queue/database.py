"""The file ``batch.db``: SQLite, opened so that it is ours, of this version, and whole.

Owns the file, its schema and its version. Refuses to know what the rows mean (`store`).

A new one is made under another name and then takes its own: whatever is found under that was whole
once, and is never written over.
"""

import os
import sqlite3
import stat
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from agent.errors import RecordError, UsageError

NAME = "batch.db"
VERSION = 1
_APPLICATION = 0x4D504F4C
"""``MPOL``: whose file it is, where `file` and SQLite look for that."""
_NEW = ".batch.db.new"
_BUSY_S = 10.0
_SCHEMA = f"""
CREATE TABLE tasks (
    id TEXT PRIMARY KEY,
    position INTEGER NOT NULL,
    digest TEXT NOT NULL,
    listed INTEGER NOT NULL DEFAULT 1
) STRICT, WITHOUT ROWID;
CREATE TABLE attempts (
    task TEXT NOT NULL REFERENCES tasks,
    attempt INTEGER NOT NULL,
    position INTEGER NOT NULL,
    state TEXT NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    run_id TEXT,
    cancelling INTEGER NOT NULL DEFAULT 0,
    result TEXT,
    usd REAL NOT NULL DEFAULT 0,
    tokens INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (task, attempt)
) STRICT, WITHOUT ROWID;
CREATE INDEX by_state ON attempts (state, position, attempt);
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT) STRICT, WITHOUT ROWID;
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {VERSION};
"""
_DAMAGED = (
    "{} is damaged, or no database of a batch ({}): nothing in it was changed; name another folder "
    "with -o, or move it away"
)
_UNUSABLE = "{} can't be used: {}"


def exists(directory: Path) -> bool:
    """Whether something stands where the database does."""
    return os.path.lexists(directory / NAME)


def create(directory: Path) -> None:
    """Make an empty one; only the owner of the folder may.

    Raises:
        RecordError: it can't be written.
    """
    new = directory / _NEW
    try:
        with suppress(FileNotFoundError):
            new.unlink()
        os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
        with translated(directory), closing(sqlite3.connect(new)) as database:
            database.executescript(_SCHEMA)
        os.link(new, directory / NAME)
        new.unlink()
    except OSError as error:
        raise RecordError(f"{directory / NAME} can't be made: {error.strerror}") from error


def opened(directory: Path) -> sqlite3.Connection:
    """The database of a folder. Each statement is a transaction unless one was begun.

    Raises:
        UsageError: there is none.
        RecordError: it can't be used, and the message says why. It is left as it is.
    """
    path = directory / NAME
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(
            f"no batch in {directory}: it holds no {NAME} (`moonpool batch run TASKS -o DIR` "
            "begins one)"
        ) from error
    except OSError as error:
        raise RecordError(f"{path} can't be looked at: {error.strerror}") from error
    beside = [path.with_name(NAME + ending) for ending in ("-wal", "-shm", "-journal")]
    if not (_is_plain(found) and all(map(_is_plain_or_none, beside))):
        raise RecordError(
            f"{path}, or what SQLite keeps beside it, is a link or no file at all, which no batch "
            "of ours makes it"
        )
    with translated(directory):
        database = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
        try:
            _check(database, path)
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
            database.execute("PRAGMA foreign_keys = ON")
        except BaseException:
            database.close()
            raise
    return database


def _is_plain(found: os.stat_result) -> bool:
    return stat.S_ISREG(found.st_mode) and found.st_nlink == 1


def _is_plain_or_none(path: Path) -> bool:
    # Whoever closes the database last removes it.
    try:
        return _is_plain(path.lstat())
    except FileNotFoundError:
        return True


@contextmanager
def translated(directory: Path) -> Generator[None]:
    """Raise RecordError for whatever SQLite raises."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorname", "")
        what = _DAMAGED if code in {"SQLITE_NOTADB", "SQLITE_CORRUPT"} else _UNUSABLE
        raise RecordError(what.format(directory / NAME, error)) from error


def _check(database: sqlite3.Connection, path: Path) -> None:
    (application,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if application != _APPLICATION:
        raise RecordError(
            f"{path} is no database of a batch, or was cut short: nothing in it was changed; name "
            "another folder with -o, or move it away"
        )
    if version != VERSION:
        raise RecordError(
            f"{path} was written by another version of Moonpool (its form: {version}; this version "
            f"reads {VERSION} only): go on with the version that wrote it, or name another folder"
        )
    (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise RecordError(_DAMAGED.format(path, found))

"""The journal's tables, their migrations, and how a connection to them is opened."""

from __future__ import annotations

import os
import sqlite3
import time
from typing import TYPE_CHECKING, TypeVar

from flyte_notebook.errors import JournalError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")

APPLICATION_ID = 0x464C594E
"""`FLYN`, in the header of every journal: how a journal is told from another program's database."""

SHIFT = 32
"""A key is `run key << SHIFT | number`, so the rows of one run lie together and are appended in order."""

MIGRATIONS: tuple[str, ...] = (
    # Columns of `actions` that most rows leave empty hold '' or 0 and not NULL: binding NULL costs the writer four
    # times as much. The values come last, so that reading the other columns does not touch their pages.
    """
    CREATE TABLE runs (
        key INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE,
        phase TEXT NOT NULL,
        started REAL NOT NULL,
        ended REAL,
        notebook TEXT,
        cell_id TEXT,
        resumed_from TEXT,
        host TEXT NOT NULL,
        pid INTEGER NOT NULL,
        kernel INTEGER NOT NULL,   -- the byte of the `kernels` file that its process keeps locked
        hide INTEGER NOT NULL,
        options TEXT NOT NULL,     -- JSON
        source TEXT,
        extra TEXT NOT NULL DEFAULT '',  -- JSON: error, output
        output BLOB NOT NULL DEFAULT x''
    );
    CREATE INDEX runs_by_phase ON runs(phase);
    CREATE TABLE tasks (
        run INTEGER NOT NULL,
        name TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        declarations TEXT NOT NULL,  -- JSON
        source TEXT,
        PRIMARY KEY (run, name)
    );
    CREATE TABLE actions (
        key INTEGER PRIMARY KEY,
        id TEXT NOT NULL,
        parent_id TEXT NOT NULL,
        task_name TEXT NOT NULL,
        short_name TEXT NOT NULL,
        grp TEXT NOT NULL,
        kind TEXT NOT NULL,
        phase TEXT NOT NULL,
        cached INTEGER NOT NULL,
        recovered INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        submitted REAL NOT NULL,
        started REAL NOT NULL,
        ended REAL NOT NULL,
        fingerprint TEXT NOT NULL,  -- '=': the one in `tasks`
        cache_key TEXT NOT NULL,
        extra TEXT NOT NULL,        -- JSON: error, source_run, inputs, output (of values that are not plain)
        inputs BLOB NOT NULL,       -- digest (16 bytes), size (8), then the value unless it is in a blob
        output BLOB NOT NULL
    );
    CREATE INDEX actions_by_cache_key ON actions(cache_key) WHERE cache_key <> '';
    CREATE TABLE attempts (
        action INTEGER NOT NULL,
        number INTEGER NOT NULL,
        phase TEXT NOT NULL,
        started REAL,
        ended REAL,
        wait REAL,
        error TEXT,                 -- JSON
        PRIMARY KEY (action, number)
    );
    CREATE TABLE logs (
        key INTEGER PRIMARY KEY,
        action_id TEXT,
        stream TEXT NOT NULL,
        at REAL NOT NULL,
        text TEXT NOT NULL
    );
    CREATE TABLE notes (
        key INTEGER PRIMARY KEY,
        run INTEGER NOT NULL,
        action_id TEXT NOT NULL,
        kind TEXT NOT NULL,
        at REAL NOT NULL,
        text TEXT NOT NULL,
        UNIQUE (run, action_id, kind)
    );
    CREATE TABLE blobs (
        run INTEGER NOT NULL,
        sha TEXT NOT NULL,
        envelope INTEGER NOT NULL,  -- 1: a whole value, which may name further blobs, 0: memory that a value names
        PRIMARY KEY (run, sha)
    ) WITHOUT ROWID;
    """,
    # JSON, by label: what the fingerprint is made of.
    "ALTER TABLE tasks ADD COLUMN parts TEXT NOT NULL DEFAULT '{}'",
)
"""Scripts that each take the journal one version up; `user_version` counts those applied. Never edit a released one."""

BUSY_SECONDS = 5.0
"""How long SQLite itself waits for another process's lock before it reports that it is busy."""
TRIES = 12


def connect(path: Path) -> sqlite3.Connection:
    """A connection in autocommit mode that any one thread at a time may use."""
    # The file is there already: `rw` keeps a journal that was deleted meanwhile from coming back empty.
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    try:
        connection.execute("PRAGMA synchronous=NORMAL")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def identity(path: Path) -> tuple[int, int] | None:
    """What tells the file at `path` from another that takes its place; None when there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def prepare(path: Path, *, wal: bool = True) -> None:
    """Make the journal at `path`, or bring it to the current version.

    `wal` False is for network file systems, where SQLite's write-ahead log does not work.

    Raises:
        JournalError: it cannot be written, is no journal, is damaged, or is newer than this package.
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        connection = connect(path)
    except (OSError, sqlite3.Error) as error:
        raise failure(path, error) from error
    try:
        if not _is_current(connection, path, wal=wal):
            patiently(path, lambda: _configure(connection, wal=wal))
            patiently(path, lambda: _migrate(connection, path))
    except sqlite3.Error as error:
        raise failure(path, error) from error
    finally:
        connection.close()


def _is_current(connection: sqlite3.Connection, path: Path, *, wal: bool) -> bool:
    """True for a journal that can be used as it is, seen without waiting for whoever writes to it now."""
    connection.execute("PRAGMA busy_timeout=0")
    current = False
    try:
        mode = connection.execute("PRAGMA journal_mode").fetchone()
        if mode != ("wal" if wal else "delete",) or _version(connection, path) < len(MIGRATIONS):
            return False
        current = True
        # The write lock is how a read-only journal shows itself, now and not in mid-run.
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        if not _busy(error):
            raise
        # Where it could be read, it is the write lock that somebody else has: so it can be written.
    finally:
        connection.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000:.0f}")
    return current


def _configure(connection: sqlite3.Connection, *, wal: bool) -> None:
    if connection.execute("PRAGMA page_count").fetchone() == (0,):
        # Before the first table is made, or it has no effect: lets `clean` give pages back without a full rewrite.
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
    wanted = "wal" if wal else "delete"
    if connection.execute("PRAGMA journal_mode").fetchone() != (wanted,):
        connection.execute(f"PRAGMA journal_mode={wanted}")


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _version(connection, path)
        if version < len(MIGRATIONS):
            for script in MIGRATIONS[version:]:
                # Not `executescript`, which would commit first. No statement of a migration contains another `;`.
                for statement in script.split(";"):
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version={len(MIGRATIONS)}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _version(connection: sqlite3.Connection, path: Path) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION_ID and (version or tables):
        raise JournalError(f"{path} is another program's database. Move it away, or set FLYTE_NOTEBOOK_HOME.")
    if version > len(MIGRATIONS):
        raise JournalError(
            f"{path} was written by a newer flyte_notebook (journal version {version}; this one knows versions up to "
            f"{len(MIGRATIONS)}). Upgrade with `pip install -U flyte-notebook`, or set FLYTE_NOTEBOOK_HOME to another "
            "folder."
        )
    return int(version)


def patiently(path: Path, step: Callable[[], T]) -> T:
    """`step()`, again while another process holds the journal's lock; `step` must have no effect when it fails so.

    Raises:
        JournalError: the lock was held for `TRIES * BUSY_SECONDS`.
        sqlite3.Error: whatever else went wrong.
    """
    deadline = time.monotonic() + TRIES * BUSY_SECONDS
    while True:
        try:
            return step()
        except sqlite3.OperationalError as error:
            if not _busy(error):
                raise
            if time.monotonic() > deadline:
                raise JournalError(
                    f"Another process has kept {path} locked for {TRIES * BUSY_SECONDS:.0f} s. End or resume it "
                    f"(`fuser {path}` names it), or set FLYTE_NOTEBOOK_HOME to another folder."
                ) from error
        # SQLite answers at once, without waiting, where waiting could be a deadlock.
        time.sleep(0.005)


def _busy(error: sqlite3.OperationalError) -> bool:
    return error.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def failure(path: Path, error: Exception) -> JournalError:
    """`error` as a JournalError that names the file and says what to do."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if isinstance(error, PermissionError) or code in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}:
        advice = "It must be writable: check its permissions, or set FLYTE_NOTEBOOK_HOME to a folder of yours."
    elif code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        advice = "It is damaged: move it away (a new one is made), or restore it from a copy."
    elif code == sqlite3.SQLITE_FULL:
        advice = "The disk is full: make room (`%flyte clean` removes old runs), then run the cell again."
    elif code == sqlite3.SQLITE_IOERR:
        advice = (
            "The disk may be full, or broken: make room (`%flyte clean` removes old runs), then run the cell again, or "
            "set FLYTE_NOTEBOOK_HOME to another folder."
        )
    elif code == sqlite3.SQLITE_CONSTRAINT:
        advice = "A run's name is unique in its journal: give this one another."
    elif code == sqlite3.SQLITE_CANTOPEN or isinstance(error, FileNotFoundError):
        advice = "It cannot be opened: check that its folder is there and is yours."
    else:
        advice = "Check the disk, or set FLYTE_NOTEBOOK_HOME to another folder."
    return JournalError(f"The journal {path} cannot be used ({error}). {advice}")

"""Removing old runs, and whatever only they needed: never anything that a recorded run uses."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from flyte_notebook.errors import BlobCorruptError
from flyte_notebook.record import files, kernels, lookup
from flyte_notebook.record.envelope import references
from flyte_notebook.record.lineage import lineage
from flyte_notebook.record.schema import SHIFT

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable
    from pathlib import Path

    from flyte_notebook.record.store import Store

_GRACE = 600.0
"""Seconds for which a blob is kept that no run refers to, while runs are in progress: their rows may be on their way."""
SETTLE = 2.0
"""The same while none is. A kernel that has just ended its last run does not look at work for as long any more."""


class Left(NamedTuple):
    """What stays in a store, in runs and bytes."""

    runs: int
    values: int
    """Large values, each in a file of its own."""
    files: int
    """Files that values speak of."""
    journal: int


@dataclass(frozen=True, slots=True)
class Cleaning:
    """What is to go from a store, decided once; or, of that, what has gone."""

    runs: list[str]
    """Names, newest first."""
    values: dict[str, int]
    """Bytes of the large values that only the runs needed, by name."""
    folders: dict[Path, int]
    """The same of the files that values speak of."""
    rows: int
    """Bytes of the runs' rows."""
    held: int = field(compare=False)
    """Bytes that nobody needs either, and that stay: they were used within `grace`."""
    grace: float = field(compare=False)
    """Seconds for which nobody may have used what goes: somebody may be about to refer to it."""
    going: bool = field(compare=False)
    """Whether a run on record was in progress."""
    before: float = field(compare=False)
    """When the runs have ended at the latest; seconds since the epoch."""
    unused_since: float = field(compare=False)
    """Since when nobody has used what goes; seconds since the epoch."""
    left: Left = field(compare=False)

    @property
    def busy(self) -> bool:
        """Whether a run was in progress, be it that its row was on its way."""
        return self.grace > SETTLE

    @property
    def blobs(self) -> int:
        """How many values."""
        return len(self.values)

    @property
    def bytes(self) -> int:
        """Size of these, of the files, and of the rows."""
        return self.rows + sum(self.values.values()) + sum(self.folders.values())


def plan(store: Store, older_than: dt.timedelta) -> Cleaning:
    """The runs that ended more than `older_than` ago, and the values and files that no other run needs: none is removed.

    Runs in progress, in any process, stay, and so do the runs they are being resumed from.

    Raises:
        JournalError: the record cannot be read.
    """
    # What is put or used from here on stays, however long all this takes.
    looked = time.time()
    before = looked - older_than.total_seconds()
    # What this process has appended says of its own runs whether they are in progress.
    store.journal.flush().result()
    path = store.journal.path
    with store.journal.reading() as connection:
        old = _ended_before(connection, path, before)
        rows = _rows_size(connection, old)
        runs = connection.execute("SELECT count(*) FROM runs").fetchone()[0]
        needed = _needed(connection, store, old)
        going = bool(_in_progress(connection, path))
        resting = files.unneeded(connection, store, old, needed, before)
    grace = _grace(path, going)
    unused_since = looked - grace
    blobs = list(store.blobs.scan())
    unneeded = [blob for blob in blobs if blob[0] not in needed]
    values = {sha: size for sha, size, used in unneeded if used < unused_since}
    unneeded_files = {folder: files.size(folder) for folder in resting}
    folders = {folder: size for folder, size in unneeded_files.items() if resting[folder] < unused_since}
    gone, made = sum(values.values()), sum(folders.values())
    held = sum(size for _, size, _ in unneeded) - gone + sum(unneeded_files.values()) - made
    left = Left(
        runs - len(old),
        sum(size for _, size, _ in blobs) - gone,
        files.size(store.data) - made,
        max(_journal_size(path) - rows, 0),
    )
    return Cleaning(old, values, folders, rows, held, grace, going, before, unused_since, left)


def remove(store: Store, planned: Cleaning) -> Cleaning:
    """Remove what was planned, but for what somebody has come to need or use since then; what has gone.

    Raises:
        JournalError, OSError: something could not be removed; whatever is still on record is intact.
    """
    path, wanted = store.journal.path, set(planned.runs)
    store.journal.flush().result()
    with store.journal.reading() as connection:
        old = [name for name in _ended_before(connection, path, planned.before) if name in wanted]
    # Only these go on being unneeded: what started meanwhile may be using the others.
    old = store.journal.delete(old)
    # Before the look at what is needed, as above.
    looked = time.time()
    with store.journal.reading() as connection:
        needed = _needed(connection, store, old)
        unused_since = min(planned.unused_since, looked - _grace(path, bool(_in_progress(connection, path))))
        resting = files.unneeded(connection, store, old, needed, min(planned.before, unused_since))
        stayed = _rows_size(connection, list(wanted.difference(old)))
    values = {
        sha: size for sha, size in planned.values.items() if sha not in needed and store.blobs.remove(sha, unused_since)
    }
    folders = {folder: size for folder, size in planned.folders.items() if folder in resting}
    for folder in folders:
        shutil.rmtree(folder)
    store.blobs.remove_leftovers(time.time() - _GRACE)
    return replace(planned, runs=old, values=values, folders=folders, rows=max(planned.rows - stayed, 0))


def _journal_size(path: Path) -> int:
    """Bytes of the journal with its write-ahead log."""
    log = path.with_name(f"{path.name}-wal")
    return path.stat().st_size + (log.stat().st_size if log.exists() else 0)


def delete(connection: sqlite3.Connection, path: Path, names: Iterable[str]) -> list[str]:
    """Remove runs, but for those in progress and those that these resume from; returns the names of the removed."""
    removed = []
    try:
        connection.execute("BEGIN IMMEDIATE")
        kept = _in_progress(connection, path)
        for name in names:
            row = connection.execute("SELECT key FROM runs WHERE name = ?", (name,)).fetchone()
            if row is not None and name not in kept:
                _delete(connection, row[0])
                removed.append(name)
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    if removed:
        # `execute` would take one step of it, and give back one page.
        connection.executescript("PRAGMA incremental_vacuum")
    return removed


def _delete(connection: sqlite3.Connection, key: int) -> None:
    keys = (key << SHIFT, (key + 1) << SHIFT)
    connection.execute("DELETE FROM attempts WHERE action >= ? AND action < ?", keys)
    connection.execute("DELETE FROM actions WHERE key >= ? AND key < ?", keys)
    connection.execute("DELETE FROM logs WHERE key >= ? AND key < ?", keys)
    for table in ("tasks", "notes", "blobs"):
        connection.execute(f"DELETE FROM {table} WHERE run = ?", (key,))  # noqa: S608
    connection.execute("DELETE FROM runs WHERE key = ?", (key,))


def _grace(path: Path, going: bool) -> float:
    """See `Cleaning.grace`. `going`: a run on record is in progress; the row of another may be on its way."""
    return _GRACE if going or kernels.others_at_work(path.with_name("kernels")) else SETTLE


def _in_progress(connection: sqlite3.Connection, path: Path) -> set[str]:
    """Names of the runs that some living process is at work on, and of all those that these recover from."""
    recorded = lookup.runs(connection, path, None)
    return {
        run.name for live in recorded if not live.phase.terminal for run, _ in lineage(recorded, live.name, cell=True)
    }


def _ended_before(connection: sqlite3.Connection, path: Path, before: float) -> list[str]:
    kept = _in_progress(connection, path)
    sql = "SELECT name FROM runs WHERE coalesce(ended, started) < ? ORDER BY started DESC"
    return [name for (name,) in connection.execute(sql, (before,)).fetchall() if name not in kept]


def _rows_size(connection: sqlite3.Connection, names: list[str]) -> int:
    """Bytes that the values and texts of these runs take in the journal."""
    sql = """
        WITH old AS (SELECT key FROM runs WHERE name IN (SELECT value FROM json_each(?)))
        SELECT (SELECT coalesce(sum(length(inputs) + length(output) + length(extra)), 0) FROM old
                JOIN actions ON actions.key >= old.key << 32 AND actions.key < (old.key + 1) << 32)
             + (SELECT coalesce(sum(length(text)), 0) FROM old
                JOIN logs ON logs.key >= old.key << 32 AND logs.key < (old.key + 1) << 32)
             + (SELECT coalesce(sum(length(text)), 0) FROM old JOIN notes ON notes.run = old.key)
    """
    return int(connection.execute(sql, (json.dumps(names),)).fetchone()[0])


_OTHERS = "runs.name NOT IN (SELECT value FROM json_each(:others))"


def _needed(connection: sqlite3.Connection, store: Store, without: list[str]) -> set[str]:
    """Names of the blobs that other runs than these refer to."""
    sql = f"SELECT DISTINCT sha, envelope FROM blobs JOIN runs ON runs.key = blobs.run WHERE {_OTHERS}"  # noqa: S608
    needed = set()
    for sha, envelope in connection.execute(sql, {"others": json.dumps(without)}).fetchall():
        needed.add(sha)
        if envelope and store.blobs.exists(sha):
            try:
                needed.update(references(store.blobs.peek(sha)))
            except (BlobCorruptError, ValueError):
                # Damaged: nobody can read it, so nobody needs what it names.
                continue
    return needed

"""Removing old runs, and whatever only they needed: never anything that a recorded run uses."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import time
from dataclasses import dataclass, field
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
_SETTLE = 2.0
"""The same while none is."""


class Left(NamedTuple):
    """What stays in a store, in runs and bytes."""

    runs: int
    values: int
    """Large values, each in a file of its own."""
    files: int
    """Files that values speak of."""
    journal: int


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What a cleaning has removed, or, tried dry, would remove."""

    runs: list[str]
    """Names, newest first."""
    blobs: int
    """How many values."""
    bytes: int
    """Size of these, of the files that only the runs needed, and of their rows."""
    left: Left = field(compare=False)


def clean(store: Store, older_than: dt.timedelta, *, dry_run: bool = False) -> Cleaned:
    """Remove the runs that ended more than `older_than` ago, and the values and files that no other run needs.

    Runs in progress, in any process, stay, and so do the runs they are being resumed from.

    Raises:
        JournalError, OSError: something could not be removed; whatever is still on record is intact.
    """
    before = time.time() - older_than.total_seconds()
    # What this process has appended says of its own runs whether they are in progress.
    store.journal.flush().result()
    with store.journal.reading() as connection:
        old = _ended_before(connection, store.journal.path, before)
        freed = _rows_size(connection, old)
        runs = connection.execute("SELECT count(*) FROM runs").fetchone()[0]
    journal = max(_journal_size(store.journal.path) - freed, 0)
    if not dry_run:
        # Only these go on being unneeded: what started meanwhile may be using the others.
        old = store.journal.delete(old)
    # Before the look at what is needed: what is put or used from here on stays, however long all this takes.
    looked = time.time()
    with store.journal.reading() as connection:
        needed = _needed(connection, store, old)
        unused_since = looked - (_GRACE if _busy(connection, store.journal.path) else _SETTLE)
        folders = files.unneeded(connection, store, old, needed, min(before, unused_since))
    blobs = list(store.blobs.scan())
    unneeded = {sha: size for sha, size, used in blobs if sha not in needed and used < unused_since}
    made = sum(map(files.size, folders))
    if not dry_run:
        unneeded = {sha: size for sha, size in unneeded.items() if store.blobs.remove(sha, unused_since)}
        for folder in folders:
            shutil.rmtree(folder)
        store.blobs.remove_leftovers(time.time() - _GRACE)
    values, spoken_of = sum(unneeded.values()), files.size(store.data) - (made if dry_run else 0)
    left = Left(runs - len(old), sum(size for _, size, _ in blobs) - values, spoken_of, journal)
    return Cleaned(old, len(unneeded), freed + values + made, left)


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


def _busy(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether a run is in progress, be it that its row is on its way."""
    return bool(_in_progress(connection, path)) or kernels.others_at_work(path.with_name("kernels"))


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

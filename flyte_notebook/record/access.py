"""The journal's file in the hands of the one who writes it: a connection on demand, and the sign that this process lives."""

from __future__ import annotations

import logging
import os
import sqlite3
from functools import partial
from typing import TYPE_CHECKING, Any

from flyte_notebook.errors import JournalError
from flyte_notebook.record import kernels, lockfile, schema

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_log = logging.getLogger(__name__)

_CHECKPOINT_BYTES = 16 * 2**20


class Access:
    """To the journal at `path`. For one thread at a time."""

    def __init__(self, path: Path) -> None:
        self.byte = kernels.draw()
        """What this process shows itself with; see `kernels`."""
        self._path = path
        self._kernels = path.with_name("kernels")
        self._file = schema.identity(path)
        self._connection: sqlite3.Connection | None = None
        self._holding = False
        self._tolerated = _CHECKPOINT_BYTES
        """Bytes that the write-ahead log may have: more, where a reader has kept it from being begun anew."""

    def connection(self) -> sqlite3.Connection:
        """Opened if need be.

        Raises:
            JournalError: see `check`.
            sqlite3.Error: it cannot be opened.
        """
        if self._connection is None:
            self.check()
            self._connection = schema.connect(self._path)
            self._tolerated = _CHECKPOINT_BYTES
            # Checkpoints wait for the disk: `checkpoint` makes them once nobody waits for the commit.
            self._connection.execute("PRAGMA wal_autocheckpoint=0")
            self._connection.execute("PRAGMA journal_size_limit=0")
        return self._connection

    def execute(self, sql: str, parameters: Sequence[Any]) -> sqlite3.Cursor:
        """One statement, which is a transaction; waits for others who write. Raises as `connection`."""
        return schema.patiently(self._path, partial(self.connection().execute, sql, parameters))

    def hold(self) -> None:
        """Show others that this process lives, until `rest`."""
        if not self._holding:
            kernels.hold(self._kernels, self.byte)
            self._holding = True

    def check(self) -> None:
        """Raise JournalError when the file is not the one any more that this access began with.

        Whoever has it open could go on writing to a file that has been deleted, and nobody would ever find it.
        """
        lost = self._holding and lockfile.is_lost(self._kernels)
        if lost or schema.identity(self._path) != self._file:
            raise JournalError(
                f"The store {self._path.parent} was deleted, moved or replaced while it was in use: what has been "
                "recorded since then is lost. Run the cell again: a new store is made."
            )

    def explained(self, error: Exception) -> JournalError:
        """`error`, which a commit has raised, as one that says what has happened and what to do."""
        try:
            self.check()
        except JournalError as lost:
            # Whatever came of it.
            return lost
        if isinstance(error, JournalError):
            return error
        if isinstance(error, sqlite3.Error | OSError):
            explained = schema.failure(self._path, error)
        else:
            _log.error("the journal %s stops", self._path, exc_info=error)
            explained = JournalError(f"The journal {self._path} stopped ({type(error).__name__}: {error}).")
        explained.__cause__ = error
        return explained

    def rest(self, *, hold: bool) -> None:
        """Let go of the file; it is opened again on demand. `hold`: others go on seeing that this process lives."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._holding and not hold:
            kernels.release(self._kernels, self.byte)
            self._holding = False

    def overgrown(self) -> bool:
        """True when the write-ahead log had better be brought into the journal."""
        return self._log_size() > self._tolerated

    def checkpoint(self) -> None:
        """Bring the write-ahead log into the journal, and begin it anew unless a reader still needs it."""
        _, length, done = self.connection().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if length == done:
            # Writes the header as it is: the first page of a new log waits for the disk, here and not in a commit.
            self.execute(f"PRAGMA application_id={schema.APPLICATION_ID}", ())
        size = self._log_size()
        self._tolerated = _CHECKPOINT_BYTES + (size if size > _CHECKPOINT_BYTES else 0)

    def _log_size(self) -> int:
        try:
            return os.stat(f"{self._path}-wal").st_size  # noqa: PTH116  on every batch
        except FileNotFoundError:
            return 0

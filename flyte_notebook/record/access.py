"""The journal's file in the hands of the one who writes it: a connection on demand, and the sign that this process lives."""

from __future__ import annotations

import contextlib
import os
from functools import partial
from typing import TYPE_CHECKING, Any

from flyte_notebook.errors import JournalError
from flyte_notebook.record import kernels, lockfile, schema

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from pathlib import Path

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

    def connection(self) -> sqlite3.Connection:
        """Opened if need be.

        Raises:
            JournalError: see `check`.
            sqlite3.Error: it cannot be opened.
        """
        if self._connection is None:
            self.check()
            self._connection = schema.connect(self._path)
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

    def rest(self, *, hold: bool) -> None:
        """Let go of the file; it is opened again on demand. `hold`: others go on seeing that this process lives."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._holding and not hold:
            kernels.release(self._kernels, self.byte)
            self._holding = False

    def checkpoint(self) -> None:
        """Bring the write-ahead log into the journal, as far as no reader needs it, when it has grown large."""
        with contextlib.suppress(FileNotFoundError):
            if os.stat(f"{self._path}-wal").st_size > _CHECKPOINT_BYTES:  # noqa: PTH116  on every batch
                self.connection().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

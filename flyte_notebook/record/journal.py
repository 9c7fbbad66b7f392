"""The journal: what is on record, in one SQLite file. Events go in, runs and actions come out."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import deque
from typing import TYPE_CHECKING

from flyte_notebook.record import history, housekeeping, lookup, queries, schema
from flyte_notebook.record.gate import gate
from flyte_notebook.record.replay import Replay
from flyte_notebook.record.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Future
    from pathlib import Path
    from types import EllipsisType

    from flyte_notebook.record.encoded import Encoded
    from flyte_notebook.record.events import Event, Noted
    from flyte_notebook.record.history import Content, Past, Standing
    from flyte_notebook.record.model import Action, Attempt, ErrorRecord, LogLine, Run, TaskRecord


class Journal:
    """The journal at `path`, made if it is not there. All methods may be called from any thread.

    What is appended is committed within 50 ms; queries see everything committed, by this process or another. A run
    that was in progress when its process died is shown as ABORTED, and so are its unfinished actions.

    Every query raises `RunNotFoundError` for a run that is not on record, and `JournalError` when the file cannot be
    read; for an action that is not on record the answer is None or empty.

    Raises:
        JournalError: the file cannot be written, is no journal, or is newer than this package.
    """

    def __init__(self, path: Path, *, wal: bool = True) -> None:
        self.path = path
        schema.prepare(path, wal=wal)
        self._writer = Writer(path, self.suspend)
        self.append: Callable[[Event], None] = self._writer.append
        """Put an event on record: returns at once, committed within 50 ms, in the order of appending.

        Raises JournalError when an earlier commit has failed, or the journal is closed. Not a method of its own: it is
        called three times for every action.
        """
        self.late = self._writer.late
        """True while what was appended waits for its commit for too long: who begins something, or hands a result back, calls
        `flush` and waits, so that no more of it is lost in a crash."""
        self._readers: deque[sqlite3.Connection] = deque()
        """Connections that nobody uses at the moment; kept only while the writer is busy."""
        gate.tenants.add(self)

    # --- writing ----------------------------------------------------------------------------------------------------

    @property
    def usable(self) -> bool:
        """False once it is closed or a commit has failed: it must be opened again."""
        return self._writer.usable

    def flush(self) -> Future[None]:
        """A future that is done when everything appended before is committed; it fails with JournalError."""
        return self._writer.flush()

    def pending(self, run: str) -> list[Event]:
        """The last events of a run, in order: all that `events.committed` has perhaps not told yet."""
        return self._writer.pending(run)

    def close(self) -> None:
        """Commit what is left and let go of the file; returns when that is done. Queries go on working."""
        self._writer.close()
        self.suspend()

    # --- runs -------------------------------------------------------------------------------------------------------

    def runs(self, limit: int | None = None) -> list[Run]:
        """The runs on record, newest first."""
        with self.reading() as connection:
            return lookup.runs(connection, self.path, limit)

    def find(self, prefix: str) -> Run:
        """The run of this name, or the only one whose name begins so, or the newest for ''; the error names candidates."""
        with self.reading() as connection:
            return lookup.find(connection, self.path, prefix)

    def run(self, name: str) -> Run:
        """The run of exactly this name."""
        with self.reading() as connection:
            return lookup.run(connection, self.path, name)

    def outputs(self, run: str) -> Encoded | None:
        """The outputs of a run; None while there are none."""
        with self.reading() as connection:
            return queries.outputs(connection, self._found(connection, run))

    def task(self, run: str, task_name: str) -> TaskRecord | None:
        """What a task was in the run."""
        with self.reading() as connection:
            return queries.task(connection, self._found(connection, run), task_name)

    def tasks(self, run: str) -> list[str]:
        """Names of the tasks that were called in the run, in order of their first call."""
        with self.reading() as connection:
            return queries.tasks(connection, self._found(connection, run))

    def replay(self, run: str) -> Iterator[Event]:
        """The run as events, enough to build the same tree; `Replay` says in which order."""
        with self.reading() as connection:
            found = self._found(connection, run)
        return iter(Replay(found, self.reading))

    # --- actions ----------------------------------------------------------------------------------------------------

    def actions(self, run: str) -> list[Action]:
        """The actions of a run, in order of start; of submission where they started together."""
        with self.reading() as connection:
            return queries.actions(connection, self._found(connection, run))

    def root(self, run: str) -> Action | None:
        """The first action that was submitted at the top of a run."""
        with self.reading() as connection:
            return queries.root(connection, self._found(connection, run))

    def attempts(self, run: str, action_id: str) -> list[Attempt]:
        """The attempts of an action, from the first; empty when no body of it was started."""
        with self.reading() as connection:
            return queries.attempts(connection, self._found(connection, run), action_id)

    def inputs(self, run: str, action_id: str) -> Encoded | None:
        """The inputs of an action."""
        with self.reading() as connection:
            return queries.value(connection, self._found(connection, run), action_id, "inputs")

    def output(self, run: str, action_id: str) -> Encoded | None:
        """The output of an action; None unless it has succeeded."""
        with self.reading() as connection:
            return queries.value(connection, self._found(connection, run), action_id, "output")

    def error(self, run: str, action_id: str | None = None) -> ErrorRecord | None:
        """Why an action, or without `action_id` the run, did not succeed; None if it did, or has not ended."""
        with self.reading() as connection:
            return queries.error(connection, self._found(connection, run), action_id)

    def logs(self, run: str, action_id: str | EllipsisType | None = ...) -> list[LogLine]:
        """What was printed and logged, in order: in one action, at the top of the cell (None), or in all of the run."""
        with self.reading() as connection:
            lines = queries.logs(connection, self._found(connection, run))
            return [line for line in lines if action_id is ... or line.action_id == action_id]

    def notes(self, run: str, action_id: str) -> list[Noted]:
        """The last note of each kind on an action, in the order in which they were made."""
        with self.reading() as connection:
            return queries.notes(connection, self._found(connection, run), action_id)

    # --- reuse ------------------------------------------------------------------------------------------------------

    def cached(self, cache_key: str, since: float = 0.0) -> tuple[str, str, Encoded] | None:
        """Run, action and output of the newest success with this key that ended at `since` (seconds since the epoch) or
        later; also of one that is not committed yet.
        """
        event = self._writer.reusable(cache_key)
        if event is not None and event.output is not None and event.at >= since:
            return event.run, event.id, event.output
        # One SELECT sees one state by itself.
        with self.reading(transaction=False) as connection:
            return queries.cached(connection, cache_key, since)

    def past(self, run: str) -> list[Past]:
        """What resuming may reuse: the actions of a run that have ended, in order of submission."""
        with self.reading() as connection:
            return history.past(connection, self._found(connection, run))

    def standings(self, run: str) -> list[Standing]:
        """How the actions of a run stand, in order of submission."""
        with self.reading() as connection:
            return history.standings(connection, self._found(connection, run))

    def contents(self, keys: Sequence[int]) -> list[Content]:
        """What else is on record of the actions with these keys, which are `past`'s, in order of submission."""
        with self.reading() as connection:
            return history.contents(connection, keys)

    # --- keeping it small -------------------------------------------------------------------------------------------

    def delete(self, runs: Iterable[str]) -> list[str]:
        """Remove runs from the record; returns the names of those removed.

        Left alone: runs in progress, in any process, and the runs that these are being resumed from.
        """
        with self.reading(transaction=False) as connection:
            return schema.patiently(self.path, lambda: housekeeping.delete(connection, self.path, list(runs)))

    # --- reading ----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def reading(self, *, transaction: bool = True) -> Iterator[sqlite3.Connection]:
        """A connection that sees one state of the journal, the last committed one, for the length of the `with`."""
        with gate:
            connection: sqlite3.Connection | None = None
            try:
                try:
                    connection = self._readers.pop()
                except IndexError:
                    connection = schema.connect(self.path)
                if transaction:
                    connection.execute("BEGIN")
                yield connection
                if transaction:
                    connection.execute("COMMIT")
            except sqlite3.Error as error:
                raise schema.failure(self.path, error) from error
            finally:
                if connection is not None:
                    self._give_back(connection)

    def _give_back(self, connection: sqlite3.Connection) -> None:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        self._readers.append(connection)
        if not self._writer.busy:
            # Opening one costs a fraction of a millisecond, keeping it three file handles: none is kept without need.
            self.suspend()

    def _found(self, connection: sqlite3.Connection, run: str) -> lookup.Found:
        return lookup.found(connection, self.path, run)

    def suspend(self) -> None:
        """Close the connections that nobody uses; see `gate`."""
        with contextlib.suppress(IndexError):
            while True:
                self._readers.pop().close()

    def renew(self) -> None:
        """Begin with no connections; see `gate`."""
        # What could not be closed before the fork is kept, unused: closing it here is forbidden.
        self._inherited = self._readers
        self._readers = deque()

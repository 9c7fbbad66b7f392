"""Events into rows: what the journal's writer thread does with a batch.

An action is one row from its submission to its end. Events change rows in memory; a commit writes each changed row
whole, so what begins and ends within a batch costs one row.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

from flyte_notebook.record import events, rows, schema
from flyte_notebook.record.access import Access
from flyte_notebook.record.bulk import Statement, inserts, is_one
from flyte_notebook.record.envelope import references
from flyte_notebook.record.openrun import OpenRun

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from flyte_notebook.record.encoded import Encoded
    from flyte_notebook.record.rows import Row

# Where things lie in a row of `actions`.
_PHASE, _CACHED, _RECOVERED, _ATTEMPTS = rows.PHASE, 8, 9, 10
_STARTED, _ENDED, _FINGERPRINT, _CACHE_KEY, _EXTRA, _OUTPUT = 12, rows.ENDED, 14, rows.CACHE_KEY, 16, rows.OUTPUT

_NAMES_BLOBS = ord("r")
"""First byte of a value that names blobs; see `envelope`."""

_LOG_TEXT = 64 * 1024
"""Characters up to which pieces of output that follow one another become one row."""


class NotRecordedHereError(LookupError):
    """An event names a run, or an action, that this process does not record."""


class Ledger:
    """The rows of the runs that this process records. For one thread at a time."""

    def __init__(self, path: Path) -> None:
        self.access = Access(path)
        self._runs: dict[str, OpenRun] = {}
        self._dirty: dict[int, Row] = {}
        self._rare: dict[str, dict[Any, Row]] = {}
        """Changed rows of the other tables, by table and by what identifies them."""
        self._ends: list[tuple[Any, ...]] = []
        self._handlers: dict[type, Callable[[Any], None]] = {
            events.ActionSubmitted: self._submitted,
            events.AttemptStarted: self._started,
            events.ActionEnded: self._ended,
            events.AttemptFailed: self._failed,
            events.RunStarted: self._run_started,
            events.RunEnded: self._run_ended,
            events.TaskSeen: self._task_seen,
            events.OutputWritten: self._written,
            events.Noted: self._noted,
        }

    def take(self, event: events.Event) -> None:
        """Change the rows that `event` concerns.

        Raises:
            NotRecordedHereError: it concerns nothing that this process records.
            sqlite3.Error, JournalError: the journal cannot be used.
        """
        self._handlers[type(event)](event)

    def commit(self) -> None:
        """Write what has changed.

        Each statement is a transaction: BEGIN and COMMIT would wait for the interpreter lock as long as the rest does.
        So the order is such that being killed in between is like being killed before: what rows refer to comes first,
        the end of an action after what it called, a run's end last.

        Raises:
            sqlite3.Error, JournalError: what is not written is lost.
        """
        statements: list[Statement] = []
        for table, changed in self._rare.items():
            statements += inserts(table, list(changed.values()))
        actions = list(self._dirty.values())
        for group in [actions] if is_one(actions) else rows.before_and_after(actions):
            statements += inserts("actions", group)
        statements += [(_END_RUN, end) for end in self._ends]
        for statement in statements:
            self.access.execute(*statement)
        self.access.check()
        self._settle()

    def _settle(self) -> None:
        self._dirty.clear()
        self._rare.clear()
        self._ends.clear()
        for name, run in list(self._runs.items()):
            run.log = None
            if run.ended:
                del self._runs[name]

    def rest(self) -> None:
        """Let go of the file; it is opened again on demand. While runs are in progress others see that this process lives."""
        self.access.rest(hold=bool(self._runs))

    def abandon(self) -> None:
        """Let go of the file and of all runs, whose ends can be recorded no more: they are shown as aborted."""
        self._runs.clear()
        self.rest()

    # --- runs -----------------------------------------------------------------------------------------------------

    def _run_started(self, event: events.RunStarted) -> None:
        self.access.hold()
        row = (
            rows.storable(event.run), "RUNNING", event.at, event.notebook and rows.storable(event.notebook),
            event.cell_id, event.resumed_from,
            socket.gethostname(), os.getpid(), self.access.byte, int(event.hide), rows.dump_options(event),
            event.source and rows.storable(event.source),
        )  # fmt: skip
        # On its own, before the batch: the rows of its actions need the key.
        cursor = self.access.execute(_START_RUN, row)
        self._runs[event.run] = OpenRun(cursor.lastrowid or 0)

    def _run(self, name: str) -> OpenRun:
        return self._runs.get(name) or self._known(name)

    def _known(self, name: str) -> OpenRun:
        """A run that has ended here, for what comes late."""
        connection = self.access.connection()
        found = connection.execute(_OWN_RUN, (name, self.access.byte)).fetchone()
        if found is None:
            raise NotRecordedHereError(f"run {name!r}")
        run = OpenRun(found[0])
        end = run.base + (1 << schema.SHIFT)
        for table in ("actions", "logs"):
            (last,) = connection.execute(_LAST.format(table), (run.base, end)).fetchone()
            setattr(run, "seq" if table == "actions" else "logs", run.base if last is None else last + 1)
        run.ended = True
        self._runs[name] = run
        return run

    def _run_ended(self, event: events.RunEnded) -> None:
        run = self._run(event.run)
        run.ended = True
        extra, output = "", bytearray()
        if event.outputs is not None:
            output = self._packed(run, event.outputs)
            extra = rows.with_extra(extra, output=rows.rest_of(event.outputs))
        extra = rows.with_extra(extra, error=rows.dump_error(event.error))
        self._ends.append((event.phase.value, event.at, extra, output, run.key))

    def _task_seen(self, event: events.TaskSeen) -> None:
        run = self._run(event.run)
        if run.tasks.setdefault(event.task_name, event.fingerprint) != event.fingerprint:
            # The first one stands: actions on record refer to it.
            return
        source = event.source and rows.storable(event.source)
        name = rows.storable(event.task_name)
        declarations, parts = rows.dump_mapping(event.declarations), rows.dump_mapping(event.parts)
        row = [run.key, name, event.fingerprint, declarations, source, parts]
        self._rare.setdefault("tasks", {})[run.key, name] = row

    # --- actions --------------------------------------------------------------------------------------------------

    def _submitted(self, event: events.ActionSubmitted) -> None:
        run_name, action_id, parent_id, task_name, short_name, group, kind, inputs, at = event
        run = self._runs.get(run_name) or self._known(run_name)
        key = run.seq
        run.seq = key + 1
        packed, extra = bytearray(), ""
        if inputs is not None:
            packed = self._packed(run, inputs)
            if inputs.preview is not None or inputs.blob is not None:
                extra = rows.with_extra("", inputs=rows.rest_of(inputs))
        self._dirty[key] = run.open[action_id] = [
            key, action_id, parent_id or "", rows.storable(task_name), rows.storable(short_name), rows.storable(group) if group else "",
            kind, "QUEUED", 0, 0, 0, at, 0.0, 0.0, "", "", extra, packed, bytearray(),
        ]  # fmt: skip

    def _started(self, event: events.AttemptStarted) -> None:
        run_name, action_id, attempt, at = event
        run, row = self._open(run_name, action_id)
        row[_PHASE] = "RUNNING"
        row[_ATTEMPTS] = attempt
        row[_STARTED] = row[_STARTED] or at
        self._dirty[row[0]] = row
        if attempt > 1:
            run.attempts[row[0]] = at
            self._attempt(row[0], attempt, ["RUNNING", at, None, None, None])

    def _failed(self, event: events.AttemptFailed) -> None:
        run, row = self._open(event.run, event.id)
        started = None
        if row[_ATTEMPTS] == event.attempt:
            started = run.attempts.pop(row[0], row[_STARTED])
        error = rows.with_extra("", error=rows.dump_error(event.error))
        self._attempt(row[0], event.attempt, [event.phase.value, started, event.at, event.wait, error])

    def _attempt(self, action: int, number: int, columns: Row) -> None:
        self._rare.setdefault("attempts", {})[action, number] = [action, number, *columns]

    def _ended(self, event: events.ActionEnded) -> None:
        run_name, action_id, phase, at, output, error, cached, recovered, source_run, fingerprint, cache_key, source = (
            event
        )
        run, row = self._open(run_name, action_id)
        key = row[0]
        self._dirty[key] = row
        del run.open[action_id]
        row[_PHASE] = phase._value_
        row[_ENDED] = at
        if cached or recovered:
            row[_CACHED] = int(cached)
            row[_RECOVERED] = int(recovered)
        if output is not None:
            row[_OUTPUT] = self._packed(run, output)
            if output.preview is not None or output.blob is not None:
                row[_EXTRA] = rows.with_extra(row[_EXTRA], output=rows.rest_of(output))
        if error is not None or source_run is not None:
            row[_EXTRA] = rows.with_extra(
                row[_EXTRA], error=rows.dump_error(error), source_run=source_run, source_id=source
            )
        if fingerprint is not None:
            row[_FINGERPRINT] = "=" if run.tasks.get(row[3]) == fingerprint else fingerprint
        if cache_key is not None:
            row[_CACHE_KEY] = cache_key
        if run.attempts:
            run.attempts.pop(key, None)

    def _open(self, run_name: str, action_id: str) -> tuple[OpenRun, Row]:
        run = self._runs.get(run_name) or self._known(run_name)
        row = run.open.get(action_id)
        if row is None:
            raise NotRecordedHereError(f"action {action_id} of run {run_name!r}, not submitted or ended already")
        return run, row

    # --- around them ----------------------------------------------------------------------------------------------

    def _packed(self, run: OpenRun, encoded: Encoded) -> bytearray:
        """The column of a value; the blobs it needs are put down as in use by `run`."""
        data = encoded.data
        if encoded.blob is not None:
            self._rare.setdefault("blobs", {})[run.key, encoded.blob] = [run.key, encoded.blob, 1]
        elif data and data[0] == _NAMES_BLOBS:
            for sha in references(data):
                self._rare.setdefault("blobs", {})[run.key, sha] = [run.key, sha, 0]
        return rows.pack(encoded)

    def _written(self, event: events.OutputWritten) -> None:
        run = self._run(event.run)
        text = rows.storable(event.text)
        last = run.log
        if last is not None and last[1:3] == [event.id, event.stream] and len(last[4]) + len(text) <= _LOG_TEXT:
            last[4] += text
            return
        run.log = [run.logs, event.id, rows.storable(event.stream), event.at, text]
        self._rare.setdefault("logs", {})[run.logs] = run.log
        run.logs += 1

    def _noted(self, event: events.Noted) -> None:
        run = self._run(event.run)
        row = [None, run.key, event.id, event.kind, event.at, rows.storable(event.text)]
        self._rare.setdefault("notes", {})[run.key, event.id, event.kind] = row


_START_RUN = """
    INSERT INTO runs (name, phase, started, notebook, cell_id, resumed_from, host, pid, kernel, hide, options, source)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_END_RUN = "UPDATE runs SET phase = ?, ended = ?, extra = ?, output = ? WHERE key = ?"
_OWN_RUN = "SELECT key FROM runs WHERE name = ? AND kernel = ?"
_LAST = "SELECT max(key) FROM {} WHERE key >= ? AND key < ?"

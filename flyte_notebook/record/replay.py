"""A recorded run as the events it was made of, so that a view builds the same tree from the record as it did live."""

from __future__ import annotations

import heapq
import itertools
import json
from typing import TYPE_CHECKING, Any

from flyte_notebook.record import events, rows
from flyte_notebook.record.model import Phase

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from flyte_notebook.record.events import Event
    from flyte_notebook.record.lookup import Found

_PAGE = 5_000
"""Rows read at a time: no transaction stays open while the caller thinks."""

_HEADER = (
    "SELECT started, notebook, cell_id, source, resumed_from, hide, options, phase, ended, output, extra FROM runs"
)
_TASKS = "SELECT name, fingerprint, source, declarations, parts FROM tasks WHERE run = ? ORDER BY rowid"
_ACTIONS = """
    SELECT key, id, parent_id, actions.task_name, short_name, grp, kind, phase, cached, recovered, attempts, submitted,
           started, ended, actions.fingerprint, cache_key, extra, inputs, output, tasks.fingerprint
    FROM actions LEFT JOIN tasks ON tasks.run = actions.key >> 32 AND tasks.name = actions.task_name
    WHERE key >= ? AND key < ? ORDER BY key LIMIT ?
"""
_ATTEMPTS = "SELECT action, number, phase, started, ended, wait, error FROM attempts WHERE action >= ? AND action <= ?"
_LOGS = "SELECT key, action_id, stream, text, at FROM logs WHERE key >= ? AND key < ? ORDER BY key LIMIT ?"
_NOTES = "SELECT action_id, kind, text, at FROM notes WHERE run = ? ORDER BY key"

Timed = tuple[float, int, "Event"]
Attempts = dict[int, tuple[Any, ...]]
"""Phase, start, end, wait and error of an action's attempts, by their number."""


class Replay:
    """The events of one run. `reading` lends a connection for the length of a `with`.

    What happened to actions comes in order of time, submissions in their own order; then what was printed; then the
    last note of each kind on each action. A run whose kernel died ends ABORTED, and so does what was running in it.
    """

    def __init__(self, run: Found, reading: Callable[[], AbstractContextManager[sqlite3.Connection]]) -> None:
        self._run = run
        self._reading = reading

    def __iter__(self) -> Iterator[Event]:
        run = self._run
        with self._reading() as connection:
            header = connection.execute(f"{_HEADER} WHERE key = ?", (run.key,)).fetchone()
            tasks = connection.execute(_TASKS, (run.key,)).fetchall()
        started, notebook, cell_id, source, resumed_from, hide, options = header[:7]
        yield events.RunStarted(
            run.name, started, notebook, cell_id, source, resumed_from, bool(hide), *rows.load_options(options)
        )
        for name, fingerprint, task_source, declarations, parts in tasks:
            yield events.TaskSeen(run.name, name, fingerprint, task_source, json.loads(declarations), json.loads(parts))
        yield from self._actions()
        for page in self._pages(_LOGS):
            for _, action_id, stream, text, at in page:
                yield events.OutputWritten(run.name, action_id, stream, text, at)
        with self._reading() as connection:
            notes = connection.execute(_NOTES, (run.key,)).fetchall()
        for action_id, kind, text, at in notes:
            yield events.Noted(run.name, action_id, kind, text, at)
        if run.over:
            yield self._end(header)

    def _end(self, header: tuple[Any, ...]) -> Event:
        phase, ended, output, extra = header[7:]
        if self._run.died is not None:
            at = header[0] if self._run.ended is None else self._run.ended
            return events.RunEnded(self._run.name, Phase.ABORTED, at, None, self._run.died)
        more = rows.parse(extra)
        error = rows.load_error(more.get("error"))
        return events.RunEnded(self._run.name, Phase(phase), ended, rows.unpack(output, more.get("output")), error)

    def _actions(self) -> Iterator[Event]:
        waiting: list[Timed] = []
        order = itertools.count()
        latest = 0.0
        for page in self._pages(_ACTIONS):
            attempts = self._attempts_of(page)
            for row in page:
                submitted, *later = self._events_of(row, attempts.get(row[0], {}))
                latest = max(latest, submitted.at)
                while waiting and waiting[0][0] <= latest:
                    yield heapq.heappop(waiting)[2]
                yield submitted
                at = latest
                for event in later:
                    at = max(at, event.at)
                    heapq.heappush(waiting, (at, next(order), event))
        while waiting:
            yield heapq.heappop(waiting)[2]

    def _events_of(self, row: tuple[Any, ...], attempts: Attempts) -> list[Any]:
        """What happened to one action, from its submission on."""
        _, action_id, parent, task, short, group, kind, phase, cached, recovered, count, submitted = row[:12]
        started, ended, mark, cache_key, extra, inputs, output, known = row[12:]
        run = self._run
        more = rows.parse(extra)
        packed = rows.unpack(inputs, more.get("inputs"))
        listed: list[Any] = [
            events.ActionSubmitted(
                run.name, action_id, parent or None, task, short, group or None, kind, packed, submitted
            )
        ]
        listed += self._attempted(action_id, count, started, attempts)
        if Phase(phase).terminal:
            fingerprint = known if mark == "=" else mark or None
            listed.append(
                events.ActionEnded(
                    run.name, action_id, Phase(phase), ended, rows.unpack(output, more.get("output")),
                    rows.load_error(more.get("error")), bool(cached), bool(recovered), more.get("source_run"),
                    fingerprint, cache_key or None, more.get("source_id"),
                )
            )  # fmt: skip
        elif run.over:
            at = max(run.ended or 0.0, listed[-1].at)
            listed.append(events.ActionEnded(run.name, action_id, Phase.ABORTED, at, error=run.died))
        return listed

    def _attempted(self, id: str, count: int, started: float, attempts: Attempts) -> Iterator[Any]:
        run = self._run.name
        for number in range(1, max(count, *attempts, 0) + 1):
            phase, began, failed, wait, error = attempts.get(number, (None, started, None, None, ""))
            if began:
                yield events.AttemptStarted(run, id, number, began)
            recorded = rows.load_error(rows.parse(error or "").get("error"))
            if recorded is not None:
                yield events.AttemptFailed(run, id, number, Phase(phase), recorded, wait, failed)

    def _attempts_of(self, page: list[tuple[Any, ...]]) -> dict[int, Attempts]:
        """The rows of `attempts` for a page of actions; most have none, as they need only one."""
        if not page:
            return {}
        attempts: dict[int, Attempts] = {}
        with self._reading() as connection:
            for action, number, *columns in connection.execute(_ATTEMPTS, (page[0][0], page[-1][0])):
                attempts.setdefault(action, {})[number] = tuple(columns)
        return attempts

    def _pages(self, sql: str) -> Iterator[list[tuple[Any, ...]]]:
        first = self._run.first
        while True:
            with self._reading() as connection:
                page = connection.execute(sql, (first, self._run.end, _PAGE)).fetchall()
            yield page
            if len(page) < _PAGE:
                return
            first = page[-1][0] + 1

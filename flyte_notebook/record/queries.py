"""What the journal answers about one run and its actions. Each function runs inside one transaction."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from flyte_notebook.record import rows
from flyte_notebook.record.events import Noted
from flyte_notebook.record.lookup import summary, when
from flyte_notebook.record.model import Action, Attempt, ErrorRecord, LogLine, Phase, TaskRecord
from flyte_notebook.record.schema import SHIFT

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from flyte_notebook.record.encoded import Encoded
    from flyte_notebook.record.lookup import Found


_COLUMNS = """
    id, parent_id, task_name, short_name, grp, kind, phase, cached, recovered, attempts,
    CASE WHEN started > 0 THEN started ELSE submitted END AS began, ended, extra
"""


def actions(connection: sqlite3.Connection, run: Found) -> list[Action]:
    """In order of start; of submission where they started together."""
    sql = f"SELECT {_COLUMNS} FROM actions WHERE key >= ? AND key < ? ORDER BY began, key"  # noqa: S608
    return [_action(run, *row) for row in connection.execute(sql, (run.first, run.end))]


def root(connection: sqlite3.Connection, run: Found) -> Action | None:
    """The first action that was submitted at the top."""
    sql = f"SELECT {_COLUMNS} FROM actions WHERE key >= ? AND key < ? AND parent_id = '' ORDER BY key LIMIT 1"  # noqa: S608
    row = connection.execute(sql, (run.first, run.end)).fetchone()
    return None if row is None else _action(run, *row)


def _action(
    run: Found, id: str, parent_id: str, task_name: str, short_name: str, group: str, kind: str, phase: str,
    cached: int, recovered: int, attempts: int, began: float, ended: float, extra: str,
) -> Action:  # fmt: skip
    error = rows.load_error(rows.parse(extra).get("error"))
    shown = Phase(phase)
    if run.over and not shown.terminal:
        shown, ended, error = Phase.ABORTED, max(run.ended or 0.0, began), error or run.died
    return Action(
        run.name, id, parent_id or None, task_name, short_name, group or None, kind, shown, bool(cached),
        bool(recovered), attempts, when(began), when(ended) if ended else None, summary(error),
    )  # fmt: skip


def _columns(connection: sqlite3.Connection, run: Found, id: str, columns: str) -> tuple[Any, ...] | None:
    # No index on ids: they are as random as hashes, so keeping one would write a page for each action.
    sql = f"SELECT {columns} FROM actions WHERE key >= ? AND key < ? AND id = ? LIMIT 1"  # noqa: S608
    row: tuple[Any, ...] | None = connection.execute(sql, (run.first, run.end, id)).fetchone()
    return row


def attempts(connection: sqlite3.Connection, run: Found, id: str) -> list[Attempt]:
    """The attempts of an action, from the first."""
    action = _columns(connection, run, id, "key, phase, attempts, started, ended, extra")
    if action is None:
        return []
    key, phase, count, started, ended, extra = action
    sql = "SELECT number, phase, started, ended, error FROM attempts WHERE action = ?"
    known = {row[0]: row[1:] for row in connection.execute(sql, (key,))}
    listed = []
    for number in range(1, max(count, *known, 0) + 1):
        its_phase, its_start, its_end, its_error = known.get(number, (phase, started, ended, extra))
        if not Phase(its_phase).terminal:
            # The last one ends as the action does.
            its_phase, its_end, its_error = phase, ended, extra
        listed.append(_attempt(run, number, Phase(its_phase), its_start or its_end, its_end, its_error))
    return listed


def _attempt(run: Found, number: int, phase: Phase, start: float, end: float, extra: str) -> Attempt:
    error = rows.load_error(rows.parse(extra).get("error"))
    if run.over and not phase.terminal:
        phase, end, error = Phase.ABORTED, max(run.ended or 0.0, start), error or run.died
    return Attempt(number, phase, when(start), when(end) if end else None, summary(error))


def value(connection: sqlite3.Connection, run: Found, id: str, column: str) -> Encoded | None:
    """The `inputs` or the `output` of an action."""
    row = _columns(connection, run, id, f"{column}, extra")
    return None if row is None else rows.unpack(row[0], rows.parse(row[1]).get(column))


def outputs(connection: sqlite3.Connection, run: Found) -> Encoded | None:
    """The outputs of a run."""
    output, extra = connection.execute("SELECT output, extra FROM runs WHERE key = ?", (run.key,)).fetchone()
    return rows.unpack(output, rows.parse(extra).get("output"))


def error(connection: sqlite3.Connection, run: Found, id: str | None) -> ErrorRecord | None:
    """Why an action failed, or, without `id`, the run."""
    if id is None:
        (extra,) = connection.execute("SELECT extra FROM runs WHERE key = ?", (run.key,)).fetchone()
        return run.died or rows.load_error(rows.parse(extra).get("error"))
    row = _columns(connection, run, id, "phase, extra")
    if row is None:
        return None
    recorded = rows.load_error(rows.parse(row[1]).get("error"))
    return recorded or (None if Phase(row[0]).terminal else run.died)


def logs(connection: sqlite3.Connection, run: Found) -> Iterator[LogLine]:
    """Everything printed and logged in the run, in order."""
    sql = "SELECT action_id, stream, text, at FROM logs WHERE key >= ? AND key < ? ORDER BY key"
    for action_id, stream, text, at in connection.execute(sql, (run.first, run.end)):
        yield LogLine(action_id, stream, text, when(at))


def notes(connection: sqlite3.Connection, run: Found, id: str) -> list[Noted]:
    """The last note of each kind on an action, in the order in which they were made."""
    sql = "SELECT kind, text, at FROM notes WHERE run = ? AND action_id = ? ORDER BY key"
    return [Noted(run.name, id, *row) for row in connection.execute(sql, (run.key, id))]


def task(connection: sqlite3.Connection, run: Found, name: str) -> TaskRecord | None:
    """What a task was in the run."""
    sql = "SELECT name, fingerprint, source, declarations, parts FROM tasks WHERE run = ? AND name = ?"
    row = connection.execute(sql, (run.key, name)).fetchone()
    return None if row is None else TaskRecord(row[0], row[1], row[2], json.loads(row[3]), json.loads(row[4]))


def tasks(connection: sqlite3.Connection, run: Found) -> list[str]:
    """Names of the tasks that were called in the run, in order of their first call."""
    return [name for (name,) in connection.execute("SELECT name FROM tasks WHERE run = ? ORDER BY rowid", (run.key,))]


def cached(connection: sqlite3.Connection, cache_key: str, since: float) -> tuple[str, str, Encoded] | None:
    """Run, action and output of the newest success with this key that ended at `since` or later."""
    sql = f"""
        SELECT runs.name, actions.id, actions.output, actions.extra FROM actions
        JOIN runs ON runs.key = actions.key >> {SHIFT}
        WHERE cache_key = ? AND cache_key <> '' AND actions.phase = 'SUCCEEDED' AND actions.ended >= ?
        ORDER BY actions.key DESC LIMIT 1
    """  # noqa: S608
    row = connection.execute(sql, (cache_key, since)).fetchone()
    if row is None:
        return None
    output = rows.unpack(row[2], rows.parse(row[3]).get("output"))
    return None if output is None else (row[0], row[1], output)

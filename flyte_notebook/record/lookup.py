"""Which runs are on record, which one a name means, and what has become of it."""

from __future__ import annotations

import datetime as dt
import os
import socket
from typing import TYPE_CHECKING, Any, NamedTuple

from flyte_notebook.errors import RunNotFoundError
from flyte_notebook.record import kernels, rows
from flyte_notebook.record.model import ErrorRecord, Phase, Run
from flyte_notebook.record.schema import SHIFT

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

_CANDIDATES = 8
"""How many names an error or an answer lists."""


class Found(NamedTuple):
    """A run as other queries need it."""

    key: int
    first: int
    """Lowest key of its actions and logs; `end` is one above the highest."""
    end: int
    name: str
    phase: Phase
    """As it is shown: ABORTED for a run whose kernel died."""
    ended: float | None
    died: ErrorRecord | None
    """Set when its kernel died before the run ended."""

    @property
    def over(self) -> bool:
        """True when nothing of it can be running any more."""
        return self.phase.terminal


def summary(error: ErrorRecord | None) -> str | None:
    """The error in one line."""
    return None if error is None else error.summary


def when(seconds: float) -> dt.datetime:
    """Seconds since the epoch as an aware UTC datetime."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


_RUN = "SELECT key, name, phase, ended, kernel, host, pid FROM runs"
_RUNS = """
    SELECT key, name, phase, ended, kernel, host, pid,
           started, extra, notebook, cell_id, source, resumed_from, options,
           -- Actions are numbered from 0 without gaps; counting them would read them all.
           (SELECT coalesce(max(a.key) - (runs.key << 32) + 1, 0) FROM actions AS a
            WHERE a.key >= runs.key << 32 AND a.key < (runs.key + 1) << 32)
    FROM runs {} ORDER BY key DESC LIMIT ?
"""


def _found(connection: sqlite3.Connection, path: Path, row: tuple[Any, ...]) -> Found:
    key, name, phase, ended, kernel, host, pid = row[:7]
    first, end = key << SHIFT, (key + 1) << SHIFT
    if Phase(phase).terminal or kernels.alive(path.with_name("kernels"), kernel, pid):
        return Found(key, first, end, name, Phase(phase), ended, None)
    died = ErrorRecord("KernelDied", f"the kernel died (process {pid} on {host})", "system", "")
    if (pid, host) == (os.getpid(), socket.gethostname()):
        died = ErrorRecord("RecordLost", "the store could not be used any more while it went on", "system", "")
    return Found(key, first, end, name, Phase.ABORTED, _last_sign(connection, first, end), died)


def _last_sign(connection: sqlite3.Connection, first: int, end: int) -> float | None:
    sql = "SELECT max(max(submitted, started, ended)) FROM actions WHERE key >= ? AND key < ?"
    last: float | None
    (last,) = connection.execute(sql, (first, end)).fetchone()
    return last


def found(connection: sqlite3.Connection, path: Path, name: str) -> Found:
    """The run of exactly this name.

    Raises:
        RunNotFoundError: there is none.
    """
    row = connection.execute(f"{_RUN} WHERE name = ?", (rows.storable(name),)).fetchone()
    if row is None:
        raise _unknown(connection, name)
    return _found(connection, path, row)


def runs(connection: sqlite3.Connection, path: Path, limit: int | None) -> list[Run]:
    """Newest first."""
    sql = _RUNS.format("")
    return [
        _run(connection, path, row) for row in connection.execute(sql, (-1 if limit is None else limit,)).fetchall()
    ]


def run(connection: sqlite3.Connection, path: Path, name: str) -> Run:
    """The run of exactly this name. Raises RunNotFoundError when there is none."""
    row = connection.execute(_RUNS.format("WHERE name = ?"), (rows.storable(name), 1)).fetchone()
    if row is None:
        raise _unknown(connection, name)
    return _run(connection, path, row)


def _unknown(connection: sqlite3.Connection, name: str) -> RunNotFoundError:
    names = _latest(connection)
    known = f"The latest are {', '.join(names)}." if names else "None is on record yet."
    return RunNotFoundError(f"No run {name!r} is on record. {known}", names)


def _run(connection: sqlite3.Connection, path: Path, row: tuple[Any, ...]) -> Run:
    run = _found(connection, path, row)
    started, extra, notebook, cell_id, source, resumed_from, options, actions = row[7:]
    error = run.died or rows.load_error(rows.parse(extra).get("error"))
    asked, execution, within = rows.load_options(options)
    ended = run.ended if run.ended is not None or not run.over else started
    return Run(
        name=run.name,
        phase=run.phase,
        started_at=when(started),
        ended_at=None if ended is None else when(ended),
        error=summary(error),
        notebook=notebook,
        cell_id=cell_id,
        source=source,
        host=row[5],
        pid=row[6],
        resumed_from=resumed_from,
        actions=actions,
        options=asked,
        execution=execution,
        within=within,
        died=run.died is not None,
    )


def find(connection: sqlite3.Connection, path: Path, prefix: str) -> Run:
    """The run of this name, or the only one whose name begins so; for an empty prefix the newest.

    That is the newest of those that were not started by an action of another.

    Raises:
        RunNotFoundError: none, or several; the message names candidates.
    """
    if not prefix:
        # NaN among the options is Python's JSON, and not SQLite's.
        within = "CASE WHEN json_valid(options) THEN json_extract(options, '$.within') END"
        newest = connection.execute(_RUNS.format(f"WHERE {within} IS NULL"), (1,)).fetchone()
        if newest is not None:
            return _run(connection, path, newest)
    prefix = rows.storable(prefix)
    # A range and not LIKE, whose wildcards occur in names.
    beginning = _RUNS.format("WHERE name >= ? AND name < ? || char(1114111)")
    matches = connection.execute(_RUNS.format("WHERE name = ?"), (prefix, 1)).fetchall()
    matches = matches or connection.execute(beginning, (prefix, prefix, _CANDIDATES + 1)).fetchall()
    if len(matches) == 1:
        return _run(connection, path, matches[0])
    if matches:
        names = [row[1] for row in matches]
        more = ", …" if len(names) > _CANDIDATES else ""
        message = f"{prefix!r} could be any of {', '.join(names[:_CANDIDATES])}{more}. Type more of the name."
        raise RunNotFoundError(message, names[:_CANDIDATES])
    raise _unknown(connection, prefix)


def _latest(connection: sqlite3.Connection) -> list[str]:
    sql = "SELECT name FROM runs ORDER BY key DESC LIMIT ?"
    return [name for (name,) in connection.execute(sql, (_CANDIDATES,))]

"""Why an action of a resumed run ran, although the runs that were resumed may have the same call on record, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from flyte_notebook.record import lookup
from flyte_notebook.record.lineage import lineage

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from pathlib import Path

    from flyte_notebook.record.model import Run

_UNSUCCESSFUL = {"FAILED": "had failed", "TIMED_OUT": "had timed out", "ABORTED": "had been cut off"}
_BY_ID = "SELECT key, id, phase, fingerprint FROM actions WHERE key >= ? AND key < ? AND id = ? LIMIT 1"
_ALIKE = """
    SELECT key, id, phase, fingerprint FROM actions WHERE key >= ? AND key < ? AND task_name = ? AND kind = ?
    AND substr(inputs, 1, 16) = ? ORDER BY phase = 'SUCCEEDED' DESC, key DESC LIMIT 1
"""
_OWN = "SELECT id, task_name, kind, substr(inputs, 1, 16), attempts FROM actions WHERE key = ?"


class _Earlier(NamedTuple):
    """The same call, in a run before."""

    run: str
    key: int
    id: str
    phase: str
    fingerprint: str


def rerun(
    connection: sqlite3.Connection, path: Path, run: str, key: int, changes: Callable[[int, str], str]
) -> str | None:
    """One line on the action with this key, or None where its run resumes no other or its body was not started.

    `changes` names what is different now in the code of an earlier action, given by key and id.
    """
    own = lookup.run(connection, path, run)
    action_id, task, kind, digest, attempts = connection.execute(_OWN, (key,)).fetchone()
    if own.resumed_from is None or not attempts:
        return None
    before = [each for each, _ in lineage(lookup.runs(connection, path, None), own.resumed_from, cell=_cell(own))]
    if not before:
        return f"ran: run {own.resumed_from} is not on record any more"
    earlier = _first(connection, path, before, _BY_ID, (action_id,))
    moved = earlier is None
    earlier = earlier or _first(connection, path, before, _ALIKE, (task, kind, digest))
    if earlier is None:
        return f"ran: run {own.resumed_from} has no such call with these inputs"
    if earlier.phase != "SUCCEEDED":
        return f"ran again: it {_UNSUCCESSFUL.get(earlier.phase, 'had not ended')} in run {earlier.run}"
    if not earlier.fingerprint:
        return f"ran again: it had been cancelled by its caller, and caught that, in run {earlier.run}"
    named = "" if own.options.get("keep") is True else changes(earlier.key, earlier.id)
    if named:
        return f"ran again: {named} (since run {earlier.run})"
    reason = "could not be used" if not moved else "stands for another call"
    return f"ran again: its result of run {earlier.run} {reason}"


def _cell(run: Run) -> bool:
    return run.options.get("cell") is True


def _first(
    connection: sqlite3.Connection, path: Path, runs: list[Run], sql: str, what: tuple[object, ...]
) -> _Earlier | None:
    for run in runs:
        found = lookup.found(connection, path, run.name)
        row = connection.execute(sql, (found.first, found.end, *what)).fetchone()
        if row is not None:
            return _Earlier(run.name, *row)
    return None

"""What a run has on record, as a run that resumes it needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from flyte_notebook.record import rows
from flyte_notebook.record.model import ErrorRecord, Phase
from flyte_notebook.record.rows import digest_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from flyte_notebook.record.encoded import Encoded
    from flyte_notebook.record.lookup import Found

_PHASES = {phase.value: phase for phase in Phase}
_PAGE = 500
"""Keys in one statement."""


class Past(NamedTuple):
    """An action of an earlier run."""

    key: int
    """Of its row; the order of submission."""
    id: str
    parent_id: str | None
    task_name: str
    kind: str
    phase: Phase
    fingerprint: str | None
    """Of the code that it succeeded with."""
    digest: bytes
    """Structural, of the inputs; empty if there were none."""
    output: Encoded | None
    origin: tuple[str, str] | None
    """Run and action that it was itself recovered from."""

    @property
    def reusable(self) -> bool:
        """A success that may stand for another call; not one whose body was cancelled and has caught that."""
        return self.phase is Phase.SUCCEEDED and self.fingerprint is not None


class Standing(NamedTuple):
    """How an action of an earlier run stands; without its values, which are most of what reading it takes."""

    id: str
    parent_id: str | None
    task_name: str
    kind: str
    phase: Phase
    """QUEUED or RUNNING where the kernel died before it ended."""
    fingerprint: str | None
    """Of the code that it succeeded with."""


class Content(NamedTuple):
    """The rest of an action, for whoever records it once more."""

    key: int
    short_name: str
    group: str | None
    inputs: Encoded | None
    error: ErrorRecord | None


def standings(connection: sqlite3.Connection, run: Found) -> list[Standing]:
    """Every action of the run, in order of submission: each after its parent."""
    sql = """
        SELECT id, parent_id, actions.task_name, kind, phase, actions.fingerprint, tasks.fingerprint
        FROM actions LEFT JOIN tasks ON tasks.run = ? AND tasks.name = actions.task_name
        WHERE key >= ? AND key < ? ORDER BY key
    """
    return [
        Standing(action_id, parent_id or None, task_name, kind, _PHASES[phase], known if mark == "=" else mark or None)
        for action_id, parent_id, task_name, kind, phase, mark, known in connection.execute(
            sql, (run.key, run.first, run.end)
        )
    ]


def past(connection: sqlite3.Connection, run: Found) -> list[Past]:
    """Every action of the run that has ended, in order of submission."""
    sql = """
        SELECT key, id, parent_id, actions.task_name, kind, phase, actions.fingerprint, tasks.fingerprint,
               substr(inputs, 1, 16), output, extra
        FROM actions LEFT JOIN tasks ON tasks.run = ? AND tasks.name = actions.task_name
        WHERE key >= ? AND key < ? AND phase NOT IN ('QUEUED', 'RUNNING') ORDER BY key
    """
    listed = []
    for row in connection.execute(sql, (run.key, run.first, run.end)):
        key, action_id, parent_id, task_name, kind, phase, mark, known, digest, output, extra = row
        more = rows.parse(extra)
        source = more.get("source_id")
        listed.append(
            Past(
                key, action_id, parent_id or None, task_name, kind, _PHASES[phase], known if mark == "=" else mark or None,
                digest_of(digest or b""), rows.unpack(output, more.get("output")),
                (more["source_run"], source) if source is not None else None,
            )
        )  # fmt: skip
    return listed


def contents(connection: sqlite3.Connection, keys: Sequence[int]) -> list[Content]:
    """What else is on record of the actions with these keys, in the order of their keys."""
    listed = []
    for first in range(0, len(keys), _PAGE):
        page = keys[first : first + _PAGE]
        marks = ",".join("?" * len(page))
        sql = f"SELECT key, short_name, grp, inputs, extra FROM actions WHERE key IN ({marks}) ORDER BY key"  # noqa: S608
        for key, short_name, group, inputs, extra in connection.execute(sql, page):
            more = rows.parse(extra)
            packed = rows.unpack(inputs, more.get("inputs"))
            listed.append(Content(key, short_name, group or None, packed, rows.load_error(more.get("error"))))
    return listed

"""Where the result of an action came from, and why it ran although it is cached or its run was resumed, in words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from flyte_notebook.errors import BlobCorruptError
from flyte_notebook.record import lookup, rows
from flyte_notebook.record.encoded import tree
from flyte_notebook.record.envelope import canonical_text
from flyte_notebook.record.fingerprint import explain
from flyte_notebook.record.rerun import rerun
from flyte_notebook.record.schema import SHIFT

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from flyte_notebook.record.blobs import BlobStore
    from flyte_notebook.record.store import Store

RUNS = 200
"""How many runs back an earlier success is looked for."""
_NAMED = 6
"""How many differences are named."""


class _Action(NamedTuple):
    """A recorded action, as far as reuse is concerned."""

    key: int
    run: str
    options: str
    task: str
    cached: int
    recovered: int
    submitted: float
    ended: float
    fingerprint: str
    cache_key: str
    digest: bytes
    extra: str


_COLUMNS = f"""
    actions.key, runs.name, runs.options, actions.task_name, cached, recovered, submitted, actions.ended,
    CASE actions.fingerprint WHEN '=' THEN tasks.fingerprint ELSE actions.fingerprint END AS made_by,
    cache_key, substr(inputs, 1, 16) AS digest, actions.extra
    FROM actions {{}} JOIN runs ON runs.key = actions.key >> {SHIFT}
    LEFT JOIN tasks ON tasks.run = runs.key AND tasks.name = actions.task_name
"""
_OWN = f"SELECT {_COLUMNS.format('')} WHERE actions.key >= ? AND actions.key < ? AND actions.id = ? LIMIT 1"
_CACHED = f"SELECT {_COLUMNS.format('INDEXED BY actions_by_cache_key')} WHERE actions.phase = 'SUCCEEDED'"
_EQUAL = f"{_CACHED} AND cache_key <> '' AND cache_key = ? AND actions.key < ? ORDER BY actions.key DESC LIMIT 1"
# Of the same inputs rather than of the same code, and rather that than the latest: of a hundred items that run again
# because a helper has changed, each is compared with itself. The key is in the index: older rows are not read at all.
_ALIKE = f"""{_CACHED} AND cache_key <> '' AND actions.key >= ? AND actions.key < ? AND actions.task_name = ?
    ORDER BY digest = ? DESC, made_by = ? DESC, actions.key DESC LIMIT 1
"""


def why(store: Store, run: str, action_id: str) -> str | None:
    """One line: `cached, from run main-abc123`, `ran again: helper clean() changed (since run main-abc123)`, …

    None for an action that is not on record, and where nothing could have been reused: its run resumes no other, and
    its task is not cached or it has not succeeded.

    Raises:
        RunNotFoundError: no run has this name.
        JournalError: the journal cannot be read.
    """
    journal = store.journal
    with journal.reading() as connection:
        found = lookup.found(connection, journal.path, run)
        row = connection.execute(_OWN, (found.first, found.end, action_id)).fetchone()
        own = _Action(*row) if row is not None else None
        if own is None:
            return None
        if own.cached or own.recovered:
            source = rows.parse(own.extra).get("source_run")
            return f"{'cached' if own.cached else 'recovered'}, from run {source}" if source else None

        def changes(key: int, action_id: str) -> str:
            row = connection.execute(_OWN, (key, key + 1, action_id)).fetchone()
            return _named([*_changed_code(connection, own, _Action(*row))])

        told = rerun(connection, journal.path, run, own.key, changes)
        return told if told is not None or not own.cache_key else _ran(connection, store.blobs, own)


def _ran(connection: sqlite3.Connection, blobs: BlobStore, own: _Action) -> str:
    cache = _declared(connection, own)[0]
    equal = connection.execute(_EQUAL, (own.cache_key, own.key)).fetchone()
    if equal is not None:
        return f"ran again: {_not_reused(own, _Action(*equal), cache)}"
    first = own.key >> SHIFT << SHIFT
    earlier = (first - (RUNS << SHIFT), first, own.task, own.digest, own.fingerprint)
    alike = connection.execute(_ALIKE, earlier).fetchone()
    if alike is None:
        return f"ran: no success of an earlier run is there to reuse (looked at {RUNS} runs)"
    past = _Action(*alike)
    changes = _named([*_inputs(connection, blobs, own, past, cache), *_code(connection, own, past)])
    return f"ran again: {changes or 'what its cache policies look at changed'} (since run {past.run})"


def _named(changes: list[str]) -> str:
    more = f" and {len(changes) - _NAMED} more" if len(changes) > _NAMED else ""
    return ", ".join(changes[:_NAMED]) + more


def _not_reused(own: _Action, past: _Action, cache: dict[str, Any]) -> str:
    """Why a result that has the right key did not do."""
    if cache.get("behavior") == "override" or json.loads(own.options).get("overwrite_cache"):
        return f"it was asked to replace the result of run {past.run}"
    if past.ended > own.submitted:
        return f"an equal call was still running in run {past.run} (Cache(serialize=True) waits for it)"
    if "max_age" in cache:
        return f"the result of run {past.run} was older than max_age, {cache['max_age']}"
    return f"the result of run {past.run} could not be read"


def _declared(connection: sqlite3.Connection, action: _Action) -> tuple[dict[str, Any], str, dict[str, str]]:
    """What the action's task said of its cache; its fingerprint, and what that is made of."""
    sql = "SELECT declarations, fingerprint, parts FROM tasks WHERE run = ? AND name = ?"
    row = connection.execute(sql, (action.key >> SHIFT, action.task)).fetchone()
    if row is None:
        return {}, "", {}
    cache = json.loads(row[0]).get("cache") or {}
    return cache if isinstance(cache, dict) else {"behavior": cache}, row[1], json.loads(row[2])


def _inputs(
    connection: sqlite3.Connection, blobs: BlobStore, own: _Action, past: _Action, cache: dict[str, Any]
) -> Iterator[str]:
    if own.digest == past.digest:
        return
    try:
        new, old = (_by_name(connection, blobs, action) for action in (own, past))
    except (BlobCorruptError, OSError, ValueError):
        yield "inputs changed"
        return
    for name in [*new, *(name for name in old if name not in new)]:
        if name not in cache.get("ignored_inputs", ()) and new.get(name) != old.get(name):
            yield f"input {name} {'added' if name not in old else 'changed' if name in new else 'removed'}"


def _by_name(connection: sqlite3.Connection, blobs: BlobStore, action: _Action) -> dict[str, str]:
    (packed,) = connection.execute("SELECT inputs FROM actions WHERE key = ?", (action.key,)).fetchone()
    encoded = rows.unpack(packed, rows.parse(action.extra).get("inputs"))
    items = tree(encoded, blobs)[0] if encoded is not None else {}
    return {name: canonical_text(item, tagged=True) for name, item in items.items()}


def _code(connection: sqlite3.Connection, own: _Action, past: _Action) -> Iterator[str]:
    new, old = (_declared(connection, action)[0] for action in (own, past))
    if new.get("version_override") != old.get("version_override"):
        before, after = (cache.get("version_override", "that of the code") for cache in (old, new))
        yield f"version changed from {before} to {after}"
    for name in ("salt", "policies", "ignored_inputs"):
        if new.get(name) != old.get(name):
            yield f"{name.replace('_', ' ')} of the cache changed"
    if "version_override" not in new and "policies" not in new:
        yield from _changed_code(connection, own, past)


def _changed_code(connection: sqlite3.Connection, own: _Action, past: _Action) -> Iterator[str]:
    (_, now, parts), (_, then, former) = (_declared(connection, action) for action in (own, past))
    # Of what has not succeeded, the code is that of its task; of a trace none is known then.
    made_by = own.fingerprint or now
    if made_by in ("", past.fingerprint):
        return
    # The parts are those of the task as each run saw it first.
    known = made_by == now and past.fingerprint == then and parts and former
    yield from (explain(former, parts) if known else ["code, or something that it refers to, changed"])

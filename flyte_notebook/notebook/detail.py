"""What a click on an action shows: inputs, output, error, log, source, attempts. Read from the record, never unpickled."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flyte_notebook.engine.interface import Interface
from flyte_notebook.errors import FlyteNotebookError
from flyte_notebook.notebook.text import clip
from flyte_notebook.record import events
from flyte_notebook.record.codec import describe
from flyte_notebook.record.model import Phase
from flyte_notebook.record.why import why

if TYPE_CHECKING:
    from flyte_notebook.record.blobs import BlobStore
    from flyte_notebook.record.codec import Encoded
    from flyte_notebook.record.model import ErrorRecord
    from flyte_notebook.record.store import Store

Detail = dict[str, Any]

LOG, SOURCE, MESSAGE, TRACEBACK = 8_000, 8_000, 8_000, 8_000
"""Characters shown at most; of logs and tracebacks the end, of sources and messages the beginning."""
REPORT = 1_000_000
"""Characters of the largest report that is shown: half a page of HTML would be nothing, so it is all or none."""


@dataclass
class Tried:
    """An attempt; times in seconds since the epoch."""

    number: int
    phase: Phase
    begin: float | None = None
    end: float | None = None
    error: str | None = None


@dataclass
class Material:
    """All that is on record about one action, in the terms of the journal."""

    id: str
    task: str = ""
    inputs: Encoded | None = None
    output: Encoded | None = None
    error: ErrorRecord | None = None
    source: str | None = None
    declarations: dict[str, Any] = field(default_factory=dict)
    report: str | None = None
    log: list[tuple[str, str]] = field(default_factory=list)
    attempts: list[Tried] = field(default_factory=list)
    run: str | None = None
    """Set where there may be something to tell of how the action came to its result: see `why`."""


def look_up(store: Store, run: str, id: str, task: str) -> Material:
    """One action, by queries: for a click, also while the run is going on.

    Raises:
        JournalError: the journal cannot be read.
        RunNotFoundError: nothing of the run is committed yet.
    """
    journal = store.journal
    known = journal.task(run, task)
    return Material(
        id,
        task,
        journal.inputs(run, id),
        journal.output(run, id),
        journal.error(run, id),
        known.source if known is not None else None,
        known.declarations if known is not None else {},
        next((note.text for note in journal.notes(run, id) if note.kind == "report"), None),
        [(line.stream, line.text) for line in journal.logs(run, id)],
        [
            Tried(
                attempt.number,
                attempt.phase,
                attempt.started_at.timestamp(),
                attempt.ended_at.timestamp() if attempt.ended_at is not None else None,
                attempt.error,
            )
            for attempt in journal.attempts(run, id)
        ],
        run,
    )


def collect(sequence: Iterable[events.Event], ids: Collection[str]) -> dict[str, Material]:
    """Several actions of a run at once, from its events."""
    found = {id: Material(id) for id in ids}  # noqa: A001 - its name everywhere
    tasks: dict[str, events.TaskSeen] = {}
    for event in sequence:
        if isinstance(event, events.TaskSeen):
            tasks[event.task_name] = event
        elif not isinstance(event, events.RunStarted | events.RunEnded) and event.id in found:
            _add(found[event.id], event)
    for material in found.values():
        if (seen := tasks.get(material.task)) is not None:
            material.source, material.declarations = seen.source, dict(seen.declarations)
    return found


def _add(material: Material, event: events.Event) -> None:
    match event:
        case events.ActionSubmitted():
            material.task, material.inputs = event.task_name, event.inputs
        case events.AttemptStarted():
            material.attempts.append(Tried(event.attempt, Phase.RUNNING, event.at))
        case events.AttemptFailed():
            if not material.attempts or material.attempts[-1].number != event.attempt:
                material.attempts.append(Tried(event.attempt, event.phase))
            _end(material.attempts[-1], event.phase, event.at, event.error)
        case events.ActionEnded():
            material.output, material.error = event.output, event.error
            material.run = event.run if event.source_run is not None or event.cache_key is not None else None
            if material.attempts and material.attempts[-1].end is None:
                _end(material.attempts[-1], event.phase, event.at, event.error)
        case events.OutputWritten():
            material.log.append((event.stream, event.text))
        case events.Noted(kind="report"):
            material.report = event.text


def _end(attempt: Tried, phase: Phase, at: float, error: ErrorRecord | None) -> None:
    attempt.phase, attempt.end = phase, at
    attempt.error = error.summary if error is not None else None


def detail(material: Material, store: Store) -> Detail:
    """The JSON object that the explorer shows. A value that cannot be read any more is replaced by the reason."""
    return {
        "id": material.id,
        "task": material.task,
        "inputs": _inputs(material.inputs, store.blobs),
        "output": _output(material.output, store.blobs),
        "error": _error(material.error),
        "log": _log(material.log),
        "source": material.source[:SOURCE] if material.source is not None else None,
        "declarations": material.declarations,
        "attempts": [_attempt(attempt) for attempt in material.attempts],
        "reuse": _reuse(material, store),
        "report": material.report if len(material.report or "") <= REPORT else _too_large(material.report),
    }


def _reuse(material: Material, store: Store) -> str | None:
    try:
        return why(store, material.run, material.id) if material.run is not None else None
    except FlyteNotebookError:
        # The rest of the details is known, and is what was asked for.
        return None


def without_report(shown: Detail) -> Detail:
    """`shown`, with a remark in the place of its report."""
    return {**shown, "report": _too_large(shown["report"])} if shown.get("report") else shown


def _too_large(report: str | None) -> str:
    return f"<p>This report of {len(report or '') / 2**20:.1f} MB is too large to be shown here.</p>"


def _inputs(encoded: Encoded | None, blobs: BlobStore) -> list[dict[str, Any]]:
    if encoded is None:
        return []
    try:
        return [_value(described) for described in Interface.describe_inputs(encoded, blobs)]
    except (FlyteNotebookError, OSError, ValueError) as error:
        return [{"name": "", "type": "", "text": f"<cannot be read: {error}>"}]


def _output(encoded: Encoded | None, blobs: BlobStore) -> dict[str, Any] | None:
    if encoded is None:
        return None
    try:
        return _value(describe(encoded, blobs))
    except (FlyteNotebookError, OSError, ValueError) as error:
        return {"type": "", "text": f"<cannot be read: {error}>"}


def _value(described: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key in ("name", "type", "text", "html") if (value := described.get(key)) is not None}


def _error(error: ErrorRecord | None) -> dict[str, Any] | None:
    if error is None:
        return None
    shown: dict[str, Any] = {
        "code": clip(error.code, 200),
        "message": error.message[:MESSAGE],
        "traceback": error.traceback[-TRACEBACK:],
    }
    return shown if error.line is None else {**shown, "line": error.line}


def _log(pieces: list[tuple[str, str]]) -> list[dict[str, str]]:
    """Neighbouring pieces of one stream as one, of the last `LOG` characters."""
    merged: list[dict[str, str]] = []
    room = LOG
    for stream, piece in reversed(pieces):
        if not room:
            break
        text = piece[-room:]
        room -= len(text)
        if merged and merged[-1]["stream"] == stream:
            merged[-1]["text"] = text + merged[-1]["text"]
        else:
            merged.append({"stream": stream, "text": text})
    return merged[::-1]


def _attempt(attempt: Tried) -> dict[str, Any]:
    shown: dict[str, Any] = {"number": attempt.number, "phase": str(attempt.phase)}
    if attempt.begin is not None and attempt.end is not None:
        # The record keeps whole microseconds: shown is the same, whichever of the two it comes from.
        shown["ms"] = round((round(attempt.end, 6) - round(attempt.begin, 6)) * 1000, 1)
    return shown if attempt.error is None else {**shown, "error": attempt.error}

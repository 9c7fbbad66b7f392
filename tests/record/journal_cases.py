"""Events, values and whole histories for the tests of the journal."""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from flyte_notebook.record import events
from flyte_notebook.record.codec import Encoded
from flyte_notebook.record.model import ErrorRecord, Phase

if TYPE_CHECKING:
    import datetime as dt

    from flyte_notebook.record.housekeeping import Cleaning
    from flyte_notebook.record.store import Store

RUN = "main-abc123"


def value(text: str = "1", **changes: Any) -> Encoded:
    """A small value as the codec makes it."""
    data = b"j" + text.encode()
    parts: dict[str, Any] = {"data": data, "blob": None, "size": len(text), "preview": None}
    return Encoded(**{**parts, "digest": hashlib.blake2b(data, digest_size=16).digest(), **changes})


def large(sha: str, preview: str = "3 rows") -> Encoded:
    """A value that lies in the blob `sha`."""
    return Encoded(None, sha, bytes(range(16)), 10**6, preview)


def clean(store: Store, older_than: dt.timedelta) -> Cleaning:
    """Remove what is to go, at once; what has gone."""
    return store.clean(store.plan_cleaning(older_than))


AT_WORK = """
import sys
from pathlib import Path
from flyte_notebook.record import kernels
kernels.hold(Path(sys.argv[1]), kernels.draw())
print("held", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def at_work(store: Store) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that shows itself at work in the store until its input is closed."""
    command = [sys.executable, "-c", AT_WORK, str(store.home / "kernels")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        yield other


def action_id(number: int) -> str:
    return f"{number:020x}"


def started(run: str = RUN, at: float = 100.0, **more: Any) -> events.RunStarted:
    return events.RunStarted(run, at, **more)


def submitted(number: int, *, run: str = RUN, parent: int | None = None, at: float = 101.0, **more: Any) -> Any:
    parts = {"task_name": "env.work", "short_name": "work", "group": None, "kind": "task", "inputs": None, **more}
    return events.ActionSubmitted(run, action_id(number), None if parent is None else action_id(parent), at=at, **parts)


def attempted(number: int, attempt: int = 1, *, run: str = RUN, at: float = 102.0) -> events.AttemptStarted:
    return events.AttemptStarted(run, action_id(number), attempt, at)


def ended(number: int, phase: Phase = Phase.SUCCEEDED, *, run: str = RUN, at: float = 103.0, **more: Any) -> Any:
    return events.ActionEnded(run, action_id(number), phase, at, **more)


def finished(run: str = RUN, phase: Phase = Phase.SUCCEEDED, *, at: float = 104.0, **more: Any) -> events.RunEnded:
    return events.RunEnded(run, phase, at, **more)


def put(journal: Any, *happened: events.Event) -> None:
    """Append, and wait until it is committed."""
    for event in happened:
        journal.append(event)
    journal.flush().result(10)


# --- any valid history ------------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_OVER = (Phase.SUCCEEDED, Phase.FAILED, Phase.ABORTED, Phase.TIMED_OUT)


def values() -> st.SearchStrategy[Encoded]:
    digests = st.binary(min_size=16, max_size=16)
    sizes = st.integers(0, 2**40)
    inline = st.builds(Encoded, st.binary(max_size=50).map(b"j".__add__), st.none(), digests, sizes, st.none() | TEXT)
    shas = st.binary(min_size=32, max_size=32).map(bytes.hex)
    return inline | st.builds(Encoded, st.none(), shas, digests, sizes, TEXT)


def errors() -> st.SearchStrategy[ErrorRecord]:
    # Messages may hold what no encoding can: lone surrogates.
    texts = st.text(max_size=8)
    return st.builds(
        ErrorRecord, TEXT, texts, st.sampled_from(["user", "system"]), texts, st.none() | st.integers(1, 99)
    )


@dataclass
class _Progress:
    """Which events may come next."""

    total: int = 0
    waiting: dict[int, int] = field(default_factory=dict)
    """Attempts so far of the actions that are queued, by number."""
    running: dict[int, int] = field(default_factory=dict)


@st.composite
def histories(draw: st.DrawFn) -> list[events.Event]:
    """One run, as far as it got: every event is possible where it stands, and times never go back."""
    clock = draw(st.floats(1, 2e9))
    run = draw(TEXT.filter(bool))
    options = draw(st.dictionaries(TEXT, TEXT | st.integers(-9, 9) | st.none(), max_size=2))
    optional = st.none() | TEXT
    history: list[events.Event] = [
        events.RunStarted(
            run, clock, draw(optional), draw(optional), draw(optional), draw(optional), draw(st.booleans()), options
        )
    ]
    parts = st.dictionaries(TEXT, TEXT, max_size=2)
    for name in draw(st.lists(TEXT, max_size=2, unique=True)):
        history.append(events.TaskSeen(run, name, draw(TEXT), draw(optional), {"docs": draw(TEXT)}, draw(parts)))
    progress = _Progress()
    for _ in range(draw(st.integers(0, 25))):
        clock += draw(st.sampled_from([0.0, 0.25, 1.5]))
        history.append(_next(draw, run, progress, clock))
    if draw(st.booleans()):
        for number in [*progress.waiting, *progress.running]:
            history.append(events.ActionEnded(run, action_id(number), Phase.ABORTED, clock))
        outputs = draw(st.none() | values())
        history.append(events.RunEnded(run, draw(st.sampled_from(_OVER)), clock, outputs, draw(st.none() | errors())))
    return history


def _next(draw: st.DrawFn, run: str, progress: _Progress, clock: float) -> events.Event:
    choices = ["submit", "print at the top"]
    choices += ["start", "reuse"] if progress.waiting else []
    choices += ["end", "fail", "print", "note"] if progress.running else []
    match draw(st.sampled_from(choices)):
        case "submit":
            parent = draw(st.sampled_from([None, *progress.running]))
            number, progress.total = progress.total, progress.total + 1
            progress.waiting[number] = 0
            group = draw(st.none() | TEXT.filter(bool))
            kind = draw(st.sampled_from(["task", "trace"]))
            inputs = draw(st.none() | values())
            return submitted(
                number, run=run, parent=parent, at=clock, task_name=draw(TEXT), short_name=draw(TEXT), group=group,
                kind=kind, inputs=inputs,
            )  # fmt: skip
        case "start":
            number = draw(st.sampled_from(sorted(progress.waiting)))
            attempt = progress.running[number] = progress.waiting.pop(number) + 1
            return attempted(number, attempt, run=run, at=clock)
        case "reuse":
            number = draw(st.sampled_from(sorted(progress.waiting)))
            del progress.waiting[number]
            flags = draw(st.sampled_from([{"cached": True}, {"recovered": True}]))
            return ended(number, run=run, at=clock, output=draw(values()), source_run=draw(TEXT), **flags)
        case "print at the top":
            return events.OutputWritten(run, None, "stdout", draw(TEXT), clock)
        case chosen:
            return _of_running(draw, chosen, run, progress, clock)


def _of_running(draw: st.DrawFn, chosen: str, run: str, progress: _Progress, clock: float) -> events.Event:
    number = draw(st.sampled_from(sorted(progress.running)))
    match chosen:
        case "end":
            del progress.running[number]
            phase = draw(st.sampled_from(_OVER))
            if phase is Phase.SUCCEEDED:
                more = {"output": draw(st.none() | values()), "fingerprint": draw(st.none() | TEXT.filter(bool))}
                more["cache_key"] = draw(st.none() | TEXT.filter(bool))
            else:
                more = {"error": draw(st.none() | errors())}
            return ended(number, phase, run=run, at=clock, **more)
        case "fail":
            attempt = progress.waiting[number] = progress.running.pop(number)
            phase = draw(st.sampled_from([Phase.FAILED, Phase.TIMED_OUT]))
            return events.AttemptFailed(run, action_id(number), attempt, phase, draw(errors()), 0.5, clock)
        case "print":
            return events.OutputWritten(
                run, action_id(number), draw(st.sampled_from(["stdout", "INFO"])), draw(TEXT), clock
            )
        case _:
            return events.Noted(run, action_id(number), draw(st.sampled_from(["thread", "report"])), draw(TEXT), clock)


def fold(happened: list[events.Event]) -> dict[str, Any]:
    """What a view that keeps all it can would know after these events."""
    known: dict[str, Any] = {"run": [], "tasks": {}, "order": [], "actions": {}, "printed": {}, "notes": {}}
    for event in happened:
        match event:
            case events.RunStarted() | events.RunEnded():
                known["run"].append(event)
            case events.TaskSeen():
                known["tasks"][event.task_name] = event
            case events.ActionSubmitted():
                known["order"].append(event.id)
                known["actions"][event.id] = [event]
            case events.OutputWritten():
                pieces = known["printed"].setdefault(event.id, [])
                # In how many pieces a text was written is nothing that can be seen.
                if pieces and pieces[-1][0] == event.stream:
                    pieces[-1][1] += event.text
                else:
                    pieces.append([event.stream, event.text])
            case events.Noted():
                known["notes"][event.id, event.kind] = event
            case _:
                known["actions"][event.id].append(event)
    return known

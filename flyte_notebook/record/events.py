"""What happens to runs and actions, as events, and a synchronous way to publish them.

The engine publishes; the journal and the views subscribe and learn from nothing else. `live` carries events as they
happen, on the thread where they happen. `committed` carries the same events, in the same order, from the journal's
writer thread once they are safely on disk: whatever shows a result listens there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from flyte_notebook.record.codec import Encoded
    from flyte_notebook.record.model import ErrorRecord, Phase

_WALL = time.time() - time.perf_counter()


def now() -> float:
    """Seconds since the epoch that never go backwards, even when the machine's clock does; see `set_clock`."""
    return _WALL + time.perf_counter()


def set_clock() -> None:
    """Take the time of day anew; not while a run goes on, whose times would go back with a clock that was set back.

    Without it a kernel that lives for days would tell another time than the clock: that of a laptop goes on while it
    sleeps, this one does not.
    """
    global _WALL
    _WALL = time.time() - time.perf_counter()


class RunStarted(NamedTuple):
    """A run exists; `at` is its start. Published in the context of the cell or call that created it."""

    run: str
    at: float
    notebook: str | None = None
    cell_id: str | None = None
    source: str | None = None
    resumed_from: str | None = None
    hide: bool = False
    """True when the cell asked that task output stays out of the cell (`--hide`)."""
    options: Mapping[str, Any] = {}
    """JSON-able run options worth showing: mode, labels, project, domain, custom context."""
    execution: str | None = None
    """What the runs that one execution of a cell starts have in common; None outside cells."""
    within: str | None = None
    """The name of the run in one of whose actions this one was started."""


class TaskSeen(NamedTuple):
    """First call of a task in a run: what the task was then."""

    run: str
    task_name: str
    fingerprint: str
    source: str | None
    declarations: Mapping[str, Any]
    parts: Mapping[str, str] = {}
    """What the fingerprint is made of, by label; see `fingerprint_parts`."""


class ActionSubmitted(NamedTuple):
    """A call became an action (QUEUED)."""

    run: str
    id: str
    parent_id: str | None
    task_name: str
    short_name: str
    group: str | None
    kind: str
    inputs: Encoded | None
    at: float


class AttemptStarted(NamedTuple):
    """A body starts (RUNNING); `attempt` counts from 1."""

    run: str
    id: str
    attempt: int
    at: float


class AttemptFailed(NamedTuple):
    """An attempt failed or timed out and another will follow after `wait` seconds."""

    run: str
    id: str
    attempt: int
    phase: Phase
    error: ErrorRecord
    wait: float
    at: float


class ActionEnded(NamedTuple):
    """An action reached a terminal phase."""

    run: str
    id: str
    phase: Phase
    at: float
    output: Encoded | None = None
    error: ErrorRecord | None = None
    cached: bool = False
    recovered: bool = False
    source_run: str | None = None
    """The run whose recorded result was reused, if cached or recovered."""
    fingerprint: str | None = None
    """Of the task that produced the output; what resume compares. None unless SUCCEEDED, and where it must not be reused."""
    cache_key: str | None = None
    """Set when this success may be reused by later calls with the same key."""
    source_id: str | None = None
    """The action of `source_run` that was recovered."""


class OutputWritten(NamedTuple):
    """Text printed or logged inside an action; `id` None: at the top of the cell."""

    run: str
    id: str | None
    stream: str
    text: str
    at: float


class Noted(NamedTuple):
    """A remark on an action. `kind`: `thread` (body still running in a thread; text empty when it ended),
    `blocking` (body blocks the loop), `report` (text is the report's HTML), `late` (a result that came after the
    action ended).
    """

    run: str
    id: str
    kind: str
    text: str
    at: float


class RunEnded(NamedTuple):
    """A run reached a terminal phase. Always its last event, but for late `Noted`."""

    run: str
    phase: Phase
    at: float
    outputs: Encoded | None = None
    error: ErrorRecord | None = None


Event: TypeAlias = (
    RunStarted
    | TaskSeen
    | ActionSubmitted
    | AttemptStarted
    | AttemptFailed
    | ActionEnded
    | OutputWritten
    | Noted
    | RunEnded
)
Subscriber: TypeAlias = Callable[[Event], None]


class Bus:
    """Calls every subscriber, in order of subscription, on the publishing thread.

    A subscriber must return quickly. What it raises reaches the publisher: subscribers that can fail guard themselves.
    """

    def __init__(self) -> None:
        # A tuple replaced on change, so that publishing needs no lock and a subscriber may unsubscribe itself.
        self._subscribers: tuple[Subscriber, ...] = ()

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Add `subscriber`; the returned function removes it and may be called more than once."""
        self._subscribers = (*self._subscribers, subscriber)

        def unsubscribe() -> None:
            self._subscribers = tuple(s for s in self._subscribers if s is not subscriber)

        return unsubscribe

    def publish(self, event: Event) -> None:
        """Hand `event` to every subscriber."""
        for subscriber in self._subscribers:
            subscriber(event)


live = Bus()
committed = Bus()

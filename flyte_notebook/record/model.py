"""What is on record: runs, actions, attempts and tasks, as frozen values."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Phase(StrEnum):
    """The phase of a run, an action or an attempt; the names are Flyte's."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    ABORTED = "ABORTED"
    TIMED_OUT = "TIMED_OUT"

    @property
    def terminal(self) -> bool:
        """True once the phase can no longer change."""
        return self not in (Phase.QUEUED, Phase.RUNNING)


@dataclass(frozen=True, slots=True)
class Run:
    """One run: a `%%flyte` cell that called a task, or one `flyte.run`."""

    name: str
    """First short name, `-`, six characters; unique in its store."""
    phase: Phase
    started_at: dt.datetime
    ended_at: dt.datetime | None
    error: str | None
    notebook: str | None
    """Where it was started: the notebook's path or the working folder."""
    cell_id: str | None
    source: str | None
    """The cell's source as typed, or None outside a cell."""
    host: str
    pid: int
    resumed_from: str | None
    """Name of the run whose record this one recovers from."""
    actions: int
    """How many actions are on record."""
    options: dict[str, Any]
    """JSON-able: how it was asked to behave."""
    died: bool = False
    """True when its kernel died before it ended: `ended_at` is then the last that is known of it."""
    execution: str | None = None
    """What the runs that one execution of a cell has started have in common; unique."""
    within: str | None = None
    """The name of the run in one of whose actions this one was started, by `flyte.run`."""

    def beside(self, other: Run) -> bool:
        """True when one execution of a cell has started both."""
        return self.execution is not None and self.execution == other.execution


@dataclass(frozen=True, slots=True)
class Action:
    """One durable call of a task (or one `flyte.trace` call) inside a run."""

    run: str
    id: str
    """Deterministic in (parent, task, inputs, call sequence among equals, group); 20 hex digits."""
    parent_id: str | None
    task_name: str
    short_name: str
    group: str | None
    kind: str
    """`"task"` or `"trace"`."""
    phase: Phase
    cached: bool
    recovered: bool
    attempts: int
    """Bodies started; 0 when cached or recovered."""
    started_at: dt.datetime
    ended_at: dt.datetime | None
    error: str | None
    """`ClassName: message` of the last attempt, or None."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One execution of an action's body."""

    number: int
    """From 1."""
    phase: Phase
    started_at: dt.datetime
    ended_at: dt.datetime | None
    error: str | None


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """A task as a run knew it: the tree's details and `resume` read this."""

    name: str
    fingerprint: str
    source: str | None
    declarations: dict[str, Any]
    """JSON-able: image, resources, cache, retries, timeout, docs and so on, as declared."""
    parts: dict[str, str] = field(default_factory=dict)
    """What the fingerprint is made of, by label; empty for records of before it was kept."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """A piece of output that belongs to one action, or to the run's cell when `action_id` is None."""

    action_id: str | None
    stream: str
    """`"stdout"`, `"stderr"`, or a logging level name such as `"WARNING"`."""
    text: str
    at: dt.datetime


_SUMMARY = 500


@dataclass(frozen=True, slots=True)
class ErrorRecord:
    """A failure as it is stored and shown."""

    code: str
    """The user's exception class name, as on a cluster."""
    message: str
    kind: str
    """`"user"` or `"system"`."""
    traceback: str
    """Plain text, frames of the user's code only."""
    line: int | None = None
    """Line of the user's cell or file where it was raised."""

    @property
    def summary(self) -> str:
        """One line of at most 500 characters: `ValueError: bad row 7`."""
        first, *_ = self.message[:_SUMMARY].splitlines() or [""]
        line = f"{self.code}: {first}" if first else self.code
        return line if len(line) <= _SUMMARY else line[: _SUMMARY - 1] + "…"

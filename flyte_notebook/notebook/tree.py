"""The tree of one run: events go in, rows and patches come out. Pure: no display, no clock, no store.

One thread at a time applies events (the journal's writer, or a replay); any thread may take rows meanwhile. A row is the
JSON object that the browser knows; keys whose value is the default are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flyte_notebook.notebook.text import clip
from flyte_notebook.record import events
from flyte_notebook.record.model import Phase

if TYPE_CHECKING:
    from flyte_notebook.record.codec import Encoded

Row = dict[str, Any]
Header = dict[str, Any]

_INLINE = 64
"""Outputs up to this many bytes are kept as they are and previewed when a row is made; larger ones at once."""


class Node:
    """One row: an action, or a group that actions were called in."""

    # Defaults on the class instead of slots: most nodes change few of them, and there is one node per action.
    phase: Phase | None = Phase.QUEUED
    begin: float | None = None
    end: float | None = None
    attempts = 0
    cached = False
    recovered = False
    source: str | None = None
    """The run that a reused result is of."""
    output: Encoded | str | None = None
    error: str | None = None
    line: int | None = None
    hint: str | None = None
    changed = False

    def __init__(self, index: int, parent: Node | None, kind: str, name: str, task: str, id: str | None) -> None:
        self.index = index
        self.parent = parent
        self.kind = kind
        self.name = name
        self.task = task
        self.id = id


class Tree:
    """Every action of `run` in order of first sight."""

    def __init__(self, run: str, preview: Callable[[Encoded], str] | None = None) -> None:
        self.run = run
        self.nodes: list[Node] = []
        self.total = 0
        """How many actions there are; groups are not counted."""
        self.started: float | None = None
        self.ended: float | None = None
        self.phase = Phase.RUNNING
        self.error: str | None = None
        self.resumed_from: str | None = None
        self.recovered = 0
        """How many of the actions were recovered from the run that this one resumes."""
        self._preview = preview or _preview
        self._by_id: dict[str, Node] = {}
        self._groups: dict[tuple[int, str], Node] = {}
        self._pending: list[Node] = []

    # --- events in ----------------------------------------------------------------------------------------------------

    def apply(self, event: events.Event) -> None:
        """Take `event` in. Events that say nothing about the tree are ignored."""
        apply = _APPLY.get(type(event))
        if apply is not None:
            apply(self, event)

    def _run_started(self, event: events.RunStarted) -> None:
        self.started = event.at
        self.resumed_from = event.resumed_from

    def _run_ended(self, event: events.RunEnded) -> None:
        self.ended = event.at
        self.phase = event.phase
        self.error = clip(event.error.summary, 200) if event.error is not None else None
        for node in self.nodes:
            # As on record: what was cut off before it could say how it ended, ended with its run.
            if node.phase is not None and not node.phase.terminal:
                node.phase, node.end = Phase.ABORTED, event.at
                self._touch(node)

    def _submitted(self, event: events.ActionSubmitted) -> None:
        if event.id in self._by_id:
            return
        parent = self._by_id.get(event.parent_id) if event.parent_id is not None else None
        if event.group is not None:
            parent = self._group(parent, event.group, event)
        nodes = self.nodes
        node = Node(len(nodes), parent, event.kind, event.short_name, event.task_name, event.id)
        nodes.append(node)
        self.total += 1
        self._by_id[event.id] = node
        node.changed = True
        self._pending.append(node)

    def _group(self, parent: Node | None, group: str, first: events.ActionSubmitted) -> Node:
        key = (-1 if parent is None else parent.index, group)
        node = self._groups.get(key)
        if node is None:
            node = Node(len(self.nodes), parent, "group", _group_label(group, first), group, None)
            node.phase = None
            self.nodes.append(node)
            self._groups[key] = node
            self._touch(node)
        return node

    def _attempt_started(self, event: events.AttemptStarted) -> None:
        node = self._by_id.get(event.id)
        if node is not None:
            node.phase = Phase.RUNNING
            node.attempts = event.attempt
            node.hint = None
            if node.begin is None:
                node.begin = event.at
            self._touch(node)

    def _attempt_failed(self, event: events.AttemptFailed) -> None:
        node = self._by_id.get(event.id)
        if node is not None:
            node.hint = f"attempt {event.attempt}: {event.error.summary}; again in {event.wait:g} s"
            self._touch(node)

    def _ended(self, event: events.ActionEnded) -> None:
        node = self._by_id.get(event.id)
        if node is None:
            return
        node.phase = event.phase
        node.end = event.at
        if node.begin is None and event.phase is Phase.SUCCEEDED:
            node.begin = event.at
        if event.cached or event.recovered:
            already = node.recovered
            node.cached, node.recovered, node.source = event.cached, event.recovered, event.source_run
            self.recovered += event.recovered and not already
        output = event.output
        if output is not None:
            # A tree must not hold on to large values until someone looks, and most rows are never looked at.
            node.output = output if output.size <= _INLINE else output.preview or self._preview(output)
        if event.error is not None:
            node.error, node.line = event.error.summary, event.error.line
        if node.attempts > 1:
            node.hint = None
        self._touch(node)

    def _noted(self, event: events.Noted) -> None:
        node = self._by_id.get(event.id)
        if node is None:
            return
        if event.kind == "thread":
            node.hint = "still running in a thread" if event.text else None
        elif event.kind in ("blocking", "late", "forced"):
            node.hint = event.text
        self._touch(node)

    def _touch(self, node: Node) -> None:
        # Lock-free: the flag is set after the change and cleared before the row is made, so no change can be missed.
        if not node.changed:
            node.changed = True
            self._pending.append(node)

    # --- rows out -----------------------------------------------------------------------------------------------------

    def take(self, limit: int | None = None) -> list[Row]:
        """The rows changed since they were last taken, parents first, at most `limit`; the rest stay for later."""
        if limit is not None and limit <= 0:
            return []
        pending = self._pending
        count = len(pending)
        batch = pending[:count]
        del pending[:count]
        # All are sorted, not just those taken: a row may have changed before its parent was sent for the first time.
        batch.sort(key=_index)
        if limit is not None and count > limit:
            pending[:0] = batch[limit:]
            del batch[limit:]
        for node in batch:
            node.changed = False
        return [self.row(node) for node in batch]

    def snapshot(self, limit: int | None = None) -> list[Row]:
        """All rows. With `limit`, the first so many; the others are then handed out by `take` again."""
        if limit is None:
            return [self.row(node) for node in self.nodes]
        limit = max(0, limit)
        for node in self.nodes[limit:]:
            self._touch(node)
        return [self.row(node) for node in self.nodes[:limit]]

    @property
    def pending(self) -> bool:
        """True when `take` has something to give."""
        return bool(self._pending)

    def row(self, node: Node) -> Row:
        """The JSON object of one node; about 400 bytes at most."""
        row: Row = {"i": node.index, "k": node.kind, "n": clip(node.name, 48), "t": clip(node.task, 64)}
        if node.parent is not None:
            row["p"] = node.parent.index
        if node.id is not None:
            row["id"] = node.id
            self._fill(row, node)
        return row

    def _fill(self, row: Row, node: Node) -> None:
        row["s"] = node.phase
        start = self.started or 0.0
        if node.begin is not None:
            row["b"] = round((node.begin - start) * 1000, 1)
        if node.end is not None:
            row["e"] = round((node.end - start) * 1000, 1)
        if node.attempts > 1:
            row["a"] = node.attempts
        if node.cached:
            row["c"] = True
        if node.recovered:
            row["r"] = True
        if node.output is not None:
            row["v"] = self.value(node)
        if node.error is not None:
            row["x"] = clip(node.error, 100)
            if node.line is not None:
                row["l"] = node.line
        if node.hint is not None:
            row["h"] = clip(node.hint, 80)

    def value(self, node: Node) -> str | None:
        """One bounded line that shows the node's result, or None when there is none."""
        output = node.output
        if output is None:
            return None
        if not isinstance(output, str):
            output = node.output = self._preview(output)
        return clip(output, 80)

    def header(self, now: float, *, live: bool) -> Header:
        """What the view says about the run as a whole; `elapsed` in ms, `started` in ms since the epoch."""
        start = self.started if self.started is not None else now
        end = self.ended if self.ended is not None else now
        header: Header = {
            "name": self.run,
            "phase": self.phase,
            "started": round(start * 1000),
            "elapsed": round((end - start) * 1000, 1),
            "ended": self.ended is not None,
            "error": self.error,
            "live": live,
            "total": self.total,
        }
        if self.resumed_from is not None:
            header |= {"resumed_from": self.resumed_from, "recovered": self.recovered}
        return header


def _index(node: Node) -> int:
    return node.index


def _preview(output: Encoded) -> str:
    from flyte_notebook.record.codec import preview

    return preview(output)


def _group_label(group: str, first: events.ActionSubmitted) -> str:
    """`flyte.map` names its groups `env.task_map` or `env.task_NAME`: shown as the task's short name, or NAME."""
    prefix = f"{first.task_name}_"
    if not group.startswith(prefix):
        return group
    name = group[len(prefix) :]
    return first.short_name if name in ("map", "") else name


_APPLY: dict[type, Callable[[Tree, Any], None]] = {
    events.RunStarted: Tree._run_started,
    events.RunEnded: Tree._run_ended,
    events.ActionSubmitted: Tree._submitted,
    events.AttemptStarted: Tree._attempt_started,
    events.AttemptFailed: Tree._attempt_failed,
    events.ActionEnded: Tree._ended,
    events.Noted: Tree._noted,
}

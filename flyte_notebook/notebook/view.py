"""Shows every run of this kernel: a live view while it lasts, and then the finished tree.

The display is created when the run starts, in the context of its cell; the tree is fed from what is committed, on the
journal's thread; and the run's end waits, in the cell again, until the finished tree is shown.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

from flyte_notebook.engine import runs
from flyte_notebook.engine.ending import blocked
from flyte_notebook.errors import FlyteNotebookError
from flyte_notebook.notebook import finished, frontend
from flyte_notebook.notebook.detail import Material, detail, look_up
from flyte_notebook.notebook.explorer import Channel, Explorer
from flyte_notebook.notebook.tree import Tree
from flyte_notebook.record import events
from flyte_notebook.record.model import ErrorRecord, Phase

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from flyte_notebook.notebook.tree import Node

_log = logging.getLogger(__name__)

PATIENCE = 2.0
"""Seconds that the end of a run waits for the last of its events to be committed."""
WAITING = 1.0
"""Seconds after which it is said that a run has to wait until it is on record: nothing else would be seen of it."""


class Live(Protocol):
    """A view of a run that goes on."""

    def start(self) -> None:
        """Begin to show the tree."""

    def replace(self, show_finished: Callable[[], None]) -> None:
        """Stop, with `show_finished` called in the order that suits this front end."""

    def close(self) -> None:
        """Stop, and leave nothing on the screen."""


class Elsewhere(Channel, Protocol):
    """Where a run of the background is shown, which has no cell to display in."""

    def takes(self, started: events.RunStarted) -> bool:
        """Whether this run is shown there; if not, it is shown nowhere."""

    def save(self, bundle: dict[str, Any]) -> None:
        """Keep the finished tree; see `finished.mime_bundle`."""


elsewhere: ContextVar[Elsewhere | None] = ContextVar("flyte_notebook_elsewhere", default=None)
"""Set around code whose runs are not shown where it displays."""


class Views:
    """The views of one shell; shows runs from `open` to `close`."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._shown: dict[str, _Shown] = {}
        self._undo = contextlib.ExitStack()
        self._process = os.getpid()

    def open(self) -> None:
        """Show the runs that start from now on."""
        self._undo.callback(events.live.subscribe(self._happened))
        self._undo.callback(events.committed.subscribe(self._committed))
        runs.settled.append(self._settled)
        self._undo.callback(runs.settled.remove, self._settled)

    def close(self) -> None:
        """Show no more; the views of runs that go on are taken away."""
        self._undo.close()
        for shown in list(self._shown.values()):
            shown.close()
        self._shown.clear()

    def _happened(self, event: events.Event) -> None:
        # What a forked child runs has no place on the screen, which is its parent's.
        if type(event) is events.RunStarted and os.getpid() == self._process:
            there = elsewhere.get()
            if there is not None and not there.takes(event):
                return
            # Before the display is made: by then the first events may be committed.
            shown = self._shown[event.run] = _Shown(self._shell, event, there)
            shown.start()

    def _committed(self, event: events.Event) -> None:
        shown = self._shown.get(event.run)
        if shown is not None:
            shown.apply(event)

    async def _settled(self, run: runs.LiveRun) -> None:
        shown = self._shown.get(run.name)
        if shown is None:
            return
        try:
            await shown.whole(run, PATIENCE)
        finally:
            self._shown.pop(run.name, None)
            shown.finish()


class _Shown:
    """One run on the screen. Nothing that goes wrong here may reach the run."""

    def __init__(self, shell: InteractiveShell, started: events.RunStarted, there: Elsewhere | None) -> None:
        self.tree = Tree(started.run)
        self.tree.apply(started)
        self._applying = threading.Lock()
        self._complete = False
        """Set when the tree has been told of all that happened, ahead of the journal."""
        self._shell = shell
        run = runs.live_runs[started.run]
        self._store = run.store
        self._on_record = False
        if there is None:
            # In the context of the cell, where it is printed; on the loop, of which this may not be the thread.
            run.loop.call_soon_threadsafe(run.loop.call_later, WAITING, self._say_if_it_waits)
        self._there = there
        self._live: Live | None = None

    def start(self) -> None:
        """Create the live view, if this front end has one."""
        try:
            self._live = self._view()
            if self._live is not None:
                self._live.start()
        except BaseException as error:
            self._take_away()
            if not isinstance(error, Exception):
                raise
            # A front end can fail in any way, and the run must go on.
            frontend.remark(f"no live view: {type(error).__name__}: {error} (`%flyte doctor` says more)")

    def _take_away(self) -> None:
        """The live view, whatever there is of it."""
        live, self._live = self._live, None
        if live is not None:
            with contextlib.suppress(Exception):
                live.close()

    def _view(self) -> Live | None:
        if self._there is not None:
            return Explorer(self.tree, self._describe, self._cancel, self._there)
        kind, _ = frontend.view_kind(self._shell)
        if kind == "widget":
            from flyte_notebook.notebook.widget import WidgetChannel

            return Explorer(self.tree, self._describe, self._cancel, WidgetChannel())
        if kind == "terminal":
            from flyte_notebook.notebook.terminal import TerminalView

            return TerminalView(self.tree)
        return None

    def apply(self, event: events.Event) -> None:
        """Take in what is committed."""
        self._on_record = True
        with self._applying:
            if not self._complete:
                self.tree.apply(event)

    def _say_if_it_waits(self) -> None:
        if not self._on_record and self.tree.ended is None:
            frontend.remark(f"{self.tree.run} waits for the journal: {blocked(self._store.journal.path)}")

    async def whole(self, run: runs.LiveRun, patience: float) -> None:
        """Wait until the tree has seen the run's end: its last events come from the journal's thread.

        Or from memory, when the run was stopped and the journal takes long.
        """
        if run.ending.being_written:
            self._ahead(run)
            return
        deadline = events.now() + patience
        while self.tree.ended is None and not run.unrecorded and events.now() < deadline:  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.001)
        if self.tree.ended is None:
            self._end(run.phase)

    def _ahead(self, run: runs.LiveRun) -> None:
        with self._applying:
            self._complete = True
        for event in run.store.journal.pending(run.name):
            self.tree.apply(event)
        frontend.remark(run.ending.explained())

    def _end(self, phase: Phase) -> None:
        """What could not be recorded does not come to this tree, but it has ended."""
        lost = ErrorRecord("RecordLost", "the store could not be used any more while it went on", "system", "")
        self.apply(events.RunEnded(self.tree.run, phase, events.now(), None, lost))

    def finish(self) -> None:
        """Replace the live view by the finished tree."""
        try:
            if self._live is None:
                self._show_finished()
            else:
                self._live.replace(self._show_finished)
        except BaseException as error:
            self._take_away()
            if not isinstance(error, Exception):
                raise
            # As above: the run's result must reach its caller.
            _log.exception("the finished tree of %s cannot be shown", self.tree.run)

    def _show_finished(self) -> None:
        if self._there is None:
            finished.show(self._shell, self.tree, self._store)
        else:
            self._there.save(finished.mime_bundle(self.tree, self._store))

    def close(self) -> None:
        """Take the live view away."""
        if self._live is not None:
            self._live.close()

    def _describe(self, node: Node) -> dict[str, Any] | None:
        if node.id is None:
            return None
        try:
            material = look_up(self._store, self.tree.run, node.id, node.task)
        except FlyteNotebookError as error:
            # The browser waits for an answer, and the reader for the reason.
            material = Material(node.id, node.task, error=ErrorRecord(type(error).__name__, str(error), "system", ""))
        return detail(material, self._store)

    def _cancel(self, action_id: str | None) -> None:
        run = runs.live_runs.get(self.tree.run)
        if run is not None:
            run.cancel(action_id)

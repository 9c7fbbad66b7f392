"""A run while it is alive: its identity, its loop, its settings, and how it is cancelled and ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flyte_notebook.engine import forks
from flyte_notebook.engine.context import Call, Node, background
from flyte_notebook.engine.crossings import Crossings
from flyte_notebook.engine.ending import Ending
from flyte_notebook.engine.executors import Slots
from flyte_notebook.engine.pace import Pace
from flyte_notebook.engine.settings import Origin
from flyte_notebook.engine.stopping import Stop, end_strays
from flyte_notebook.engine.watch import watch
from flyte_notebook.errors import ActionAbortedError, JournalError, RunNotFoundError
from flyte_notebook.record import events
from flyte_notebook.record.fingerprint import Fingerprint
from flyte_notebook.record.model import ErrorRecord, Phase
from flyte_notebook.record.store import open_store
from flyte_notebook.record.whole import whole

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from concurrent.futures import Future

    from flyte_notebook.engine.recovery import Recovery
    from flyte_notebook.engine.settings import Settings
    from flyte_notebook.record.codec import Encoded

live_runs: dict[str, LiveRun] = {}
"""The runs of this process that have not ended, or whose end is not on record yet, by name."""

_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"


def _process_origin() -> Origin:
    """A script or a plain kernel: the notebook that Jupyter names, else the working folder."""
    return Origin(notebook=os.environ.get("JPY_SESSION_NAME") or str(Path.cwd()))


current_origin: Callable[[], Origin] = _process_origin
"""Tells where the running code was typed; a front end that knows the cell replaces it."""


settled: list[Callable[[LiveRun], Awaitable[None]]] = []
"""Awaited by whoever waits for a run, when it is over and on record (or could not be recorded): a front end shows the
outcome here, before the code after the run goes on. Must not raise."""


if hasattr(os, "register_at_fork"):
    # They are the parent's.
    os.register_at_fork(after_in_child=live_runs.clear)


class LiveRun:
    """One run of this process, bound to the event loop that it was started on."""

    def __init__(
        self,
        first_name: str,
        settings: Settings,
        origin: Origin,
        loop: asyncio.AbstractEventLoop | None = None,
        recovery: Recovery | None = None,
        within: str | None = None,
    ) -> None:
        if background.get():
            settings = replace(settings, hide=True)
        self.settings = settings
        self.recovery = recovery
        """What the run that this one resumes has on record."""
        self.store = open_store()
        self.name = self._free_name(settings.name, first_name)
        self.loop = loop or asyncio.get_running_loop()
        self.numbering = threading.Lock()
        """Held while a call is numbered among its equals."""
        self.root = Node(self, None, 0)
        self.ending = Ending(self.name, self.loop, self.store.journal.path)
        self.slots = Slots(settings.max_action_concurrency)
        self.crossings = Crossings()
        self.calls: dict[str, Call] = {}
        """Live actions by id."""
        self.owner: asyncio.Task[Any] | None = None
        """The task that waits for this run as a whole (a cell's, or `flyte.run`'s)."""
        self.cancelled: Stop | None = None
        """Set once it was asked to stop as a whole."""
        self.stopped_some = False
        """Set once something in it was made to stop, which may have left tasks behind."""
        self.owner_cancelled = 0
        """How often the owner was cancelled for that: it takes as many back."""
        self.phase = Phase.RUNNING
        self.started_at = _started()
        self.begun = False
        """Set when its first row goes on record: from then on it needs an end."""
        self._generation = forks.generation
        self._fingerprints: dict[Any, Fingerprint] = {}
        self.seen: set[str] = set()
        """Names of the tasks this run has put on record."""
        self._append = self.store.journal.append
        self.pace = Pace(self.loop, self.store.journal)
        self.unrecorded = False
        """Set when the journal has failed."""
        self.origin = origin
        self._within = within

    @whole
    def begin(self) -> None:
        """Put it on record. From here on, whatever is raised, `finish` or `give_up` has to be called.

        Raises:
            JournalError: it could not be recorded: there is no run.
        """
        origin, recovery = self.origin, self.recovery
        live_runs[self.name] = self
        watch.add(self)
        asked = {name: True for name in ("keep", "cell") if getattr(recovery, name, False)}
        self.begun = True
        try:
            self.publish(
                events.RunStarted(
                    self.name,
                    self.started_at,
                    origin.notebook,
                    origin.cell_id,
                    origin.source,
                    recovery.run if recovery is not None else None,
                    self.settings.hide,
                    self.settings.recorded() | asked,
                    origin.execution,
                    self._within,
                )
            )
        except JournalError:
            self.begun = False
            watch.remove(self)
            live_runs.pop(self.name, None)
            raise

    def _free_name(self, wanted: str | None, first_name: str) -> str:
        """The name that was asked for, unless it is taken; else the first task's with six random characters."""
        if wanted is None:
            return _fresh_name(first_name)
        try:
            self.store.journal.run(wanted)
        except RunNotFoundError:
            return wanted if wanted not in live_runs else _fresh_name(wanted)
        return _fresh_name(wanted)

    @property
    def forked(self) -> bool:
        """True in a child that was forked since the run began: it is not its own."""
        return self._generation != forks.generation

    @whole
    def publish(self, event: events.Event) -> None:
        """Put `event` on record and tell whoever listens."""
        if self.forked:
            # A child must not write its parent's history.
            return
        try:
            self._append(event)
        except JournalError:
            # Nothing begins that could not be recorded. What is under way comes to its end, and `finish` says why.
            if not self.unrecorded:
                self.unrecorded = True
                self.cancel()
            if isinstance(event, events.RunStarted | events.ActionSubmitted):
                raise
        events.live.publish(event)

    @property
    def data_dir(self) -> Path:
        """Folder for what `io.File` and `io.Dir` write: `raw_data_path`, else inside the store."""
        raw = self.settings.raw_data_path
        return Path(raw) if raw else self.store.runs / self.name

    def fingerprint(self, func: Any) -> str:
        """The fingerprint of `func` now: between two calls a cell may have set what it refers to."""
        return self._fingerprint(func).text

    def fingerprint_parts(self, func: Any) -> dict[str, str]:
        """What the fingerprint of `func` is made of, by label."""
        return self._fingerprint(func).parts

    def _fingerprint(self, func: Any) -> Fingerprint:
        known = self._fingerprints.get(func)
        if known is None or not known.holds():
            known = self._fingerprints[func] = Fingerprint(func)
        return known

    def cancel(self, action_id: str | None = None) -> None:
        """Ask the run, or one action with its subtree, to stop. Any thread; returns at once; harmless afterwards."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nothing runs any more
            self.loop.call_soon_threadsafe(self.cancel_now, action_id)

    def cancel_now(self, action_id: str | None = None) -> None:
        """The same, on the run's loop: before anything that waits there goes on."""
        if action_id is not None:
            call = self.calls.get(action_id)
            # What has ended and waits to be handed back is not cancelled: on record it is what it is.
            if call is not None and call.runner is not None and not call.phase.terminal:
                # Asked again: whoever has swallowed the first cancellation gets another.
                insist = call.cancelled is not None
                call.cancelled = call.cancelled or Stop(call, ActionAbortedError(f"{call.short_name} was cancelled"))
                call.cancelled.ask(insist=insist)
            return
        if self.phase.terminal:
            return
        self.ending.hurry()
        insist = self.cancelled is not None or not self.root.open
        self.cancelled = self.cancelled or Stop(self.root)
        self.cancelled.ask(insist=insist)

    def cancel_owner(self, insist: bool) -> None:
        """Cancel whoever waits for the run as a whole; once, unless `insist`."""
        if self.owner is not None and not self.owner.done() and (insist or not self.owner_cancelled):
            self.owner_cancelled += 1
            self.owner.cancel()

    async def finish(self, phase: Phase, outputs: Encoded | None = None, error: ErrorRecord | None = None) -> None:
        """End the run: nothing of it is left running, and all of it is committed when this returns.

        One that was stopped is let go of when its record takes long: that is written meanwhile, and until then it counts
        as under way.

        Raises:
            JournalError: the record could not be written.
        """
        # From here on nobody waits in the run's own code any more: a late cancellation concerns the actions only.
        self.owner = None
        try:
            await self.root.close()
            if self.root.stopped or self.stopped_some:
                await end_strays(self.root)
        finally:
            try:
                self._end(phase, outputs, error)
            finally:
                try:
                    await self.ending.written(self._let_go())
                finally:
                    await self._settle()

    def give_up(self, error: ErrorRecord) -> None:
        """End it here and now, if it has not ended: its code is never resumed."""
        if self.phase.terminal:
            return
        try:
            self._end(Phase.ABORTED, None, error)
        finally:
            self._let_go()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nothing runs any more
            self.root.open = False
            self.root.cancel_children()
            self.loop.call_soon_threadsafe(self._settle_by_itself)

    def _settle_by_itself(self) -> None:
        self._settling = self.loop.create_task(self._settle())

    def _end(self, phase: Phase, outputs: Encoded | None, error: ErrorRecord | None) -> None:
        """Put the end on record, once."""
        if not self.phase.terminal:
            self.phase = phase
            if self.begun:
                self.publish(events.RunEnded(self.name, phase, events.now(), outputs, error))

    def _let_go(self) -> Future[None]:
        """The future is done when all of it is committed, and the run forgotten."""
        watch.remove(self)
        committed = self.store.journal.flush()
        committed.add_done_callback(lambda _: live_runs.pop(self.name, None))
        return committed

    @whole
    async def _settle(self) -> None:
        self.crossings.end(self.name)
        for hook in tuple(settled):
            await hook(self)


def unwritten() -> list[LiveRun]:
    """The runs of this process that have ended and whose record is still being written."""
    return [run for run in tuple(live_runs.values()) if run.ending.being_written]


def _started() -> float:
    """When a run that begins now has begun."""
    if not live_runs:
        events.set_clock()
    return events.now()


def _fresh_name(first_name: str) -> str:
    slug = re.sub(r"[^A-Za-z0-9_.]+", "-", first_name).strip("-.") or "run"
    return f"{slug}-{''.join(secrets.choice(_ALPHABET) for _ in range(6))}"

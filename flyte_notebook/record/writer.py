"""The journal's writer: a thread that commits what was appended, in batches, and ends when it has nothing to do.

Appending costs the caller a deque and a flag. The thread gathers for a moment, commits, resolves the flushes that wait
for this, and then tells `events.committed`.
"""

from __future__ import annotations

import atexit
import logging
import sqlite3
import threading
import time
import weakref
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING

from flyte_notebook.errors import JournalError
from flyte_notebook.record import events
from flyte_notebook.record.backlog import PATIENCE, Backlog
from flyte_notebook.record.events import ActionEnded
from flyte_notebook.record.gate import gate
from flyte_notebook.record.ledger import Ledger, NotRecordedHereError
from flyte_notebook.record.underway import Underway
from flyte_notebook.record.whole import pausing, whole

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from flyte_notebook.record.events import Event

_log = logging.getLogger(__name__)

_WINDOW = 0.02
"""Seconds to gather a batch: less after a commit that was slow, as behind a thread that hogs the interpreter."""
_FULL = 65_536
"""Events that may wait for a commit; whoever appends more waits for it, with all that runs in the same thread."""
_IDLE = 1.0
"""Seconds without work after which the thread ends and the file is closed."""
_BATCH = 4096
"""Events in one transaction."""
_EXIT = 10.0
"""Seconds that `close` waits for the thread."""


class Writer:
    """Commits events to the journal at `path`. All methods may be called from any thread.

    `on_rest` is called, on the thread, when it ends because there is nothing to do.
    """

    def __init__(self, path: Path, on_rest: Callable[[], None]) -> None:
        self.path = path
        self._on_rest = on_rest
        self.renew()
        _writers.add(self)
        gate.tenants.add(self)

    def suspend(self) -> None:
        """Let go of the file until it is needed again; see `gate`."""
        self._backlog.for_the_disk = True
        self._ledger.rest()

    def renew(self) -> None:
        """Begin with nothing to write; see `gate`. In a child, what the parent has not committed yet is the parent's."""
        # A connection that could not be closed before the fork is kept, unused: closing it here is forbidden.
        self._inherited = getattr(self, "_ledger", None)
        self._ledger = Ledger(self.path)
        # A deque and not a queue.Queue: appending must not wait for a lock that the writer holds.
        self._queue: deque[Event | Future[None]] = deque()
        self._batch: list[Event | Future[None]] = []
        self._told: list[Event] = []
        """What is committed, while the views are told of it."""
        self._underway = Underway()
        self._failure: JournalError | None = None
        self._closed = False
        self._backlog = Backlog()
        self._urgent = False
        self._bell = threading.Event()
        self._thread: threading.Thread | None = None
        self._state = threading.Lock()
        self._writing = threading.RLock()

    @property
    def usable(self) -> bool:
        """False once a commit has failed, the file is gone, or the writer is closed: it writes no more."""
        if self._failure is None:
            try:
                self._ledger.access.check()
            except JournalError as error:
                self._failure = error
        return self._failure is None and not self._closed

    @property
    def busy(self) -> bool:
        """True while the thread runs: at least until a second after the last append."""
        return self._thread is not None and not self._closed

    def append(self, event: Event) -> None:
        """Have `event` committed, within 50 ms and after all that was appended before.

        Raises:
            JournalError: the journal has failed or is closed.
        """
        if self._failure is not None or self._closed:
            raise self._refusal()
        if type(event) is ActionEnded:
            self._underway.add(event)
        self._queue.append(event)
        if not self._backlog.watched:
            self._wake()
        if len(self._queue) > _FULL and threading.current_thread() is not self._thread:
            self._wait_for_room()

    @pausing
    def _wait_for_room(self) -> None:
        # Its outcome is that of the next append.
        self.flush().exception()

    def late(self) -> bool:
        """True while something that was appended waits for so long that new work, and results, had better wait for it."""
        return self._backlog.late() and self._failure is None

    @whole
    def flush(self) -> Future[None]:
        """A future that is done when everything appended so far is committed; it fails with JournalError."""
        future: Future[None] = Future()
        if self._failure is not None:
            future.set_exception(self._refusal())
        elif not self._backlog.watched and not self._queue:
            # The writer rests: whatever was appended is committed.
            future.set_result(None)
        elif self._closed:
            # There is no thread any more, or not for long.
            self._queue.append(future)
            self._drain()
        else:
            self._queue.append(future)
            self._urgent = True
            self._wake()
        return future

    def reusable(self, cache_key: str) -> ActionEnded | None:
        """The newest success with this key among what has been appended and may not be committed yet."""
        return self._underway.get(cache_key)

    def pending(self, run: str) -> list[Event]:
        """What of `run` was appended and the views have perhaps not been told of, in order."""
        # An event is in the next of the three before it leaves the one before: copied in this order, none is missed.
        queue, batch, told = self._queue.copy(), self._batch[:], self._told[:]
        found = {id(event): event for event in (*told, *batch, *queue) if not isinstance(event, Future)}
        return [event for event in found.values() if event.run == run]

    def close(self) -> None:
        """Commit what is left and end the thread. Appending is an error from here on."""
        self._closed = True
        self._bell.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_EXIT)
        # On this thread: at the interpreter's exit no other can be started.
        while self._queue:
            self._drain()
        self._backlog.watched = False
        with self._writing, gate:
            if self._failure is None:
                self._ledger.rest()
            else:
                self._ledger.abandon()

    # --- the thread -------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        with self._state:
            self._backlog.begin()
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="flyte-notebook-journal", daemon=True)
                self._thread.start()
            else:
                self._bell.set()

    def _run(self) -> None:
        took = 0.0
        while not self._closed:
            if not self._urgent:
                self._bell.wait(min(_WINDOW, max(PATIENCE - took, 0.001)))
            self._bell.clear()
            self._urgent = False
            began = time.perf_counter()
            self._drain()
            took = time.perf_counter() - began
            if len(self._queue) < _BATCH:
                self._backlog.caught_up(until=began)
            if not self._queue and not self._rest():
                return

    def _rest(self) -> bool:
        """Wait for work. False when none came: the thread is no longer this writer's and has to end."""
        self._backlog.watched = False
        # After the flag: an append that did not see it is seen here.
        if not self._queue and not self._bell.wait(_IDLE):
            with self._state:
                ends = not self._queue and not self._backlog.watched
                if ends:
                    self._thread = None
                    self._backlog.for_the_disk = True
            if ends:
                with self._writing, gate:
                    # Again: an append may have been committed meanwhile.
                    self._backlog.for_the_disk = True
                    self._ledger.rest()
                    self._on_rest()
                return False
        self._backlog.begin()
        self._bell.clear()
        return True

    def _drain(self) -> None:
        """Commit one batch, and let those know who wait for it."""
        with self._writing:
            taken: list[Event] = []
            waiting: list[Future[None]] = []
            self._gather()
            if self._failure is None:
                try:
                    with gate:
                        self._take(taken, waiting)
                        self._ledger.commit()
                        self._backlog.for_the_disk = self._backlog.for_the_disk and not taken
                except Exception as error:  # noqa: BLE001  whatever it is, those who wait have to hear of it
                    self._failure = self._ledger.access.explained(error)
            if self._failure is not None:
                self._refuse()
                return
            self._underway.remove(self._batch)
            self._told, self._batch = taken, []
            for future in waiting:
                # False when whoever waited has given up.
                if future.set_running_or_notify_cancel():
                    future.set_result(None)
            self._publish(taken)
            self._told = []
            if taken and self._ledger.access.overgrown():
                self._checkpoint()

    def _gather(self) -> None:
        queue, batch = self._queue, self._batch
        while queue and len(batch) < _BATCH:
            batch.append(queue[0])
            queue.popleft()

    def _take(self, taken: list[Event], waiting: list[Future[None]]) -> None:
        take = self._ledger.take
        for item in self._batch:
            if isinstance(item, Future):
                waiting.append(item)
                continue
            try:
                take(item)
            except NotRecordedHereError as error:
                _log.error("%s dropped: this process does not record %s", type(item).__name__, error)
            else:
                taken.append(item)

    def _refuse(self) -> None:
        """Fail everybody who waits, and give up what cannot be recorded to its end."""
        with gate:
            self._ledger.abandon()
        self._underway.remove(self._batch)
        batch, self._batch = self._batch, []
        for item in batch:
            if isinstance(item, Future) and item.set_running_or_notify_cancel():
                item.set_exception(self._refusal())

    def _checkpoint(self) -> None:
        with gate:
            self._backlog.for_the_disk = True
            try:
                self._ledger.access.checkpoint()
            except (sqlite3.Error, JournalError) as error:
                # Nothing is lost: the log goes on growing, and a later batch tries again.
                _log.warning("the write-ahead log of %s cannot be folded in: %s", self.path, error)
            finally:
                self._backlog.for_the_disk = False

    def _publish(self, taken: list[Event]) -> None:
        publish = events.committed.publish
        for event in taken:
            try:
                publish(event)
            except Exception:  # noqa: BLE001  a view that fails must not stop the journal
                _log.exception("a view failed on %s", type(event).__name__)

    def _refusal(self) -> JournalError:
        # A new one each time: raising the same one again would grow its traceback.
        refusal = JournalError(str(self._failure or f"The journal {self.path} is closed."))
        refusal.__cause__ = self._failure and self._failure.__cause__
        return refusal


_writers: weakref.WeakSet[Writer] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for writer in list(_writers):
        writer.close()

"""Notices a body that blocks the event loop, and says so once: nothing else of the kernel can move meanwhile.

One thread watches the loops of all live runs, and ends with the last of them. It leaves a callback on each loop and
looks whether it was called in time.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flyte_notebook.engine.runs import LiveRun

TICK = 0.25
"""Seconds between looks."""
PATIENCE = 1.0
"""Seconds that a loop may be unresponsive before its current action is remarked on."""

HINT = "blocks the event loop: make it a plain `def`, and it runs in a thread"


class _Watch:
    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin with nothing to watch: in a forked child, whose parent's thread did not come along."""
        self._changed = threading.Condition()
        self._runs: set[LiveRun] = set()
        self._thread: threading.Thread | None = None
        self._asked: dict[asyncio.AbstractEventLoop, float] = {}
        """Since when each loop owes an answer."""

    def add(self, run: LiveRun) -> None:
        """Watch the loop of `run`."""
        with self._changed:
            self._runs.add(run)
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="flyte-watch", daemon=True)
                self._thread.start()

    def remove(self, run: LiveRun) -> None:
        """The run is over."""
        with self._changed:
            self._runs.discard(run)
            if not self._runs:
                self._changed.notify()

    def _look(self) -> None:
        with self._changed:
            while self._runs:
                self._changed.wait(TICK)
                for loop in {run.loop for run in self._runs}:
                    self._check(loop)
            self._asked.clear()
            self._thread = None

    def _check(self, loop: asyncio.AbstractEventLoop) -> None:
        asked = self._asked.get(loop)
        if asked is None:
            self._asked[loop] = time.monotonic()
            with contextlib.suppress(RuntimeError):  # closed under a run that was torn down
                loop.call_soon_threadsafe(self._asked.pop, loop, None)
        elif time.monotonic() - asked > PATIENCE:
            self._remark(loop)

    def _remark(self, loop: asyncio.AbstractEventLoop) -> None:
        task = asyncio.current_task(loop)
        for run in self._runs:
            for call in tuple(run.calls.values()):
                if call.runner is task and not call.blocking:
                    call.blocking = True
                    call.note("blocking", HINT)


watch = _Watch()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=watch.renew)

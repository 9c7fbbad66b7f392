"""Ctrl-C and Jupyter's interrupt button, while runs are alive: one SIGINT handler for all of them.

A KeyboardInterrupt raised inside an asyncio task would tear down the kernel's loop, and one raised into a nested loop
leaves the tasks running. So the signal only wakes the loop and asks every run to stop; who waits for a run turns that
into a KeyboardInterrupt afterwards, outside any task. Only the cell's own code, between its awaits, gets it at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from flyte_notebook.engine.context import background
from flyte_notebook.engine.failures import is_plumbing

_Handler = Callable[[int, FrameType | None], Any] | int | None


class _Interrupts:
    """Counts who is interruptible; the handler is installed with the first and restored with the last."""

    def __init__(self) -> None:
        self._stops: list[tuple[asyncio.AbstractEventLoop, Callable[[], None], Callable[[], bool]]] = []
        self._previous: _Handler = None
        self._unheard = 0
        """SIGINTs that the loop has not acted on yet: above one, a body's sync code is blocking it."""

    @contextlib.contextmanager
    def catching(
        self, loop: asyncio.AbstractEventLoop, stop: Callable[[], None], at_once: Callable[[], bool]
    ) -> Iterator[None]:
        """Call `stop` on `loop` when SIGINT arrives inside this block.

        `at_once` is asked whether the code that the signal has met is the cell's own, which no stop would reach before
        its next await: then KeyboardInterrupt is raised there.

        Does nothing in the background, outside the main thread, and where someone else (such as `asyncio.run`) handles SIGINT already.
        """
        here = threading.current_thread() is threading.main_thread() and not background.get()
        if not here or not self._may_install():
            yield
            return
        entry = (loop, stop, at_once)
        if not self._stops:
            self._unheard = 0
            self._previous = signal.signal(signal.SIGINT, self._handle)
        self._stops.append(entry)
        ticker = self._tick(loop) if sys.platform == "win32" else None
        try:
            yield
        finally:
            if ticker is not None:
                ticker.cancel()
            self._stops.remove(entry)
            if not self._stops:
                signal.signal(signal.SIGINT, self._previous)

    def _may_install(self) -> bool:
        if self._stops:
            return True
        present = signal.getsignal(signal.SIGINT)
        # ipykernel's own around an awaited cell must go: it acts only once the loop wakes by itself.
        return present is signal.default_int_handler or getattr(present, "__module__", "") == "ipykernel.ipkernel"

    def _handle(self, _signum: int, frame: FrameType | None) -> None:
        self._unheard += 1
        for loop, stop, _ in tuple(self._stops):
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._heard, stop)
        if frame is not None and is_plumbing(frame.f_code.co_filename):
            return  # in the middle of our own work: it is short, and what it holds must stay whole
        if any(at_once() for _, _, at_once in self._stops):
            raise KeyboardInterrupt
        if self._unheard > 1 and any(_inside_task(loop) for loop, _, _ in self._stops):
            self._unheard = 0
            raise asyncio.CancelledError("interrupted twice")

    def _heard(self, stop: Callable[[], None]) -> None:
        self._unheard = 0
        stop()

    def _tick(self, loop: asyncio.AbstractEventLoop) -> asyncio.Task[None]:
        """Windows notices signals only when the loop wakes by itself."""

        async def wake() -> None:
            while True:  # noqa: ASYNC110 - waking is the point
                await asyncio.sleep(0.2)

        return loop.create_task(wake())


def _inside_task(loop: asyncio.AbstractEventLoop) -> bool:
    return asyncio.current_task(loop) is not None


catching = _Interrupts().catching

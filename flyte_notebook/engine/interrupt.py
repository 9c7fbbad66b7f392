"""Ctrl-C and Jupyter's interrupt button, while runs are alive: one SIGINT handler for all of them.

A KeyboardInterrupt raised inside an asyncio task would tear down the kernel's loop, and one raised into a nested loop
leaves the tasks running. So the signal only wakes the loop and asks every run to stop; who waits for a run turns that
into a KeyboardInterrupt afterwards, in the task that runs the cell. Only the cell's own code, between its awaits, gets
it at once. In any other task it would end the loop below: there a run that is interrupted is a run that is cancelled.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any, NoReturn

from flyte_notebook.engine.context import background
from flyte_notebook.engine.failures import is_plumbing
from flyte_notebook.engine.later import Later
from flyte_notebook.record import whole

_Handler = Callable[[int, FrameType | None], Any] | int | None


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    """One who can be interrupted."""

    loop: asyncio.AbstractEventLoop
    stop: Callable[[], None]
    at_once: Callable[[], bool]
    raises: bool
    """Turns the interrupt into a KeyboardInterrupt that ends what is being run."""
    last: bool
    """Hears only of what nobody hears who came after it."""


@dataclass(slots=True)
class Guarded:
    """What is waited for while nobody else handles interrupts."""

    task: asyncio.Task[Any] | None = None


_PATIENCE = 0.5
"""Seconds until what a cell waits for in a blocking call is cancelled, where it does not end with the cell's own run."""
_INSISTS = 3
"""So many signals that nobody could act on end even what must not be cut in two."""


class _Interrupts:
    """Counts who is interruptible; the handler is installed with the first and restored with the last."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._cells: weakref.WeakSet[asyncio.Task[Any]] | None = None
        """The tasks that run cells, and those that wait for them; None where nobody says so, as in scripts."""
        self._outside = True
        """Cells run outside any task."""
        self._previous: _Handler = None
        self._unheard = 0
        """SIGINTs that the loop has not acted on yet: above one, a body's sync code is blocking it."""
        self._later = Later()

    def cell_begins(self) -> None:
        """The current task runs a cell: a KeyboardInterrupt raised in it reaches whoever shows errors."""
        if threading.current_thread() is not threading.main_thread():
            return
        if self._cells is None:
            self._cells = weakref.WeakSet()
        task = current_task()
        self._outside = task is None
        if task is not None:
            self._cells.add(task)

    def no_more_cells(self) -> None:
        """Nobody says any more which tasks run cells."""
        self._cells = None

    def passes_on(self) -> None:
        """What the current task raises is raised by a task that may."""
        task = current_task()
        if task is not None and self._cells is not None:
            self._cells.add(task)

    def may_raise(self, task: asyncio.Task[Any] | None) -> bool:
        """True where a KeyboardInterrupt raised in `task` ends a cell, or the script, and not the loop."""
        if self._cells is None:
            return True
        return self._outside if task is None else task in self._cells

    @contextlib.contextmanager
    def catching(
        self,
        loop: asyncio.AbstractEventLoop,
        stop: Callable[[], None],
        at_once: Callable[[], bool],
        raises: bool = True,
        last: bool = False,
    ) -> Iterator[bool]:
        """Call `stop` on `loop` when SIGINT arrives inside this block.

        `at_once` is asked whether the code that the signal has met is the cell's own, which no stop would reach before
        its next await: then KeyboardInterrupt is raised there. `raises` says whether the block turns the stop into a
        KeyboardInterrupt; while none does, whoever was to handle the signal before is told as well. `last` is who hears
        of a signal only while nobody has come after it who raises.

        Does nothing, and gives False, in the background, outside the main thread, and where someone else (such as
        `asyncio.run`) handles SIGINT already.
        """
        here = threading.current_thread() is threading.main_thread() and not background.get()
        if not here or not self._may_install():
            yield False
            return
        entry = _Entry(loop, stop, at_once, raises, last)
        ticker = self._tick(loop) if sys.platform == "win32" else None
        try:
            # Before the handler is there, as the signal may come in the midst of installing it.
            self._entries.append(entry)
            self._install()
            yield True
        finally:
            if ticker is not None:
                ticker.cancel()
            self._leave(entry)

    def _leave(self, entry: _Entry) -> None:
        """Forget `entry`, and handle SIGINT no longer where nobody is left who wants that.

        Raises:
            KeyboardInterrupt: one came at the end of its block, where the loop does not go on that was to stop it.
        """
        installed = self._installed()
        others = [other for other in self._entries if other is not entry]
        wanted = any(other.raises for other in others) if entry.raises else bool(others)
        try:
            if installed and not wanted:
                # Runs in the background may outlive many cells, and are not what an interrupt is meant for.
                signal.signal(signal.SIGINT, self._previous)
        finally:
            # Not before: until then the signal would be nobody's.
            self._entries[:] = others
        if installed and entry.raises and self._unheard:
            self._raise()

    def _may_install(self) -> bool:
        """False where SIGINT is somebody else's to handle."""
        present = signal.getsignal(signal.SIGINT)
        # ipykernel's own around an awaited cell must go: it acts only once the loop wakes by itself.
        return self._installed() or present is signal.default_int_handler or _is_ipykernels(present)

    def _install(self) -> None:
        if not self._installed():
            self._unheard = 0
            self._previous = signal.getsignal(signal.SIGINT)
            signal.signal(signal.SIGINT, self._handle)

    def _installed(self) -> bool:
        # A cell that ends restores what it has found, whoever has installed what since.
        return signal.getsignal(signal.SIGINT) == self._handle

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        self._unheard += 1
        for entry in self._concerned():
            with contextlib.suppress(RuntimeError):
                entry.loop.call_soon_threadsafe(self._heard, entry.stop)
        if _is_ipykernels(self._previous) and not any(entry.raises for entry in self._entries):
            assert callable(self._previous)
            self._previous(signum, frame)
        ours = self._ours(frame)
        if ours is None:
            # What is raised here must not be met by another on its way.
            self._later.forget()
            self._reach()
        elif any(_inside_task(entry.loop) for entry in self._entries):
            # What it holds must stay whole.
            self._later.resumed(ours, self._reach)

    def _concerned(self) -> list[_Entry]:
        """Who is told of a signal."""
        raising = [place for place, entry in enumerate(self._entries) if entry.raises and not entry.last]
        newest = max(raising, default=-1)
        return [entry for place, entry in enumerate(self._entries) if not entry.last or place > newest]

    def _ours(self, frame: FrameType | None) -> FrameType | None:
        """Where the signal has met our own work: its frame, or that of what it works for."""
        if frame is None:
            return None
        # A library that we have called may never return.
        work = whole.around(frame) if self._unheard < _INSISTS else None
        return work or (frame if is_plumbing(frame.f_code.co_filename) else None)

    @contextlib.contextmanager
    def guarding(self, loop: asyncio.AbstractEventLoop, raises: bool) -> Iterator[Guarded]:
        """While this block waits for a task of `loop`, which may hear of interrupts itself, but not from its first step to
        its last. The block makes it, and says which it is.

        Raises:
            KeyboardInterrupt: one came that the task has not heard of; it is cancelled, unless it has ended.
        """
        guarded = Guarded()
        if not raises and self._entries:
            yield guarded
            return
        # What belongs to another's run is stopped with that, and may tidy up first.
        within_another = any(entry.raises for entry in self._entries)
        came = False

        def stop() -> None:
            nonlocal came
            came = True
            if guarded.task is not None and within_another:
                loop.call_later(_PATIENCE, guarded.task.cancel)
            elif guarded.task is not None:
                guarded.task.cancel()

        with self.catching(loop, stop, lambda: False, raises, last=True) as here:
            if here and raises and self._unheard:
                # One has met the code that has called us: what the loop does with it would not reach what comes now.
                self._raise()
            try:
                yield guarded
            except asyncio.CancelledError:
                if not (came and raises):
                    raise
            if came and raises:
                raise KeyboardInterrupt

    def _reach(self) -> None:
        """The signal has met code that is not ours: raise there what ends it, if no stop would reach it soon."""
        if any(entry.at_once() for entry in self._entries):
            self._raise()
        if self._unheard > 1 and any(_inside_task(entry.loop) for entry in self._entries):
            self._unheard = 0
            raise asyncio.CancelledError("interrupted twice")

    def _raise(self) -> NoReturn:
        # Once for each signal.
        self._unheard = 0
        self._later.forget()
        raise KeyboardInterrupt

    def _heard(self, stop: Callable[[], None]) -> None:
        self._unheard = 0
        self._later.forget()
        stop()

    def _tick(self, loop: asyncio.AbstractEventLoop) -> asyncio.Task[None]:
        """Windows notices signals only when the loop wakes by itself."""

        async def wake() -> None:
            while True:  # noqa: ASYNC110 - waking is the point
                await asyncio.sleep(0.2)

        return loop.create_task(wake())


def current_task() -> asyncio.Task[Any] | None:
    """The task that runs here, or None; also where no loop runs."""
    return asyncio.current_task() if asyncio.events._get_running_loop() is not None else None


def _is_ipykernels(handler: _Handler) -> bool:
    return getattr(handler, "__module__", "") == "ipykernel.ipkernel"


def _inside_task(loop: asyncio.AbstractEventLoop) -> bool:
    return asyncio.current_task(loop) is not None


_interrupts = _Interrupts()
catching = _interrupts.catching
cell_begins = _interrupts.cell_begins
no_more_cells = _interrupts.no_more_cells
guarding = _interrupts.guarding
may_raise = _interrupts.may_raise
passes_on = _interrupts.passes_on

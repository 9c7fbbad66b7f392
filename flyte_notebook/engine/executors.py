"""Where a body runs: on the run's loop when it is async, in a thread when it is sync.

Threads are plain and few: a run may occupy `LIMIT` of them at once, but a thread that waits for a child action gives
its slot back, so that deep recursion and wide fan-out need no more slots and cannot deadlock. Deeper actions get free
slots first: finishing what others wait for keeps the number of waiting threads small.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import heapq
import itertools
import os
import threading
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol

from flyte_notebook.engine import forks
from flyte_notebook.engine.held import Held
from flyte_notebook.record.codec import Encoded, converter, preview

if TYPE_CHECKING:
    from flyte_notebook.engine.context import Call

LIMIT = max(32, 4 * (os.cpu_count() or 1))


class Executor(Protocol):
    """Runs one attempt of an action's body; the extension point for other places to run (Dask, a cluster)."""

    def execute(
        self, call: Call, func: Callable[..., Any], values: dict[str, Any], started: Callable[[], None]
    ) -> Awaitable[Any]:
        """Call `started` when the body starts; awaited, return what the body returned, or raise what it raised.

        When cancelled it stops the body, or lets it go on where it cannot be stopped, and raises CancelledError.
        """
        ...


class OnLoop:
    """Awaits an async body on the run's own event loop."""

    def execute(
        self,
        call: Call,
        func: Callable[..., Awaitable[Any]],
        values: dict[str, Any],
        started: Callable[[], None],
    ) -> Awaitable[Any]:
        """See `Executor.execute`."""
        if call.run.settings.max_action_concurrency:
            return self._in_turn(call, func, values, started)
        started()
        return func(**values)

    async def _in_turn(
        self, call: Call, func: Callable[..., Awaitable[Any]], values: dict[str, Any], started: Callable[[], None]
    ) -> Any:
        """Where a run bounds how many bodies run at once, async ones count too."""
        slots = call.run.slots
        await slots.acquire(call.depth)
        call.lend_slot = slots.lend

        def give_back() -> None:
            call.lend_slot = None
            slots.release()

        with Held(call, give_back):
            started()
            return await func(**values)


class InThread:
    """Calls a sync body in a thread, with the context of its action."""

    async def execute(
        self, call: Call, func: Callable[..., Any], values: dict[str, Any], started: Callable[[], None]
    ) -> Any:
        """See `Executor.execute`. A cancelled body that already runs goes on in its thread; the action says so."""
        slots = call.run.slots
        await slots.acquire(call.depth)
        call.lend_slot = slots.lend
        loop = call.run.loop
        done: asyncio.Future[tuple[bool, Any]] = loop.create_future()
        context = contextvars.copy_context()

        def finished(ok: bool, value: Any) -> None:
            slots.release()
            call.thread_alive = False
            call.lend_slot = None
            if not done.done():
                done.set_result((ok, value))
            else:
                _record_late(call, ok, value)

        started()
        call.thread_alive = True
        _threads.start(loop, context, func, values, finished)
        try:
            ok, value = await done
        except asyncio.CancelledError:
            if call.thread_alive:
                call.note("thread", "still running in a thread")
            raise
        if ok:
            return value
        raise value


def _record_late(call: Call, ok: bool, value: Any) -> None:
    """A thread came back after its action had ended: say so, and keep what it brought."""
    call.note("thread", "")
    call.note("late", f"later returned {_glimpse(value)}" if ok else f"later raised {type(value).__name__}")


def _glimpse(value: Any) -> str:
    """One bounded line of a value."""
    try:
        encoded = converter(Any).encode(value)
    except Exception:  # noqa: BLE001 - a user's __reduce__ may raise anything
        return type(value).__name__
    return preview(encoded) if isinstance(encoded, Encoded) else type(value).__name__


class Slots:
    """How many bodies of one run may sit in threads at once. Used on the run's loop only."""

    def __init__(self, limit: int = 0) -> None:
        self._free = limit or LIMIT
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    async def acquire(self, depth: int) -> None:
        """Wait for a slot; the deepest action is served first, equals in order of arrival."""
        if self._free > 0 and not self._waiting:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (-depth, next(self._order), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release()
            raise

    def release(self) -> None:
        """Give a slot back and wake whoever is next."""
        self._free += 1
        while self._free > 0 and self._waiting:
            turn = heapq.heappop(self._waiting)[2]
            if not turn.done():
                self._free -= 1
                turn.set_result(None)

    def lend(self) -> Callable[[], None]:
        """Release the slot of a body that waits for a child; the returned function takes it again, without waiting.

        Taking it again may exceed the limit for a while: the thread exists already, and making it wait could deadlock.
        """
        self.release()

        def take() -> None:
            self._free -= 1

        return take


class _Threads:
    """Reusable daemon threads, process-wide; idle ones end by themselves."""

    IDLE_SECONDS = 0.5

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin without threads: they do not come along when a process is forked, and may have held the lock."""
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []

    def start(self, *job: Any) -> None:
        """Run a job `(loop, context, func, values, finished)` in a thread."""
        with self._lock:
            worker = self._idle.pop() if self._idle else None
        if worker is None:
            worker = _Worker(self)
            worker.job = job
            worker.start()
        else:
            worker.job = job
            worker.wake.release()

    def park(self, worker: _Worker) -> None:
        with self._lock:
            self._idle.append(worker)

    def retire(self, worker: _Worker) -> bool:
        """True when the idle `worker` may end; False when a job was just handed to it."""
        with self._lock:
            if worker in self._idle:
                self._idle.remove(worker)
                return True
            return False


class _Worker(threading.Thread):
    def __init__(self, pool: _Threads) -> None:
        super().__init__(name="flyte-task", daemon=True)
        self._pool = pool
        self.wake = threading.Lock()
        self.wake.acquire()
        self.job: tuple[Any, ...] | None = None

    def run(self) -> None:
        while True:
            if self.job is not None:
                self._work(*self.job)
                self.job = None
                self._pool.park(self)
            if not self.wake.acquire(timeout=self._pool.IDLE_SECONDS) and self._pool.retire(self):
                return

    def _work(
        self,
        loop: asyncio.AbstractEventLoop,
        context: contextvars.Context,
        func: Callable[..., Any],
        values: dict[str, Any],
        finished: Callable[[bool, Any], None],
    ) -> None:
        try:
            with forks.Confined():
                outcome = True, context.run(func, **values)
        except BaseException as error:  # noqa: BLE001 - StopIteration, SystemExit and the rest travel as values
            outcome = False, error
        try:
            _close_leftover_loop()
        finally:
            # A closed loop raises RuntimeError: nobody waits for this result any more.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(finished, *outcome)


def _close_leftover_loop() -> None:
    """Close the loop that `asyncio.run` leaves in a thread once nest_asyncio or nest_asyncio2 is applied.

    Unclosed they keep file handles until collected. Reads the policy's thread-local, because the public
    `get_event_loop` would make a loop where there is none (Python 3.12 and 3.13).
    """
    policy = getattr(asyncio.events, "_event_loop_policy", None)
    loop = getattr(getattr(policy, "_local", None), "_loop", None)
    if loop is None or loop.is_closed() or loop.is_running():
        return
    leftovers = asyncio.all_tasks(loop)
    for task in leftovers:
        task.cancel()
    if leftovers:
        loop.run_until_complete(asyncio.gather(*leftovers, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    asyncio.set_event_loop(None)


_threads = _Threads()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_threads.renew)

"""Every crossing between sync and async code, and between threads and loops. Nowhere else in this package.

Three situations: sync code on the run's own loop thread (nest), code in another thread or on another loop (cross to
the run's loop and wait), and sync code with no loop anywhere (start one).
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, InvalidStateError
from types import FrameType
from typing import Any, TypeVar

from flyte_notebook import errors
from flyte_notebook.engine import interrupt
from flyte_notebook.engine.context import Frame, current_action, current_frame
from flyte_notebook.engine.stopping import told

T = TypeVar("T")
AsyncFn = Callable[..., Coroutine[Any, Any, T]]

NESTING_LIMIT = 32
"""Nested runs on one thread's stack; the interpreter's recursion limit ends at about 110."""

_nesting = threading.local()


def patch_loop(loop: asyncio.AbstractEventLoop | None = None) -> None:
    """Make the running loop (or `loop`) reentrant with nest_asyncio2, also where nest_asyncio was applied first.

    nest_asyncio 1.6 alone loses queued cells and comm messages on ipykernel 7.3 and later, so its patch of the loop is
    replaced. Idempotent.

    Raises:
        RuntimeError: the loop cannot be patched (uvloop).
    """
    import nest_asyncio2

    loop = loop or asyncio.events._get_running_loop()
    mispatched = hasattr(asyncio, "_nest_patched") and not hasattr(asyncio, "_nest_asyncio2")
    try:
        if mispatched and loop is not None:
            _repair(loop)
        elif loop is None or not hasattr(asyncio, "_nest_asyncio2") or not hasattr(loop, "_nest_patched"):
            nest_asyncio2.apply(loop)
    except ValueError as error:
        raise RuntimeError(
            f"{type(loop).__module__}.{type(loop).__qualname__} cannot be nested: call `.aio` and await it"
        ) from error


def _repair(loop: asyncio.AbstractEventLoop) -> None:
    """Replace the loop methods that nest_asyncio patched by those of nest_asyncio2."""
    import nest_asyncio2

    with contextlib.suppress(AttributeError):
        del type(loop)._nest_patched  # type: ignore[attr-defined]  # set by nest_asyncio on the loop's class
    nest_asyncio2._patch_loop(loop)


def run_sync(fn: AsyncFn[T], *args: Any) -> T:
    """Call the coroutine function from sync code and wait for its result, wherever this code runs.

    Inside a run: on that run's loop. Else on the loop that runs in this thread, nested; without one, on a new loop.

    Raises:
        SyncTaskCallInAsyncContextError: too many nested calls on this thread.
        RuntimeError: the running loop cannot be nested.
    """
    __tracebackhide__ = True
    here = asyncio.events._get_running_loop()
    frame = current_frame()
    if frame is not None and here is not frame.loop:
        if _runs_here(frame.loop):
            return _nested(frame.loop, fn, *args)
        return _send(frame, fn, *args).result()
    if here is not None:
        return _nested(here, fn, *args)
    # With a factory the runner leaves the thread's current loop alone: nest_asyncio.apply() may have set one.
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(fn(*args))


async def from_foreign_loop(frame: Frame, fn: AsyncFn[T], *args: Any) -> T:
    """Call the coroutine function on a run's loop from another loop, such as that of `asyncio.run` inside a body."""
    __tracebackhide__ = True
    if _runs_here(frame.loop):
        # A loop run by hand on the run's own thread, on top of its loop: that one moves only when it is nested again.
        return _nested(frame.loop, fn, *args)
    return await asyncio.wrap_future(_send(frame, fn, *args))


def _runs_here(loop: asyncio.AbstractEventLoop) -> bool:
    """True when `loop` runs in this thread, below whatever runs now."""
    return getattr(loop, "_thread_id", None) == threading.get_ident()


def nested() -> bool:
    """True where this thread waits in a nested run."""
    return getattr(_nesting, "depth", 0) > 0


def _nested(loop: asyncio.AbstractEventLoop, fn: AsyncFn[T], *args: Any) -> T:
    __tracebackhide__ = True
    depth = getattr(_nesting, "depth", 0)
    if depth >= NESTING_LIMIT:
        raise errors.SyncTaskCallInAsyncContextError(
            f"{depth} blocking calls are nested on this event loop already: "
            "await the task's `.aio(...)` instead of calling it (or `flyte.run.aio`, `flyte.map.aio`)"
        )
    due = _due(loop)
    patch_loop(loop)
    may_raise = interrupt.may_raise(interrupt.current_task())
    task: asyncio.Task[T | KeyboardInterrupt] | None = None
    try:
        _nesting.depth = depth + 1
        with interrupt.guarding(loop, may_raise) as guarded:
            task = guarded.task = loop.create_task(_settled(may_raise, fn, *args))
            outcome = loop.run_until_complete(task)
    except BaseException as error:
        if isinstance(error, asyncio.CancelledError):
            told(current_action())
        if task is not None and not task.done():
            _drop(loop, task)
        raise
    finally:
        _nesting.depth = depth
        for _ in range(due - len(loop._ready)):  # type: ignore[attr-defined]
            loop.call_soon(_nothing)
    if isinstance(outcome, KeyboardInterrupt):
        raise outcome if may_raise else asyncio.CancelledError("interrupted")
    return outcome


def _drop(loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
    """End what nobody waits for any more, before it goes on, or begins, in some later cell.

    An interrupt has met something else on the loop, where somebody else handles it.
    """
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, KeyboardInterrupt, Exception):
        loop.run_until_complete(task)


def _due(loop: asyncio.AbstractEventLoop) -> int:
    """How many callbacks the loop below will take, at most, without looking whether there are any left.

    A round that began before the loop was patched is asyncio's own: it has counted its callbacks beforehand, and a
    nested run takes some of them away.
    """
    frame: FrameType | None = sys._getframe()
    code = asyncio.BaseEventLoop._run_once.__code__  # type: ignore[attr-defined]
    while frame is not None:
        if frame.f_code is code and frame.f_locals.get("self") is loop:
            return len(loop._ready)
        frame = frame.f_back
    return 0


def _nothing() -> None:
    """What is left to call when a nested run has called the rest."""


async def _settled(may_raise: bool, fn: AsyncFn[T], *args: Any) -> T | KeyboardInterrupt:
    """Result, or interrupt as a value: a KeyboardInterrupt that leaves a task tears down the loop below it."""
    __tracebackhide__ = True
    if may_raise:
        interrupt.passes_on()
    try:
        return await fn(*args)
    except KeyboardInterrupt as interrupted:
        return interrupted


def _send(frame: Frame, fn: AsyncFn[T], *args: Any) -> Future[T]:
    """Start the coroutine function on the loop of `frame`, in a copy of this context; the future cancels it when cancelled.

    While it runs, the action whose body waits here lends its thread slot to others.
    """
    loop = frame.loop
    call = current_action()
    context = contextvars.copy_context()
    future: Future[T] = Future()

    def start() -> None:
        if future.done():
            return
        if call is not None:
            call.wait_begins()
        task = loop.create_task(fn(*args), context=context)
        task.add_done_callback(finish)
        future.add_done_callback(lambda f: _pass_on_cancel(f, loop, task))

    def finish(task: asyncio.Task[T]) -> None:
        if call is not None:
            call.wait_ends()
        with contextlib.suppress(InvalidStateError):  # cancelled by the waiting side in the meantime
            if task.cancelled():
                future.cancel()
            elif (error := task.exception()) is not None:
                future.set_exception(error)
            else:
                future.set_result(task.result())

    if frame.node is not None:
        frame.node.run.crossings.add(future)
    with contextlib.suppress(RuntimeError):  # the loop is closed: so is the run
        loop.call_soon_threadsafe(start)
    return future


def _pass_on_cancel(future: Future[T], loop: asyncio.AbstractEventLoop, task: asyncio.Task[T]) -> None:
    if future.cancelled() and not task.done():
        with contextlib.suppress(RuntimeError):  # the loop is closed: the task is gone with it
            loop.call_soon_threadsafe(task.cancel)


def on_the_loop() -> bool:
    """True where a blocking call would nest: the run's own loop runs in this thread."""
    frame = current_frame()
    return frame is not None and asyncio.events._get_running_loop() is frame.loop

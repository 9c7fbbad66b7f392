"""asyncio tasks that a body makes itself, found by the context they run in, and what can be done to any task.

They are no actions, and no cancellation of their action reaches them: those that a body waits for in a nested loop, and
those that outlive it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Collection, Iterator
from contextvars import Context
from types import FrameType
from typing import Any, cast

from flyte_notebook.engine.context import Call, Node, call_in
from flyte_notebook.engine.failures import is_package
from flyte_notebook.record.origin import is_users_file

try:
    from _asyncio import Task as _CTask
except ImportError:  # a Python without it
    from asyncio import Task as _CTask

_TASKS: tuple[type[asyncio.Task[Any]], ...] = (_CTask, asyncio.tasks._PyTask)  # type: ignore[attr-defined]
"""What a task may be made of: nest_asyncio2 replaces `asyncio.Task`, in the midst of a run, while older ones go on."""

_ASYNCIO = os.path.dirname(asyncio.__file__) + os.sep


class Ended(BaseException):
    """Thrown into code that goes on after it was cancelled: no `except CancelledError` catches it."""


def throw(task: asyncio.Task[Any]) -> None:
    """Make what `task` waits for raise `Ended`; nothing happens while it waits for nothing."""
    waiter = getattr(task, "_fut_waiter", None)
    if isinstance(waiter, _TASKS):
        throw(waiter)
    elif waiter is not None:
        # What it waits for stays as it is: somebody else, such as a timer, is to give it its outcome.
        for wakeup, context in _wakeups(task, waiter):
            failed: asyncio.Future[Any] = waiter.get_loop().create_future()
            failed.set_exception(Ended())
            _retrieved(failed)
            failed.add_done_callback(wakeup, context=context)
            waiter.add_done_callback(_retrieved)


def _wakeups(task: asyncio.Task[Any], waiter: asyncio.Future[Any]) -> list[tuple[Callable[..., object], Context]]:
    """What would have gone on with `task` after the future that it waits for, and now does not."""
    if waiter.done():
        handles = [handle for handle in tuple(_ready(task)) if handle._args]
        for handle in handles:
            handle.cancel()
        return [(handle._callback, handle._context) for handle in handles]
    callbacks = getattr(waiter, "_callbacks", None) or ()
    mine = [(callback, context) for callback, context in callbacks if getattr(callback, "__self__", None) is task]
    for callback, _ in mine:
        waiter.remove_done_callback(callback)
    return mine


def _ready(task: asyncio.Task[Any]) -> Iterator[Any]:
    """The next step of `task`, if the loop is to take it in its next round."""
    for handle in getattr(task.get_loop(), "_ready", ()):
        if getattr(handle._callback, "__self__", None) is task:
            yield handle


def _retrieved(future: asyncio.Future[Any]) -> None:
    """Perhaps nobody asks for its outcome any more: Python is not to complain of that."""
    if not future.cancelled():
        future.exception()


def detach(task: asyncio.Task[Any], error: BaseException | None = None) -> None:
    """Never resume `task`: its code stays where it is, and whoever waits for it gets `error`, or a CancelledError."""
    waiter = getattr(task, "_fut_waiter", None)
    if task.done():
        return
    if waiter is not None:
        _wakeups(task, waiter)
    for handle in tuple(_ready(task)):
        handle.cancel()
    # A task refuses to be given an outcome; the future that it is does not.
    kind = next(kind for kind in _TASKS if isinstance(task, kind))
    future = cast(asyncio.Future[Any], super(kind, task))
    if error is None:
        future.cancel()
    else:
        future.set_exception(error)
    # Collected, its code would be closed, which it catches as well, and Python complains.
    _detached.append(task)


_detached: list[asyncio.Future[Any]] = []


def nested_in(loop: asyncio.AbstractEventLoop, nodes: Collection[Node]) -> list[asyncio.Task[Any]]:
    """What the bodies of `nodes` and below wait for in a nested loop, as in `asyncio.run`. Only in a callback of the loop.

    A body that waits so is on the stack of this very call.
    """
    waiting = {call for call in _on_the_stack(loop) if _is_below(call, nodes)}
    if not waiting:
        # As mostly: to look at all tasks whenever one of many times out would take ages.
        return []
    return [
        task
        for task in asyncio.all_tasks(loop)
        if call_of(task) in waiting
        and not getattr(task.get_coro(), "cr_running", False)
        and not is_package(_filename(task))
    ]


def _on_the_stack(loop: asyncio.AbstractEventLoop) -> set[Call]:
    """The actions whose code has been called by the loop, waits, and so has the loop nested in it that calls us."""
    handles: list[Any] = []
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == "_run_once" and frame.f_locals.get("self") is loop:
            handles.append(frame.f_locals.get("handle"))
        frame = frame.f_back
    # The innermost is this very callback.
    contexts = (getattr(handle, "_context", None) for handle in handles[1:])
    return {call for context in contexts if context is not None and (call := call_in(context)) is not None}


def left_by(loop: asyncio.AbstractEventLoop, nodes: Collection[Node]) -> Iterator[asyncio.Task[Any]]:
    """Tasks made of the user's coroutines, or asyncio's, by bodies at or below `nodes` that were stopped.

    Not those that are a library's alone, which may serve others; but those that a library, such as anyio, has made to
    run the user's.
    """
    for task in asyncio.all_tasks(loop):
        call = call_of(task)
        if call is None or not call.stopped or not _is_below(call, nodes):
            continue
        if _filename(task).startswith(_ASYNCIO) or any(map(_is_theirs, _filenames(task))):
            yield task


def call_of(task: asyncio.Task[Any]) -> Call | None:
    """The action in whose context a task runs, if Python tells."""
    context = task.get_context() if hasattr(task, "get_context") else getattr(task, "_context", None)
    return call_in(context) if isinstance(context, Context) else None


def _is_below(call: Call, nodes: Collection[Node]) -> bool:
    node: Node | None = call
    while node is not None:
        if node in nodes:
            return True
        node = node.parent if isinstance(node, Call) else None
    return False


def _is_theirs(filename: str) -> bool:
    return is_users_file(filename) and not is_package(filename)


def _filename(task: asyncio.Task[Any]) -> str:
    return next(_filenames(task), "")


def _filenames(task: asyncio.Task[Any]) -> Iterator[str]:
    """Where the coroutine of a task is defined, and those that it waits for one in the other."""
    coroutine: Any = task.get_coro()
    while (code := getattr(coroutine, "cr_code", None)) is not None:
        yield code.co_filename
        coroutine = coroutine.cr_await

"""What blocks without being an action or a run: it ends with what it belongs to, and at an interrupt, all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from flyte_notebook.engine import bridge, interrupt
from flyte_notebook.engine.context import Frame, Node, current_action, current_frame

T = TypeVar("T")


class _Wait:
    """What is below a node that only waits; see `context.Cancellable`."""

    root: Node | None = None

    def cancel_children(self, insist: bool = False, reason: str | None = None) -> None:
        """There are none."""


_WAIT = _Wait()


async def asleep(seconds: float) -> None:
    """In a blocking call: `asyncio.sleep` that is cancelled with the run, or action, that this code belongs to.

    Whose own task hears of nothing meanwhile.
    """
    frame = current_frame()
    node = _node(frame) if frame is not None else None
    task = node.adopt(_WAIT) if node is not None else None
    try:
        await asyncio.sleep(seconds)
    finally:
        if node is not None and task is not None:
            node.children.pop(task, None)


def _node(frame: Frame) -> Node | None:
    if frame.node is not None:
        return frame.node.acting
    return frame.opener.root if frame.opener is not None else None


def blocking(fn: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
    """`bridge.run_sync` for what handles no interrupt itself.

    Raises:
        KeyboardInterrupt: it was interrupted.
    """
    __tracebackhide__ = True
    if current_action() is not None:
        # Its run handles the interrupt.
        return bridge.run_sync(fn, *args)
    value: T = bridge.run_sync(_interruptible, fn, *args)
    return value


async def _interruptible(fn: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
    __tracebackhide__ = True
    loop, me = asyncio.get_running_loop(), asyncio.current_task()
    assert me is not None
    raises = interrupt.may_raise(me)
    interrupted = False

    def stop() -> None:
        nonlocal interrupted
        interrupted = True
        me.cancel()

    def met() -> bool:
        return raises and asyncio.current_task(loop) is me

    with interrupt.catching(loop, stop, met, raises):
        try:
            return await fn(*args)
        except asyncio.CancelledError:
            if interrupted and raises:
                raise KeyboardInterrupt from None
            raise

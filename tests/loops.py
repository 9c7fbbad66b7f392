"""Running coroutines in tests."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from flyte_notebook.engine.context import Call
from flyte_notebook.engine.runs import live_runs

T = TypeVar("T")


def run_async(coroutine: Coroutine[Any, Any, T]) -> T:
    """Like `asyncio.run`, on a loop that is closed also after nest_asyncio2 has replaced `asyncio.run`."""
    with asyncio.Runner() as runner:
        return runner.run(coroutine)


async def begun(short_name: str) -> Call:
    """The call of this name, once its body runs: with a busy journal, calls wait before they become actions."""
    while True:
        for run in live_runs.values():
            for call in run.calls.values():
                if call.short_name == short_name and call.attempt:
                    await asyncio.sleep(0.01)
                    return call
        await asyncio.sleep(0.001)


def once_begun(short_name: str, what: Callable[[Call], object]) -> asyncio.Task[None]:
    """Do `what` with the call of this name, once its body runs."""

    async def wait() -> None:
        what(await begun(short_name))

    # By its context it belongs to no run, wherever it is made.
    return asyncio.get_running_loop().create_task(wait(), context=contextvars.Context())


def cancel_runs(_: Call | None = None) -> None:
    """Cancel every live run."""
    for run in tuple(live_runs.values()):
        run.cancel()


async def journal_caught_up() -> None:
    """Wait until a call that is made now begins at once."""
    while any(run.pace.late() for run in live_runs.values()):
        await asyncio.sleep(0.001)


def interrupted(coroutine: Coroutine[Any, Any, Any]) -> bool:
    """Run it as a kernel does, and not as `asyncio.run`, which handles SIGINT itself; whether that has ended it."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(coroutine)
    try:
        loop.run_until_complete(task)
    except KeyboardInterrupt:
        return isinstance(task.exception(), KeyboardInterrupt)
    finally:
        loop.close()
    return False

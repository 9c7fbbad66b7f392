"""Running coroutines in tests."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run_async(coroutine: Coroutine[Any, Any, T]) -> T:
    """Like `asyncio.run`, on a loop that is closed also after nest_asyncio2 has replaced `asyncio.run`."""
    with asyncio.Runner() as runner:
        return runner.run(coroutine)


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

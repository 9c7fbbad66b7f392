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

"""The programs that are measured: each prints one JSON object with its figures, in seconds or bytes.

Run as `python programs.py NAME`, each in a fresh interpreter, so that one library's patches never slow another.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any

COUNT = 2_000
ROUNDS = 5


def _best(measure: Callable[[], float]) -> float:
    """The least of several rounds: noise only ever adds."""
    times = []
    for _ in range(ROUNDS):
        gc.collect()
        times.append(measure())
    return min(times)


def bare() -> dict[str, float]:
    """`asyncio.gather` and a plain await of a trivial coroutine."""

    async def inner(x: int) -> int:
        return x + 1

    async def gathered() -> float:
        begin = time.perf_counter()
        await asyncio.gather(*(inner(x) for x in range(COUNT)))
        return time.perf_counter() - begin

    async def in_tasks() -> float:
        begin = time.perf_counter()
        for x in range(COUNT):
            await asyncio.create_task(inner(x))
        return time.perf_counter() - begin

    return {
        "gather": _best(lambda: asyncio.run(gathered())) / COUNT,
        "sequential": _best(lambda: asyncio.run(in_tasks())) / COUNT,
        "thread": _best(lambda: asyncio.run(_threads())) / COUNT,
    }


async def _threads() -> float:
    begin = time.perf_counter()
    for x in range(COUNT):
        await asyncio.to_thread(abs, x)
    return time.perf_counter() - begin


def example_tasks(flyte: Any) -> dict[str, Any]:
    """The tasks that are measured, of the SDK or of this package; each takes `n` and returns the seconds of `n` calls."""
    env = flyte.TaskEnvironment("bench")

    @env.task
    async def inner(x: int) -> int:
        return x + 1

    @env.task
    def sync_inner(x: int) -> int:
        return x + 1

    async def timed(calls: Callable[[int], Awaitable[Any]], n: int) -> float:
        begin = time.perf_counter()
        await calls(n)
        return time.perf_counter() - begin

    @env.task
    async def gathered(n: int) -> float:
        return await timed(lambda n: asyncio.gather(*(inner(x) for x in range(n))), n)

    @env.task
    async def sequential(n: int) -> float:
        async def calls(n: int) -> None:
            for x in range(n):
                await inner(x)

        return await timed(calls, n)

    @env.task
    async def threads(n: int) -> float:
        async def calls(n: int) -> None:
            for x in range(n):
                await sync_inner.aio(x)

        return await timed(calls, n)

    return {"gather": gathered, "sequential": sequential, "thread": threads}


def ours() -> dict[str, float]:
    """The same calls as durable actions, every one on record."""
    os.environ["FLYTE_NOTEBOOK_HOME"] = tempfile.mkdtemp(prefix="flyte-bench-")
    import flyte_notebook as flyte

    return {
        name: _best(lambda task=task: flyte.run(task, n=COUNT).outputs()[0]) / COUNT
        for name, task in example_tasks(flyte).items()
    }


def sdk(persistence: bool = False, count: int = 200) -> dict[str, float]:
    """The same calls in the SDK's local mode, fewer of them because each takes longer."""
    import logging

    import flyte

    flyte.init(local_persistence=persistence, log_level=logging.ERROR)
    tasks = example_tasks(flyte)
    return {
        name: min(flyte.run(tasks[name], n=count).outputs()[0] for _ in range(3)) / count
        for name in ("gather", "sequential")
    }


def sdk_persisted() -> dict[str, float]:
    """The same with local persistence on: the SDK's nearest thing to a record."""
    return sdk(persistence=True, count=50)


def fan_out() -> dict[str, float]:
    """`flyte.map` of 1,000 sync tasks of 10 ms each, no limit on concurrency."""
    os.environ["FLYTE_NOTEBOOK_HOME"] = tempfile.mkdtemp(prefix="flyte-bench-")
    import flyte_notebook as flyte
    from flyte_notebook.engine.executors import LIMIT

    env = flyte.TaskEnvironment("bench")

    @env.task
    def nap(x: int) -> int:
        time.sleep(0.01)
        return x

    @env.task
    async def main(n: int) -> float:
        begin = time.perf_counter()
        _ = [r async for r in flyte.map.aio(nap, range(n))]
        return time.perf_counter() - begin

    seconds = min(flyte.run(main, n=1_000).outputs()[0] for _ in range(3))
    return {"seconds": seconds, "threads": float(LIMIT), "floor": 1_000 * 0.01 / LIMIT}


def memory() -> dict[str, float]:
    """Bytes that stay allocated in the kernel per recorded action, once its run has ended."""
    os.environ["FLYTE_NOTEBOOK_HOME"] = tempfile.mkdtemp(prefix="flyte-bench-")
    import flyte_notebook as flyte

    gathered = example_tasks(flyte)["gather"]
    flyte.run(gathered, n=100)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    handle = flyte.run(gathered, n=10_000)
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    assert handle.done()
    return {"bytes": (after - before) / 10_000}


def imports() -> dict[str, float]:
    """Seconds that `import flyte_notebook` takes once IPython is imported."""
    import IPython  # noqa: F401

    begin = time.perf_counter()
    import flyte_notebook  # noqa: F401

    return {"seconds": time.perf_counter() - begin}


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]]()))

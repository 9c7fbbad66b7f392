"""The programs that are measured: each prints one JSON object with its figures, in seconds or bytes.

Run as `python programs.py NAME`, each in a fresh interpreter, so that one library's patches never slow another.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path
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


def _anonymous() -> int:
    """Bytes of this process's memory that are no file's: what a map of a file costs once it is written into."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon:")) * 1024


async def _longest_block(work: Awaitable[Any]) -> dict[str, float]:
    """By how many seconds the loop was late at worst while `work` was awaited, and how long it worked itself at worst.

    The first is more than the second by what the loop's thread waits for the interpreter and for a processor.
    """
    block = busy = 0.0

    async def tick() -> None:
        nonlocal block, busy
        while True:
            begin, worked = time.perf_counter(), time.thread_time()
            await asyncio.sleep(0.001)
            block = max(block, time.perf_counter() - begin - 0.001)
            busy = max(busy, time.thread_time() - worked)

    ticking = asyncio.create_task(tick())
    await work
    ticking.cancel()
    return {"block": block, "busy": busy}


def large(megabytes: int = 1000, readers: int = 50) -> dict[str, float]:
    """One DataFrame that goes to many tasks, all of which hold it and look at a column of it."""
    home = os.environ["FLYTE_NOTEBOOK_HOME"] = tempfile.mkdtemp(prefix="flyte-bench-")
    import numpy as np
    import pandas as pd

    import flyte_notebook as flyte

    env = flyte.TaskEnvironment("bench")
    held = []

    @env.task
    async def read(df: pd.DataFrame, i: int) -> float:
        held.append(df)
        # One number in every few pages: more would measure numpy, and how threads share the processors.
        return float(df.iloc[:, i % 8].to_numpy()[::1024].sum())

    @env.task
    async def main() -> dict[str, float]:
        df = pd.DataFrame(np.random.default_rng(0).random((megabytes * 2**20 // 64, 8)), columns=list("abcdefgh"))
        # What is imported at the first use is not what is measured.
        await read(df.head(100_000), 0)
        before, begin = _anonymous(), time.perf_counter()
        block = await _longest_block(asyncio.gather(*(read(df, i) for i in range(readers))))
        return {**block, "seconds": time.perf_counter() - begin, "anonymous": float(_anonymous() - before)}

    try:
        found: dict[str, float] = flyte.run(main).outputs()[0]
        files = [file for file in Path(home).rglob("*") if file.is_file()]
        return {**found, "size": megabytes * 2**20, "written": sum(file.stat().st_size for file in files)}
    finally:
        held.clear()
        shutil.rmtree(home)


def large_bare(megabytes: int = 1000) -> dict[str, float]:
    """What nobody can do without: a thread that hashes and writes as much, and how late the loop is meanwhile."""
    import numpy as np

    memory = memoryview(np.random.default_rng(0).random(megabytes * 2**17)).cast("B")

    def store() -> None:
        digest = hashlib.sha256()
        with tempfile.TemporaryFile() as file:
            for start in range(0, len(memory), 2**18):
                digest.update(memory[start : start + 2**18])
                file.write(memory[start : start + 2**18])

    async def main() -> dict[str, float]:
        begin = time.perf_counter()
        block = await _longest_block(asyncio.to_thread(store))
        return {**block, "seconds": time.perf_counter() - begin}

    return asyncio.run(main())


def resume(count: int = 10_000) -> dict[str, float]:
    """A run that ends with an error after many actions, and its resumption; the least of several."""
    os.environ["FLYTE_NOTEBOOK_HOME"] = tempfile.mkdtemp(prefix="flyte-bench-")
    import flyte_notebook as flyte

    env = flyte.TaskEnvironment("bench")
    calls = []

    @env.task
    async def inner(x: int) -> int:
        return x + 1

    @env.task
    async def main(n: int) -> int:
        begin = time.perf_counter()
        found = await asyncio.gather(*(inner(x) for x in range(n)))
        calls.append(time.perf_counter() - begin)
        if "FLYTE_BENCH_FAILS" in os.environ:
            raise ValueError
        return sum(found)

    def resumed() -> float:
        os.environ["FLYTE_BENCH_FAILS"] = "1"
        with contextlib.suppress(flyte.errors.RuntimeUserError):
            flyte.run(main, n=count)
        del os.environ["FLYTE_BENCH_FAILS"]
        failed = flyte.runs()[0]
        gc.collect()
        begin = time.perf_counter()
        again = failed.resume()
        seconds = time.perf_counter() - begin
        assert sum(action.recovered for action in again.actions()) == count
        return seconds

    seconds = _best(resumed)
    # Every second gather found everything on record.
    return {"seconds": seconds, "anew": min(calls[::2]), "count": float(count)}


def imports() -> dict[str, float]:
    """Seconds that `import flyte_notebook` takes once IPython is imported."""
    import IPython  # noqa: F401

    begin = time.perf_counter()
    import flyte_notebook  # noqa: F401

    return {"seconds": time.perf_counter() - begin}


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]]()))

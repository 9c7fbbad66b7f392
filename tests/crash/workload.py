"""A run of 1,000 actions that is made to be killed: fan-out, nesting, retries, threads, values of 1 MB.

Its bodies leave marks in a file that outlives the process; `python -m tests.crash.workload start SEED` starts a run,
`… resume SEED` resumes the last one.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import random
import sys
import time
from collections.abc import Iterator

import flyte_notebook as flyte

MARKS = "FLYTE_NOTEBOOK_TEST_MARKS"
"""Names the environment variable that names the file."""

BRANCHES, LEAVES, THREADED, LARGE = 27, 30, 3, 2
ACTIONS = 1 + BRANCHES * (2 + LEAVES + THREADED + LARGE)
MEGABYTE = 2**20

env = flyte.TaskEnvironment("crash")


def mark(what: str, key: str) -> None:
    """Say what has happened to the action `key`, and when, in one write that no kill can tear or take back."""
    file = os.open(os.environ[MARKS], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, f"{what} {key} {time.monotonic()}\n".encode())
    os.close(file)


@env.task(retries=flyte.RetryStrategy(2, backoff=flyte.Backoff(base=dt.timedelta(milliseconds=5))))
async def leaf(key: int, pause: float) -> int:
    mark("ran", f"leaf-{key}")
    await asyncio.sleep(pause)
    if key % 10 == 3 and flyte.ctx().attempt_number == 0:
        raise ConnectionError("the first attempt fails")
    return expected(f"leaf-{key}")


@env.task
def threaded(key: int, pause: float) -> int:
    mark("ran", f"threaded-{key}")
    time.sleep(pause)
    return expected(f"threaded-{key}")


@env.task
async def large(key: int, pause: float) -> bytes:
    mark("ran", f"large-{key}")
    await asyncio.sleep(pause)
    return expected(f"large-{key}")


@env.task
async def twig(key: int, pauses: list[float]) -> int:
    """One level deeper: half of a branch's leaves, one after the other."""
    mark("ran", f"twig-{key}")
    first = key * LEAVES
    return sum([await called(leaf, first + number, pause) for number, pause in enumerate(pauses)])


@env.task
async def branch(key: int, seed: int) -> int:
    mark("ran", f"branch-{key}")
    # The same in every process, so that all calls are the same.
    dice = random.Random(f"{seed} {key}")
    pace = random.Random(seed).choice([0.0, 0.002, 0.004])
    half, first = LEAVES // 2, key * LEAVES
    work = [called(twig, key, [dice.uniform(0, pace) for _ in range(half)])]
    work += [called(leaf, first + number, dice.uniform(0, 10 * pace)) for number in range(half, LEAVES)]
    work += [called(threaded, key * THREADED + number, dice.uniform(0, pace)) for number in range(THREADED)]
    work += [called(large, key * LARGE + number, dice.uniform(0, 10 * pace)) for number in range(LARGE)]
    return sum(value if isinstance(value, int) else len(value) for value in await asyncio.gather(*work))


@env.task
async def main(seed: int) -> int:
    mark("ran", "main-0")
    half = BRANCHES // 2
    total = sum(await asyncio.gather(*(called(branch, key, seed) for key in range(half))))
    for key in range(half, BRANCHES):
        total += await called(branch, key, seed)
    return total


async def called(task: flyte.Task, key: int, *rest: object) -> int:
    """The result of an action, and a mark at the moment when its caller has it."""
    name = f"{task.short_name}-{key}"
    value = await task.override(short_name=name).aio(key, *rest)
    mark("got", name)
    return value


def expected(name: str) -> int | bytes:
    """What the action of this short name returns."""
    kind, _, key = name.partition("-")
    if kind == "large":
        word = f"{name} ".encode()
        return (word * (MEGABYTE // len(word) + 1))[:MEGABYTE]
    if kind == "twig":
        return sum(_leaves(int(key), 0, LEAVES // 2))
    if kind == "branch":
        rest = sum(_leaves(int(key), LEAVES // 2, LEAVES))
        threads = sum(expected(f"threaded-{int(key) * THREADED + number}") for number in range(THREADED))
        return expected(f"twig-{key}") + rest + threads + LARGE * MEGABYTE
    if kind == "main":
        return sum(expected(f"branch-{number}") for number in range(BRANCHES))
    return 7 * int(key) + len(kind)


def _leaves(branch: int, first: int, end: int) -> Iterator[int]:
    return (expected(f"leaf-{branch * LEAVES + number}") for number in range(first, end))


def start(seed: int) -> None:
    """A new run."""
    mark("began", "main-0")
    flyte.run(main.override(short_name="main-0"), seed)


def resume(seed: int) -> None:
    """Go on with the last run; start it if it was killed before anything of it was on record."""
    mark("began", "main-0")
    runs = flyte.runs()
    if any(run.action is not None for run in runs):
        runs[0].resume()
    else:
        start(seed)


if __name__ == "__main__":
    # As a kernel does it: the tasks are those of the module of this name.
    from tests.crash import workload

    getattr(workload, sys.argv[1])(int(sys.argv[2]))

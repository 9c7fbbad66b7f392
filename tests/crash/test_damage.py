"""Blobs that were cut short or changed behind our back: noticed, made anew, never taken for a value."""

from __future__ import annotations

import os
import random
import time
from collections import Counter

import numpy as np
import pytest

import flyte_notebook as flyte
from flyte_notebook import errors
from flyte_notebook.record.store import open_store

SEEDS = 50 if os.environ.get("FLYTE_NOTEBOOK_SOAK") else 6

ran: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def _fresh(monkeypatch):
    ran.clear()
    monkeypatch.setenv("BROKEN", "1")


env = flyte.TaskEnvironment("damage")


@env.task
async def large(n: int) -> np.ndarray:
    """One blob of its own, named in the journal."""
    ran["large"] += 1
    return np.arange(n)


@env.task
async def many(n: int) -> list[np.ndarray]:
    """A blob that names others, being too long for the journal itself."""
    ran["many"] += 1
    return [np.arange(n) + i for i in range(2)] + [np.arange(40) for _ in range(60)]


@env.task
async def text(n: int) -> str:
    ran["text"] += 1
    return "text " * n


@env.task
async def main(n: int) -> int:
    one, two, three = await large(n), await many(n), await text(n)
    if os.environ["BROKEN"] == "1":
        raise ValueError("broken")
    return total(one, two, three)


def total(one: np.ndarray, two: list[np.ndarray], three: str) -> int:
    return int(one.sum()) + int(sum(array.sum() for array in two)) + len(three)


N = 20_000
RIGHT = N * (N - 1) // 2 * 3 + N + 60 * 780 + 5 * N


def damaged(dice):
    """Cut or change some of the blobs; returns how many there are."""
    blobs = open_store().blobs
    listed = sorted(blobs.path(sha) for sha, _, _ in blobs.scan())
    # File systems date a change to some milliseconds.
    time.sleep(0.02)
    for path in dice.sample(listed, dice.randint(1, len(listed))):
        size = path.stat().st_size
        if dice.random() < 0.4:
            os.truncate(path, dice.choice([0, dice.randrange(size), dice.randrange(min(size, 2000))]))
            continue
        with path.open("r+b") as file:
            # Near its beginning is where a value says what it is.
            file.seek(dice.choice([dice.randrange(size), dice.randrange(min(size, 2000)), dice.randrange(8)]))
            (byte,) = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte ^ (1 << dice.randrange(8))]))
    return len(listed)


@pytest.mark.parametrize("known", [True, False], ids=["same kernel", "new kernel"])
@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_resumed_run_makes_damaged_results_anew(seed, known):
    with pytest.raises(errors.RuntimeUserError):
        flyte.run(main, n=N)
    os.environ["BROKEN"] = "0"
    if not known:
        open_store().close()
    assert damaged(random.Random(seed)) == 4
    run = flyte.runs()[0].resume()
    assert run.outputs()[0] == RIGHT
    again = [name for name in ran if ran[name] == 2 and name != "main"]
    assert again
    assert {a.short_name for a in run.actions() if not a.recovered} == {"main", *again}


@pytest.mark.parametrize("seed", range(SEEDS))
def test_the_cache_makes_damaged_results_anew(seed):
    os.environ["BROKEN"] = "0"
    cached = [task.override(cache="auto") for task in (large, many, text)]

    @env.task(short_name="main")
    async def reads(n: int) -> int:
        one, two, three = [await task(n) for task in cached]
        return total(one, two, three)

    flyte.run(reads, n=N)
    damaged(random.Random(seed))
    assert flyte.run(reads, n=N).outputs()[0] == RIGHT
    assert sum(ran.values()) > 3
    # Whole again: the third run finds all.
    ran.clear()
    flyte.run(reads, n=N)
    assert not ran


@pytest.mark.parametrize("seed", range(SEEDS))
def test_damaged_outputs_are_an_error_that_names_the_file(seed):
    os.environ["BROKEN"] = "0"
    flyte.run(text, n=N)
    open_store().close()
    damaged(random.Random(seed))
    (path,) = [open_store().blobs.path(sha) for sha, _, _ in open_store().blobs.scan()]
    with pytest.raises(errors.BlobCorruptError, match="is damaged") as caught:
        flyte.runs()[0].outputs()
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_value_that_is_passed_again_is_whole_again(seed):
    @env.task
    async def reads(values: np.ndarray, power: float) -> int:
        return int(values.sum())

    @env.task(short_name="main")
    async def passes(n: int) -> int:
        values = np.arange(n)
        await reads(values, 0.0)
        damaged(random.Random(seed))
        return await reads(values, 1.0)

    assert flyte.run(passes, n=N).outputs()[0] == N * (N - 1) // 2

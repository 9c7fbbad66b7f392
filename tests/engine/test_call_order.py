"""Calls with large inputs, which are hashed and stored in threads, become actions in the order in which they are made."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

import flyte_notebook as flyte
from flyte_notebook import errors
from flyte_notebook.record.codec import preview
from flyte_notebook.record.store import open_store

env = flyte.TaskEnvironment("order")


@env.task
async def size(data: np.ndarray) -> int:
    return len(data)


@env.task
async def sizes(lengths: list[int]) -> list[int]:
    return list(await asyncio.gather(*(size(np.arange(length)) for length in lengths)))


def test_the_largest_first_is_the_first_action():
    lengths = [2_000_000, 200_000, 3_000, 2_000, 2_500]
    run = flyte.run(sizes, lengths)
    assert run.outputs()[0] == lengths
    journal = open_store().journal
    assert [preview(journal.output(run.name, action.id)) for action in run.actions()[1:]] == [str(n) for n in lengths]


def test_one_that_is_cancelled_holds_up_no_other():
    @env.task
    async def impatient() -> int:
        first = asyncio.create_task(size(np.arange(2_000_000)))
        second = asyncio.create_task(size(np.arange(3_000)))
        await asyncio.sleep(0)
        first.cancel()
        return await second

    run = flyte.run(impatient)
    assert run.outputs()[0] == 3_000


async def test_one_whose_caller_has_ended_meanwhile_is_no_action():
    tasks = []

    @env.task
    async def hasty() -> None:
        tasks.append(asyncio.create_task(size(np.arange(2_000_000))))
        await asyncio.sleep(0)

    run = await flyte.run.aio(hasty)
    with pytest.raises(errors.ActionAbortedError, match="had ended"):
        await tasks[0]
    assert [action.short_name for action in run.actions()] == ["hasty"]

"""Large values between tasks: what a child writes stays with it, and what an owner changes too early is said."""

from __future__ import annotations

import asyncio
import threading
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import flyte_notebook as flyte
from flyte_notebook.record.encoded import Draft
from flyte_notebook.record.store import open_store

env = flyte.TaskEnvironment("large")

COUNT = 150_000
"""Numbers; enough to be mapped and not read."""


@env.task
async def spoils(data: np.ndarray, by: float) -> float:
    data *= by
    return float(data.sum())


@env.task
def spoils_table(table: pd.DataFrame, by: float) -> pd.DataFrame:
    table["a"] *= by
    table.loc[0, "a"] = -1.0
    return table


def written() -> int:
    return sum(file.stat().st_size for file in Path(open_store().home, "blobs").rglob("*") if file.is_file())


def test_children_may_write_into_what_they_are_given_and_nobody_else_sees_it():
    @env.task
    async def main() -> list[float]:
        data = np.ones(COUNT)
        sums = await asyncio.gather(*(spoils(data, float(by)) for by in range(10)))
        return [*sums, float(data.sum())]

    run = flyte.run(main)
    assert run.outputs()[0] == [*(COUNT * float(by) for by in range(10)), COUNT]
    # On record are the inputs as they were given.
    for action in run.actions()[1:]:
        assert open_store().journal.inputs(run.name, action.id) is not None
    assert written() < 1.1 * 8 * COUNT


def test_a_table_goes_through_sync_children_and_each_result_is_its_own():
    @env.task
    async def main() -> list[float]:
        table = pd.DataFrame({"a": np.ones(COUNT), "b": np.arange(COUNT)})
        tables = await asyncio.gather(*(spoils_table.aio(table, float(by)) for by in (2, 3, 2)))
        return [float(each["a"].iloc[1]) for each in (*tables, table)]

    run = flyte.run(main)
    assert run.outputs()[0] == [2.0, 3.0, 2.0, 1.0]
    # The table, and of each of two different results what is not in it already.
    assert written() < 5.2 * 8 * COUNT


def test_a_retry_gets_what_the_first_attempt_was_given():
    seen = []

    @env.task(retries=1)
    async def fails_once(data: np.ndarray) -> float:
        seen.append(float(data.sum()))
        data[:] = 7
        if len(seen) == 1:
            raise ValueError
        return float(data.sum())

    assert flyte.run(fails_once, np.ones(COUNT)).outputs()[0] == 7 * COUNT
    assert seen == [COUNT, COUNT]


@pytest.fixture
def changed(monkeypatch) -> threading.Event:
    """What has to be set before anything large is stored."""
    event = threading.Event()
    seal = Draft.seal

    def seals(draft, blobs):
        assert event.wait(60)
        return seal(draft, blobs)

    monkeypatch.setattr(Draft, "seal", seals)
    return event


def test_an_input_that_changes_while_it_is_stored_is_said_once_for_each_call(changed):
    @env.task
    async def main() -> float:
        data = np.ones(COUNT)
        call = asyncio.create_task(spoils(data, 1.0))
        await asyncio.sleep(0)
        data[:] = 2
        changed.set()
        return await call

    with pytest.warns(UserWarning, match="An input of large.spoils was changed while it was being stored") as caught:
        flyte.run(main)
    assert len(caught) == 1


def test_a_result_that_changes_while_it_is_stored_is_said(changed):
    @env.task
    async def gives() -> np.ndarray:
        made = np.ones(COUNT)

        def change() -> None:
            made.fill(2)
            changed.set()

        asyncio.get_running_loop().call_soon(change)
        return made

    with pytest.warns(UserWarning, match="The result of large.gives was changed"):
        run = flyte.run(gives)
    assert set(run.outputs()[0]) <= {1.0, 2.0}


def test_what_is_changed_once_the_call_has_returned_is_nobody_elses_business():
    @env.task
    async def main() -> list[float]:
        data = np.ones(COUNT)
        sums = []
        for _ in range(3):
            sums.append(await spoils(data, 1.0))
            data += 1
        return sums

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert flyte.run(main).outputs()[0] == [COUNT, 2 * COUNT, 3 * COUNT]

"""Durable time: each answer is an action on record, under a name that does not change."""

from __future__ import annotations

import asyncio
import datetime as dt
import time

import pytest

import flyte_notebook as flyte
from flyte_notebook import durable

env = flyte.TaskEnvironment("durable")


def traces(run) -> list[tuple[str, str]]:
    return [(action.short_name, action.phase) for action in run.actions() if action.kind == "trace"]


def test_answers_are_on_record_in_async_tasks():
    @env.task
    async def main() -> bool:
        before = time.time()
        first, second = durable.time(), await durable.time.aio()
        await durable.sleep.aio(0.01)
        now = durable.now()
        return before <= first <= second <= now.timestamp() <= time.time() and now.tzinfo is None

    run = flyte.run(main)
    assert run.outputs()[0] is True
    assert traces(run) == [
        ("durable_time", "SUCCEEDED"),
        ("durable_time", "SUCCEEDED"),
        ("sleep_start", "SUCCEEDED"),
        ("durable_now", "SUCCEEDED"),
    ]


def test_answers_are_on_record_in_sync_tasks():
    @env.task
    def main() -> float:
        start = durable.time()
        durable.sleep(0.02)
        return durable.time() - start

    run = flyte.run(main)
    assert run.outputs()[0] >= 0.02
    assert [name for name, _ in traces(run)] == ["durable_time", "sleep_start", "durable_time"]


def test_calls_get_the_same_ids_in_every_run():
    @env.task
    async def main() -> None:
        durable.time()
        durable.time()
        await durable.sleep.aio(0)

    ids = [[action.id for action in flyte.run(main).actions()] for _ in range(2)]
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 4


def test_a_blocking_sleep_in_async_code_lets_other_tasks_go_on():
    order = []

    @env.task
    async def other() -> None:
        await asyncio.sleep(0.01)
        order.append("other")

    @env.task
    async def sleeper() -> None:
        durable.sleep(0.2)
        order.append("sleeper")

    @env.task
    async def main() -> None:
        await asyncio.gather(sleeper(), other())

    flyte.run(main)
    assert order == ["other", "sleeper"]


@pytest.mark.parametrize("seconds", [0, -5])
def test_a_sleep_that_is_over_returns_at_once(seconds):
    durable.sleep(seconds)


async def test_outside_a_run_they_are_the_plain_functions():
    assert isinstance(durable.time(), float)
    assert isinstance(await durable.now.aio(), dt.datetime)
    await durable.sleep.aio(0)

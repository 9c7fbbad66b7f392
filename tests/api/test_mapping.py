"""`flyte.map` and `flyte.map.aio`: order, concurrency, laziness, failures, leaving early."""

from __future__ import annotations

import asyncio
import functools
import itertools
import threading

import pytest

import flyte_notebook as flyte
from flyte_notebook import errors

env = flyte.TaskEnvironment("mapping")


@env.task
async def double(x: int) -> int:
    await asyncio.sleep(0.01 if x % 2 == 0 else 0)
    return x * 2


@env.task
def sync_double(x: int) -> int:
    return x * 2


@env.task
async def odd_fails(x: int) -> int:
    if x % 2:
        raise ValueError(f"odd {x}")
    return x


@env.task
async def slow(x: int) -> int:
    await asyncio.sleep(60 if x else 0)
    return x


@env.task
async def add(x: int, y: int) -> int:
    return x + y


@pytest.mark.parametrize("task", [double, sync_double])
@pytest.mark.parametrize("concurrency", [0, 1, 3])
def test_results_come_in_input_order(task, concurrency):
    @env.task
    async def main() -> list[int]:
        return [value async for value in flyte.map.aio(task, range(10), concurrency=concurrency)]

    assert flyte.run(main).outputs() == ([x * 2 for x in range(10)],)


@pytest.mark.parametrize("task", [double, sync_double])
def test_the_blocking_map_works_in_sync_and_in_async_bodies(task):
    @env.task
    def sync_main() -> list[int]:
        return list(flyte.map(task, range(5)))

    @env.task
    async def async_main() -> list[int]:
        return list(flyte.map(task, range(5)))

    expected = ([0, 2, 4, 6, 8],)
    assert flyte.run(sync_main).outputs() == expected
    assert flyte.run(async_main).outputs() == expected


def test_items_really_run_at_once():
    meeting = threading.Barrier(8, timeout=20)
    gathered = []

    @env.task
    def meets(x: int) -> int:
        gathered.append(meeting.wait())
        return x

    @env.task
    async def main() -> int:
        return sum([value async for value in flyte.map.aio(meets, range(8))])

    assert flyte.run(main).outputs() == (28,)
    assert sorted(gathered) == list(range(8))


@pytest.mark.parametrize("concurrency", [1, 4])
def test_no_more_than_concurrency_run_at_once(concurrency):
    running, most = [], []

    @env.task
    async def counted(x: int) -> int:
        running.append(x)
        most.append(len(running))
        await asyncio.sleep(0.005)
        running.remove(x)
        return x

    @env.task
    async def main() -> int:
        return sum([value async for value in flyte.map.aio(counted, range(20), concurrency=concurrency)])

    assert flyte.run(main).outputs() == (190,)
    assert max(most) == concurrency


def test_an_endless_input_is_read_only_as_far_as_needed():
    @env.task
    async def main() -> list[int]:
        found = []
        async for value in flyte.map.aio(sync_double, itertools.count(), concurrency=2):
            found.append(value)
            if len(found) == 3:
                break
        return found

    assert flyte.run(main).outputs() == ([0, 2, 4],)


def test_failures_come_as_values_by_default():
    @env.task
    async def main() -> list[str]:
        return [repr(value) async for value in flyte.map.aio(odd_fails, range(4))]

    assert flyte.run(main).outputs()[0] == ["0", "RuntimeUserError('odd 1')", "2", "RuntimeUserError('odd 3')"]


def test_a_failure_can_be_raised_and_aborts_the_rest():
    at_work = []

    @env.task
    async def item(x: int) -> int:
        at_work.append(x)
        while len(at_work) < 5:
            await asyncio.sleep(0)
        if x == 1:
            raise ValueError("one")
        await asyncio.sleep(60 if x > 1 else 0)
        return x

    @env.task
    async def main() -> list[int]:
        return [value async for value in flyte.map.aio(item, range(5), return_exceptions=False)]

    with pytest.raises(errors.RuntimeUserError, match="one"):
        flyte.run(main)
    assert [str(action.phase) for action in flyte.runs()[0].actions()[1:]] == [
        "SUCCEEDED",
        "FAILED",
        "ABORTED",
        "ABORTED",
        "ABORTED",
    ]


@pytest.mark.parametrize("blocking", [True, False])
def test_leaving_early_aborts_what_is_still_running(blocking):
    @env.task
    async def async_main() -> int:
        async for value in flyte.map.aio(slow, range(5)):
            break
        return value

    @env.task
    def sync_main() -> int:
        for value in flyte.map(slow, range(5)):
            break
        return value

    run = flyte.run(sync_main if blocking else async_main)
    assert run.outputs() == (0,)
    assert sorted(str(action.phase) for action in run.actions()[1:]) == ["ABORTED"] * 4 + ["SUCCEEDED"]


def test_several_inputs_are_zipped_to_the_shortest():
    @env.task
    async def main() -> list[int]:
        return [value async for value in flyte.map.aio(add, [1, 2, 3], [10, 20])]

    assert flyte.run(main).outputs() == ([11, 22],)


def test_a_partial_must_leave_exactly_one_parameter():
    @env.task
    async def main() -> list[int]:
        return [value async for value in flyte.map.aio(functools.partial(add, y=5), [1, 2])]

    assert flyte.run(main).outputs() == ([6, 7],)
    with pytest.raises(
        TypeError,
        match="Partial function must leave exactly one parameter unspecified for mapping. Found 2 unspecified",
    ):
        flyte.map(functools.partial(add), [1])
    with pytest.raises(TypeError, match="both as positional argument and keyword"):
        flyte.map(functools.partial(add, x=5), [1])


def test_what_is_no_task_and_a_negative_concurrency_are_refused():
    with pytest.raises(TypeError, match="takes a task"):
        flyte.map(len, ["a"])
    with pytest.raises(ValueError, match="concurrency"):
        flyte.map(double, [1], concurrency=-1)


def test_the_items_share_a_group_and_the_consumer_is_not_in_it():
    @env.task
    async def main() -> int:
        total = 0
        async for value in flyte.map.aio(sync_double, [1, 2], group_name="halves"):
            total += await add(value, 1)
        return total

    run = flyte.run(main)
    assert [(a.short_name, a.group) for a in run.actions() if a.short_name != "main"] == [
        ("sync_double", "mapping.sync_double_halves"),
        ("sync_double", "mapping.sync_double_halves"),
        ("add", None),
        ("add", None),
    ]


def test_outside_a_run_it_is_a_plain_map():
    assert list(flyte.map(sync_double, [1, 2])) == [2, 4]
    assert list(flyte.map(double, [1, 2])) == [2, 4]
    assert flyte.runs() == []

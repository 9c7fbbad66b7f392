"""Wide, deep, mixed and nested: no deadlock, no leak, no mixing of runs."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
import threading
import time

import anyio
import pytest

import flyte_notebook as flyte
from flyte_notebook import errors
from tests.loops import begun, journal_caught_up, run_async

env = flyte.TaskEnvironment("wide")


@env.task
async def plus(x: int) -> int:
    return x + 1


@env.task
def sync_plus(x: int) -> int:
    return x + 1


@env.task
def countdown(n: int) -> int:
    return 0 if n == 0 else 1 + countdown(n - 1)


def threads() -> list[str]:
    """The names of the threads that are alive once idle ones have had time to end."""
    deadline = time.monotonic() + 10
    while threading.active_count() > 1 and time.monotonic() < deadline:
        time.sleep(0.05)
    return [thread.name for thread in threading.enumerate()]


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_sync_recursion_of_200_levels_ends():
    assert flyte.run(countdown, n=200).outputs() == (200,)


def test_a_thousand_sync_tasks_at_once_leave_no_thread_and_no_file_open():
    @env.task
    async def main(n: int) -> int:
        return sum(await asyncio.gather(*(sync_plus.aio(i) for i in range(n))))

    flyte.run(main, n=1)
    assert threads() == ["MainThread"]
    before = open_files()
    assert flyte.run(main, n=1000).outputs() == (500_500,)
    assert threads() == ["MainThread"]
    assert open_files() <= before


def test_ten_thousand_async_tasks_at_once_all_end():
    @env.task
    async def main(n: int) -> int:
        return sum(await asyncio.gather(*(plus(i) for i in range(n))))

    run = flyte.run(main, n=10_000)
    assert run.outputs() == (50_005_000,)
    assert len(run.actions()) == 10_001


def test_many_sync_parents_that_wait_for_sync_children_do_not_deadlock():
    @env.task
    def parent(x: int) -> int:
        return sync_plus(sync_plus(x))

    @env.task
    async def main(n: int) -> int:
        return sum(await asyncio.gather(*(parent.aio(i) for i in range(n))))

    assert flyte.run(main, n=300).outputs() == (sum(range(300)) + 600,)


def test_a_bare_sync_call_on_the_loop_nests_and_says_so_once():
    @env.task
    async def main(x: int) -> int:
        return sync_plus(x) + sync_plus(x + 1)

    scratch = flyte.TaskEnvironment("bare-calls")

    @scratch.task
    def step(x: int) -> int:
        return x

    @scratch.task
    async def caller(x: int) -> int:
        return step(x) + step(x)

    with pytest.warns(UserWarning, match=r"await step\.aio") as remarks:
        assert flyte.run(caller, x=2).outputs() == (4,)
    assert len(remarks) == 1


def test_too_many_nested_sync_calls_are_refused_with_the_way_out():
    scratch = flyte.TaskEnvironment("nesting")

    @scratch.task
    def leaf(depth: int) -> int:
        return asyncio.run(stem(depth))

    @scratch.task
    async def branch(depth: int) -> int:
        return 0 if depth == 0 else 1 + leaf_on_loop(depth - 1)

    async def stem(depth: int) -> int:
        return depth

    @scratch.task
    def leaf_on_loop(depth: int) -> int:
        return branch_sync(depth)

    def branch_sync(depth: int) -> int:
        return asyncio.run(branch(depth))

    with pytest.warns(UserWarning), pytest.raises(errors.RuntimeUserError) as caught:
        flyte.run(branch, depth=60)
    assert caught.value.code == "SyncTaskCallInAsyncContextError"
    assert ".aio" in str(caught.value)


def test_asyncio_run_inside_a_sync_body_reaches_tasks_and_closes_its_loop():
    @env.task
    def main(n: int) -> int:
        async def work() -> int:
            return sum(await asyncio.gather(*(plus(i) for i in range(n))))

        return asyncio.run(work())

    run = flyte.run(main, n=5)
    assert run.outputs() == (15,)
    assert [action.short_name for action in run.actions()] == ["main", *["plus"] * 5]
    assert threads() == ["MainThread"]
    before = open_files()
    for _ in range(5):
        flyte.run(main, n=5)
    assert threads() == ["MainThread"]
    assert open_files() == before


def test_nested_runs_are_runs_of_their_own():
    @env.task
    async def main(x: int) -> int:
        nested = flyte.run(plus, x=x)
        awaited = await flyte.run.aio(plus, x=x)
        return nested.outputs()[0] + awaited.outputs()[0]

    assert flyte.run(main, x=1).outputs() == (4,)
    assert sorted(len(run.actions()) for run in flyte.runs()) == [1, 1, 1]


def test_two_runs_at_once_never_mix():
    @env.task
    async def main(n: int) -> int:
        total = 0
        for i in range(n):
            total += await plus(i)
            await asyncio.sleep(0)
        return total

    async def both() -> list[flyte.Run]:
        return list(await asyncio.gather(flyte.run.aio(main, n=20), flyte.run.aio(main, n=30)))

    first, second = run_async(both())
    assert [len(first.actions()), len(second.actions())] == [21, 31]


def test_runs_in_two_threads_at_once_never_mix():
    found: dict[int, flyte.Run] = {}

    def work(n: int) -> None:
        found[n] = flyte.run(countdown, n=n)

    both = [threading.Thread(target=work, args=(n,)) for n in (10, 20)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert {n: len(run.actions()) for n, run in found.items()} == {10: 11, 20: 21}


def test_anyio_groups_timeouts_and_cancel_scopes_work_inside_a_task():
    @env.task
    async def slow() -> int:
        await anyio.sleep(60)
        return 1

    @env.task
    async def main() -> list[str]:
        seen = []
        await journal_caught_up()
        with anyio.move_on_after(0.05) as scope:
            await slow()
        seen.append(f"moved on {scope.cancelled_caught}")
        await journal_caught_up()
        try:
            with anyio.fail_after(0.05):
                await slow()
        except TimeoutError:
            seen.append("timed out")
        async with anyio.create_task_group() as group:
            group.start_soon(plus, 1)
            group.start_soon(slow)
            await begun("slow")
            group.cancel_scope.cancel()
        return seen

    run = flyte.run(main)
    assert run.outputs() == (["moved on True", "timed out"],)
    assert sorted(action.phase for action in run.actions() if action.short_name == "slow") == ["ABORTED"] * 3


def test_an_anyio_group_gives_the_users_errors_in_a_group():
    @env.task
    async def fails(x: int) -> int:
        raise ValueError(str(x))

    @env.task
    async def main() -> list[str]:
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(fails, 1)
        except ExceptionGroup as found:
            return [type(error).__name__ for error in found.exceptions]
        return []

    assert flyte.run(main).outputs() == (["RuntimeUserError"],)


FIRST_NESTING = """
    import asyncio, warnings
    import flyte_notebook as flyte
    warnings.simplefilter("ignore")
    env = flyte.TaskEnvironment("script")

    @env.task
    def sync(x: int) -> int:
        return x + 1

    @env.task
    async def calls(x: int) -> int:
        if x == 0:
            return sync(x)
        await asyncio.sleep(0.3)
        return x

    @env.task
    async def main(n: int) -> int:
        return sum(await asyncio.gather(*(calls(i) for i in range(n))))

    print(flyte.run(main, n=20).outputs()[0])
"""


def test_a_loop_that_is_nested_for_the_first_time_goes_on():
    """Of a script: the round of callbacks that is under way is still asyncio's own when the loop becomes reentrant."""
    command = [sys.executable, "-c", textwrap.dedent(FIRST_NESTING)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("191\n", "")

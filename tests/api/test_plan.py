"""The numbers on the buttons of a failed tree: what resuming would run."""

from __future__ import annotations

import asyncio
import contextlib
import gc

import pytest

import flyte_notebook as flyte
from flyte_notebook import errors
from flyte_notebook.api.plan import Plan, _count, plan
from flyte_notebook.api.run import Run
from flyte_notebook.record.history import Standing
from flyte_notebook.record.model import Phase
from flyte_notebook.record.store import open_store
from tests.loops import begun, run_async


class Failing:
    """What makes items fail; an attribute, and so no part of a task's identity."""

    at: frozenset[int] = frozenset()


def program(edited: str = "", fail: tuple[int, ...] = (7,)):
    """A fan-out of ten; of the tasks named in `edited` the code is another."""
    Failing.at = frozenset(fail)
    env = flyte.TaskEnvironment("planned")
    step_offset = "step" in edited
    item_offset = "item" in edited
    main_offset = "main" in edited

    @env.task
    async def step(n: int) -> int:
        if n in Failing.at:
            raise ValueError(f"bad step {n}")
        return n + step_offset

    @env.task
    async def item(n: int) -> int:
        return await step(n) + item_offset

    @env.task
    async def main(n: int, tolerant: bool = False) -> int:
        total = 0
        for i in range(n):
            try:
                total += await item(i)
            except errors.RuntimeUserError:
                if not tolerant:
                    raise
        if tolerant:
            raise ValueError(f"in the end {main_offset}")
        return total

    return env, step, item, main


def failed(task, **inputs):
    with pytest.raises(errors.RuntimeUserError):
        flyte.run(task, **inputs)
    return flyte.runs()[0]


def counted(run) -> tuple[int, int]:
    return tuple(run_async(plan(run)))


def test_of_what_failed_only_the_innermost_counts():
    kept = program()
    assert counted(failed(kept[-1], n=10)) == (1, 1)


def test_successes_count_whose_code_is_another_now():
    first = program()
    run = failed(first[-1], n=10)
    second = program(edited="item")
    # Seven items; what they called is unchanged, and was called by them.
    assert counted(run) == Plan(changed=8, keep=1)
    third = program(edited="step")
    # Seven steps and the items that used them.
    assert counted(run) == (15, 1)
    fourth = program(edited="main")
    assert counted(run) == (1, 1)
    del first, second, third, fourth


def test_what_is_below_an_unchanged_success_comes_along():
    kept = program(edited="", fail=(3, 5))
    run = failed(kept[-1], n=8, tolerant=True)
    # Items 3 and 5 had failed, and were not what ended the run; still they are not on record as done.
    assert counted(run) == (2, 2)


def test_what_its_caller_had_cancelled_counts():
    env = flyte.TaskEnvironment("cancelled")

    @env.task
    async def catches() -> int:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        return -1

    @env.task
    async def main() -> int:
        call = asyncio.ensure_future(catches())
        await begun("catches")
        call.cancel()
        await call
        raise ValueError

    run = failed(main)
    assert {str(action.phase) for action in run.actions()} == {"SUCCEEDED", "FAILED"}
    # As often as `main`, which failed by itself, and what it called.
    assert counted(run) == (2, 2)


def test_a_task_that_is_not_defined_any_more_counts_for_nothing():
    kept = program()
    run = failed(kept[-1], n=10)
    del kept
    gc.collect()
    assert counted(run) == (1, 1)


def test_a_caught_failure_below_a_success_is_part_of_it():
    env = flyte.TaskEnvironment("caught")

    @env.task
    async def bad() -> int:
        raise ValueError("caught")

    @env.task
    async def careful() -> int:
        try:
            return await bad()
        except errors.RuntimeUserError:
            return 0

    @env.task
    async def main() -> int:
        await careful()
        raise ValueError("its own")

    assert counted(failed(main)) == (1, 1)


def test_a_run_whose_cell_failed_and_nothing_else_has_nothing_to_run():
    env = flyte.TaskEnvironment("fine")

    @env.task
    async def fine() -> int:
        return 1

    flyte.run(fine)
    assert counted(flyte.runs()[0]) == (0, 0)


def test_actions_that_were_cut_off_count_too():

    cut = [
        Standing("m", None, "e.main", "task", Phase.RUNNING, None),
        Standing("a", "m", "e.item", "task", Phase.SUCCEEDED, "f"),
        Standing("b", "m", "e.item", "task", Phase.RUNNING, None),
        Standing("c", "m", "e.item", "task", Phase.QUEUED, None),
    ]
    assert _count(cut, lambda _: True) == 2
    assert _count(cut, lambda _: False) == 3


def test_a_run_that_is_not_on_record_is_named():
    program()
    with pytest.raises(errors.RunNotFoundError, match="nobody-abc123"):
        counted(Run("nobody-abc123", open_store()))

"""Retries, timeouts and the cache."""

from __future__ import annotations

import asyncio
import datetime as dt
import time

import pytest

import flyte_notebook as flyte
from flyte_notebook import errors

SOON = flyte.RetryStrategy(count=2, backoff=flyte.Backoff(base=dt.timedelta(0)))


def test_a_failed_body_is_tried_again_with_fresh_inputs_and_numbered_attempts():
    env = flyte.TaskEnvironment("retrying")

    @env.task(retries=SOON)
    async def flaky(seen: list[int]) -> list[int]:
        attempt = flyte.ctx().attempt_number
        seen.append(attempt)
        if attempt < 2:
            raise ValueError(f"attempt {attempt}")
        return seen

    run = flyte.run(flaky, seen=[])
    assert run.outputs() == ([2],)
    assert run.actions()[0].attempts == 3


def test_the_last_error_is_the_one_that_counts():
    env = flyte.TaskEnvironment("retrying")

    @env.task(retries=SOON)
    def flaky() -> int:
        raise ValueError(f"attempt {flyte.ctx().attempt_number}")

    with pytest.raises(errors.RuntimeUserError, match="attempt 2"):
        flyte.run(flaky)
    assert flyte.runs()[0].actions()[0].attempts == 3


def test_a_non_recoverable_error_is_not_tried_again():
    env = flyte.TaskEnvironment("retrying")

    @env.task(retries=SOON)
    async def hopeless() -> int:
        raise errors.NonRecoverableError("give up")

    with pytest.raises(errors.NonRecoverableError):
        flyte.run(hopeless)
    assert flyte.runs()[0].actions()[0].attempts == 1


def test_override_can_reset_the_retries():
    env = flyte.TaskEnvironment("retrying")

    @env.task(retries=SOON)
    async def hopeless() -> int:
        raise ValueError("x")

    with pytest.raises(errors.RuntimeUserError):
        flyte.run(hopeless.override(retries=0))
    assert flyte.runs()[0].actions()[0].attempts == 1


@pytest.mark.parametrize("is_async", [True, False])
def test_a_timeout_fires_and_says_how_long_it_was(is_async):
    env = flyte.TaskEnvironment("timing")

    @env.task(timeout=dt.timedelta(seconds=0.1))
    async def slow() -> int:
        await asyncio.sleep(60)
        return 1

    @env.task(timeout=dt.timedelta(seconds=0.1))
    def sync_slow() -> int:
        time.sleep(0.5)
        return 1

    with pytest.raises(errors.TaskTimeoutError, match=r"0\.1 s"):
        flyte.run(slow if is_async else sync_slow)
    assert flyte.runs()[0].actions()[0].phase == "TIMED_OUT"


def test_a_timeout_interrupts_a_body_that_waits_in_a_nested_call():
    env = flyte.TaskEnvironment("timing")

    @env.task
    async def slow() -> int:
        await asyncio.sleep(60)
        return 1

    @env.task(timeout=dt.timedelta(seconds=0.1))
    async def nests() -> int:
        return flyte.run(slow).outputs()[0]

    with pytest.raises(errors.TaskTimeoutError):
        flyte.run(nests)


def test_a_deadline_bounds_all_attempts_together():
    env = flyte.TaskEnvironment("timing")

    @env.task(timeout=flyte.Timeout(deadline=dt.timedelta(seconds=0.2)), retries=1000)
    async def hopeless() -> int:
        raise ValueError("x")

    with pytest.raises(errors.DeadlineExceededError):
        flyte.run(hopeless)


def test_the_waiting_time_can_be_bounded_too():
    env = flyte.TaskEnvironment("timing")

    @env.task
    def busy() -> int:
        time.sleep(0.5)
        return 1

    @env.task(timeout=flyte.Timeout(max_queued_time=dt.timedelta(seconds=0.1)))
    def waiting() -> int:
        return 1

    @env.task
    async def main() -> list[str]:
        found = await asyncio.gather(busy.aio(), waiting.aio(), return_exceptions=True)
        return [type(value).__name__ for value in found]

    run = flyte.with_runcontext(max_action_concurrency=1).run(main)
    assert run.outputs() == (["int", "MaxQueuedTimeExceededError"],)


def _doubling(cache: object) -> flyte.TaskTemplate:
    env = flyte.TaskEnvironment("caching")

    @env.task(cache=cache)
    async def step(x: int) -> int:
        return x * 2

    return step


def _attempts(*runs: flyte.Run) -> list[int]:
    """How often the body of each run's first action was run."""
    return [run.actions()[0].attempts for run in runs]


def test_a_cached_success_is_reused_by_the_next_run_and_marked():
    step = _doubling("auto")
    first, second = flyte.run(step, x=3), flyte.run(step, x=3)
    assert first.outputs() == second.outputs() == (6,)
    assert [(a.cached, a.attempts, a.phase) for a in first.actions()] == [(False, 1, "SUCCEEDED")]
    assert [(a.cached, a.attempts, a.phase) for a in second.actions()] == [(True, 0, "SUCCEEDED")]


def test_other_inputs_are_another_key():
    step = _doubling("auto")
    assert _attempts(flyte.run(step, x=3), flyte.run(step, x=4)) == [1, 1]


@pytest.mark.parametrize("cache", ["override", "disable"])
def test_override_and_disable_run_each_time(cache):
    step = _doubling(cache)
    assert _attempts(flyte.run(step, x=3), flyte.run(step, x=3)) == [1, 1]


def test_what_override_recorded_is_reused_by_auto():
    step = _doubling("override")
    flyte.run(step, x=3)
    assert _attempts(flyte.run(step.override(cache="auto"), x=3)) == [0]


def test_a_declared_version_stands_for_the_code():
    env = flyte.TaskEnvironment("caching")

    def define(factor: int, version: str) -> flyte.TaskTemplate:
        @env.task(cache=flyte.Cache("auto", version_override=version))
        async def step(x: int) -> int:
            return x * factor

        return step

    assert flyte.run(define(2, "v1"), x=3).outputs() == (6,)
    assert flyte.run(define(5, "v1"), x=3).outputs() == (6,)
    assert flyte.run(define(5, "v2"), x=3).outputs() == (15,)


def test_a_run_may_refuse_to_reuse():
    step = _doubling("auto")
    first = flyte.run(step, x=3)
    again = flyte.with_runcontext(overwrite_cache=True).run(step, x=3)
    apart = flyte.with_runcontext(disable_run_cache=True).run(step, x=3)
    assert _attempts(first, again, apart, flyte.run(step, x=3)) == [1, 1, 1, 0]


def test_a_failure_is_never_cached():
    env = flyte.TaskEnvironment("caching")
    attempts = []

    @env.task(cache=flyte.Cache("auto", version_override="1"))
    async def flaky(x: int) -> int:
        attempts.append(x)
        if len(attempts) == 1:
            raise ValueError("first")
        return x

    with pytest.raises(errors.RuntimeUserError):
        flyte.run(flaky, x=1)
    assert flyte.run(flaky, x=1).outputs() == (1,)
    assert attempts == [1, 1]


def test_a_result_is_reused_within_the_same_run_too():
    step = _doubling("auto")
    env = flyte.TaskEnvironment("callers")

    @env.task
    async def main() -> int:
        return await step(1) + await step(1)

    run = flyte.run(main)
    assert run.outputs() == (4,)
    assert [action.cached for action in run.actions()] == [False, False, True]

"""Retries and timeouts."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import time

import pytest

import flyte_notebook as flyte
from flyte_notebook import errors
from flyte_notebook.engine.bridge import patch_loop
from tests.loops import run_async

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


@pytest.mark.parametrize("through", ["run", "call"])
def test_a_body_whose_time_ran_out_in_a_nested_call_is_tried_again(through):
    env = flyte.TaskEnvironment("timing")

    @env.task
    async def slow() -> int:
        await asyncio.sleep(60)
        return 1

    @env.task
    def sync_slow() -> int:
        time.sleep(0.3)
        return 1

    @env.task(timeout=dt.timedelta(seconds=0.1), retries=SOON)
    async def nests() -> int:
        if flyte.ctx().attempt_number < 2:
            return flyte.run(slow).outputs()[0] if through == "run" else sync_slow()
        return 42

    @env.task
    async def main() -> int:
        return await nests()

    run = flyte.run(main)
    assert run.outputs() == (42,)
    assert [action.attempts for action in run.actions() if action.short_name == "nests"] == [3]


@pytest.mark.parametrize("through", ["await", "run", "asyncio.run"])
@pytest.mark.parametrize("bound", ["max_runtime", "deadline"])
def test_a_body_that_catches_its_timeout_and_returns_has_timed_out(bound, through):
    env = flyte.TaskEnvironment("timing")

    @env.task
    async def slow() -> int:
        await asyncio.sleep(60)
        return 1

    @env.task(timeout=flyte.Timeout(**{bound: dt.timedelta(seconds=0.1)}), cache="auto")
    async def load() -> int:
        with contextlib.suppress(BaseException):
            match through:
                case "await":
                    await slow()
                case "run":
                    flyte.run(slow)
                case "asyncio.run":
                    asyncio.run(asyncio.sleep(60))
        return -1

    for _ in range(2):
        with pytest.raises(errors.TaskTimeoutError):
            flyte.run(load)
        phases = {action.short_name: action.phase for run in flyte.runs() for action in run.actions()}
        assert (phases.pop("load"), set(phases.values()) - {"ABORTED"}) == ("TIMED_OUT", set())


def test_a_body_that_catches_its_timeout_and_returns_is_tried_again():
    env = flyte.TaskEnvironment("timing")

    @env.task(timeout=dt.timedelta(seconds=0.1), retries=SOON)
    async def load() -> int:
        attempt = flyte.ctx().attempt_number
        if attempt < 2:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
        return attempt

    run = flyte.run(load)
    assert run.outputs() == (2,)
    assert run.actions()[0].attempts == 3


def test_a_result_that_comes_although_the_time_has_run_out_unheard_is_a_result():
    env = flyte.TaskEnvironment("timing")

    @env.task(timeout=dt.timedelta(seconds=0.01))
    async def blocks() -> int:
        loop = asyncio.get_running_loop()
        loop.call_later(0.02, (done := loop.create_future()).set_result, 42)
        return loop.run_until_complete(done)

    @env.task
    async def main() -> int:
        return await blocks()

    async def script() -> flyte.Run:
        patch_loop()
        return await flyte.run.aio(main)

    run = run_async(script())
    assert run.outputs() == (42,)
    assert {str(action.phase) for action in run.actions()} == {"SUCCEEDED"}


def test_a_body_that_timed_out_in_a_nested_call_and_left_a_child_has_timed_out():
    env = flyte.TaskEnvironment("timing")

    @env.task
    async def slow() -> int:
        await asyncio.sleep(60)
        return 1

    @env.task
    async def tidies() -> int:
        try:
            return await slow()
        finally:
            await asyncio.sleep(0.01)

    @env.task(timeout=dt.timedelta(seconds=0.5))
    async def nests() -> int:
        forgotten = asyncio.create_task(tidies.aio())
        flyte.run(slow)
        return await forgotten

    with pytest.raises(errors.TaskTimeoutError):
        flyte.run(nests)
    phases = {action.short_name: action.phase for run in flyte.runs() for action in run.actions()}
    assert phases == {"nests": "TIMED_OUT", "slow": "ABORTED", "tidies": "ABORTED"}


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

"""The cache: a recorded success stands for an equal call of any run, as the task and the run have asked for it."""

from __future__ import annotations

import datetime as dt

import pytest

import flyte_notebook as flyte
from flyte_notebook import errors
from flyte_notebook.record.store import open_store


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


def test_a_result_of_another_type_is_not_reused_under_a_declared_version():
    env = flyte.TaskEnvironment("caching")

    def define(kind: type) -> flyte.TaskTemplate:
        async def step(x: int):
            return kind(x)

        step.__annotations__["return"] = kind
        return env.task(cache=flyte.Cache("auto", version_override="1"))(step)

    assert flyte.run(define(int), x=3).outputs() == (3,)
    second, third = flyte.run(define(str), x=3), flyte.run(define(str), x=3)
    assert second.outputs() == third.outputs() == ("3",)
    assert _attempts(second, third) == [1, 0]


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


# --- max_age ----------------------------------------------------------------------------------------------------------


def grow_older(seconds: float) -> None:
    """Everything on record ended `seconds` earlier than it did."""
    with open_store().journal.reading() as connection:
        connection.execute("UPDATE actions SET ended = ended - ?", (seconds,))


@pytest.mark.parametrize("max_age", [60, dt.timedelta(minutes=1)])
def test_a_result_is_reused_until_it_is_older_than_its_max_age(max_age):
    step = _doubling(flyte.Cache("auto", max_age=max_age))
    first, second = flyte.run(step, x=3), flyte.run(step, x=3)
    grow_older(50)
    third = flyte.run(step, x=3)
    grow_older(20)
    fourth, fifth = flyte.run(step, x=3), flyte.run(step, x=3)
    assert _attempts(first, second, third, fourth, fifth) == [1, 0, 0, 1, 0]


@pytest.mark.parametrize("max_age", [None, 0, dt.timedelta(0)])
def test_without_a_max_age_results_do_not_age(max_age):
    step = _doubling(flyte.Cache("auto", max_age=max_age))
    flyte.run(step, x=3)
    grow_older(10 * 365 * 86400)
    assert _attempts(flyte.run(step, x=3)) == [0]


def test_reusing_a_result_makes_it_no_younger():
    step = _doubling(flyte.Cache("auto", max_age=60))
    flyte.run(step, x=3)
    grow_older(40)
    assert _attempts(flyte.run(step, x=3)) == [0]
    grow_older(40)
    assert _attempts(flyte.run(step, x=3)) == [1]


def test_the_age_that_counts_is_the_callers():
    step = _doubling("auto")
    flyte.run(step, x=3)
    grow_older(100)
    assert _attempts(flyte.run(step.override(cache=flyte.Cache("auto", max_age=60)), x=3)) == [1]
    grow_older(30)
    assert _attempts(flyte.run(step.override(cache=flyte.Cache("auto", max_age=60)), x=3)) == [0]


def test_a_success_that_is_not_committed_yet_is_young_enough():
    step = _doubling(flyte.Cache("auto", max_age=60))
    env = flyte.TaskEnvironment("callers")

    @env.task
    async def main() -> list[int]:
        with open_store().journal._writer._writing:
            return [await step(3), await step(3)]

    assert [action.cached for action in flyte.run(main).actions()] == [False, False, True]


def test_a_policy_that_fails_fails_the_action_too():
    class Bad:
        def get_version(self, salt: str, params: object) -> str:
            raise OSError("no version")

    step = _doubling(flyte.Cache("auto", policies=Bad()))
    with pytest.raises(ValueError, match="Failed to generate version"):
        flyte.run(step, x=1)
    (action,) = flyte.runs()[0].actions()
    assert action.phase == "FAILED"
    assert "Failed to generate version" in action.error

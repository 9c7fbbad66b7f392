"""The machine's clock set back and forth: what is on record stays in order, and durations stay durations."""

from __future__ import annotations

import time

import pytest

import flyte_notebook as flyte
from flyte_notebook import durable, errors
from flyte_notebook.record.store import open_store

env = flyte.TaskEnvironment("clocks")


class Clock:
    """The machine's, which somebody sets; no part of a task's identity."""

    def __init__(self):
        self.read = time.time
        self.ahead = 0.0

    def time(self):
        return self.read() + self.ahead


clock = Clock()


@pytest.fixture(autouse=True)
def a_clock_to_set(monkeypatch):
    monkeypatch.setattr(clock, "ahead", 0.0)
    monkeypatch.setattr(time, "time", clock.time)


@env.task
async def leaf(n: int) -> int:
    return n


@env.task
async def sets(n: int) -> int:
    for i in range(n):
        await leaf(i)
        # Back by an hour, and forth, and back again.
        clock.ahead += -3600.0 if i % 2 else 1800.0
    return n


@env.task
async def within(n: int) -> int:
    clock.ahead -= 3600.0
    run = await flyte.run.aio(leaf, n=n)
    clock.ahead += 86400.0
    return run.outputs()[0]


def test_times_of_a_run_stay_in_order_while_the_clock_is_set():
    before = time.time()
    run = flyte.run(sets, n=20)
    actions = run.actions()
    starts = [action.started_at for action in actions]
    assert starts == sorted(starts)
    assert [action.short_name for action in actions] == ["sets"] + ["leaf"] * 20
    assert all(action.started_at <= action.ended_at for action in actions)
    record = run.record
    assert before - 1 <= record.started_at.timestamp() <= starts[0].timestamp()
    assert record.ended_at >= max(action.ended_at for action in actions)
    # Hours were set, and none of them has passed.
    assert (record.ended_at - record.started_at).total_seconds() < 600


def test_a_run_within_a_run_has_its_clock():
    flyte.run(within, n=7)
    inner, outer = (run.record for run in flyte.runs())
    assert outer.started_at <= inner.started_at <= inner.ended_at <= outer.ended_at


def test_the_newest_run_is_the_last_also_when_the_clock_was_set_back():
    names = []
    # The jump by a day is also what a kernel sees on a laptop that slept.
    for ahead in (0.0, -7200.0, -100.0, 86400.0, -86400.0):
        clock.ahead = ahead
        run = flyte.run(leaf, n=1)
        names.append(run.name)
        # Each tells the time of day as it was then.
        assert abs(run.record.started_at.timestamp() - time.time()) < 60
    assert [run.name for run in flyte.runs()] == names[::-1]
    assert open_store().journal.find("").name == names[-1]
    with pytest.raises(errors.RunNotFoundError) as missing:
        open_store().journal.run("nothing")
    assert missing.value.args[0].index(names[-1]) < missing.value.args[0].index(names[0])


def test_what_is_cached_stays_so_when_the_clock_is_set_back():
    @env.task(cache=flyte.Cache("auto", max_age=60))
    async def aged(n: int) -> int:
        return n

    def cached(ahead):
        clock.ahead = ahead
        return flyte.run(aged, n=1).actions()[0].cached

    assert [cached(0.0), cached(-3600.0), cached(30.0), cached(3600.0)] == [False, True, True, False]


def test_a_durable_sleep_is_no_longer_than_asked_for_when_the_clock_was_set_back():
    failing = [True]

    @env.task
    async def sleeper(n: int) -> int:
        await durable.sleep.aio(0.01)
        if failing:
            failing.pop()
            raise ValueError("awake")
        return n

    with pytest.raises(errors.RuntimeUserError):
        flyte.run(sleeper, n=1)
    clock.ahead = -86400.0
    # Not a day.
    assert flyte.runs()[0].resume().outputs()[0] == 1

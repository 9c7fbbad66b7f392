"""`Cache(serialize=True)`: of equal calls at the same time one runs, wherever they are made, and nobody waits in vain."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

import flyte_notebook as flyte
from flyte_notebook import errors
from flyte_notebook.engine import reservations
from flyte_notebook.engine.context import Call
from flyte_notebook.engine.runs import live_runs
from flyte_notebook.record import lockfile
from flyte_notebook.record.store import open_store
from tests.loops import run_async

ONCE = flyte.Cache("auto", version_override="1", serialize=True)
env = flyte.TaskEnvironment("serialized")
callers = flyte.TaskEnvironment("callers")


@pytest.fixture(autouse=True)
def _nothing_is_left():
    yield
    open_store().journal.flush().result(20)
    assert reservations._queues == {}
    assert [path for path in lockfile._files if path.name == "reservations"] == []


@dataclass
class Body:
    """A task that says how often it ran, how many of it at once, and does as it is told."""

    cache: flyte.Cache = field(default_factory=lambda: ONCE)
    outcomes: list[object] = field(default_factory=list)
    """What the bodies do, in order: an exception to raise, an event to wait for; afterwards they just return."""
    together: int = 0
    """A body goes on when so many have been at work at once."""
    ran: Counter[int] = field(default_factory=Counter)
    running: Counter[int] = field(default_factory=Counter)
    most: int = 0
    started: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        @env.task(cache=self.cache)
        async def step(x: int) -> int:
            return await self.act(x)

        self.step = step

    async def act(self, x: int) -> int:
        self.ran[x] += 1
        self.running[x] += 1
        self.most = max(self.most, self.running[x])
        self.started.set()
        try:
            outcome = self.outcomes.pop(0) if self.outcomes else None
            await asyncio.sleep(0.01)
            while self.most < self.together:
                await asyncio.sleep(0.001)
            if isinstance(outcome, Exception):
                raise outcome
            if isinstance(outcome, asyncio.Event):
                await outcome.wait()
            return x * 2
        finally:
            self.running[x] -= 1


def caller(body: Body, times: int):
    """A task that calls the body so many times, all at once."""

    @callers.task
    async def main() -> list[str]:
        found = await asyncio.gather(*(body.step(3) for _ in range(times)), return_exceptions=True)
        return [str(one) for one in found]

    return main


async def settle(rounds: int = 20) -> None:
    for _ in range(rounds):
        await asyncio.sleep(0)


async def waiting_calls(number: int) -> list[Call]:
    """The calls that wait for an equal one, once there are so many: where the journal is busy that takes a while."""
    while True:
        calls = [call for run in tuple(live_runs.values()) for call in run.calls.values()]
        found = [call for call in calls if call.task_name == "serialized.step" and not call.attempt]
        if len(found) == number:
            await settle()
            return found
        await asyncio.sleep(0.001)


# --- one runs ---------------------------------------------------------------------------------------------------------


def test_equal_calls_of_one_run_run_once():
    body = Body()
    run = flyte.run(caller(body, times=50))
    assert run.outputs() == (["6"] * 50,)
    assert body.ran == {3: 1}
    assert Counter((a.cached, a.attempts) for a in run.actions()[1:]) == {(False, 1): 1, (True, 0): 49}


def test_equal_calls_of_two_runs_run_once():
    body = Body()

    async def both():
        return await asyncio.gather(flyte.run.aio(body.step, x=3), flyte.run.aio(body.step, x=3))

    first, second = run_async(both())
    assert first.outputs() == second.outputs() == (6,)
    assert body.ran == {3: 1}
    assert sorted((run.actions()[0].cached, run.actions()[0].attempts) for run in (first, second)) == [
        (False, 1),
        (True, 0),
    ]


def test_equal_calls_on_loops_of_several_threads_run_once():
    body = Body()
    outputs = []
    threads = [threading.Thread(target=lambda: outputs.append(flyte.run(body.step, x=3).outputs())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert outputs == [(6,)] * 8
    assert body.ran == {3: 1}


def test_calls_that_are_not_serialized_or_not_equal_run_beside_each_other():
    apart = Body(flyte.Cache("auto", version_override="1"), together=3)
    flyte.run(caller(apart, times=3))
    assert (apart.ran, apart.most) == ({3: 3}, 3)
    body = Body()

    @callers.task
    async def main() -> int:
        return sum(await asyncio.gather(*(body.step(x) for x in range(20))))

    assert flyte.run(main).outputs() == (380,)
    assert set(body.ran.values()) == {1}


@pytest.mark.parametrize("wish", ["override", "overwrite_cache", "disable_run_cache"])
def test_whoever_is_to_run_in_any_case_waits_for_nobody(wish):
    cache = flyte.Cache("override", version_override="1", serialize=True) if wish == "override" else ONCE
    body = Body(cache, together=3)
    options = {} if wish == "override" else {wish: True}
    flyte.with_runcontext(**options).run(caller(body, times=3))
    assert (body.ran, body.most) == ({3: 3}, 3)


def test_sync_bodies_run_once_and_waiting_takes_no_thread():
    ran = Counter()

    @env.task(cache=ONCE)
    def slow(x: int) -> int:
        ran[x] += 1
        time.sleep(0.05)
        return x

    @callers.task
    def main() -> list[int]:
        return list(flyte.map(slow, [x % 2 for x in range(200)]))

    assert flyte.run(main).outputs() == ([x % 2 for x in range(200)],)
    assert ran == {0: 1, 1: 1}


@pytest.mark.parametrize("limit", [1, 2])
def test_waiting_takes_no_place_where_concurrency_is_bounded(limit):
    body = Body()

    @callers.task
    async def middle(x: int, n: int) -> int:
        return await body.step(x)

    @callers.task
    async def main() -> int:
        return sum(await asyncio.gather(*(middle(n % 3, n) for n in range(12))))

    run = flyte.with_runcontext(max_action_concurrency=limit).run(main)
    assert run.outputs() == (24,)
    assert body.ran == {0: 1, 1: 1, 2: 1}


# --- when the first one does not succeed ------------------------------------------------------------------------------


def test_after_a_failure_the_next_one_runs():
    body = Body(outcomes=[ValueError("first"), ValueError("second")])
    run = flyte.run(caller(body, times=5))
    assert run.outputs() == (["first", "second", "6", "6", "6"],)
    assert (body.ran, body.most) == ({3: 3}, 1)


def test_after_a_cancellation_the_next_one_runs():
    body = Body(outcomes=[asyncio.Event()])

    @callers.task
    async def main() -> int:
        first = asyncio.create_task(body.step(3))
        await body.started.wait()
        second = asyncio.create_task(body.step(3))
        await waiting_calls(1)
        assert body.ran == {3: 1}
        first.cancel()
        return await second

    run = flyte.run(main)
    assert run.outputs() == (6,)
    assert [action.phase for action in run.actions()] == ["SUCCEEDED", "ABORTED", "SUCCEEDED"]


@pytest.mark.parametrize("waiting", [0, 2])
def test_when_the_first_one_has_to_be_abandoned_the_next_one_runs(waiting):
    attempts: list[int] = []

    @env.task(cache=ONCE, timeout=timedelta(milliseconds=100))
    async def stubborn(x: int) -> int:
        attempts.append(x)
        while len(attempts) == 1:
            with contextlib.suppress(BaseException):
                await asyncio.sleep(60)
        return x

    @callers.task
    async def main() -> list[int]:
        first, *others = (asyncio.create_task(stubborn(3)) for _ in range(1 + waiting))
        with pytest.raises(errors.MaxRuntimeExceededError):
            await first
        return [*await asyncio.gather(*others), await stubborn(3)]

    assert flyte.run(main).outputs() == ([3] * (waiting + 1),)
    assert attempts == [3, 3]


@pytest.mark.parametrize("how", ["task", "action", "parent ends"])
def test_whoever_waits_can_be_cancelled_alone(how):
    release = asyncio.Event()
    body = Body(outcomes=[release])

    @callers.task
    async def forgetful() -> int:
        asyncio.create_task(body.step(3))
        await waiting_calls(2)
        return 1

    @callers.task
    async def main() -> int:
        first = asyncio.create_task(body.step(3))
        await body.started.wait()
        waiting = asyncio.create_task(forgetful() if how == "parent ends" else body.step(3))
        last = asyncio.create_task(body.step(3))
        queued = await waiting_calls(2)
        if how == "task":
            waiting.cancel()
        elif how == "action":
            queued[0].run.cancel(queued[0].id)
        await asyncio.gather(waiting, return_exceptions=True)
        release.set()
        return await first + await last

    run = flyte.run(main)
    assert run.outputs() == (12,)
    assert body.ran == {3: 1}
    phases = Counter(action.phase for action in run.actions() if action.short_name == "step")
    assert phases == {"SUCCEEDED": 2, "ABORTED": 1}


def test_a_run_that_waits_for_another_can_be_aborted():
    release = asyncio.Event()
    body = Body(outcomes=[release])

    async def scenario():
        first = asyncio.create_task(flyte.run.aio(body.step, x=3))
        await body.started.wait()
        second = asyncio.create_task(flyte.run.aio(body.step, x=3))
        (waiting,) = await waiting_calls(1)
        waiting.run.cancel()
        with pytest.raises(errors.ActionAbortedError):
            await second
        release.set()
        return await first

    assert run_async(scenario()).outputs() == (6,)
    assert body.ran == {3: 1}


# --- whoever would wait for itself ------------------------------------------------------------------------------------


@pytest.mark.parametrize("through", ["call", "run", "thread"])
def test_a_task_that_calls_itself_with_the_same_inputs_runs_inside_itself(through):
    depth = Counter()

    @callers.task
    def between() -> int:
        return flyte.run(again, x=3).outputs()[0]

    @env.task(cache=ONCE)
    async def again(x: int) -> int:
        depth[x] += 1
        if depth[x] == 3:
            return x
        if through == "call":
            return await again(x) + 1
        if through == "run":
            return (await flyte.run.aio(again, x=x)).outputs()[0] + 1
        return await between.aio() + 1

    assert flyte.run(again, x=3).outputs() == (5,)
    assert depth == {3: 3}


def test_tasks_that_wait_for_each_other_in_a_circle_go_on():
    met = asyncio.Event()
    entered = Counter()

    @env.task(cache=ONCE)
    async def left(x: int) -> int:
        return await turn("left", right, x)

    @env.task(cache=ONCE)
    async def right(x: int) -> int:
        return await turn("right", left, x)

    async def turn(name, other, x):
        entered[name] += 1
        if len(entered) == 2:
            met.set()
        await met.wait()
        return await other(x) if entered[name] == 1 else 1

    @callers.task
    async def main() -> list[int]:
        return list(await asyncio.gather(left(1), right(1)))

    assert flyte.run(main).outputs() == ([1, 1],)


# --- any order of events ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(50))
def test_never_two_at_once_and_everybody_gets_an_answer(seed):
    chance = random.Random(seed)
    body = Body()

    async def act(x: int) -> int:
        body.ran[x] += 1
        body.running[x] += 1
        body.most = max(body.most, body.running[x])
        try:
            for _ in range(chance.randrange(6)):
                await asyncio.sleep(chance.choice([0, 0.001]))
            if chance.random() < 0.4:
                raise ValueError("bad luck")
            return x
        finally:
            body.running[x] -= 1

    body.act = act

    @callers.task
    async def main() -> int:
        calls = []
        for _ in range(30):
            calls.append(asyncio.create_task(body.step(chance.randrange(3))))
            await settle(chance.randrange(4))
            if chance.random() < 0.3:
                chance.choice(calls).cancel()
        return len(await asyncio.gather(*calls, return_exceptions=True))

    run = flyte.run(main)
    assert run.outputs() == (30,)
    assert body.most <= 1
    successes = Counter(a.phase == "SUCCEEDED" and a.attempts == 1 for a in run.actions()[1:])
    assert successes[True] <= 3
    assert not [a for a in run.actions() if a.phase in ("QUEUED", "RUNNING")]


# --- other processes --------------------------------------------------------------------------------------------------

PROGRAM = """
    import asyncio, os, sys, time
    from pathlib import Path
    import flyte_notebook as flyte

    folder, how = Path(sys.argv[1]), sys.argv[2]
    env = flyte.TaskEnvironment("serialized")

    @env.task(cache=flyte.Cache("auto", version_override="1", serialize=True))
    async def step(x: int) -> int:
        (folder / f"ran-{os.getpid()}").touch()
        print("runs", flush=True)
        if how == "wait":
            await asyncio.to_thread(sys.stdin.readline)
        if how == "fail":
            await asyncio.to_thread(sys.stdin.readline)
            raise ValueError("first")
        return x * 2

    async def main():
        beats = 0
        async def beat():
            nonlocal beats
            while True:
                beats += 1
                await asyncio.sleep(0.01)
        beating = asyncio.create_task(beat())
        calling = asyncio.create_task(flyte.run.aio(step, x=3))
        if how == "cancel":
            while beats < 30:
                await asyncio.sleep(0.01)
            next(iter(flyte.engine.runs.live_runs.values())).cancel()
        print("calls", flush=True)
        run = await calling
        print(run.outputs()[0], run.actions()[0].cached, beats > 3, flush=True)

    try:
        asyncio.run(main())
    except flyte.errors.BaseRuntimeError as error:
        print(type(error).__name__, flush=True)
"""


class Kernel:
    """Another process that makes the same call."""

    def __init__(self, folder, how: str = "") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(PROGRAM), str(folder), how],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def says(self) -> str:
        return self.process.stdout.readline().strip()

    def go_on(self) -> None:
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.communicate()


@pytest.fixture
def kernels(tmp_path):
    made = []

    def make(how: str = "") -> Kernel:
        made.append(Kernel(tmp_path, how))
        return made[-1]

    yield make
    for kernel in made:
        kernel.end()


def holding(kernels, how: str = "wait") -> Kernel:
    """A process whose body runs."""
    kernel = kernels(how)
    assert [kernel.says(), kernel.says()] == ["calls", "runs"]
    return kernel


def test_equal_calls_of_two_processes_run_once_and_the_waiting_loop_goes_on(kernels, tmp_path):
    first = holding(kernels)
    second = kernels()
    assert second.says() == "calls"
    waiting = flyte.runs()[0]
    while not waiting.actions():
        time.sleep(0.01)
    assert waiting.actions()[0].phase in ("QUEUED", "RUNNING")
    first.go_on()
    assert first.says() == "6 False True"
    assert second.says().startswith("6 True")
    assert len(list(tmp_path.glob("ran-*"))) == 1


def test_this_process_waits_for_another_one_and_can_be_cancelled_meanwhile(kernels, tmp_path):
    first = holding(kernels)
    second = kernels("cancel")
    assert [second.says(), second.says()] == ["calls", "ActionAbortedError"]
    first.go_on()
    assert first.says() == "6 False True"
    assert len(list(tmp_path.glob("ran-*"))) == 1


def test_when_the_first_process_is_killed_the_waiting_one_runs(kernels, tmp_path):
    first = holding(kernels)
    second = kernels()
    assert second.says() == "calls"
    first.process.kill()
    assert [second.says(), second.says().split()[:2]] == ["runs", ["6", "False"]]
    assert len(list(tmp_path.glob("ran-*"))) == 2


def test_when_the_first_process_fails_the_waiting_one_runs(kernels):
    first = holding(kernels, "fail")
    second = kernels()
    assert second.says() == "calls"
    first.go_on()
    assert first.says() == "RuntimeUserError"
    assert [second.says(), second.says().split()[:2]] == ["runs", ["6", "False"]]


def test_several_processes_at_once_run_once(kernels, tmp_path):
    started = [kernels() for _ in range(4)]
    said = [line for kernel in started for line in kernel.process.stdout.read().split("\n")]
    assert sum(line.startswith("6 True") for line in said) == 3
    assert len(list(tmp_path.glob("ran-*"))) == 1


def test_a_child_forked_by_a_body_takes_nothing_from_it(kernels, tmp_path):
    body = Body()
    inner = body.act

    async def act(x: int) -> int:
        child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)
        other = await asyncio.to_thread(kernels)
        assert await asyncio.to_thread(other.says) == "calls"
        # It looks every half second at the latest; what it says next, it says after its turn has come.
        outcome.append(asyncio.create_task(asyncio.to_thread(other.says)))
        return await inner(x)

    body.act = act
    outcome = []

    async def scenario():
        run = await flyte.run.aio(body.step, x=3)
        return run.outputs(), await outcome[0]

    outputs, other = run_async(scenario())
    assert outputs == (6,)
    assert other.startswith("6 True")


def test_where_the_file_system_knows_no_locks_this_process_still_keeps_order(monkeypatch):
    lock = lockfile.lock

    def unless_reserving(path, *rest, **more):
        if path.name == "reservations":
            raise OSError(errno.ENOLCK, "No locks available")
        return lock(path, *rest, **more)

    monkeypatch.setattr(lockfile, "lock", unless_reserving)
    body = Body(outcomes=[ValueError("first")])
    run = flyte.run(caller(body, times=5))
    assert run.outputs() == (["first", "6", "6", "6", "6"],)
    assert (body.ran, body.most) == ({3: 2}, 1)

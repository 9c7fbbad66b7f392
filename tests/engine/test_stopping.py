"""Bodies that do not stop when they are asked, and what a stop leaves behind."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import anyio
import pytest

import flyte_notebook as flyte
from flyte_notebook import errors
from flyte_notebook.engine.bridge import patch_loop
from flyte_notebook.engine.cell import open_cell
from flyte_notebook.engine.recovery import Recovery
from flyte_notebook.engine.runs import live_runs
from flyte_notebook.engine.stopping import FORCED
from tests.loops import begun, cancel_runs, interrupted, journal_caught_up, once_begun, run_async

env = flyte.TaskEnvironment("stopping")
going_on = True


async def pause() -> None:
    await asyncio.sleep(60)


@env.task
async def catches_once() -> int:
    with contextlib.suppress(asyncio.CancelledError):
        await pause()
    return 1


@env.task(retries=3)
async def fails() -> int:
    try:
        await pause()
    except asyncio.CancelledError:
        raise ValueError("cancelled") from None
    return 1


@env.task
async def goes_on() -> int:
    with contextlib.suppress(asyncio.CancelledError):
        await pause()
    await pause()
    return 1


@env.task
async def catches_every_time() -> int:
    while going_on:
        with contextlib.suppress(asyncio.CancelledError):
            await pause()
    return 1


async def catch_everything() -> None:
    while going_on:
        with contextlib.suppress(BaseException):
            await pause()


@env.task
async def catches_everything() -> int:
    await catch_everything()
    return 1


@env.task
async def gathers_what_catches() -> list[int]:
    return await asyncio.gather(*(catches_everything() for _ in range(3)))


@env.task
async def naps() -> int:
    await pause()
    return 1


@env.task
async def naps_for(seconds: int) -> int:
    await asyncio.sleep(60 * seconds)
    return 1


@env.task
async def calls_on_and_on() -> int:
    while going_on:
        with contextlib.suppress(asyncio.CancelledError):
            await naps()
    return 1


@env.task
async def calls_whatever_comes() -> int:
    while going_on:
        with contextlib.suppress(BaseException):
            await naps()
    return 1


@env.task
async def gathers_whatever_comes() -> int:
    while going_on:
        with contextlib.suppress(BaseException):
            await asyncio.gather(naps(), naps(), return_exceptions=True)
    return 1


@env.task
async def maps_on_and_on() -> int:
    while going_on:
        with contextlib.suppress(asyncio.CancelledError):
            list(flyte.map(naps_for, [1, 2]))
    return 1


@env.task
async def calls_what_calls() -> int:
    while going_on:
        with contextlib.suppress(BaseException):
            await calls_whatever_comes()
    return 1


@env.task
async def shields() -> int:
    await asyncio.shield(pause())
    return 1


@env.task
async def nests() -> int:
    asyncio.get_running_loop().run_until_complete(pause())
    return 1


@env.task
async def catches_from_a_nested_loop() -> int:
    with contextlib.suppress(BaseException):
        asyncio.run(pause())
    return 1


@env.task
async def nests_what_catches_everything() -> int:
    asyncio.run(catch_everything())
    return 1


@env.task
async def nests_again_and_again() -> int:
    for _ in range(3):
        with contextlib.suppress(BaseException):
            asyncio.run(catch_everything())
    return 1


@env.task
async def nests_what_calls() -> int:
    async def calls() -> None:
        while going_on:
            with contextlib.suppress(BaseException):
                await naps()

    asyncio.run(calls())
    return 1


@env.task
async def nests_what_gathers() -> int:
    async def gathers() -> None:
        await asyncio.gather(catch_everything(), catch_everything())

    asyncio.run(gathers())
    return 1


@flyte.trace
async def traced_once() -> int:
    with contextlib.suppress(asyncio.CancelledError):
        await pause()
    return 1


@env.task
async def calls_traced_once() -> int:
    return await traced_once()


@flyte.trace
async def traced() -> int:
    while going_on:
        with contextlib.suppress(asyncio.CancelledError):
            await pause()
    return 1


@env.task
async def calls_traced() -> int:
    return await traced()


@env.task
async def then_more(body: str) -> int:
    await BODIES[body]()
    raise AssertionError("its caller was cancelled, too")


BODIES: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {
    "catches_once": catches_once.aio,
    "fails": fails.aio,
    "goes_on": goes_on.aio,
    "catches_every_time": catches_every_time.aio,
    "catches_everything": catches_everything.aio,
    "gathers_what_catches": gathers_what_catches.aio,
    "calls_on_and_on": calls_on_and_on.aio,
    "calls_whatever_comes": calls_whatever_comes.aio,
    "gathers_whatever_comes": gathers_whatever_comes.aio,
    "maps_on_and_on": maps_on_and_on.aio,
    "calls_what_calls": calls_what_calls.aio,
    "shields": shields.aio,
    "nests": nests.aio,
    "calls_traced": calls_traced.aio,
    "calls_traced_once": calls_traced_once.aio,
    "catches_from_a_nested_loop": catches_from_a_nested_loop.aio,
    "nests_what_catches_everything": nests_what_catches_everything.aio,
    "nests_again_and_again": nests_again_and_again.aio,
    "nests_what_calls": nests_what_calls.aio,
    "nests_what_gathers": nests_what_gathers.aio,
}


def phases() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for action in flyte.runs()[0].actions():
        found.setdefault(action.short_name, set()).add(str(action.phase))
    return found


def others() -> set[asyncio.Task[Any]]:
    return asyncio.all_tasks() - {asyncio.current_task()}


@pytest.mark.parametrize("body", BODIES)
def test_a_run_ends_whatever_its_bodies_catch(body):
    async def cell() -> set[asyncio.Task[Any]]:
        patch_loop()
        once_begun(body, cancel_runs)
        with pytest.raises(errors.ActionAbortedError):
            async with open_cell():
                await then_more(body)
        return others()

    assert run_async(cell()) == set()
    assert flyte.runs()[0].phase == "ABORTED"
    found = phases()
    assert found.pop("then_more") == {"ABORTED"}
    assert found.pop("fails", {"FAILED"}) == {"FAILED"}
    assert set().union(*found.values()) <= {"ABORTED"}
    assert not live_runs


@pytest.mark.parametrize("body", [body for body in BODIES if body != "fails"])
def test_one_action_ends_whatever_its_bodies_catch_and_its_caller_goes_on(body):
    async def cell() -> tuple[Any, set[asyncio.Task[Any]]]:
        patch_loop()
        async with open_cell() as opened:
            once_begun(body, lambda call: opened.run.cancel(call.id))
            (outcome,) = await asyncio.gather(BODIES[body](), return_exceptions=True)
        return outcome, others()

    outcome, left = run_async(cell())
    assert isinstance(outcome, errors.ActionAbortedError)
    assert left == set()
    assert flyte.runs()[0].phase == "SUCCEEDED"
    assert set().union(*phases().values()) == {"ABORTED"}


def test_what_a_body_that_goes_on_has_started_by_a_run_of_its_own_ends_with_it():
    @env.task
    async def runs_on_and_on() -> int:
        while going_on:
            with contextlib.suppress(BaseException):
                await flyte.run.aio(naps)
        return 1

    async def cell() -> set[asyncio.Task[Any]]:
        once_begun("naps", lambda call: live_runs[name].cancel())
        with pytest.raises(errors.ActionAbortedError):
            async with open_cell() as opened:
                name = opened.open("cell").run.name
                await runs_on_and_on()
        return others()

    assert run_async(cell()) == set()
    assert not live_runs
    found = flyte.runs()
    assert {(str(run.phase), str(action.phase)) for run in found for action in run.actions()} == {
        ("ABORTED", "ABORTED")
    }


def test_an_attempt_after_one_that_was_ended_by_force_may_call():
    attempts = []

    @env.task(timeout=timedelta(milliseconds=100), retries=flyte.RetryStrategy(1, flyte.Backoff(base=timedelta(0))))
    async def calls_on() -> int:
        attempts.append(1)
        if len(attempts) > 1:
            return await one()
        while going_on:
            with contextlib.suppress(asyncio.CancelledError):
                await naps()
        return 0

    @env.task
    async def one() -> int:
        return 1

    assert flyte.run(calls_on).outputs() == (1,)


@pytest.mark.parametrize("how", ["interrupted", "cancelled"])
@pytest.mark.parametrize("catches", [asyncio.CancelledError, BaseException])
def test_a_cell_that_goes_on_calling_is_ended(catches, how):
    caught = []

    async def cell() -> None:
        async with open_cell() as opened:
            once_begun("naps", lambda _: opened.stop() if how == "interrupted" else opened.run.cancel())
            while len(caught) < 100:
                try:
                    await naps()
                except catches as error:
                    caught.append(error)

    if how == "interrupted":
        assert interrupted(cell())
    else:
        with pytest.raises(errors.ActionAbortedError, match="was cancelled"):
            run_async(cell())
    assert len(caught) < 10 or catches is BaseException
    assert phases() == {"naps": {"ABORTED"}}
    # The others were refused.
    assert len(flyte.runs()[0].actions()) < 10
    assert flyte.runs()[0].phase == "ABORTED"


def test_who_calls_what_is_over_does_not_keep_the_loop_from_going_round():
    async def cells() -> int:
        refused = 0

        async def polls() -> None:
            nonlocal refused
            while refused < 10:
                try:
                    await naps()
                except errors.ActionAbortedError:
                    refused += 1

        async with open_cell():
            await asyncio.gather(asyncio.wait_for(naps(), 0.01), return_exceptions=True)
            polling = asyncio.ensure_future(polls())
        rounds = 0
        while not polling.done():
            rounds += 1
            await asyncio.sleep(0)
        return rounds

    assert run_async(cells()) >= 10


def test_what_a_stopped_body_returns_is_neither_cached_nor_recovered():
    waits = [True]

    @env.task(cache="auto")
    async def load(x: int) -> int:
        try:
            if waits:
                await pause()
        except BaseException:
            return -1
        return x

    async def cell(recovery: Recovery | None = None) -> int:
        async with open_cell(recovery=recovery):
            return await load(7)

    async def stopped() -> None:
        once_begun("load", cancel_runs)
        with pytest.raises(errors.ActionAbortedError):
            await cell()

    run_async(stopped())
    (run,) = flyte.runs()
    assert phases() == {"load": {"ABORTED"}}
    waits.clear()
    assert run_async(cell(Recovery.load(run.store, run.name))) == 7
    assert run_async(cell()) == 7


@pytest.mark.parametrize("waits_in", ["asyncio.run", "a blocking call of ours"])
def test_what_a_sync_trace_returns_that_has_caught_a_stop_is_not_recovered(waits_in):
    waits = [True]

    @flyte.trace
    def load(x: int) -> int:
        try:
            if waits and waits_in == "asyncio.run":
                asyncio.run(pause())
            elif waits:
                flyte.durable.sleep(60)
        except BaseException:
            return -1
        return x

    @env.task
    async def reads() -> int:
        return load(7)

    async def cell(recovery: Recovery | None = None) -> int:
        async with open_cell(recovery=recovery):
            return await reads()

    async def stopped() -> None:
        patch_loop()
        once_begun("reads", cancel_runs)
        with pytest.raises(errors.ActionAbortedError):
            await cell()

    run_async(stopped())
    (run,) = flyte.runs()
    found = phases()
    assert (found["reads"], found["load"]) == ({"ABORTED"}, {"ABORTED"})
    waits.clear()
    assert run_async(cell(Recovery.load(run.store, run.name))) == 7


async def waits_for(call: Coroutine[Any, Any, Any]) -> Any:
    return await asyncio.wait_for(call, 0.05)


async def gives_up(call: Coroutine[Any, Any, Any]) -> Any:
    async with asyncio.timeout(0.05):
        return await call


async def moves_on(call: Coroutine[Any, Any, Any]) -> Any:
    with anyio.move_on_after(0.05):
        return await call


async def cancels_its_task(call: Coroutine[Any, Any, Any]) -> Any:
    task = asyncio.ensure_future(call)
    await begun("load")
    task.cancel()
    return await task


@pytest.mark.parametrize("caller", [waits_for, gives_up, moves_on, cancels_its_task])
def test_what_a_body_returns_that_its_caller_has_cancelled_is_neither_cached_nor_recovered(caller):
    waits, began = [True], []

    @env.task(cache="auto")
    async def load(x: int) -> int:
        began.append(x)
        try:
            if waits:
                await pause()
        except BaseException:
            return -1
        return x

    async def impatient() -> None:
        async with open_cell():
            while not began:
                with contextlib.suppress(TimeoutError):
                    assert await caller(load(7)) in (-1, None)

    async def cell(recovery: Recovery | None = None) -> int:
        async with open_cell(recovery=recovery):
            return await load(7)

    run_async(impatient())
    (run,) = flyte.runs()
    # It may have been given up before its body began, too.
    assert phases()["load"] - {"ABORTED"} == {"SUCCEEDED"}
    waits.clear()
    assert run_async(cell(Recovery.load(run.store, run.name, keep=True))) == 7
    assert run_async(cell()) == 7


@pytest.mark.parametrize(
    "how", ["asyncio.timeout", "asyncio.wait_for", "a TaskGroup", "anyio", "a task group of anyio"]
)
def test_what_a_body_returns_that_has_cancelled_only_its_own_work_is_cached(how):
    ran = []

    async def fails_soon() -> None:
        raise ValueError("no")

    @env.task(cache="auto")
    async def bounded(how: str) -> int:
        ran.append(how)
        with contextlib.suppress(TimeoutError, ExceptionGroup):
            match how:
                case "asyncio.timeout":
                    async with asyncio.timeout(0.01):
                        await pause()
                case "asyncio.wait_for":
                    await asyncio.wait_for(pause(), 0.01)
                case "a TaskGroup":
                    async with asyncio.TaskGroup() as tasks:
                        tasks.create_task(fails_soon())
                        await pause()
                case "anyio":
                    with anyio.move_on_after(0.01):
                        await pause()
                case _:
                    async with anyio.create_task_group() as group:
                        group.start_soon(fails_soon)
                        await pause()
        return 7

    assert [flyte.run(bounded, how).outputs() for _ in range(2)] == [(7,), (7,)]
    assert ran == [how]


def test_a_body_that_has_not_heard_of_the_stop_has_a_result():
    @env.task
    async def blocks() -> int:
        loop = asyncio.get_running_loop()
        cancel_runs()
        loop.call_soon(loop.call_soon, (done := loop.create_future()).set_result, 7)
        # The stop is asked for in here, and a future is nobody who could be told.
        return loop.run_until_complete(done)

    async def cell() -> None:
        patch_loop()
        with pytest.raises(errors.ActionAbortedError):
            async with open_cell():
                await blocks()

    run_async(cell())
    assert phases() == {"blocks": {"SUCCEEDED"}}


def test_a_body_that_cancels_itself_and_goes_on_has_a_result():
    @env.task
    async def bounds_itself() -> int:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0):
                await pause()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(pause(), 0.001)
        asyncio.current_task().cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await pause()
        return 7

    assert flyte.run(bounds_itself).outputs() == (7,)


@pytest.mark.parametrize("groups", ["anyio", "asyncio"])
def test_what_a_task_group_has_started_ends_with_its_body_whatever_it_catches(groups):
    ticks = []

    async def goes_on_for_ever() -> None:
        while going_on:
            with contextlib.suppress(BaseException):
                ticks.append(1)
                await asyncio.sleep(0.05)

    @env.task
    async def holds_a_group() -> int:
        if groups == "anyio":
            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(goes_on_for_ever)
        else:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(3):
                    tasks.create_task(goes_on_for_ever())
        return 1

    async def cell() -> tuple[set[asyncio.Task[Any]], int, int]:
        patch_loop()
        once_begun("holds_a_group", cancel_runs)
        with pytest.raises(errors.ActionAbortedError):
            async with open_cell():
                await holds_a_group()
        so_far = len(ticks)
        await asyncio.sleep(0.2)
        return others(), so_far, len(ticks)

    left, before, after = run_async(cell())
    assert left == set()
    assert before == after
    assert phases() == {"holds_a_group": {"ABORTED"}}


@pytest.mark.parametrize("how", ["awaited", "blocking"])
@pytest.mark.parametrize("steps", [0.1, 0.05])
def test_ending_by_force_leaves_asyncio_nothing_to_complain_about(how, steps):
    """Also when what a body waits for comes in the very round of the loop in which it is ended."""
    complaints = []

    @env.task
    async def ticks() -> int:
        while going_on:
            with contextlib.suppress(BaseException):
                await asyncio.sleep(steps)
        return 1

    async def cell() -> None:
        patch_loop()
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        once_begun("ticks", cancel_runs)
        with pytest.raises(errors.ActionAbortedError):
            if how == "blocking":
                flyte.run(ticks)
            else:
                await flyte.run.aio(ticks)
        await asyncio.sleep(3 * steps)

    run_async(cell())
    assert complaints == []


def test_what_was_ended_by_force_is_said_in_the_tree():
    async def cell() -> None:
        once_begun("catches_every_time", cancel_runs)
        with pytest.raises(errors.ActionAbortedError):
            async with open_cell():
                await catches_every_time()

    run_async(cell())
    run = flyte.runs()[0]
    (action,) = run.actions()
    assert [(note.kind, note.text) for note in run.store.journal.notes(run.name, action.id)] == [("forced", FORCED)]


@pytest.mark.parametrize("task", [catches_every_time, catches_everything])
def test_a_timeout_fires_whatever_the_body_catches(task):
    bounded = task.override(timeout=timedelta(milliseconds=100), short_name="bounded")
    with pytest.raises(errors.MaxRuntimeExceededError, match="ran longer than its timeout of 0.1 s"):
        flyte.run(bounded)
    assert phases() == {"bounded": {"TIMED_OUT"}}
    assert "ran longer" in flyte.runs()[0].actions()[0].error


def test_an_action_called_while_tidying_up_runs_to_its_end():
    @env.task
    async def tidy() -> str:
        await asyncio.sleep(0.01)
        return "tidy"

    tidied = []

    @env.task
    async def tidies() -> int:
        try:
            await pause()
        finally:
            tidied.append(await tidy())
        return 1

    async def stop() -> None:
        await begun("tidies")
        # Else the call waits for longer than tidying up may take.
        await journal_caught_up()
        cancel_runs()

    async def cell() -> None:
        stopping = asyncio.create_task(stop())
        with pytest.raises(errors.ActionAbortedError):
            async with open_cell():
                await tidies()
        await stopping

    run_async(cell())
    assert tidied == ["tidy"]
    assert phases() == {"tidies": {"ABORTED"}, "tidy": {"SUCCEEDED"}}


def test_what_a_finished_action_has_started_goes_on():
    started = []

    @env.task
    async def starts() -> int:
        started.append(asyncio.get_running_loop().create_task(asyncio.sleep(0.3, "done")))
        return 1

    async def cell() -> str:
        once_begun("goes_on", cancel_runs)
        with pytest.raises(errors.ActionAbortedError):
            async with open_cell():
                await starts()
                await goes_on()
        return await started[0]

    assert run_async(cell()) == "done"


@pytest.mark.parametrize("nested", [False, True])
def test_many_actions_that_time_out_together_do_not_each_look_at_all_tasks(monkeypatch, nested):
    many = 100
    all_tasks, looks, begun = asyncio.all_tasks, [], []

    def looked(loop: asyncio.AbstractEventLoop | None = None) -> set[asyncio.Task[Any]]:
        looks.append(loop)
        return all_tasks(loop)

    @env.task(timeout=timedelta(seconds=0.5))
    async def sleeps(i: int) -> int:
        begun.append(i)
        await pause()
        return i

    @env.task
    async def fans_out() -> list[str]:
        calls = asyncio.gather(*(sleeps(i) for i in range(many)), return_exceptions=True)
        while len(begun) < many:
            await asyncio.sleep(0)
        time.sleep(0.5)  # all of them expire in one round of the loop
        with monkeypatch.context() as patch:
            patch.setattr(asyncio, "all_tasks", looked)
            outcomes = await calls
        return [type(outcome).__name__ for outcome in outcomes]

    @env.task
    async def nests() -> list[str]:
        return flyte.run(fans_out).outputs()[0]

    assert flyte.run(nests if nested else fans_out).outputs() == (["MaxRuntimeExceededError"] * many,)
    assert len(looks) < many / 10


def test_what_a_timed_out_attempt_has_left_behind_is_ended_before_the_next_one():
    left: list[asyncio.Task[None]] = []
    found: list[bool] = []

    @env.task(timeout=timedelta(seconds=0.1), retries=flyte.RetryStrategy(1, flyte.Backoff(base=timedelta(0))))
    async def leaves() -> int:
        if left:
            await asyncio.sleep(0)
            found.append(left[0].cancelled())
            return 1
        left.append(asyncio.ensure_future(pause()))
        await asyncio.shield(left[0])
        return 1

    async def cell() -> None:
        patch_loop()
        async with open_cell():
            await leaves()

    run_async(cell())
    assert found == [True]


@pytest.mark.parametrize("body", ["its own", "those that it calls"])
@pytest.mark.parametrize("how", ["awaited", "gathered", "from a thread"])
def test_an_abandoned_body_gives_its_place_to_others(body, how):
    """And its caller takes the place again that it has lent, once."""
    free: list[int] = []

    @env.task(timeout=timedelta(milliseconds=100))
    async def stubborn(x: int) -> None:
        await (catch_everything() if body == "its own" else gathers_what_catches())

    @env.task
    async def plus(x: int) -> int:
        return x + 1

    @env.task
    async def main() -> list[int]:
        with contextlib.suppress(errors.TaskTimeoutError):
            await (stubborn(0) if how == "awaited" else asyncio.gather(stubborn(0)))
        free.extend(run.slots._free for run in live_runs.values())
        # Each of them needs the only place, which their caller lends again.
        return [await plus(0), *await asyncio.gather(*(plus(i) for i in (1, 2)))]

    @env.task
    def sync_main() -> list[int]:
        assert [type(error) for error in flyte.map(stubborn, [0])] == [errors.MaxRuntimeExceededError]
        free.extend(run.slots._free for run in live_runs.values())
        return list(flyte.map(plus, range(3)))

    run = flyte.with_runcontext(max_action_concurrency=1).run(sync_main if how == "from a thread" else main)
    assert run.outputs() == ([1, 2, 3],)
    assert free == [0]


PATCHED_MEANWHILE = """
    import asyncio, contextlib, warnings
    from datetime import timedelta
    import flyte_notebook as flyte
    warnings.simplefilter("ignore")
    env = flyte.TaskEnvironment("script")
    over = asyncio.Event()

    @env.task
    def nested(x: int) -> int:
        return x

    async def goes_on() -> None:
        while not over.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)

    async def goes_on_whatever_comes() -> None:
        while not over.is_set():
            with contextlib.suppress(BaseException):
                await asyncio.sleep(60)

    @env.task(timeout=timedelta(seconds=0.3))
    async def stubborn(waits_for_a_task: bool) -> None:
        # A task of C, which asyncio has forgotten about at the first nested call.
        await (asyncio.create_task(goes_on()) if waits_for_a_task else goes_on_whatever_comes())

    @env.task
    async def main() -> list[str]:
        calls = asyncio.gather(stubborn(False), stubborn(True), return_exceptions=True)
        await asyncio.sleep(0.1)
        assert not hasattr(asyncio, "_nest_patched")
        nested(1)
        assert hasattr(asyncio, "_nest_patched")
        return [type(error).__name__ for error in await calls]

    print(flyte.run(main).outputs()[0])
"""


def test_what_was_begun_before_asyncio_was_patched_is_ended_by_force_too():
    """Of a script: the patch replaces `asyncio.Task`, and older tasks are none of those."""
    command = [sys.executable, "-c", textwrap.dedent(PATCHED_MEANWHILE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == ("['MaxRuntimeExceededError', 'MaxRuntimeExceededError']\n", "")

"""Cancelling: a run, one action, from outside, by SIGINT; what is on record afterwards."""

from __future__ import annotations

import asyncio
import os
import queue
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

import flyte_notebook as flyte
from flyte_notebook import errors
from flyte_notebook.engine.cell import open_cell
from flyte_notebook.engine.runs import live_runs
from tests.loops import begun, interrupted, once_begun, run_async

env = flyte.TaskEnvironment("cancelling")


@env.task
async def slow(x: int) -> int:
    await asyncio.sleep(60)
    return x


@env.task
async def quick(x: int) -> int:
    return x


@env.task
async def two_slow() -> list[int]:
    return await asyncio.gather(slow(1), slow(2))


@env.task
def blocking_parent(x: int) -> int:
    return flyte.run(slow, x=x).outputs()[0] + blocking_child(x)


@env.task
def blocking_child(x: int) -> int:
    return x


@env.task
async def nests_on_the_loop() -> int:
    return sync_waits()


@env.task
def sync_waits() -> int:
    return list(flyte.map(slow, [1], return_exceptions=False))[0]


def phases(run: flyte.Run) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for action in run.actions():
        found.setdefault(action.short_name, set()).add(str(action.phase))
    return found


def cancel_soon(*, when: int) -> threading.Thread:
    """Cancel every live run, from another thread, once `when` actions are alive."""

    def watch() -> None:
        while sum(len(run.calls) for run in tuple(live_runs.values())) < when:
            time.sleep(0.005)
        for run in tuple(live_runs.values()):
            run.cancel()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def test_a_cancelled_run_leaves_nothing_running_and_says_so():
    watcher = cancel_soon(when=3)
    with pytest.raises(errors.ActionAbortedError):
        flyte.run(two_slow)
    watcher.join()
    run = flyte.runs()[0]
    assert run.phase == "ABORTED"
    assert phases(run) == {"two_slow": {"ABORTED"}, "slow": {"ABORTED"}}
    assert not live_runs
    assert flyte.run(quick, x=1).outputs() == (1,)


@pytest.mark.filterwarnings("ignore:.*sync task called from async code")
def test_a_run_that_waits_in_nested_and_in_threaded_calls_is_cancelled_too():
    watcher = cancel_soon(when=3)
    with pytest.raises(errors.ActionAbortedError):
        flyte.run(nests_on_the_loop)
    watcher.join()
    assert phases(flyte.runs()[0]) == {name: {"ABORTED"} for name in ("nests_on_the_loop", "sync_waits", "slow")}


def test_a_run_started_inside_a_sync_body_ends_with_its_caller():
    watcher = cancel_soon(when=2)
    with pytest.raises(errors.ActionAbortedError):
        flyte.run(blocking_parent, x=1)
    watcher.join()
    assert {str(run.phase) for run in flyte.runs()} == {"ABORTED"}


def test_cancelling_one_action_tells_its_caller_and_leaves_the_others():
    async def cell() -> tuple[list[object], flyte.Run]:
        async with open_cell() as opened:
            gathered = asyncio.gather(slow(1), quick(2), return_exceptions=True)
            call = await begun("slow")
            opened.run.cancel(call.id)
            return await gathered, opened.run

    found, live = run_async(cell())
    assert [type(found[0]), found[1]] == [errors.ActionAbortedError, 2]
    assert sorted(str(action.phase) for action in flyte.runs()[0].actions()) == ["ABORTED", "SUCCEEDED"]


def test_cancellation_from_outside_passes_through_and_is_recorded():
    async def script() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(None) as limit:
                once_begun("slow", lambda _: limit.reschedule(0))
                await flyte.run.aio(two_slow)

    run_async(script())
    assert flyte.runs()[0].phase == "ABORTED"
    assert phases(flyte.runs()[0]) == {"two_slow": {"ABORTED"}, "slow": {"ABORTED"}}


def test_cancelling_after_the_end_is_harmless():
    run = flyte.run(quick, x=1)
    run.abort()
    assert run.phase == "SUCCEEDED"


def test_a_body_that_catches_the_cancellation_may_tidy_up_before_it_ends():
    tidied = []

    @env.task
    async def tidy() -> int:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)
            tidied.append(True)
            raise
        return 1

    watcher = cancel_soon(when=1)
    with pytest.raises(errors.ActionAbortedError):
        flyte.run(tidy)
    watcher.join()
    assert tidied == [True]


def test_a_sync_body_goes_on_in_its_thread_and_the_record_says_so():
    release = threading.Event()

    @env.task
    def stuck() -> int:
        release.wait(20)
        return 7

    watcher = cancel_soon(when=1)
    try:
        with pytest.raises(errors.ActionAbortedError):
            flyte.run(stuck)
    finally:
        release.set()
    watcher.join()
    run = flyte.runs()[0]
    (action,) = run.actions()
    assert action.phase == "ABORTED"
    notes = run.store.journal.notes(run.name, action.id)
    assert ("thread", "still running in a thread") in [(note.kind, note.text) for note in notes]


@pytest.mark.parametrize("loop_closes", [False, True])
@pytest.mark.parametrize("inside", ["body", "asyncio.run"])
def test_a_body_left_in_its_thread_learns_that_its_run_has_ended(loop_closes, inside):
    release = threading.Event()
    told: queue.Queue[BaseException] = queue.Queue()

    @env.task
    def child() -> int:
        return 1

    @env.task
    def late() -> int:
        release.wait(20)
        try:
            return child() if inside == "body" else asyncio.run(child.aio())
        except BaseException as error:
            told.put(error)
            raise

    @env.task
    async def main() -> int:
        task = asyncio.create_task(late.aio())
        await begun("late")
        return len([task])

    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(flyte.run.aio(main)).outputs() == (1,)
    if loop_closes:
        loop.close()
    release.set()
    error = told.get(timeout=20)
    loop.close()
    assert isinstance(error, errors.ActionAbortedError)
    assert "has ended" in str(error)


def test_sigint_in_a_script_ends_the_run_with_a_keyboard_interrupt(home):
    script = textwrap.dedent("""
        import asyncio, sys
        import flyte_notebook as flyte
        env = flyte.TaskEnvironment("script")
        @env.task
        async def slow() -> int:
            print("started", flush=True)
            await asyncio.sleep(60)
            return 1
        try:
            flyte.run(slow)
        except KeyboardInterrupt:
            print("interrupted", flyte.runs()[0].phase, [str(a.phase) for a in flyte.runs()[0].actions()], flush=True)
    """)
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    )
    assert process.stdout.readline() == "started\n"
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    assert out == "interrupted ABORTED ['ABORTED']\n"


def test_a_cell_does_not_go_on_with_the_result_of_a_body_that_has_blocked_the_interrupt():
    went_on = []

    @env.task
    async def blocks() -> int:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        return 7

    async def cell() -> None:
        async with open_cell():
            await blocks()
            went_on.append(1)

    assert interrupted(cell())
    assert went_on == []
    (run,) = flyte.runs()
    assert run.phase == "ABORTED"
    assert [(action.short_name, action.phase) for action in run.actions()] == [("blocks", "SUCCEEDED")]


def test_sigint_in_a_cell_is_a_keyboard_interrupt_and_the_handler_is_restored():
    before = signal.getsignal(signal.SIGINT)

    async def cell() -> None:
        async with open_cell():
            once_begun("slow", lambda _: os.kill(os.getpid(), signal.SIGINT))
            await slow(1)

    assert interrupted(cell())
    assert signal.getsignal(signal.SIGINT) is before
    assert phases(flyte.runs()[0]) == {"slow": {"ABORTED"}}

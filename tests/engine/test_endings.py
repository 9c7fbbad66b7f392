"""How cells, actions and traces end when somebody does not cooperate."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
import time

import pytest

import flyte_notebook as flyte
from flyte_notebook import errors
from flyte_notebook.api.run import Run
from flyte_notebook.engine.bridge import patch_loop
from flyte_notebook.engine.cell import open_cell
from flyte_notebook.engine.runs import live_runs
from flyte_notebook.engine.settings import Origin
from tests.loops import begun, interrupted, once_begun, run_async

env = flyte.TaskEnvironment("endings")


@env.task
async def quick(x: int = 1) -> int:
    return x


@env.task
async def naps() -> int:
    await asyncio.sleep(60)
    return 1


@env.task
async def swallows() -> int:
    swallowed = 0
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            swallowed += 1
            if swallowed > 1:
                raise


@env.task
async def tidies_slowly() -> int:
    try:
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(0.3)
    return 1


@flyte.trace
async def traced_sleep() -> int:
    await asyncio.sleep(60)
    return 1


@flyte.trace
def sync_traced(x: int = 1) -> int:
    return x


def phases(run: flyte.Run | None = None) -> list[tuple[str, str]]:
    return [(action.short_name, str(action.phase)) for action in (run or flyte.runs()[0]).actions()]


def soon(when: float, what: object) -> None:
    asyncio.get_running_loop().call_later(when, what)


def test_a_forgotten_body_that_swallows_a_cancellation_ends_at_the_next_interrupt():
    async def cell() -> None:
        async with open_cell() as opened:
            opened.keep = asyncio.ensure_future(swallows())
            await begun("swallows")
            soon(0.2, opened.stop)

    assert interrupted(cell())
    assert phases() == [("swallows", "ABORTED")]


def test_an_interrupt_while_a_cell_ends_its_actions_stops_the_notebook():
    async def cell() -> None:
        async with open_cell() as opened:
            opened.keep = asyncio.ensure_future(tidies_slowly())
            await begun("tidies_slowly")
            soon(0.1, opened.stop)

    assert interrupted(cell())
    assert flyte.runs()[0].phase == "SUCCEEDED"


@pytest.mark.parametrize("before", [False, True])
def test_an_interrupt_reaches_sync_code_at_the_top_of_a_cell_at_once(before):
    reached = []

    async def cell() -> None:
        async with open_cell():
            if before:
                await quick()
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
            time.sleep(20)
            reached.append("the end")

    assert interrupted(cell())
    assert reached == []
    assert [str(run.phase) for run in flyte.runs()] == ["ABORTED"] * before


@pytest.mark.parametrize("calls", [1, 4])
def test_a_cell_that_catches_the_interrupt_of_its_action_ends_interrupted(calls):
    async def cell() -> None:
        once_begun("naps", lambda _: os.kill(os.getpid(), signal.SIGINT))
        async with open_cell() as opened:
            for _ in range(calls):
                with contextlib.suppress(BaseException):
                    await naps()
            opened.result([None] * calls)

    assert interrupted(cell())
    assert [str(run.phase) for run in flyte.runs()] == ["ABORTED"]
    assert set(phases()) == {("naps", "ABORTED")}
    with pytest.raises(errors.ActionAbortedError, match="interrupted"):
        flyte.runs()[0].outputs()


@pytest.mark.parametrize("waits", ["for an action", "for nothing of its run"])
def test_a_cell_that_catches_the_cancellation_of_its_run_is_cancelled(waits):
    async def cell() -> None:
        async with open_cell() as opened:
            await quick()
            with contextlib.suppress(BaseException):
                if waits == "for an action":
                    once_begun("naps", lambda _: opened.run.cancel())
                    await naps()
                else:
                    opened.run.cancel()
                    await asyncio.sleep(60)

    with pytest.raises(errors.ActionAbortedError, match="was cancelled"):
        run_async(cell())
    assert flyte.runs()[0].phase == "ABORTED"


@pytest.mark.parametrize("then", ["nothing", "a call"])
@pytest.mark.parametrize("waits", ["awaiting", "sync"])
def test_a_cell_may_catch_an_interrupt_that_concerns_nothing_of_its_run(waits, then):
    """But it calls nothing more in this run, which is over."""

    async def cell() -> str:
        async with open_cell():
            await quick()
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
            with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
                if waits == "sync":
                    time.sleep(20)
                await asyncio.sleep(60)
            if then == "a call":
                with contextlib.suppress(BaseException):
                    await naps()
        return "went on"

    assert interrupted(cell()) == (then == "a call")
    assert flyte.runs()[0].phase == ("ABORTED" if then == "a call" else "SUCCEEDED")


@pytest.mark.parametrize("how", ["interrupted", "cancelled"])
@pytest.mark.parametrize("waits", ["durable.sleep", "run.wait"])
def test_a_blocking_wait_at_the_top_of_a_cell_ends_with_its_run(waits, how):
    async def cell() -> None:
        async with open_cell() as opened:
            await quick()
            await asyncio.wrap_future(opened.run.store.journal.flush())
            soon(0.05, opened.stop if how == "interrupted" else opened.run.cancel)
            if waits == "durable.sleep":
                flyte.durable.sleep(60)
            else:
                Run(opened.run.name, opened.run.store).wait()

    if how == "interrupted":
        assert interrupted(cell())
    else:
        with pytest.raises(errors.ActionAbortedError, match="was cancelled"):
            run_async(cell())
    assert flyte.runs()[0].phase == "ABORTED"


@pytest.mark.parametrize("shape", ["line", "loop", "function"])
def test_an_interrupt_that_meets_our_own_code_reaches_the_cell_when_that_returns(shape):
    """And not before: what is being written is whole."""
    raises = flyte.trace(signal.raise_signal)
    reached = []

    def calls() -> None:
        raises(signal.SIGINT)

    async def cell() -> None:
        async with open_cell():
            await quick()
            if shape == "function":
                calls()
            elif shape == "loop":
                reached.extend([raises(signal.SIGINT) for _ in range(10)])
            else:
                raises(signal.SIGINT)
            reached.append("the end")

    tracer = sys.gettrace()
    assert interrupted(cell())
    assert sys.gettrace() is tracer
    assert reached == []
    assert phases() == [("quick", "SUCCEEDED"), ("raise_signal", "SUCCEEDED")]
    assert flyte.runs()[0].phase == "ABORTED"


@pytest.mark.parametrize("block", ["with", "finally", "both", "except", "the cell's own"])
def test_an_interrupt_that_meets_our_own_code_at_the_end_of_a_block_lets_that_end_first(block):
    """Python would pass its end by, and a lock stay locked."""
    raises = flyte.trace(signal.raise_signal)
    left, reached = [], []

    @contextlib.contextmanager
    def held():
        yield
        left.append("with")

    async def cell() -> None:
        async with open_cell():
            await quick()
            if block == "with":
                with held():
                    raises(signal.SIGINT)
                reached.append("after it")
            elif block == "finally":
                try:
                    raises(signal.SIGINT)
                finally:
                    left.append("finally")
                reached.append("after it")
            elif block == "both":
                with held():
                    try:
                        raises(signal.SIGINT)
                    finally:
                        left.append("finally")
                reached.append("after it")
            elif block == "except":
                try:
                    raises(signal.SIGINT)
                except ValueError:
                    left.append("except")
                reached.append("after it")
            else:
                raises(signal.SIGINT)

    assert interrupted(cell())
    assert left == {"with": ["with"], "finally": ["finally"], "both": ["finally", "with"]}.get(block, [])
    assert reached == []
    assert live_runs == {}
    assert flyte.runs()[0].phase.terminal


def test_a_task_that_first_runs_after_its_cell_says_so():
    async def cells() -> None:
        async with open_cell():
            early = asyncio.ensure_future(quick())
        with pytest.raises(errors.ActionAbortedError, match="after its cell had ended"):
            await early

    run_async(cells())
    assert flyte.runs() == []


def test_a_task_that_is_cut_off_by_its_cells_end_says_why():
    async def cells() -> None:
        async with open_cell():
            early = asyncio.ensure_future(tidies_slowly())
            await begun("tidies_slowly")
        with pytest.raises(asyncio.CancelledError, match="without awaiting it"):
            await early

    run_async(cells())
    assert phases() == [("tidies_slowly", "ABORTED")]


def test_an_interrupt_after_the_cell_concerns_nobody():
    async def cells() -> str:
        async with open_cell() as opened:
            await quick()
        opened.stop()
        await asyncio.sleep(0.01)
        return "went on"

    assert run_async(cells()) == "went on"


def test_cancelling_twice_leaves_the_callers_task_as_it_was():
    async def cell() -> int:
        with pytest.raises(errors.ActionAbortedError):
            async with open_cell() as opened:
                await quick()
                soon(0.02, opened.run.cancel)
                soon(0.02, opened.run.cancel)
                await asyncio.sleep(60)
        return asyncio.current_task().cancelling()

    assert run_async(cell()) == 0


def test_a_second_loop_run_by_hand_on_the_same_thread_reaches_tasks():
    @env.task
    async def main() -> int:
        loop = asyncio.new_event_loop()
        try:
            return loop.run_until_complete(quick(2)) + loop.run_until_complete(asyncio.wait_for(quick(3), 10))
        finally:
            loop.close()

    async def script() -> flyte.Run:
        patch_loop()
        return await flyte.run.aio(main)

    assert run_async(script()).outputs() == (5,)


def test_a_trace_in_a_task_of_its_own_ends_with_its_parent(caplog):
    @env.task
    async def main() -> int:
        main.keep = asyncio.ensure_future(traced_sleep())
        await asyncio.sleep(0.01)
        return 1

    run = flyte.run(main)
    assert phases(run) == [("main", "SUCCEEDED"), ("traced_sleep", "ABORTED")]
    assert caplog.records == []


def test_a_trace_may_be_the_first_of_a_cell_in_any_thread():
    async def cell() -> None:
        async with open_cell():
            await asyncio.to_thread(sync_traced)
            await asyncio.to_thread(lambda: run_async(asyncio.sleep(0, sync_traced(2))))
            await quick()

    run_async(cell())
    assert sorted(phases()) == [("quick", "SUCCEEDED"), *[("sync_traced", "SUCCEEDED")] * 2]


def test_traces_made_in_many_threads_at_once_keep_ids_of_their_own():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:

        async def cell() -> None:
            async with open_cell():
                await asyncio.gather(
                    *(asyncio.to_thread(lambda: [sync_traced() for _ in range(100)]) for _ in range(8))
                )

        run_async(cell())
    finally:
        sys.setswitchinterval(before)
    actions = flyte.runs()[0].actions()
    assert len({action.id for action in actions}) == len(actions) == 800
    assert {str(action.phase) for action in actions} == {"SUCCEEDED"}


def test_a_bad_log_call_fails_no_task(monkeypatch, capsys):
    @env.task
    async def logs() -> int:
        logging.getLogger("mine").warning("%d rows", "x")
        return 1

    # Without pytest's handlers, which raise on purpose, and with one that keeps Python's last resort out.
    monkeypatch.setattr(logging.getLogger(), "handlers", [logging.NullHandler()])
    assert flyte.run(logs).outputs() == (1,)
    assert "--- Logging error ---" in capsys.readouterr().err


def test_a_cell_may_end_in_what_cannot_be_recorded():
    class Stubborn:
        def __reduce__(self) -> str:
            raise ZeroDivisionError("no")

    async def cell() -> None:
        async with open_cell() as opened:
            await quick()
            opened.result(Stubborn())

    run_async(cell())
    assert flyte.runs()[0].phase == "SUCCEEDED"


def test_the_result_of_a_thread_that_comes_late_is_noted():
    release, done = threading.Event(), threading.Event()

    @env.task
    def late() -> int:
        release.wait(20)
        return 4242

    async def script() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(None) as limit:
                once_begun("late", lambda _: limit.reschedule(0))
                await flyte.run.aio(late)
        release.set()
        run = flyte.runs()[0]
        (action,) = run.actions()
        for _ in range(200):
            await asyncio.sleep(0.02)
            notes = {note.kind: note.text for note in run.store.journal.notes(run.name, action.id)}
            if "late" in notes:
                assert "4242" in notes["late"]
                done.set()
                return

    run_async(script())
    assert done.is_set()


def test_only_the_action_that_ran_out_of_time_is_timed_out():
    import datetime as dt

    @env.task(timeout=dt.timedelta(seconds=0.1))
    async def slow() -> int:
        await asyncio.sleep(60)
        return 1

    @env.task
    async def parent() -> int:
        return await slow()

    with pytest.raises(errors.TaskTimeoutError):
        flyte.run(parent)
    assert phases() == [("parent", "FAILED"), ("slow", "TIMED_OUT")]


def test_bounded_concurrency_counts_async_bodies_and_not_who_waits():
    running, most = [], []

    @env.task
    async def counted(x: int) -> int:
        running.append(x)
        most.append(len(running))
        await asyncio.sleep(0.01)
        running.remove(x)
        return x

    @env.task
    async def main(n: int) -> int:
        return sum(await asyncio.gather(*(counted(x) for x in range(n))))

    run = flyte.with_runcontext(max_action_concurrency=2).run(main, n=10)
    assert run.outputs() == (45,)
    assert max(most) == 2


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "..", ".hidden", "a b", ""])
def test_a_run_has_a_plain_name(name):
    with pytest.raises(ValueError, match="name"):
        flyte.with_runcontext(name=name)


def test_a_failed_or_aborted_run_has_no_outputs():
    @env.task
    async def fails() -> int:
        raise KeyError("x")

    with pytest.raises(errors.RuntimeUserError):
        flyte.run(fails)
    with pytest.raises(errors.RuntimeUserError) as caught:
        flyte.runs()[0].outputs()
    assert caught.value.code == "KeyError"


def test_a_cell_has_no_inputs():
    async def cell() -> None:
        async with open_cell(Origin(source="await quick(7)")):
            await quick(7)

    run_async(cell())
    assert flyte.runs()[0].inputs() == {}


def test_every_attempt_is_recorded_with_what_the_user_raised():
    import datetime as dt

    @env.task(retries=flyte.RetryStrategy(count=1, backoff=flyte.Backoff(base=dt.timedelta(0))))
    async def flaky() -> int:
        raise StopIteration("x")

    with pytest.raises(errors.RuntimeUserError):
        flyte.run(flaky)
    run = flyte.runs()[0]
    (action,) = run.actions()
    journal = run.store.journal
    assert [attempt.error for attempt in journal.attempts(run.name, action.id)] == ["StopIteration: x"] * 2


def test_nothing_is_alive_afterwards():
    assert live_runs == {}

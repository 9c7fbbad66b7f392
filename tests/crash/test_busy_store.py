"""A journal that others keep busy, or that is slower than what is appended: calls wait, the loop goes on, nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time

import pytest

import flyte_notebook as flyte
from flyte_notebook import errors
from flyte_notebook.engine import ending
from flyte_notebook.engine.cell import open_cell
from flyte_notebook.engine.runs import live_runs, unwritten
from flyte_notebook.record import events, schema, writer
from flyte_notebook.record.store import Store, open_store
from tests.locks import locked_by_another_process
from tests.loops import journal_caught_up, run_async
from tests.record.journal_cases import RUN, action_id, ended, put, started, submitted

env = flyte.TaskEnvironment("busy")


SOAK = bool(os.environ.get("FLYTE_NOTEBOOK_SOAK"))
CALLS = 20_000 if SOAK else 6_000


@env.task
async def leaf(n: int) -> int:
    return n


@env.task
async def main(n: int) -> int:
    return sum(await asyncio.gather(*(leaf(i) for i in range(n))))


class Ticker:
    """Counts how often the loop comes round."""

    def __init__(self):
        self.ticks = 0

    async def run(self):
        while True:
            await asyncio.sleep(0.01)
            self.ticks += 1


async def run_while_locked(task, n, unlock, seconds):
    """Start a run, let it be locked out for a while, and unlock; returns the run and how often the loop came round."""
    ticker = Ticker()
    ticking = asyncio.create_task(ticker.run())
    running = asyncio.create_task(flyte.run.aio(task, n=n))
    await asyncio.sleep(seconds)
    queued, ticks = len(open_store().journal._writer._queue), ticker.ticks
    assert not running.done()
    await asyncio.to_thread(unlock)
    try:
        return await running, queued, ticks
    finally:
        ticking.cancel()


# --- locked -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fresh", [False, True], ids=["used before", "first run of the kernel"])
def test_a_lock_that_goes_away_costs_nothing_but_time(home, fresh):
    Store(home).journal.close()
    if not fresh:
        flyte.run(main, n=1)
    with locked_by_another_process(home) as unlock:
        run, queued, ticks = run_async(run_while_locked(main, CALLS, unlock, 1.0))
    assert ticks > 5
    # In memory is what 50 ms can bring, and not all of them.
    assert queued < 2 * CALLS
    assert run.outputs()[0] == sum(range(CALLS))
    actions = run.actions()
    assert len(actions) == CALLS + 1
    assert {action.phase for action in actions} == {"SUCCEEDED"}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("seconds", [30.0 if SOAK else 6.0])
def test_a_long_lock_is_waited_for(home, seconds):
    flyte.run(main, n=1)
    with locked_by_another_process(home) as unlock:
        run, _, ticks = run_async(run_while_locked(main, 2_000, unlock, seconds))
    assert ticks > 100
    assert len(run.actions()) == 2_001


def test_a_lock_that_stays_ends_the_run_in_one_clear_error_and_the_kernel_goes_on(home, monkeypatch):
    flyte.run(main, n=1)
    monkeypatch.setattr(schema, "BUSY_SECONDS", 0.05)
    monkeypatch.setattr(schema, "TRIES", 4)
    open_store().close()
    open_store()
    with locked_by_another_process(home):
        with pytest.raises(errors.JournalError, match=r"Another process has kept .*journal\.db locked") as caught:
            flyte.run(main, n=5_000)
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert flyte.run(main, n=10).outputs() == (45,)


@pytest.mark.parametrize("lock", ["goes away", "stays"])
def test_whoever_has_stopped_a_run_does_not_wait_for_the_lock(home, monkeypatch, caplog, lock):
    monkeypatch.setattr(ending, "PATIENCE", 0.05)
    monkeypatch.setattr(schema, "BUSY_SECONDS", 0.05)
    monkeypatch.setattr(schema, "TRIES", 40 if lock == "stays" else 1_000)
    Store(home).journal.close()

    async def go(unlock) -> str:
        with pytest.raises(errors.ActionAbortedError):
            async with open_cell() as opened:
                working = asyncio.ensure_future(main(5))
                while opened.run is None:
                    await asyncio.sleep(0)
                opened.run.cancel()
                await working
        assert opened.run.ending.being_written
        assert unwritten() == [opened.run]
        if lock == "goes away":
            await asyncio.to_thread(unlock)
        while opened.run.ending.being_written:
            await asyncio.sleep(0.001)
        assert live_runs == {}
        return opened.run.name

    with locked_by_another_process(home) as unlock:
        name = run_async(go(unlock))
    complaints = [record.getMessage() for record in caplog.records if record.name.startswith("flyte_notebook")]
    if lock == "stays":
        assert [f"the record of {name} is not complete: Another process" in each for each in complaints] == [True]
    else:
        assert complaints == []
        assert flyte.runs()[0].phase == "ABORTED"
    assert flyte.run(main, n=10).outputs() == (45,)


def test_a_locked_out_run_can_be_cancelled(home):
    flyte.run(main, n=1)

    async def go(unlock):
        running = asyncio.create_task(flyte.run.aio(main, n=20_000))
        await asyncio.sleep(0.5)
        running.cancel()
        await asyncio.sleep(0.2)
        await asyncio.to_thread(unlock)
        with pytest.raises(asyncio.CancelledError):
            await running

    with locked_by_another_process(home) as unlock:
        run_async(go(unlock))
    run = flyte.runs()[0]
    assert run.phase == "ABORTED"
    assert {action.phase for action in run.actions()} <= {"SUCCEEDED", "ABORTED"}


def test_nothing_begins_before_its_run_is_on_record_where_the_journal_has_to_be_opened(home):
    open_store().close()
    began = []

    @env.task
    async def first() -> int:
        began.append(1)
        return 1

    async def go(unlock):
        running = asyncio.ensure_future(flyte.run.aio(first))
        while not live_runs:
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        assert began == []
        await asyncio.to_thread(unlock)
        return await running

    with locked_by_another_process(home) as unlock:
        assert run_async(go(unlock)).outputs() == (1,)


class Ending:
    """Calls that have begun and end when they are told to, one of each kind."""

    def __init__(self):
        self.at_work = set()
        self.go_on = {kind: threading.Event() for kind in ("first", "task", "error", "trace", "thread")}

    async def wait(self, kind: str) -> str:
        self.at_work.add(kind)
        while not self.go_on[kind].is_set():
            await asyncio.sleep(0.001)
        if kind == "error":
            raise ValueError
        return kind

    def wait_in_a_thread(self, kind: str) -> str:
        self.at_work.add(kind)
        self.go_on[kind].wait(20)
        return kind

    def begin(self, kind: str) -> asyncio.Task[str]:
        waits = env.task(self.wait)
        sync = flyte.trace(self.wait_in_a_thread)
        traced = flyte.trace(self.wait)
        call = {"trace": lambda: traced(kind), "thread": lambda: asyncio.to_thread(sync, kind)}.get(kind)
        return asyncio.ensure_future(call() if call is not None else waits(kind))


@pytest.mark.parametrize("kind", ["task", "error", "trace", "thread"])
def test_no_result_is_handed_back_that_would_be_lost_for_longer_than_is_promised(home, kind):
    ending = Ending()

    @env.task(short_name="all_wait")
    async def all_wait() -> None:
        (run,) = live_runs.values()
        first, last = ending.begin("first"), ending.begin(kind)
        while len(ending.at_work) < 2:
            await asyncio.sleep(0.001)
        await journal_caught_up()
        with locked_by_another_process(home) as unlock:
            ending.go_on["first"].set()
            while not run.pace.behind():
                await asyncio.sleep(0.001)
            ending.go_on[kind].set()
            await asyncio.sleep(0.03)
            assert not last.done()
            await asyncio.to_thread(unlock)
        found = await asyncio.gather(first, last, return_exceptions=True)
        assert found[0] == "first"
        assert isinstance(found[1], errors.RuntimeUserError) if kind == "error" else found[1] == kind

    flyte.run(all_wait)


def test_an_action_that_has_ended_and_waits_to_be_handed_back_is_not_cancelled(home):
    ending = Ending()

    @env.task(short_name="all_wait")
    async def all_wait() -> str:
        (run,) = live_runs.values()
        first, last = ending.begin("first"), ending.begin("task")
        while len(ending.at_work) < 2:
            await asyncio.sleep(0.001)
        await journal_caught_up()
        call = next(call for call in run.calls.values() if call.runner is last)
        with locked_by_another_process(home) as unlock:
            ending.go_on["first"].set()
            while not run.pace.behind():
                await asyncio.sleep(0.001)
            ending.go_on["task"].set()
            while not call.phase.terminal:
                await asyncio.sleep(0.001)
            run.cancel(call.id)
            await asyncio.sleep(0.01)
            assert not last.done()
            await asyncio.to_thread(unlock)
        return await first + await last

    run = flyte.run(all_wait)
    assert run.outputs() == ("firsttask",)
    assert {action.phase for action in run.actions()} == {"SUCCEEDED"}


# --- slower than what is appended ---------------------------------------------------------------------------------------


class SlowDisk:
    """Takes a while for each commit."""

    def __init__(self, monkeypatch, seconds):
        from flyte_notebook.record.ledger import Ledger

        commit = Ledger.commit

        def slowly(ledger):
            time.sleep(seconds)
            commit(ledger)

        monkeypatch.setattr(Ledger, "commit", slowly)


@pytest.mark.parametrize("waits", ["result", "call"])
def test_nobody_waits_for_ever_where_every_commit_is_slow_and_others_keep_the_journal_busy(monkeypatch, waits):
    done, go_on = threading.Event(), asyncio.Event()

    @env.task
    def talks() -> None:
        while not done.wait(0.003):
            print("still here")

    @env.task
    async def ends(i: int) -> int:
        await go_on.wait()
        return i

    @env.task
    async def both() -> int:
        (run,) = live_runs.values()
        talking = asyncio.ensure_future(talks.aio())
        ending = [asyncio.ensure_future(ends(i)) for i in range(5)]
        while len(run.calls) < 7:
            await asyncio.sleep(0.001)
        SlowDisk(monkeypatch, 0.06)
        while not run.pace.behind():
            await asyncio.sleep(0.001)
        go_on.set()
        # What they wait for is on record: it does not matter that there is always more.
        total = sum(await asyncio.gather(*(ending if waits == "result" else [leaf(i) for i in range(200)])))
        done.set()
        await asyncio.gather(talking, *ending)
        return total

    assert flyte.run(both).outputs() == ((10,) if waits == "result" else (19_900,))


def test_calls_wait_for_a_slow_disk_in_their_order(monkeypatch, figures):
    SlowDisk(monkeypatch, 0.1)
    journal = open_store().journal
    most = 0

    def look(event):
        nonlocal most
        most = max(most, len(journal._writer._queue) + len(journal._writer._batch))

    unsubscribe = events.live.subscribe(look)
    unsubscribe_too = events.committed.subscribe(look)
    try:
        run = flyte.run(main, n=CALLS)
    finally:
        unsubscribe()
        unsubscribe_too()
    assert run.outputs()[0] == sum(range(CALLS))
    actions = [action for action in run.actions() if action.parent_id is not None]
    assert len(actions) == CALLS
    # The order of the calls, though most of them waited for their turn.
    inputs = [dict_of(run, action)["n"] for action in actions[::500]]
    assert inputs == list(range(0, CALLS, 500))
    assert most < 2 * CALLS
    figures.append(f"commits of 0.1 s, {CALLS:,} actions at once: at most {most:,} of {3 * CALLS:,} events in memory")


def dict_of(run, action):
    return leaf.interface.decode_inputs(run.store.journal.inputs(run.name, action.id), run.store.blobs)


def test_a_run_that_ends_while_calls_wait_leaves_no_task_behind(monkeypatch):
    SlowDisk(monkeypatch, 0.2)

    async def cell() -> set[asyncio.Task[object]]:
        running = asyncio.ensure_future(flyte.run.aio(main, n=CALLS))
        while not any(run.pace.late() for run in live_runs.values()):
            await asyncio.sleep(0.01)
        for run in tuple(live_runs.values()):
            run.cancel()
        with pytest.raises(errors.ActionAbortedError):
            await running
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert run_async(cell()) == set()


def test_cancelled_calls_do_not_hold_up_those_behind_them(monkeypatch):
    SlowDisk(monkeypatch, 0.2)

    @env.task(short_name="some")
    async def some(n: int) -> int:
        calls = [asyncio.ensure_future(leaf(i)) for i in range(n)]
        await asyncio.sleep(0.3)
        for call in calls[::2]:
            call.cancel()
        done = await asyncio.gather(*calls, return_exceptions=True)
        return sum(value for value in done if isinstance(value, int))

    run = flyte.run(some, n=6_000)
    assert run.outputs()[0] >= sum(range(1, 6_000, 2))
    assert {action.phase for action in run.actions()} <= {"SUCCEEDED", "ABORTED"}


def test_whoever_appends_without_end_waits_when_memory_has_enough(monkeypatch):
    monkeypatch.setattr(writer, "_FULL", 100)
    journal = open_store().journal
    put(journal, started())
    done = threading.Event()

    def append():
        for number in range(1000):
            journal.append(submitted(number))
        done.set()

    with journal._writer._writing:
        thread = threading.Thread(target=append)
        thread.start()
        assert not done.wait(0.5)
        assert len(journal._writer._queue) <= 102
    thread.join(20)
    journal.flush().result(20)
    assert [action.id for action in journal.actions(RUN)] == [action_id(number) for number in range(1000)]


def test_a_view_may_append_on_the_writers_own_thread(monkeypatch):
    monkeypatch.setattr(writer, "_FULL", 10)
    journal = open_store().journal
    put(journal, started())

    def echo(event):
        if isinstance(event, events.ActionSubmitted):
            for _ in range(20):
                journal.append(events.OutputWritten(RUN, event.id, "stdout", "x\n", 102.0))

    unsubscribe = events.committed.subscribe(echo)
    put(journal, *(submitted(number) for number in range(5)), *(ended(number) for number in range(5)))
    unsubscribe()
    journal.flush().result(20)
    assert sum(len(line.text) for line in journal.logs(RUN)) == 5 * 20 * 2


# --- two kernels --------------------------------------------------------------------------------------------------------

KERNEL = """
    import asyncio, sys
    import flyte_notebook as flyte
    env = flyte.TaskEnvironment(sys.argv[1])

    @env.task
    async def leaf(n: int) -> int:
        return n

    @env.task
    async def main(n: int) -> int:
        total = 0
        for first in range(0, n, 500):
            total += sum(await asyncio.gather(*(leaf(i) for i in range(first, first + 500))))
        return total

    run = flyte.run(main, n=9_999 // 500 * 500 + 500)
    print(run.name, run.outputs()[0])
"""


@pytest.mark.timeout(180)
def test_two_kernels_append_ten_thousand_actions_each_to_one_store(home, figures):
    began = time.perf_counter()
    kernels = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(KERNEL), name],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two")
    ]
    said = [kernel.communicate(timeout=120) for kernel in kernels]
    took = time.perf_counter() - began
    store = Store(home)
    with store.journal.reading() as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    for name, (output, error) in zip(("one", "two"), said, strict=True):
        assert error == ""
        run, total = output.split()
        assert int(total) == sum(range(10_000))
        actions = store.journal.actions(run)
        assert len(actions) == 10_001
        assert {(action.task_name.partition(".")[0], action.phase) for action in actions} == {(name, "SUCCEEDED")}
        values = [store.journal.inputs(run, action.id) for action in actions[1::250]]
        assert [leaf.interface.decode_inputs(value, store.blobs)["n"] for value in values] == list(
            range(0, 10_000, 250)
        )
        starts = [action.started_at for action in actions]
        assert starts == sorted(starts)
    store.close()
    figures.append(f"two kernels, 10,000 actions each, one store: all there, in {took:.1f} s with their start")


def test_a_journal_locked_by_another_is_opened_without_waiting(home):
    """A kernel's first run must not block its loop, and all that its user does, for as long as another one writes."""
    Store(home).journal.close()
    blocker = sqlite3.connect(home / "journal.db", isolation_level=None)
    with contextlib.closing(blocker):
        blocker.execute("BEGIN IMMEDIATE")
        opened = threading.Event()
        thread = threading.Thread(target=lambda: (Store(home), opened.set()))
        thread.start()
        assert opened.wait(4), "opening waits for the lock"
        thread.join()
        blocker.execute("ROLLBACK")

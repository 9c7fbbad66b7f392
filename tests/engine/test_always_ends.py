"""Whatever is raised between a run's first row on record and the end of its cell: the run has its end, and is let go."""

from __future__ import annotations

import asyncio
import contextlib
import signal

import pytest

import flyte_notebook as flyte
from flyte_notebook import errors
from flyte_notebook.engine import submit as engine_submit
from flyte_notebook.engine.bridge import patch_loop
from flyte_notebook.engine.cell import open_cell
from flyte_notebook.engine.runs import live_runs
from flyte_notebook.record import events
from flyte_notebook.record.codec import Draft
from flyte_notebook.record.store import open_store
from tests.loops import interrupted, run_async

env = flyte.TaskEnvironment("always-ends")


@env.task
async def quick(x: int = 1) -> int:
    return x


RAISED = [KeyboardInterrupt, asyncio.CancelledError, SystemExit, MemoryError, ImportError]


def phase_after(error):
    return "ABORTED" if error in (KeyboardInterrupt, asyncio.CancelledError) else "FAILED"


@contextlib.contextmanager
def heard(event, what):
    """`what` is done by who hears of the first event of that type."""
    left = [what]

    def hear(happened):
        if type(happened) is event and left:
            left.pop()()

    unsubscribe = events.live.subscribe(hear)
    try:
        yield
    finally:
        unsubscribe()


def raising(error):
    def raise_it(*_):
        raise error("broken")

    return raise_it


def library(source):
    """The function `f` of that source, as an installed package would have it."""
    namespace = {}
    exec(compile(source, "/usr/lib/python3/dist-packages/library.py", "exec"), namespace)
    return namespace["f"]


def phases_of_a_cell_that_raises(error):
    """Phases of its run and of the run's actions, when nothing of it is left and the next cell does its work."""

    async def cells():
        with pytest.raises(error):
            async with open_cell():
                await quick()
        assert live_runs == {}
        async with open_cell():
            assert await quick(2) == 2

    run_async(cells())
    assert live_runs == {}
    after, ended = flyte.runs()
    assert after.phase == "SUCCEEDED"
    return ended.phase, {action.phase for action in ended.actions()}


@pytest.mark.parametrize("error", RAISED)
@pytest.mark.parametrize("event", [events.RunStarted, events.TaskSeen, events.ActionSubmitted])
def test_a_run_ends_whatever_is_raised_where_its_beginning_is_heard_of(event, error):
    with heard(event, raising(error)):
        phase, actions = phases_of_a_cell_that_raises(error)
    assert phase == phase_after(error)
    assert actions == ({"ABORTED"} if event is events.ActionSubmitted else set())


@pytest.mark.parametrize(
    ("event", "error"),
    [(events.RunEnded, error) for error in RAISED]
    # Elsewhere than in a cell's own code these two end the loop, and are not raised by an interrupt.
    + [
        (event, error)
        for event in (events.AttemptStarted, events.ActionEnded)
        for error in RAISED
        if error not in (KeyboardInterrupt, SystemExit)
    ],
)
def test_a_run_ends_whatever_is_raised_where_its_work_and_its_end_are_heard_of(event, error):
    with heard(event, raising(error)):
        phase, actions = phases_of_a_cell_that_raises((error, errors.RuntimeUserError))
    assert phase.terminal
    assert all(action.terminal for action in actions)


@pytest.mark.parametrize("error", RAISED)
def test_a_run_ends_whatever_is_raised_where_its_result_is_stored(error, monkeypatch):
    monkeypatch.setattr(engine_submit, "sealed", raising(error))
    monkeypatch.setattr("flyte_notebook.engine.cell.sealed", raising(error))
    monkeypatch.setattr("flyte_notebook.engine.cell.converter", lambda _: _MakesDrafts())

    async def cell():
        async with open_cell() as opened:
            opened.result(await quick())

    with pytest.raises(error):
        run_async(cell())
    assert live_runs == {}
    assert flyte.runs()[0].phase == phase_after(error)


class _MakesDrafts:
    """A value that is large enough to be stored in a thread."""

    def encode(self, _):
        return Draft.__new__(Draft)


def test_a_run_ends_whose_cell_is_never_resumed():
    waits = asyncio.Event()

    async def cell():
        async with open_cell():
            await quick()
            waits.set()
            await asyncio.Event().wait()

    loop = asyncio.new_event_loop()
    task = loop.create_task(cell())
    loop.run_until_complete(waits.wait())
    loop.close()
    task.get_coro().close()
    open_store().journal.flush().result()
    assert live_runs == {}
    assert flyte.runs()[0].phase == "ABORTED"


# --- an interrupt that meets libraries --------------------------------------------------------------------------------

INTERRUPTS = """
import signal

def f(times, then):
    for _ in range(times):
        signal.raise_signal(signal.SIGINT)
    then("went on")
"""


@pytest.mark.parametrize("event", [events.RunStarted, events.ActionSubmitted])
def test_an_interrupt_does_not_cut_in_two_what_a_run_begins_with(event):
    """A widget half imported, or a thread half started, is of no use to any later cell."""
    done = []

    async def cell():
        with heard(event, lambda: library(INTERRUPTS)(2, done.append)):
            async with open_cell():
                await quick()
                done.append("the end")

    assert interrupted(cell())
    assert done == ["went on"]
    assert live_runs == {}
    assert flyte.runs()[0].phase == "ABORTED"


def test_whoever_insists_gets_out_of_a_library_that_does_not_return():
    done = []

    async def cell():
        with heard(events.RunStarted, lambda: library(INTERRUPTS)(3, done.append)):
            async with open_cell():
                await quick()

    assert interrupted(cell())
    assert done == []
    assert live_runs == {}
    assert flyte.runs()[0].phase == "ABORTED"


def test_an_interrupt_ends_at_once_the_library_that_a_cell_itself_has_called():
    done = []

    async def cell():
        async with open_cell():
            await quick()
            library(INTERRUPTS)(1, done.append)

    assert interrupted(cell())
    assert done == []


# --- an interrupt before there is a run -------------------------------------------------------------------------------


def raise_it(*_):
    raise KeyboardInterrupt


@pytest.mark.parametrize("handler", [signal.default_int_handler, raise_it], ids=["ours", "somebody else's"])
@pytest.mark.parametrize("call", [lambda: flyte.run(quick), lambda: list(flyte.map(quick, [1, 2]))], ids=["run", "map"])
def test_an_interrupt_between_a_blocking_call_and_its_run_leaves_nothing_to_begin_later(call, handler):
    """The loop may be at something else just then, such as a run in the background."""
    loop = asyncio.new_event_loop()
    went_on, began = [], []

    def else_on_the_loop():
        signal.raise_signal(signal.SIGINT)
        went_on.append(True)

    async def cell():
        patch_loop()
        loop.call_soon(else_on_the_loop)
        with pytest.raises(KeyboardInterrupt):
            call()
        began.append(len(flyte.runs()))
        await asyncio.sleep(0.05)

    before = signal.signal(signal.SIGINT, handler)
    try:
        loop.run_until_complete(cell())
    finally:
        assert signal.signal(signal.SIGINT, before) is handler
        loop.close()
    assert live_runs == {}
    assert [len(flyte.runs())] == began
    assert went_on == [True] * (handler is signal.default_int_handler)

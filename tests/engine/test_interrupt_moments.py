"""A SIGINT where who handles it has just come, or has just gone: it is never lost, and nothing goes on behind it."""

from __future__ import annotations

import asyncio
import contextlib
import signal

import pytest

import flyte_notebook as flyte
from flyte_notebook.api import launch
from flyte_notebook.engine import bridge, interrupt
from flyte_notebook.engine.cell import open_cell
from flyte_notebook.engine.runs import live_runs
from tests.loops import interrupted, once_begun

env = flyte.TaskEnvironment("interrupt-moments")


@env.task
async def quick() -> int:
    return 1


@env.task
async def slow() -> int:
    await asyncio.sleep(0.3)
    return 1


class Moments:
    """Counts the moments of a program, and sends the signal at one of them."""

    def __init__(self):
        self.seen, self.at, self._on = 0, 0, False

    def now(self):
        self.seen += self._on
        return self._on and self.seen == self.at

    @contextlib.contextmanager
    def counted(self):
        self.seen, self._on = 0, True
        try:
            yield
        finally:
            self._on = False


class Entries(list):
    """Where putting in is a moment, too."""


async def blocking(moments):
    with moments.counted():
        flyte.run(quick)
        flyte.run(slow)


async def blocking_in_a_cell(moments):
    """Whose own code hears of a signal at its next await only."""
    async with open_cell():
        with moments.counted():
            flyte.run(quick)
            flyte.run(slow)


async def awaited(moments):
    with moments.counted():
        await flyte.run.aio(quick)
        await flyte.run.aio(slow)


async def beside_another_run(moments):
    """An earlier cell's, where nobody turns a signal into an error; as a kernel is when the next one begins."""
    beside = asyncio.create_task(flyte.run.aio(slow))
    while not live_runs:
        await asyncio.sleep(0.0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with moments.counted():
            flyte.run(quick)
            flyte.run(slow)
    finally:
        await asyncio.wait([beside])


async def watched(program, moments, left):
    interrupt.cell_begins()
    try:
        await program(moments)
    finally:
        left += [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


AROUND = """
def around(moments, function):
    def called(*args, **kwargs):
        if moments.now():
            raise_signal(SIGINT)
        try:
            return function(*args, **kwargs)
        finally:
            if moments.now():
                raise_signal(SIGINT)
    return called
"""


@pytest.fixture(params=["our code", "a library's"])
def moments(request, monkeypatch):
    """The signal meets code of this package, or what that has called."""
    names = vars(signal).copy()
    exec(compile(AROUND, bridge.__file__ if request.param == "our code" else "library.py", "exec"), names)
    counted = Moments()
    around = names["around"]
    monkeypatch.setattr(Entries, "append", around(counted, list.append), raising=False)
    monkeypatch.setattr(interrupt._interrupts, "_entries", Entries())
    monkeypatch.setattr(signal, "signal", around(counted, signal.signal))
    monkeypatch.setattr(asyncio.BaseEventLoop, "create_task", around(counted, asyncio.BaseEventLoop.create_task))
    monkeypatch.setattr(bridge, "patch_loop", around(counted, bridge.patch_loop))
    monkeypatch.setattr(launch, "open_cell", around(counted, open_cell))
    yield counted
    interrupt.no_more_cells()


@pytest.mark.parametrize("program", [blocking, blocking_in_a_cell, awaited, beside_another_run])
def test_an_interrupt_at_any_moment_ends_what_blocks(program, moments):
    assert not interrupted(watched(program, moments, []))
    for at in range(1, 1 + moments.seen):
        moments.at, left = at, []
        was_interrupted = interrupted(watched(program, moments, left))
        assert was_interrupted or moments.seen < at, f"lost: moment {at}"
        assert (left, live_runs, interrupt._interrupts._entries) == ([], {}, []), f"moment {at}"
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler, f"moment {at}"


def test_a_body_is_interrupted_once_whose_cell_blocks_until_it_ends():
    tidied = []

    @env.task
    async def tidies(x: int) -> int:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.1)
            tidied.append(True)
        return 1

    async def cell():
        async with open_cell():
            once_begun("tidies", lambda _: signal.raise_signal(signal.SIGINT))
            list(flyte.map(tidies, [1]))

    assert interrupted(cell())
    assert tidied

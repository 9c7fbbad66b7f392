"""While much is recovered, or large values are: the loop goes on, and a run that ends leaves nothing behind."""

from __future__ import annotations

import asyncio
import threading

import pytest

import flyte_notebook as flyte
from flyte_notebook import errors
from flyte_notebook.engine import recovery
from flyte_notebook.engine.interface import Interface
from flyte_notebook.record import events
from flyte_notebook.record.encoded import Encoded
from flyte_notebook.record.model import Phase
from tests.loops import run_async

PATIENCE = 20


def failed(task):
    """A run of `task` that has failed."""
    with pytest.raises(errors.RuntimeUserError):
        flyte.run(task)
    return flyte.runs()[0]


def test_what_is_being_recovered_when_its_run_ends_ends_with_it(monkeypatch):
    """A result that is read in a thread comes too late: a sibling has failed meanwhile."""
    env = flyte.TaskEnvironment("late")
    reading, done = threading.Event(), threading.Event()
    first = True

    @env.task
    async def leaf() -> int:
        return 1

    @env.task
    async def large(n: int) -> int:
        return n + await leaf()

    @env.task
    async def bad() -> int:
        while not first and not reading.is_set():
            await asyncio.sleep(0.001)
        raise ValueError("not yet")

    @env.task
    async def main() -> int:
        got = [await large(n) for n in range(3)] if first else []
        return sum(await asyncio.gather(*(large(n) for n in range(3)), bad()) if not first else [*got, await bad()])

    run = failed(main)
    first = False
    decode = Interface.decode_output

    def read(self, *args):
        reading.set()
        assert done.wait(PATIENCE)
        return decode(self, *args)

    monkeypatch.setattr(Interface, "decode_output", read)
    monkeypatch.setattr(Encoded, "is_slow", lambda *_: True)
    seen: list[events.Event] = []
    stop = events.live.subscribe(seen.append)

    async def resume():
        with pytest.raises(errors.RuntimeUserError):
            await run.resume.aio()
        ended = len(seen)
        done.set()
        for _ in range(20):
            await asyncio.sleep(0.005)
        assert seen[ended:] == []

    run_async(resume())
    stop()
    assert isinstance(seen[-1], events.RunEnded)
    again = flyte.runs()[0]
    assert [(a.phase, a.recovered) for a in again.actions() if a.short_name == "large"] == [(Phase.ABORTED, False)] * 3
    ended = {event.id for event in seen if isinstance(event, events.ActionEnded)}
    assert ended == {event.id for event in seen if isinstance(event, events.ActionSubmitted)}


@pytest.mark.parametrize("below", [False, True])
def test_the_loop_goes_on_while_much_is_recovered(monkeypatch, below):
    """One after the other, or all at once below one success."""
    env = flyte.TaskEnvironment("much")
    turns = 0

    @env.task
    async def leaf(n: int) -> int:
        return n

    @env.task
    async def every(n: int) -> int:
        return sum([await leaf(i) for i in range(n)])

    async def count():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    @env.task
    async def main() -> int:
        nonlocal turns
        counting = asyncio.create_task(count())
        if below:
            await every(200)
        else:
            for i in range(200):
                await leaf(i)
        counting.cancel()
        raise ValueError(turns)

    run = failed(main)
    turns = 0
    monkeypatch.setattr(recovery, "_HOLD_SECONDS", 0)
    with pytest.raises(errors.RuntimeUserError):
        run.resume()
    assert sum(a.recovered for a in flyte.runs()[0].actions()) == 200 + below
    assert turns >= 200

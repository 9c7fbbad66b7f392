"""A body that blocks the event loop is remarked on, once."""

from __future__ import annotations

import asyncio
import threading
import time

import flyte_notebook as flyte
from flyte_notebook.engine import watch

env = flyte.TaskEnvironment("blocking")


@env.task
async def blocks(seconds: float) -> int:
    time.sleep(seconds)
    return 1


@env.task
async def waits(seconds: float) -> int:
    await asyncio.sleep(seconds)
    return 1


@env.task
def in_a_thread(seconds: float) -> int:
    time.sleep(seconds)
    return 1


def hints(run: flyte.Run) -> list[str]:
    (action,) = run.actions()
    return [note.text for note in run.store.journal.notes(run.name, action.id) if note.kind == "blocking"]


def test_a_blocking_body_gets_one_hint(monkeypatch):
    monkeypatch.setattr(watch, "PATIENCE", 0.2)
    monkeypatch.setattr(watch, "TICK", 0.05)
    assert hints(flyte.run(blocks, seconds=1.0)) == [watch.HINT]


def test_bodies_that_wait_or_sit_in_a_thread_get_none(monkeypatch):
    monkeypatch.setattr(watch, "PATIENCE", 0.2)
    monkeypatch.setattr(watch, "TICK", 0.05)
    assert hints(flyte.run(waits, seconds=0.6)) == []
    assert hints(flyte.run(in_a_thread, seconds=0.6)) == []


def test_the_watching_thread_ends_with_the_last_run():
    flyte.run(waits, seconds=0.0)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and any(t.name == "flyte-watch" for t in threading.enumerate()):
        time.sleep(0.01)
    assert [t.name for t in threading.enumerate() if t.name == "flyte-watch"] == []

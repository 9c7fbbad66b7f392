"""What tasks refer to may be set between two calls of one run, as a sweep does: each call counts by what it saw."""

from __future__ import annotations

from typing import Any

import pytest

import flyte_notebook as flyte
from flyte_notebook import errors
from flyte_notebook.record.store import open_store
from flyte_notebook.record.why import why

PROGRAM = """
import asyncio, os
from types import SimpleNamespace

RATE, TABLE, SETTINGS = 1, {"rate": 1}, SimpleNamespace(rate=1)

def scaled(x): return x + 1

@env.task(cache=CACHE)
async def step(x: int) -> int:
    await asyncio.sleep(0)
    return READ

def set_to(rate):
    SET

@env.task(cache="disable")
async def sweep() -> list[int]:
    found = []
    for rate in map(int, os.environ["RATES"].split()):
        set_to(rate)
        found.append(await step(10))
    if os.environ["BROKEN"] == "1":
        raise ValueError
    return found
"""
WAYS = {
    "a constant": ("x + RATE", "global RATE; RATE = rate"),
    "a dict": ("x + TABLE['rate']", "TABLE['rate'] = rate"),
    "a namespace": ("x + SETTINGS.rate", "SETTINGS.rate = rate"),
    "a helper": ("scaled(x)", "global scaled; scaled = lambda x, rate=rate: x + rate"),
}


@pytest.fixture(params=WAYS)
def sweep(request, monkeypatch, tmp_path):
    """Defines the tasks, whose cache is as given, for one of the ways to set what they refer to."""
    monkeypatch.setenv("BROKEN", "0")
    monkeypatch.setenv("RATES", "1 2 3 1")
    read, set_to = WAYS[request.param]
    path = tmp_path / "cell.py"
    path.write_text(PROGRAM.replace("READ", read).replace("SET\n", f"{set_to}\n"))

    def define(cache: str) -> flyte.TaskTemplate:
        scope: dict[str, Any] = {"env": flyte.TaskEnvironment("sweeps"), "CACHE": cache, "__name__": "__main__"}
        exec(compile(path.read_text(), str(path), "exec", dont_inherit=True), scope)
        kept.append(scope)
        return scope["sweep"]

    kept: list[dict[str, Any]] = []
    return define


def _steps(run: flyte.Run, how: str) -> list[bool]:
    return [getattr(action, how) for action in run.actions() if action.task_name == "sweeps.step"]


def test_a_cached_result_is_reused_for_the_setting_that_it_was_made_with(sweep):
    run = flyte.run(sweep("auto"))
    assert run.outputs() == ([11, 12, 13, 11],)
    assert _steps(run, "cached") == [False, False, False, True]
    again = flyte.run(sweep("auto"))
    assert again.outputs() == ([11, 12, 13, 11],)
    assert _steps(again, "cached") == [True, True, True, True]


def test_a_result_is_recovered_for_the_setting_that_it_was_made_with(sweep, monkeypatch):
    monkeypatch.setenv("BROKEN", "1")
    with pytest.raises(errors.RuntimeUserError):
        flyte.run(sweep("disable"))
    monkeypatch.setenv("BROKEN", "0")
    monkeypatch.setenv("RATES", "1 5 3 1")
    sweep("disable")
    run = flyte.runs()[0].resume()
    assert run.outputs() == ([11, 15, 13, 11],)
    assert _steps(run, "recovered") == [True, False, True, True]
    (again,) = [action for action in run.actions() if action.task_name == "sweeps.step" and not action.recovered]
    told = why(open_store(), run.name, again.id)
    assert told is not None
    assert told.startswith("ran again: code, or something that it refers to, changed (since run ")


def test_what_is_set_while_a_body_runs_does_not_change_what_it_is_recorded_with():
    scope: dict[str, Any] = {"env": flyte.TaskEnvironment("sweeps"), "__name__": "__main__"}
    exec(
        "RATE = 1\n"
        "@env.task(cache='auto')\n"
        "async def step(x: int) -> int:\n"
        "    rate = RATE\n"
        "    await started(x)\n"
        "    return x + rate",
        scope,
    )

    async def started(x: int) -> None:
        scope["RATE"] = 2

    scope["started"] = started
    assert flyte.run(scope["step"], x=10).outputs() == (11,)
    scope["RATE"] = 1
    again = flyte.run(scope["step"], x=10)
    assert again.outputs() == (11,)
    assert again.actions()[0].cached

"""An interrupt, or whatever else, while a run begins, its tree is made, or its end is shown: the run has its end."""

from __future__ import annotations

import ast
import os
import random
import time

import pytest

from flyte_notebook.engine.runs import live_runs
from flyte_notebook.notebook import sources, view
from tests.notebook.kernels import RUN_MIME, kernel
from tests.notebook.test_channel import Page

TASK = """%%flyte interrupted
import asyncio
@env.task
async def main(seconds: float) -> int:
    await asyncio.sleep(seconds)
    return 1
"""
CELL = TASK + "await main({})"
SEED = int(os.environ.get("FLYTE_NOTEBOOK_SEED", "8"))


# --- what fails where, in this process --------------------------------------------------------------------------------


class Fragile:
    """A live view that breaks where it is told to."""

    def __init__(self, breaks, error):
        self._breaks, self._error = breaks, error
        self.closed = False

    def at(self, where):
        if where == self._breaks:
            raise self._error("broken")

    def start(self):
        self.at("start")

    def replace(self, show_finished):
        self.at("replace")
        show_finished()
        self.close()

    def close(self):
        self.closed = True


@pytest.fixture
def fragile(monkeypatch):
    def make(breaks, error):
        made = Fragile(breaks, error)
        monkeypatch.setattr(view._Shown, "_view", lambda _: made.at("view") or made)
        return made

    return make


@pytest.mark.parametrize("breaks", ["view", "start", "replace"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError, ImportError])
def test_a_run_ends_whatever_is_raised_where_its_tree_is_made_or_finished(shell, fragile, breaks, error):
    made = fragile(breaks, error)
    shell.run(CELL.format(0.0))
    assert live_runs == {}
    (run,) = shell.result("flyte.runs()")
    if issubclass(error, Exception) or breaks == "replace":
        assert run.phase == "SUCCEEDED"
    else:
        assert run.phase == ("ABORTED" if error is KeyboardInterrupt else "FAILED")
    assert made.closed == (breaks != "view")
    fragile("", None)
    shell.ok("%%flyte --resume\nassert await main(0.0) == 1")
    assert shell.result("flyte.runs()[0].phase") == "SUCCEEDED"


SKIPS_ITS_END = """
import sys
def skips_the_end(frame, event, _):
    if event == "line" and skips_the_end.left:
        frame.f_trace_opcodes = True
        skips_the_end.left = False
    elif event == "opcode":
        frame.f_trace = None
        sys.settrace(None)
        raise KeyboardInterrupt
    return skips_the_end
def interrupt_at_the_end():
    skips_the_end.left = True
    frame = sys._getframe(1)
    frame.f_trace = skips_the_end
    sys.settrace(lambda *_: None)
"""


def test_a_run_ends_although_an_interrupt_comes_between_the_last_statement_and_the_end_of_the_cell(shell):
    """Python runs no `__aexit__` then."""
    shell.ok(SKIPS_ITS_END)
    outcome = shell.run(f"{TASK}\nawait main(0.0)\ninterrupt_at_the_end()")
    assert isinstance(outcome.error, KeyboardInterrupt)
    shell.ok("import asyncio; await asyncio.sleep(0.1)")
    assert live_runs == {}
    assert shell.result("flyte.runs()[0].phase") == "ABORTED"
    shell.ok("%%flyte --resume\nassert await main(0.0) == 1")


def test_a_run_ends_although_its_cell_cannot_be_remembered(shell, monkeypatch):
    def remember(*_):
        raise MemoryError

    monkeypatch.setattr(sources, "remember", remember)
    assert isinstance(shell.run(CELL.format(0.0)).error, MemoryError)
    assert live_runs == {}
    assert shell.result("flyte.runs()[0].phase.terminal")


# --- signals, in real kernels -----------------------------------------------------------------------------------------

DELAYS = [0.004 * number for number in range(24)]
PLACES = {
    "awaited": CELL.format(60.0),
    "run": "flyte.run(main, seconds=60.0)",
    "run.aio": "await flyte.run.aio(main, seconds=60.0)",
    "resume": "%flyte resume",
    "magic": "get_ipython().run_cell_magic('flyte', '', 'await main(60.0)')",
}


def few(every, number):
    """All, or a few that the seed draws."""
    return every if os.environ.get("FLYTE_NOTEBOOK_SOAK") else random.Random(SEED).sample(every, number)


@pytest.mark.parametrize(("place", "delay"), few([(place, delay) for place in PLACES for delay in DELAYS], 8))
def test_an_interrupt_while_the_first_run_of_a_kernel_begins_ends_it(place, delay, tmp_path) -> None:
    """The first one imports the widgets."""
    with kernel(FLYTE_NOTEBOOK_HOME=str(tmp_path / "home")) as fresh:
        if place != "awaited":
            assert fresh.run(TASK).status == "ok"
        if place == "resume":
            # Without an id nothing is shown by a widget.
            failed = fresh.run("%%flyte\nassert await main(globals().get('seconds', 0.0)) == 2", cell_id=None)
            assert failed.error["ename"] == "AssertionError"
            fresh.run("seconds = 60.0")
        cell = fresh.start(PLACES[place])
        begun_by_ipykernel(fresh, cell)
        time.sleep(delay)
        fresh.interrupt()
        went_on = fresh.start("print('next')")
        fresh.finish(cell, interrupted=True)
        fresh.finish(went_on)
        assert cell.status == "error"
        runs = fresh.run("import flyte_notebook\n[(str(run.phase), run.live is None) for run in flyte_notebook.runs()]")
        begun = ast.literal_eval(runs.result or "")
        if place == "resume":
            assert begun.pop() == ("FAILED", True)
        assert begun in ([], [("ABORTED", True)])
        after = fresh.run(TASK + "await main(0.0)")
        assert (after.status, after.result) == ("ok", "1")
        assert after.displays(RUN_MIME)[0]["run"]["phase"] == "SUCCEEDED"


def begun_by_ipykernel(running, cell):
    """Before that it ignores signals."""
    running.until(lambda: cell.contents("execute_input"))


LEFT = """
import asyncio, signal, threading
from flyte_notebook.engine.runs import live_runs
(list(live_runs), {str(run.phase) for run in flyte.runs()} - {"SUCCEEDED", "ABORTED"},
 [thread.name for thread in threading.enumerate() if thread.name == "flyte-notebook-view"],
 [repr(task) for task in asyncio.all_tasks() if "flyte_notebook" in repr(task.get_coro())],
 signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("place", ["awaited", "run", "run.aio", "magic"])
def test_an_interrupt_at_any_moment_of_a_short_cell_leaves_nothing_behind(place, tmp_path) -> None:
    draw = random.Random(f"{SEED} {place}")
    with kernel(FLYTE_NOTEBOOK_HOME=str(tmp_path / "home")) as fresh:
        assert fresh.run(CELL.format(0.0)).result == "1"
        for _ in range(300 if os.environ.get("FLYTE_NOTEBOOK_SOAK") else 30):
            cell = fresh.start(PLACES[place].replace("60.0", "0.005"))
            begun_by_ipykernel(fresh, cell)
            time.sleep(draw.uniform(0.0, 0.06))
            fresh.interrupt()
            assert fresh.finish(cell, interrupted=True).status in ("ok", "error")
            assert asked(fresh, LEFT) == ([], set(), [], [], True)
        assert fresh.run("%%flyte\nawait main(0.0)").result == "1"


# --- a run that a button begins ---------------------------------------------------------------------------------------

WORKING = {
    "awaited": "print('on')\nimport asyncio\nawait asyncio.sleep(60)",
    "a cell": CELL.format(60.0).replace("await main", "print('on')\nawait main"),
    "a run": "print('on')\nflyte.run(main, seconds=60.0)",
}


@pytest.mark.parametrize(("working", "delay"), few([(working, delay) for working in WORKING for delay in DELAYS], 6))
def test_an_interrupt_of_a_cell_does_not_concern_the_run_that_a_button_begins(working, delay, tmp_path) -> None:
    with kernel(FLYTE_NOTEBOOK_HOME=str(tmp_path / "home")) as fresh:
        assert fresh.run(TASK).status == "ok"
        assert fresh.run("%%flyte\nassert await main(0.0) == globals().get('right', 2)").status == "error"
        fresh.run("right = 1")
        page, subshell = Page(fresh), fresh.subshell()
        cell = fresh.start(WORKING[working], cell_id="working")
        fresh.until(lambda: "on" in cell.printed)
        (failed,) = (run for run in asked(fresh, "[run.name for run in flyte.runs()]", subshell)[-1:])
        fresh.tell(page.comm, {"type": "resume", "run": failed, "keep": True}, subshell=subshell)
        time.sleep(delay)
        fresh.interrupt()
        assert fresh.finish(cell).status == "error"
        bundle = page.wait("saved")["bundle"]
        assert bundle[RUN_MIME]["run"]["phase"] == "SUCCEEDED"
        assert asked(fresh, "flyte.engine.runs.live_runs") == {}


def asked(running, expression, subshell=None):
    return ast.literal_eval(running.finish(running.start(expression, cell_id="asks", subshell=subshell)).result or "")

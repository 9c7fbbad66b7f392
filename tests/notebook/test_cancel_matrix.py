"""Every way to stop a run, in every kind of cell, with every kind of body, in real kernels; and what is left afterwards.

`FLYTE_NOTEBOOK_SOAK=1` runs the whole matrix, otherwise a part of it that `FLYTE_NOTEBOOK_SEED` draws. With `-s` it ends
in a table of how long the cells took to become idle.
"""

from __future__ import annotations

import ast
import contextlib
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from tests.notebook.cancel_cases import CELLS, PROGRAMS, RESUMED, SETUP, STOPS, Case, every_case, some_cases
from tests.notebook.kernels import RUN_MIME, Cell, Kernel, kernel

SEED = int(os.environ.get("FLYTE_NOTEBOOK_SEED", "8"))
CASES = every_case() if os.environ.get("FLYTE_NOTEBOOK_SOAK") else some_cases(SEED)


class Lane:
    """One kernel for many cases; a new one after a case that has failed."""

    def __init__(self, home: str) -> None:
        self._home = home
        self._open = contextlib.ExitStack()
        self._kernel: Kernel | None = None
        self._subshell = ""
        self._files = 0
        self.idle: dict[tuple[str, str], list[float]] = defaultdict(list)

    @contextlib.contextmanager
    def running(self) -> Iterator[Kernel]:
        if self._kernel is None:
            self._kernel = self._open.enter_context(kernel(FLYTE_NOTEBOOK_HOME=self._home, PACE="slow"))
            prepare(self._kernel)
            self._subshell = self._kernel.subshell()
        try:
            yield self._kernel
        except BaseException:
            self.close()
            raise

    def newest(self, running: Kernel) -> str:
        """Name of the run that goes on, asked while the kernel is busy."""
        asked = running.start("newest().name", subshell=self._subshell)
        return str(ast.literal_eval(running.finish(asked).result or ""))

    def restart(self) -> None:
        """Restart as Jupyter does: asked to shut down first, killed if it does not."""
        assert self._kernel is not None
        self._kernel.restart()
        prepare(self._kernel)
        self._subshell = self._kernel.subshell()

    def close(self) -> None:
        self._open.close()
        self._kernel = None

    def stop(self, cell: Cell, how: str) -> None:
        """Do what the reader does."""
        assert self._kernel is not None
        match how:
            case "widget":
                self._kernel.tell_widget(cell.widget() or "", {"type": "cancel"}, subshell=self._subshell)
            case "widget, one action":
                index = next(row["i"] for row in rows(cell).values() if row["n"] == "body")
                message = {"type": "cancel", "i": index}
                self._kernel.tell_widget(cell.widget() or "", message, subshell=self._subshell)
            case "abort":
                self._kernel.start("newest().abort()", subshell=self._subshell)
            case "magic":
                self._kernel.start("%flyte cancel main", subshell=self._subshell)
            case "interrupt":
                self._kernel.interrupt()
            case "interrupt twice":
                self._kernel.interrupt()
                time.sleep(0.15)
                self._kernel.interrupt()

    def table(self) -> str:
        """Seconds until the cell was idle, at worst: a line for each program, a column for each way to stop."""
        width = max(map(len, PROGRAMS))
        lines = [f"{'seconds until idle, at worst':{width}} " + " ".join(f"{stop:>18}" for stop in STOPS)]
        for program in PROGRAMS:
            worst = [max(self.idle[program, stop], default=None) for stop in STOPS]
            if any(worst):
                lines.append(f"{program:{width}} " + " ".join(f"{w:18.3f}" if w else " " * 18 for w in worst))
        return "\n".join(lines)


def prepare(running: Kernel) -> None:
    done = running.run(SETUP)
    assert done.status == "ok", done.traceback


@pytest.fixture(scope="module")
def lane(tmp_path_factory) -> Iterator[Lane]:
    made = Lane(str(tmp_path_factory.mktemp("kernel-home")))
    yield made
    made.close()
    print(f"\n{made.table()}")


def rows(cell: Cell) -> dict[int, dict[str, Any]]:
    return {row["i"]: row for message in cell.sent_by_widget() for row in message.get("rows", ())}


def pace(running: Kernel, how: str) -> None:
    assert running.run(f"os.environ['PACE'] = {how!r}").status == "ok"


def state(running: Kernel) -> dict[str, Any]:
    asked = running.run("state()")
    assert asked.status == "ok", asked.traceback
    return ast.literal_eval(asked.result or "")


def started(running: Kernel, case: Case) -> tuple[Cell, Cell]:
    """The cell of `case`, all its bodies at the point where they stay; and one that is queued behind it."""
    program = PROGRAMS[case.program]
    pace(running, "slow")
    defined = running.run(program.source, cell_id="definitions")
    assert defined.status == "ok", defined.traceback
    cell = running.start(CELLS[case.cell])
    queued = running.start("'queued'")

    def ready() -> bool:
        assert not cell.contents("error"), cell.traceback
        shown = any(row["n"] == "body" for row in rows(cell).values())
        return shown and cell.printed.count("ready") >= program.ready

    running.until(ready)
    return cell, queued


def resumed(running: Kernel, case: Case, run: str) -> dict[str, Any]:
    pace(running, "fast")
    again = running.run(RESUMED.get(case.cell, "flyte.api.run.find_run({run!r}).resume();").format(run=run))
    assert again.status == "ok", again.traceback
    return state(running)


def phases(found: dict[str, Any]) -> dict[str, set[str]]:
    by_name: dict[str, set[str]] = defaultdict(set)
    for name, phase, _ in found["actions"]:
        by_name[name].add(phase)
    return by_name


def expected(case: Case, found: dict[str, Any]) -> tuple[str, dict[str, set[str]]]:
    """Phase of the run, and of its actions by short name."""
    ends = PROGRAMS[case.program].ends
    actions = {name: ends.get(name, {"ABORTED"}) for name in phases(found)} | {"before": {"SUCCEEDED"}}
    if case.stop != "widget, one action":
        return "ABORTED", actions
    # Its caller is told, by an error, and lets it pass.
    return "FAILED", actions | {"main": {"FAILED"}}


def raised(case: Case) -> set[str | None]:
    if "interrupt" in case.stop:
        # ipykernel cancels a cell that awaits something else than a run.
        return {"KeyboardInterrupt", "CancelledError"} if case.cell == "gathered" else {"KeyboardInterrupt"}
    if case.stop == "widget, one action" and case.program == "fails when cancelled":
        return {"RuntimeUserError"}
    return {"ActionAbortedError"}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_stopped_run_leaves_nothing_behind_and_can_be_resumed(lane: Lane, case: Case) -> None:
    with lane.running() as running:
        cell, queued = started(running, case)
        began = time.perf_counter()
        lane.stop(cell, case.stop)
        running.finish(cell)
        lane.idle[case.program, case.stop].append(time.perf_counter() - began)
        running.finish(queued)
        assert running.run("'next'").result == "'next'"

        found = state(running)
        phase, actions = expected(case, found)
        assert (found["phase"], phases(found)) == (phase, actions)
        assert cell.displays(RUN_MIME)[-1]["run"]["phase"] == phase
        # Jupyter stops at a cell that says so; a request that it has not received by then is run.
        assert cell.status == "error"
        assert cell.error["ename"] in raised(case)
        assert queued.status in ("aborted", "ok")
        left = ("live", "nested", "tasks", "views", "handler")
        assert {name: found[name] for name in left} == {
            "live": [], "nested": 0, "tasks": [], "views": [], "handler": True
        }  # fmt: skip
        if PROGRAMS[case.program].thread:
            assert "still running in a thread" in str(found["notes"])

        after = resumed(running, case, found["run"])
        assert after["phase"] == "SUCCEEDED"
        assert after["resumed_from"] == found["run"]
        assert ("before", "SUCCEEDED", True) in after["actions"]
        pace(running, "fast")
        eventually(running, "working()", "[]")
        if PROGRAMS[case.program].thread:
            eventually(running, f"'later returned 1' in str(notes(flyte.api.run.find_run({found['run']!r})))", "True")


def eventually(running: Kernel, question: str, answer: str) -> None:
    until = time.monotonic() + 20
    while (asked := running.run(question)).result != answer:
        assert time.monotonic() < until, (question, asked.result, asked.traceback)


# --- the kernel is restarted --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["awaited", "run"])
@pytest.mark.parametrize("program", ["waits", "blocks the loop", "sits in a thread", "catches everything", "gathers"])
def test_a_run_that_a_restart_has_cut_off_is_resumed_in_the_new_kernel(lane: Lane, program: str, cell: str) -> None:
    case = Case(program, "restart", cell)
    with lane.running() as running:
        started(running, case)
        cut_off = lane.newest(running)
        lane.restart()
    with lane.running() as fresh:
        # As the reader does: the cells above are run again.
        assert fresh.run(PROGRAMS[program].source, cell_id="definitions").status == "ok"
        assert state(fresh)["phase"] == "ABORTED"
        after = resumed(fresh, case, cut_off)
        assert (after["phase"], after["resumed_from"]) == ("SUCCEEDED", cut_off)
        assert ("before", "SUCCEEDED", True) in after["actions"]
        assert state(fresh)["live"] == []


# --- runs in the background ---------------------------------------------------------------------------------------------

BACKGROUND = "background = asyncio.create_task(flyte.run.aio(main))\nawait asyncio.sleep(0.2)"


def begin_in_background(running: Kernel) -> None:
    pace(running, "slow")
    assert running.run(PROGRAMS["calls a child"].source, cell_id="definitions").status == "ok"
    assert running.run(BACKGROUND).status == "ok"
    eventually(running, "'leaf' in {a.short_name for a in newest().actions()}", "True")


def interrupt_plain(running: Kernel) -> None:
    """Interrupt a cell without a run, which ipykernel does itself; an awaited one it ends when its loop wakes."""
    time.sleep(0.3)
    running.interrupt()
    running.start("None")


def test_a_run_in_the_background_is_stopped_by_name_from_another_cell(lane: Lane) -> None:
    with lane.running() as running:
        begin_in_background(running)
        assert "is being cancelled" in running.run("%flyte cancel").printed
        eventually(running, "background.done()", "True")
        assert state(running)["phase"] == "ABORTED"
        assert state(running)["tasks"] == []


@pytest.mark.parametrize(
    "code", ["import time; time.sleep(60)", "await asyncio.sleep(60)", "await flyte.run.aio(before, x=1); await asyncio.sleep(60)"]
)  # fmt: skip
def test_an_interrupt_reaches_the_cell_while_a_run_goes_on_in_the_background(lane: Lane, code: str) -> None:
    with lane.running() as running:
        begin_in_background(running)
        cell = running.start("print('on')\n" + code)
        running.until(lambda: cell.printed)
        interrupt_plain(running)
        running.finish(cell)
        assert cell.error["ename"] in ("KeyboardInterrupt", "CancelledError")
        assert running.run("'next'").result == "'next'"
        running.run("newest().abort()")
        eventually(running, "background.done()", "True")


def test_a_run_that_ends_in_the_background_leaves_the_running_cell_interruptible(lane: Lane) -> None:
    with lane.running() as running:
        begin_in_background(running)
        running.run("newest().abort()")
        cell = running.start("await asyncio.wait({background})\nprint('on')\nawait asyncio.sleep(60)")
        running.until(lambda: cell.printed)
        interrupt_plain(running)
        assert running.finish(cell).error["ename"] in ("KeyboardInterrupt", "CancelledError")
        assert running.run("'next'").result == "'next'"

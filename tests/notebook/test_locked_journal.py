"""■ while another process keeps the journal locked: the cell ends all the same, and the record is completed later."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.locks import locked_by_another_process
from tests.notebook.kernels import RUN_MIME, Cell, Kernel, kernel

TASKS = """%%flyte locked
import asyncio, time
@env.task
async def leaf(x: int) -> int:
    print("ready")
    await asyncio.sleep(60 if slow else 0)
    return x
@env.task
async def main() -> int:
    return sum(await asyncio.gather(*(leaf(x) for x in range(3))))
slow = True
"""
PLACES = {
    "awaited": "%%flyte\nawait main()",
    "run": "flyte.run(main)",
    "run in a cell": "%%flyte\nflyte.run(main)",
    "run in a task": "%%flyte\n@env.task\nasync def outer() -> int:\n    return flyte.run(main).outputs()[0]\nawait outer()",
}
STILL = "its record is still being written: another process keeps"


@pytest.fixture
def store(tmp_path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def running(store: Path) -> Iterator[Kernel]:
    with kernel(FLYTE_NOTEBOOK_HOME=str(store)) as fresh:
        assert fresh.run(TASKS, cell_id="tasks").status == "ok"
        # The journal is there, and the widgets are imported.
        assert (
            fresh.run("%%flyte\n@env.task\nasync def first() -> int: return 1\nawait first()", cell_id="first").result
            == "1"
        )
        yield fresh


def begun(running: Kernel, code: str, ready: int = 3) -> Cell:
    cell = running.start(code)
    running.until(lambda: cell.printed.count("ready") == ready)
    return cell


def stopped(running: Kernel, cell: Cell) -> None:
    running.interrupt()
    assert running.finish(cell).error["ename"] == "KeyboardInterrupt"


def asked(running: Kernel, expression: str):
    return ast.literal_eval(running.run(expression, cell_id="asks").result or "")


def eventually(running: Kernel, expression: str, answer: object) -> None:
    running.run(f"import asyncio\nwhile ({expression}) != {answer!r}: await asyncio.sleep(0.01)", cell_id="waits")


@pytest.mark.parametrize("place", PLACES)
def test_an_interrupted_cell_ends_while_the_journal_is_locked(running: Kernel, store: Path, place: str) -> None:
    cell = begun(running, PLACES[place])
    with locked_by_another_process(store) as unlock:
        stopped(running, cell)
        assert cell.complained.count(STILL) >= 1
        trees = [tree["run"]["phase"] for tree in cell.displays(RUN_MIME)]
        assert set(trees) == {"ABORTED"}
        assert {row.get("s") for tree in cell.displays(RUN_MIME) for row in tree["rows"]} == {"ABORTED"}
        for command in ("%flyte cancel", "%flyte resume", "%flyte show"):
            assert STILL in running.run(command).complained
        if place == "awaited":
            assert STILL in running.run("%%flyte --resume\nawait main()").complained
        assert running.run("len([run.actions() for run in flyte.runs()]) > 0").result == "True"
        unlock()
    eventually(running, "__import__('flyte_notebook').engine.runs.live_runs", {})
    assert "ABORTED" in asked(running, "[str(run.phase) for run in flyte.runs()][:2]")
    running.run("slow = False")
    assert running.run("%flyte resume").status == "ok"
    assert asked(running, "str(flyte.runs()[0].phase)") == "SUCCEEDED"


def test_the_next_cell_says_that_it_waits_and_ends_when_it_is_interrupted(running: Kernel, store: Path) -> None:
    with locked_by_another_process(store) as unlock:
        cell = running.start("%%flyte\nawait main()")
        running.until(lambda: "waits for" in cell.complained)
        stopped(running, cell)
        again = running.start("slow = False\nflyte.run(main).outputs()[0]")
        running.until(lambda: "waits for" in again.complained)
        unlock()
        assert running.finish(again).result == "3"
    eventually(running, "__import__('flyte_notebook').engine.runs.live_runs", {})
    assert asked(running, "[str(run.phase) for run in flyte.runs()]") == ["SUCCEEDED", "ABORTED", "SUCCEEDED"]


def test_a_run_is_cancelled_while_the_journal_is_locked(running: Kernel, store: Path) -> None:
    subshell = running.subshell()
    cell = begun(running, PLACES["awaited"])
    with locked_by_another_process(store):
        running.tell_widget(cell.widget() or "", {"type": "cancel"}, subshell=subshell)
        assert running.finish(cell).error["ename"] == "ActionAbortedError"


WORKS = """%%flyte
@env.task
async def works() -> int:
    print("ready", flush=True)
    while slow: await asyncio.sleep(0.01)
    return 1
await works()"""


def test_a_cell_that_has_done_its_work_is_interrupted_while_it_waits_for_the_lock(running: Kernel, store: Path) -> None:
    cell = begun(running, WORKS, ready=1)
    with locked_by_another_process(store) as unlock:
        assert running.finish(running.start("slow = False", subshell=running.subshell())).status == "ok"
        stopped(running, cell)
        unlock()
    eventually(running, "__import__('flyte_notebook').engine.runs.live_runs", {})
    # Whichever came first.
    assert asked(running, "str(flyte.runs()[0].phase)") in ("SUCCEEDED", "ABORTED")


def test_a_kernel_whose_record_is_still_being_written_can_be_restarted(running: Kernel, store: Path) -> None:
    cell = begun(running, PLACES["awaited"])
    with locked_by_another_process(store) as unlock:
        stopped(running, cell)
        running.restart()
        unlock()
    assert running.run(TASKS + "slow = False", cell_id="tasks").status == "ok"
    assert asked(running, "str(flyte.runs()[0].phase)") == "ABORTED"
    assert running.run("%%flyte --resume\nawait main()").result == "3"

"""The buttons of a failed tree, without the tree: a real kernel, and a page that speaks to it over a comm."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.notebook.kernels import RUN_MIME, Cell, Kernel, kernel

TARGET = "flyte_notebook"

SETUP = """
import asyncio, collections, os
from pathlib import Path
ran = collections.Counter()
"""

TASKS = """%%flyte my-env
@env.task
async def item(n: int) -> int:
    ran[n] += 1
    print(f"item {n}")
    if n in (7,): raise ValueError(f"bad item {n}")
    return n * n

@env.task
async def main(n: int) -> int:
    return sum([await item(i) for i in range(n)])
"""
MENDED = TASKS.replace('    if n in (7,): raise ValueError(f"bad item {n}")\n', "")
CALL = "%%flyte\nawait main(10)"
START = "flyte.run(main, n=10)"

# Items wait for a file that the test writes: what is seen meanwhile does not depend on how fast anything is.
GATED = MENDED.replace("    return n * n", "    while n == 8 and not Path('gate').exists():\n"
                       "        await asyncio.sleep(0.02)\n    return n * n")  # fmt: skip


class Page:
    """A failed tree in a browser: opens a comm, asks, and keeps what it is told."""

    def __init__(self, running: Kernel) -> None:
        self.kernel = running
        self.comm = running.open_comm(TARGET)

    def tell(self, **message: Any) -> Cell:
        return self.kernel.tell(self.comm, message)

    def told(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.kernel.comms[self.comm] if message.get("type") == kind]

    def wait(self, kind: str, number: int = 1) -> dict[str, Any]:
        """The message of this kind; of several, the one with this number."""
        self.kernel.until(lambda: len(self.told(kind)) >= number)
        return self.told(kind)[number - 1]

    def plan(self, run: str) -> dict[str, Any]:
        before = len(self.told("plan"))
        self.tell(type="plan", run=run)
        return self.wait("plan", before + 1)

    def rows(self) -> dict[int, dict[str, Any]]:
        sent = [message for message in self.kernel.comms[self.comm] if message.get("type") in ("snapshot", "patch")]
        return {row["i"]: row for message in sent for row in message["rows"]}


def failed(running: Kernel, call: str = CALL) -> str:
    """Define the tasks, let a run fail at item 7, and return its name."""
    for number, code in enumerate((SETUP, TASKS)):
        assert running.run(code, cell_id=f"setup-{number}").status == "ok"
    return name_of(running.run(call, cell_id="call"))


def name_of(cell: Cell) -> str:
    (tree,) = cell.displays(RUN_MIME)
    assert tree["run"]["phase"] == "FAILED"
    return str(tree["run"]["name"])


def value(running: Kernel, expression: str) -> Any:
    cell = running.run(expression, cell_id="look")
    assert cell.status == "ok", cell.traceback
    return cell.result


@pytest.fixture
def here(tmp_path, monkeypatch) -> Iterator[Kernel]:
    """A kernel in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    with kernel(FLYTE_NOTEBOOK_HOME=str(tmp_path / "home")) as started:
        yield started
        log = started.run("import gc; gc.collect()")
        assert "never retrieved" not in log.complained
        assert "never awaited" not in log.complained


@pytest.mark.parametrize("call", [CALL, START])
def test_the_plan_counts_what_changed_and_what_failed(here: Kernel, call: str) -> None:
    run = failed(here, call)
    page = Page(here)
    expected = {"type": "plan", "run": run, "changed": 1, "keep": 1, "error": None, "going": False}
    assert page.plan(run) == expected
    here.run(MENDED, cell_id="setup-1")
    assert page.plan(run) == {**expected, "changed": 8}


@pytest.mark.parametrize(("keep", "again"), [(True, [7, 8, 9]), (False, list(range(10)))])
@pytest.mark.parametrize("call", [CALL, START])
def test_a_run_is_resumed_in_the_background_and_shown_on_its_page(
    here: Kernel, call: str, keep: bool, again: list[int]
) -> None:
    run = failed(here, call)
    here.run(MENDED, cell_id="setup-1")
    page = Page(here)
    clicked = page.tell(type="resume", run=run, keep=keep)
    saved = page.wait("saved")["bundle"]
    tree = saved[RUN_MIME]
    page.wait("closed")
    assert (tree["run"]["phase"], tree["run"]["resumed_from"]) == ("SUCCEEDED", run)
    assert tree["run"]["recovered"] == (7 if keep else 0)
    assert {"text/html", "text/plain"} <= set(saved)
    assert page.told("snapshot")[0]["run"]["live"] is True
    total = value(here, "import flyte_notebook; r = flyte_notebook.runs()[0]; r.outputs()[0]")
    assert total == str(sum(i * i for i in range(10)))
    assert value(here, "sorted(n for n in ran if ran[n] == 2 or n > 7)") == str(again)
    # What the actions print is in their logs, and nowhere else.
    assert clicked.printed == ""
    assert clicked.contents("display_data") == []
    logs = [log["text"] for detail in tree["details"].values() for log in detail["log"]]
    assert "item 8\n" in logs


def test_the_resumed_run_belongs_to_the_cell_of_the_failed_one(here: Kernel) -> None:
    run = failed(here, START)
    here.run(MENDED, cell_id="setup-1")
    page = Page(here)
    page.tell(type="resume", run=run, keep=True)
    page.wait("closed")
    cells = "import flyte_notebook; [r.record.cell_id for r in flyte_notebook.runs()]"
    assert value(here, cells) == "['call', 'call']"


def test_other_cells_run_meanwhile_and_an_interrupt_is_theirs(here: Kernel) -> None:
    run = failed(here)
    here.run(GATED, cell_id="setup-1")
    page = Page(here)
    page.tell(type="resume", run=run, keep=True)
    here.until(lambda: any(row.get("s") == "RUNNING" and row["n"] == "item" for row in page.rows().values()))
    assert value(here, "6 * 7") == "42"
    sleeping = here.start("print('sleeps'); await asyncio.sleep(600)", cell_id="other")
    here.until(lambda: "sleeps" in sleeping.printed)
    here.interrupt()
    assert here.finish(sleeping).status == "error"
    blocked = here.start("import time\nprint('blocks')\nfor _ in range(6000): time.sleep(0.1)", cell_id="other")
    here.until(lambda: "blocks" in blocked.printed)
    here.interrupt()
    assert here.finish(blocked).error["ename"] == "KeyboardInterrupt"
    Path("gate").touch()
    assert page.wait("saved")["bundle"][RUN_MIME]["run"]["phase"] == "SUCCEEDED"


def test_cancel_ends_it_and_it_can_be_resumed_again(here: Kernel) -> None:
    run = failed(here)
    here.run(GATED, cell_id="setup-1")
    page = Page(here)
    page.tell(type="resume", run=run, keep=True)
    here.until(lambda: any(row.get("s") == "RUNNING" and row["n"] == "item" for row in page.rows().values()))
    page.tell(type="cancel")
    second = page.wait("saved")["bundle"][RUN_MIME]["run"]
    assert second["phase"] == "ABORTED"
    page.wait("closed")
    assert page.told("refused") == []
    Path("gate").touch()
    other = Page(here)
    assert other.plan(second["name"])["keep"] == 1
    other.tell(type="resume", run=second["name"], keep=True)
    third = other.wait("saved")["bundle"][RUN_MIME]["run"]
    assert (third["phase"], third["resumed_from"], third["recovered"]) == ("SUCCEEDED", second["name"], 8)


def test_one_that_fails_again_shows_it_by_its_tree_alone(here: Kernel) -> None:
    run = failed(here)
    page = Page(here)
    clicked = page.tell(type="resume", run=run, keep=False)
    tree = page.wait("saved")["bundle"][RUN_MIME]
    page.wait("closed")
    assert tree["run"]["phase"] == "FAILED"
    assert page.told("refused") == []
    assert value(here, "1") == "1"
    assert "Traceback" not in clicked.complained
    assert clicked.contents("error") == []


def test_asked_twice_it_is_started_once_and_shown_to_both(here: Kernel) -> None:
    run = failed(here)
    here.run(GATED, cell_id="setup-1")
    one, other = Page(here), Page(here)
    one.tell(type="resume", run=run, keep=True)
    one.tell(type="resume", run=run, keep=True)
    one.wait("snapshot")
    assert other.plan(run)["going"] is True
    other.tell(type="resume", run=run, keep=False)
    other.wait("snapshot")
    Path("gate").touch()
    assert one.wait("saved") == other.wait("saved")
    assert value(here, "import flyte_notebook; len(flyte_notebook.runs())") == "2"


def test_a_page_that_comes_late_or_was_loaded_anew_gets_the_finished_tree(here: Kernel) -> None:
    run = failed(here)
    here.run(MENDED, cell_id="setup-1")
    gone = Page(here)
    gone.tell(type="resume", run=run, keep=True)
    gone.wait("closed")
    for _ in range(2):
        late = Page(here)
        late.tell(type="plan", run=run)
        assert late.wait("saved") == gone.wait("saved")


def test_a_run_that_was_resumed_on_its_own_does_not_hide_the_one_of_its_cell(here: Kernel) -> None:
    cell = "%%flyte{}\nfor n in range(5): await item(n)\nflyte.run(main, 10)"
    failed(here)
    here.run(cell.format(""), cell_id="both")
    here.run(MENDED, cell_id="setup-1")
    name = value(here, "import flyte_notebook; flyte_notebook.runs()[0].name").strip("'")
    page = Page(here)
    page.tell(type="resume", run=name, keep=True)
    page.wait("closed")
    here.run("ran.clear()", cell_id="clear")
    assert here.run(cell.format(" --resume --keep"), cell_id="both").status == "ok"
    assert value(here, "dict(ran)") == "{}"


def test_a_new_kernel_plans_and_resumes_once_the_tasks_are_defined(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    environment = {"FLYTE_NOTEBOOK_HOME": str(tmp_path / "home"), "JPY_SESSION_NAME": str(tmp_path / "a.ipynb")}
    with kernel(**environment) as first:
        run = failed(first)
    with kernel(**environment) as fresh:
        page = Page(fresh)
        plan = page.plan(run)
        assert "needs my-env.main, not defined in this kernel" in plan["error"]
        page.tell(type="resume", run=run, keep=True)
        assert page.wait("refused")["error"] == plan["error"]
        fresh.run(SETUP, cell_id="a")
        fresh.run(MENDED, cell_id="b")
        assert page.plan(run) == {"type": "plan", "run": run, "changed": 8, "keep": 1, "error": None, "going": False}
        page.tell(type="resume", run=run, keep=True)
        tree = page.wait("saved")["bundle"][RUN_MIME]["run"]
        assert (tree["phase"], tree["recovered"]) == ("SUCCEEDED", 7)


def test_names_bound_anew_are_the_reason_why_it_cannot_be_resumed(here: Kernel) -> None:
    run = failed(here, "%%flyte\ntotal = await main(10)")
    here.run("total = 'mine'", cell_id="other")
    page = Page(here)
    assert "would bind total, which this kernel has bound since" in page.plan(run)["error"]
    page.tell(type="resume", run=run, keep=True)
    assert "would bind total" in page.wait("refused")["error"]
    assert value(here, "total") == "'mine'"


def test_a_cell_that_fails_before_its_first_call_says_so(here: Kernel) -> None:
    run = failed(here, "%%flyte\nif ran[0] > 1: raise SystemExit('enough')\nawait main(10)")
    here.run("ran[0] = 5", cell_id="other")
    page = Page(here)
    page.tell(type="resume", run=run, keep=True)
    assert page.wait("refused")["error"] == "SystemExit: enough"
    assert value(here, "6 * 7") == "42"


@pytest.mark.parametrize("run", ["main-zzzzzz", "", "../../etc", "x" * 10_000])
def test_a_run_of_another_store_is_not_resumed(here: Kernel, run: str) -> None:
    page = Page(here)
    plan = page.plan(run)
    assert (plan["changed"], plan["keep"]) == (0, 0)
    assert plan["error"]
    page.tell(type="resume", run=run, keep=True)
    assert page.wait("refused")["error"]


def test_a_run_that_has_succeeded_is_not_started_afresh(here: Kernel) -> None:
    for code in (SETUP, MENDED):
        here.run(code, cell_id="setup")
    (tree,) = here.run(CALL, cell_id="call").displays(RUN_MIME)
    page = Page(here)
    assert "has succeeded" in page.plan(tree["run"]["name"])["error"]


def test_what_is_not_understood_is_ignored(here: Kernel) -> None:
    page = Page(here)
    for nonsense in ({}, [], None, 7, "plan", {"type": "plan"}, {"type": "plan", "run": 7}, {"type": "resume", "run": []},
                     {"type": "cancel"}, {"type": "detail", "i": 3}, {"type": ["plan"], "run": "x"}):  # fmt: skip
        here.tell(page.comm, nonsense)
    plan = page.plan("nobody")
    assert here.comms[page.comm] == [plan]


def test_unloading_the_extension_closes_the_conversation(here: Kernel) -> None:
    page = Page(here)
    page.plan("nobody")
    here.run("%unload_ext flyte_notebook")
    assert here.comms[page.comm][-1] == {}
    refused = Page(here)
    here.until(lambda: here.comms[refused.comm])
    assert here.comms[refused.comm] == [{}]

"""`%%flyte --resume`, `%flyte resume` and `run.resume()` of cells: which run, from which source, and what runs again."""

from __future__ import annotations

import time

import pytest

import flyte_notebook
from flyte_notebook.notebook import sources
from flyte_notebook.record.store import open_store
from tests.notebook.kernels import Kernel, kernel
from tests.notebook.shells import Shell

SETUP = "import collections\nran = collections.Counter()\nbad = {7}\n"
TASKS = """%%flyte my-env
@env.task
async def item(n: int) -> int:
    ran[n] += 1
    if n in (7,): raise ValueError(f"bad item {n}")
    return n * n

@env.task
async def main(n: int) -> int:
    return sum([await item(i) for i in range(n)])
"""
MENDED = TASKS.replace('    if n in (7,): raise ValueError(f"bad item {n}")\n', "")
CALL = "%%flyte\nawait main(10)"
TOTAL = sum(i * i for i in range(10))


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch):
    monkeypatch.setattr(sources, "_ran", {})


@pytest.fixture
def failed(shell: Shell) -> Shell:
    """A notebook of two cells, of which the second has failed at item 7."""
    shell.ok(SETUP)
    shell.ok(TASKS)
    assert "bad item 7" in str(shell.run(CALL).error)
    return shell


def newest() -> flyte_notebook.api.run.Run:
    return flyte_notebook.runs()[0]


def last_name(running: Kernel) -> str:
    """The name of the last run in that kernel."""
    return str(running.run("print(flyte.runs()[0].name)", cell_id="look").printed.strip())


def again(shell: Shell) -> dict[int, int]:
    """How often each item ran."""
    return dict(shell.names["ran"])


# --- the cell again ---------------------------------------------------------------------------------------------------


def test_with_keep_only_the_failed_item_and_the_rest_run(failed: Shell) -> None:
    first = newest()
    failed.ok(MENDED)
    outcome = failed.ok("%%flyte --resume --keep\nawait main(10)")
    assert outcome.result == TOTAL
    assert again(failed) == {**dict.fromkeys(range(10), 1), 7: 2}
    assert list(failed.result("%flyte runs")["resumed_from"]) == [first.name, ""]
    assert f"resuming {first.name} (FAILED): 7 recorded successes can be recovered, also where" in outcome.complained
    assert newest().record.resumed_from == first.name


def test_without_keep_what_was_edited_runs_again(failed: Shell) -> None:
    failed.ok(MENDED)
    assert failed.ok("%%flyte --resume\nawait main(10)").result == TOTAL
    assert again(failed) == {**dict.fromkeys(range(7), 2), 7: 2, 8: 1, 9: 1}


def test_a_comment_is_no_edit(failed: Shell) -> None:
    failed.run(TASKS.replace("ran[n] += 1", "ran[n] += 1  # counts"))
    failed.run("%%flyte --resume\nawait main(10)")
    assert again(failed) == {**dict.fromkeys(range(7), 1), 7: 2}


def test_a_cell_that_defines_and_calls_is_resumed_as_edited(shell: Shell) -> None:
    shell.ok(SETUP)
    shell.run(TASKS + "await main(10)")
    shell.ok((MENDED + "await main(10)").replace("my-env", "my-env --resume --keep"))
    assert again(shell) == {**dict.fromkeys(range(10), 1), 7: 2}


def test_a_run_started_in_the_cell_is_resumed_too(failed: Shell) -> None:
    failed.run("%%flyte\nflyte.run(main, n=10)")
    first = newest()
    failed.ok(MENDED)
    failed.ok(f"%%flyte --resume {first.name} --keep\nflyte.run(main, n=10)")
    second = newest()
    assert second.record.resumed_from == first.name
    assert second.outputs()[0] == TOTAL
    assert again(failed) == {**dict.fromkeys(range(7), 2), 7: 3, 8: 1, 9: 1}


def test_it_is_the_run_of_this_cell_that_is_resumed(failed: Shell) -> None:
    first = newest()
    failed.run("%%flyte\n@env.task\nasync def other() -> int:\n    raise ValueError('another cell')\nawait other()")
    assert newest().name.startswith("other")
    failed.ok(MENDED)
    failed.ok("%%flyte --resume\nawait main(10)")
    assert newest().record.resumed_from == first.name


@pytest.mark.parametrize(
    "cell", ["await item(1)\nflyte.run(main, 10)", "await item(1)\nflyte.run(item, 2)\nawait item(7)"]
)
def test_a_cell_that_starts_runs_as_well_is_resumed_with_them(failed: Shell, cell: str) -> None:
    failed.ok(SETUP)
    assert "bad item 7" in str(failed.run(f"%%flyte\n{cell}").error)
    first = next(run for run in flyte_notebook.runs() if run.record.source is not None)
    before = again(failed)
    failed.ok(MENDED)
    failed.ok(f"%%flyte --resume --keep\n{cell}")
    resumed = [run for run in flyte_notebook.runs() if run.record.resumed_from is not None]
    assert [run.record.resumed_from for run in resumed] == [first.name] * 2
    assert {n: count - before.get(n, 0) for n, count in again(failed).items()} == {
        **dict.fromkeys(before, 0),
        **({7: 1, 8: 1, 9: 1} if "main" in cell else {7: 1}),
    }


@pytest.mark.parametrize("how", ["%%flyte --resume\nawait item(1)\nflyte.run(main, 6)", "%flyte resume {}"])
def test_a_killed_cell_that_had_started_a_run_is_resumed_with_it(tmp_path, how) -> None:
    environment = {"FLYTE_NOTEBOOK_HOME": str(tmp_path / "home"), "JPY_SESSION_NAME": str(tmp_path / "a.ipynb")}
    with kernel(**environment) as started:
        started.run("import os", cell_id="a")
        started.run(SLOW, cell_id="b")
        cell = started.start("%%flyte\nawait item(1)\nflyte.run(main, 6)", cell_id="c")
        started.until(lambda: "at 3" in cell.printed)
        time.sleep(0.5)
        started.manager.shutdown_kernel(now=True)
    first = open_store(tmp_path / "home").journal.runs()[1]
    assert (first.source is None, first.died) == (False, True)
    with kernel(**environment, GO="1") as fresh:
        fresh.run("import os", cell_id="a")
        fresh.run(SLOW, cell_id="b")
        cell = fresh.run(how.format(first.name), cell_id="c")
        assert cell.status == "ok", cell.traceback
    ran = (tmp_path / "ran").read_text().split()
    assert ran == ["1", "0", "1", "2", "3", "3", "4", "5"]


PAIR = """%%flyte
@env.task
async def pair(n: int) -> list[int]:
    return [await item(n), await item(n)]
"""


@pytest.mark.parametrize(
    "cell",
    [
        "flyte.run(item, 1)\nflyte.run(pair, 2)\nflyte.run(main, 10)",
        "import asyncio\nawait asyncio.gather(flyte.run.aio(main, 10), flyte.run.aio(item, 1), flyte.run.aio(pair, 2))",
        "try:\n    flyte.run(main, 10)\nfinally:\n    flyte.run(pair, 2)\n    flyte.run(item, 1)",
    ],
)
def test_a_cell_that_only_starts_runs_is_resumed_with_all_of_them(failed: Shell, cell: str) -> None:
    failed.ok(PAIR)
    failed.names["ran"].clear()
    assert "bad item 7" in str(failed.run(f"%%flyte\n{cell}").error)
    before = [run.name for run in flyte_notebook.runs()[:3]]
    failed.ok(MENDED)
    failed.ok(f"%%flyte --resume --keep\n{cell}")
    # 0 to 9 in main, 1 alone, 2 twice in pair.
    assert again(failed) == {**dict.fromkeys(range(10), 1), 1: 2, 2: 3, 7: 2}
    after = [run.record for run in flyte_notebook.runs()[:3]]
    assert [run.phase for run in after] == ["SUCCEEDED"] * 3
    assert {run.resumed_from for run in after} <= set(before)
    assert "had succeeded: this run starts afresh" in failed.ok(f"%%flyte --resume\n{cell}").complained


def test_equal_runs_of_one_cell_are_recovered_as_often_as_they_succeeded(failed: Shell) -> None:
    failed.names["ran"].clear()
    cell = "found = [flyte.run(item, 1).outputs()[0] for _ in range(3)]\nflyte.run(main, 10)"
    failed.run(f"%%flyte\n{cell}")
    failed.ok(MENDED)
    outcome = failed.ok(f"%%flyte --resume --keep\n{cell}")
    assert again(failed) == {**dict.fromkeys(range(10), 1), 1: 4, 7: 2}
    assert "10 recorded successes can be recovered" in outcome.complained


def test_a_cell_that_has_resumed_its_own_run_recovers_it_once(failed: Shell) -> None:
    failed.run("%%flyte\ntry:\n    flyte.run(main, 10)\nexcept Exception:\n    flyte.runs()[0].resume()")
    failed.names["ran"].clear()
    failed.ok(MENDED)
    failed.ok("%%flyte --resume --keep\nflyte.run(main, 10)")
    assert again(failed) == dict.fromkeys(range(7, 10), 1)
    ids = [action.id for action in newest().actions()]
    assert len(ids) == len(set(ids)) == 11


def test_a_run_of_a_resumed_cell_is_resumed_with_what_the_cell_had_recovered(failed: Shell) -> None:
    cell = "for n in (10, 9):\n    try: flyte.run(main, n)\n    except flyte.errors.RuntimeUserError: pass"
    failed.ok(f"%%flyte\n{cell}")
    # Fails at once, so that it recovers nothing itself.
    failed.ok(TASKS.replace("return sum(", "raise ValueError(n)\n    return sum("))
    failed.ok(f"%%flyte --resume\n{cell}")
    failed.names["ran"].clear()
    failed.ok(MENDED)
    for run in flyte_notebook.runs()[:2]:
        run.resume(keep=True)
    assert again(failed) == {7: 2, 8: 2, 9: 1}


def test_what_an_earlier_execution_of_the_cell_has_done_is_not_recovered(failed: Shell) -> None:
    cell = "flyte.run(item, 1)\nflyte.run(main, 10)"
    failed.run(f"%%flyte\n{cell}")
    failed.run(TASKS.replace("in (7,)", "in (1,)"))
    assert "bad item 1" in str(failed.run(f"%%flyte\n{cell}").error)
    failed.names["ran"].clear()
    failed.run(TASKS)
    failed.run(f"%%flyte --resume --keep\n{cell}")
    assert again(failed) == {**dict.fromkeys(range(8), 1), 1: 2}


def test_a_cell_of_the_same_text_goes_before_one_that_calls_the_same_tasks(failed: Shell) -> None:
    first = newest()
    failed.ok(MENDED)
    failed.ok("%%flyte\nother = await main(3)")
    failed.ok("%%flyte --resume --keep\nawait main(10)")
    assert newest().record.resumed_from == first.name


def test_without_one_of_its_own_it_is_the_last_of_the_notebook(failed: Shell) -> None:
    first = newest()
    failed.ok(MENDED)
    failed.ok("%%flyte --resume --keep\nanswer = await main(9) + await main(1)")
    assert newest().record.resumed_from == first.name
    assert again(failed) == {**dict.fromkeys(range(9), 1), 7: 2, 0: 2}


def test_a_run_is_named_by_any_unique_beginning(failed: Shell) -> None:
    first = newest()
    failed.run(CALL)
    failed.ok(MENDED)
    failed.ok(f"%%flyte my-env --resume {first.name[:-1]} --keep\nawait main(10)")
    assert newest().record.resumed_from == first.name
    assert "main-" in failed.complaint("%%flyte --resume nonsense\nawait main(10)")


def test_one_that_had_succeeded_starts_afresh_and_says_so(failed: Shell) -> None:
    failed.ok(MENDED)
    failed.ok(CALL)
    first = newest()
    outcome = failed.ok("%%flyte --resume\nawait main(10)")
    assert f"{first.name} had succeeded: this run starts afresh" in outcome.complained
    assert newest().record.resumed_from is None
    assert again(failed)[9] == 2


def test_a_cell_that_failed_after_its_runs_had_succeeded_recovers_them(failed: Shell) -> None:
    failed.ok(MENDED)
    failed.names["ran"].clear()
    cell = "flyte.run(item, 20)\nflyte.run(main, 10)"
    for options in ("", "--resume", "--resume"):
        assert type(failed.run(f"%%flyte {options}\n{cell}\nnowhere").error) is NameError
    last = newest()
    outcome = failed.ok(f"%%flyte --resume\n{cell}")
    assert again(failed) == dict.fromkeys([*range(10), 20], 1)
    told = f"resuming {last.name} (SUCCEEDED, but its cell had failed): 12 recorded successes can be recovered"
    assert told in outcome.complained
    assert "had succeeded: this run starts afresh" in failed.ok(f"%%flyte --resume\n{cell}").complained
    assert again(failed) == dict.fromkeys([*range(10), 20], 2)


def test_where_cells_have_ids_a_cell_that_failed_recovers_its_own_runs(running_kernel: Kernel) -> None:
    running_kernel.run(SETUP)
    running_kernel.run(MENDED)
    assert running_kernel.run("%%flyte\nflyte.run(main, 10)\nnowhere", cell_id="c").error["ename"] == "NameError"
    running_kernel.run("%%flyte\nflyte.run(main, 3)", cell_id="d")
    running_kernel.run("%%flyte --resume\nflyte.run(main, 10)", cell_id="c")
    counted = running_kernel.run("print(*(ran[n] for n in range(10)))", cell_id="e")
    assert counted.printed == "2 2 2 1 1 1 1 1 1 1\n"


def test_nothing_to_resume_is_one_line(shell: Shell) -> None:
    assert "no run of this notebook is on record" in shell.complaint("%%flyte --resume\n1")


def test_keep_alone_says_what_goes_with_it(shell: Shell) -> None:
    assert "--keep says what to recover" in shell.complaint("%%flyte --keep\n1")


# --- from elsewhere ---------------------------------------------------------------------------------------------------


def test_the_command_runs_the_newest_source_of_the_cell(failed: Shell) -> None:
    first = newest()
    failed.ok(MENDED)
    run = failed.result("%flyte resume --keep")
    assert run.outputs()[0] == TOTAL
    assert (run.record.resumed_from, run.record.source) == (first.name, CALL)
    assert again(failed) == {**dict.fromkeys(range(10), 1), 7: 2}


def test_the_command_does_not_take_another_cell_for_it_that_calls_the_same_tasks(failed: Shell) -> None:
    """Where the front end does not name its cells, nothing tells an edited cell from another one."""
    first = newest()
    failed.ok(MENDED)
    failed.ok("%%flyte\nother = await main(3)")
    failed.ok("other = 'mine'")
    run = failed.result(f"%flyte resume {first.name}")
    assert (run.record.resumed_from, run.record.source, run.outputs()[0]) == (first.name, CALL, TOTAL)
    assert failed.names["other"] == "mine"


def test_where_cells_have_ids_the_command_runs_the_newest_source_of_that_cell(running_kernel: Kernel) -> None:
    running_kernel.run(SETUP)
    running_kernel.run(TASKS)
    assert running_kernel.run(CALL, cell_id="c").error["ename"] == "RuntimeUserError"
    first = last_name(running_kernel)
    running_kernel.run(MENDED)
    running_kernel.run("%%flyte\nother = await main(4)", cell_id="d")
    running_kernel.run(CALL.replace("10", "3"), cell_id="c")
    resumed = running_kernel.run(f"%flyte resume {first}\nflyte.runs()[0].outputs()[0]", cell_id="e")
    assert resumed.result == "5", resumed.traceback


def test_the_method_does_the_same_and_can_be_awaited(failed: Shell) -> None:
    first = newest()
    failed.ok(MENDED)
    failed.names["runs"] = flyte_notebook.runs
    run = failed.result("await runs()[0].resume.aio(keep=True)")
    assert (run.record.resumed_from, run.outputs()[0]) == (first.name, TOTAL)


def test_a_failure_of_the_resumed_run_is_the_tasks_own(failed: Shell) -> None:
    outcome = failed.run("%flyte resume")
    assert type(outcome.error).__name__ == "RuntimeUserError"
    assert "bad item 7" in str(outcome.error)


def test_names_bound_anew_meanwhile_are_not_taken_away(shell: Shell) -> None:
    shell.ok(SETUP)
    shell.run(TASKS + "total = await main(10)")
    name = newest().name
    # The cell's own names are not in the way, whatever it binds.
    shell.run("%flyte resume")
    shell.ok("item = 'mine'\ntotal = 0")
    complaint = shell.complaint("%flyte resume")
    assert "would bind item, total, which this kernel has bound since" in complaint
    assert f"%%flyte --resume {name[:5]}" in complaint
    assert shell.names["item"] == "mine"


def test_a_cell_that_resumes_another_keeps_its_own_result(failed: Shell) -> None:
    failed.ok(MENDED)
    failed.names["runs"] = flyte_notebook.runs
    outcome = failed.ok(
        "%%flyte\nfirst = runs()[0]\none = await item(1)\nrun = await first.resume.aio(keep=True)\none, 2"
    )
    assert outcome.result == (1, 2)
    inner, outer = flyte_notebook.runs()[:2]
    assert (inner.outputs()[0], outer.outputs()[0]) == (TOTAL, (1, 2))


def test_what_still_runs_is_not_resumed(shell: Shell) -> None:
    shell.ok(SETUP + "import flyte_notebook, time")
    shell.ok(MENDED)
    outcome = shell.run(
        "%%flyte\nawait item(1)\nwhile not flyte_notebook.runs(): time.sleep(0.01)\nflyte_notebook.runs()[0].resume()"
    )
    assert type(outcome.error).__name__ == "ResumeError"
    assert "is still running" in str(outcome.error)


def test_the_cell_that_defines_a_task_is_not_taken_for_the_one_that_calls_it(shell: Shell) -> None:
    """Where the front end does not name its cells, they are known by the tasks that they speak of."""
    cell = "%%flyte\n@env.task\nasync def solo(n: int) -> int:\n    return 1 // n\n"
    shell.ok(cell)
    shell.run("%%flyte\nawait solo(0)")
    first = newest()
    shell.ok(cell.replace("1 // n", "n"))
    run = shell.result("%flyte resume")
    assert (run.record.resumed_from, run.outputs()[0]) == (first.name, 0)


def test_warnings_of_the_compiler_are_shown_for_the_cell_only(shell: Shell) -> None:
    with pytest.warns(SyntaxWarning) as caught:
        shell.ok("%%flyte\nx = 1\nx is 1")
    assert "<cell>" not in [warning.filename for warning in caught]


@pytest.mark.parametrize(
    "edited",
    [
        "async def item(n):\n    return n * n\n\n@env.task\nasync def main(n: int) -> int:\n    return await item(n)",
        "import numpy\n@env.task\nasync def main(n: int) -> int:\n    return numpy.int64(n * n).item()",
    ],
)
def test_a_task_that_is_not_called_any_more_is_not_asked_for(failed: Shell, edited: str) -> None:
    """It has become a function, or an attribute has its name."""
    from flyte_notebook.api import task

    failed.ok("del main, item")
    known, task._defined = task._defined, {}
    try:
        failed.ok(f"%%flyte my-env\n{edited}")
        assert failed.result("%flyte resume").outputs()[0] == 100
    finally:
        task._defined = known


def test_a_task_that_is_not_defined_here_is_named(failed: Shell) -> None:
    failed.ok("del main, item\nenv = None")
    failed.ok("%unload_ext flyte_notebook\n%load_ext flyte_notebook")
    from flyte_notebook.api import task
    from flyte_notebook.notebook import cell

    cell.environments.clear()
    known, task._defined = task._defined, {}
    try:
        complaint = failed.complaint("%flyte resume")
    finally:
        task._defined = known
    assert "needs my-env.main, not defined in this kernel" in complaint


def test_a_run_that_a_body_starts_is_not_what_its_cell_resumes(running_kernel: Kernel) -> None:
    outer = "\n@env.task\nasync def outer() -> int:\n    return flyte.run(main, n=10).outputs()[0]\n"
    running_kernel.run(SETUP)
    running_kernel.run(TASKS + outer)
    assert running_kernel.run("%%flyte\nawait outer()").error["ename"] == "RuntimeUserError"
    running_kernel.run(MENDED)
    resumed = running_kernel.run("%%flyte --resume --keep\nawait outer()")
    assert resumed.status == "ok", resumed.traceback
    assert "resuming outer-" in resumed.complained


# --- another kernel ---------------------------------------------------------------------------------------------------


SLOW = """%%flyte
@env.task
async def item(n: int) -> int:
    with open(os.environ["FLYTE_NOTEBOOK_HOME"] + "/../ran", "a") as file:
        file.write(f"{n}\\n")
    print(f"at {n}")
    if n == 3 and "GO" not in os.environ:
        import asyncio
        await asyncio.sleep(60)
    return n

@env.task
async def main(n: int) -> int:
    return sum([await item(i) for i in range(n)])
"""


@pytest.mark.parametrize("how", ["%%flyte --resume\nawait main(6)", "%flyte resume"])
def test_a_killed_kernels_run_is_resumed_in_a_new_one(tmp_path, how) -> None:
    environment = {"FLYTE_NOTEBOOK_HOME": str(tmp_path / "home"), "JPY_SESSION_NAME": str(tmp_path / "a.ipynb")}
    with kernel(**environment) as started:
        _until_it_waits(started)
        started.manager.shutdown_kernel(now=True)
    with kernel(**environment, GO="1") as fresh:
        fresh.run("%load_ext flyte_notebook\nimport os", cell_id="a")
        refused = fresh.run(how, cell_id="c").error["evalue"]
        assert (
            "needs notebook.main, not defined in this kernel: run the cells that define it, and resume again" in refused
        )
        fresh.run(SLOW, cell_id="b")
        cell = fresh.run(how, cell_id="c")
        assert cell.status == "ok", cell.traceback
        shown = fresh.run(
            "import flyte_notebook; r = flyte_notebook.runs(); (r[0].outputs()[0], str(r[1].phase), len(r))"
        )
        assert shown.result == "(15, 'ABORTED', 2)"
    ran = (tmp_path / "ran").read_text().split()
    assert ran == ["0", "1", "2", "3", "3", "4", "5"]


def _until_it_waits(started: Kernel) -> None:
    started.run("import os", cell_id="a")
    started.run(SLOW, cell_id="b")
    cell = started.start("%%flyte\nawait main(6)", cell_id="c")
    started.until(lambda: "at 3" in cell.printed)
    # What was shown is not yet what is on record: that is promised within 50 ms.
    time.sleep(0.5)

"""A real kernel: the live view and its messages, Cancel and interrupt, queued cells, what is left behind."""

from __future__ import annotations

import ast
import json
import time
from typing import Any

import pytest

from tests.notebook.kernels import RUN_MIME, VIEW_MIME, Cell, Kernel, kernel

TASKS = """%%flyte my-env
import asyncio, time

@env.task
async def nap(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds

@env.task
def block(seconds: float) -> float:
    time.sleep(seconds)
    return seconds

@env.task
async def main(seconds: float) -> int:
    print("begins")
    return len(await asyncio.gather(*[nap(seconds) for _ in range(3)]))

@env.task
async def spin(seconds: float) -> float:
    while True:
        pass

@env.task
async def hog(seconds: float) -> float:
    time.sleep(seconds)
    return seconds
"""

AWAITED = "%%flyte\nawait main({})"
NESTED = "flyte.run(main, seconds={})"


@pytest.fixture
def tasks(running_kernel: Kernel) -> Kernel:
    assert running_kernel.run(TASKS).status == "ok"
    return running_kernel


def live(kernel: Kernel, code: str) -> Cell:
    """Start a cell and wait until its explorer has got its first rows."""
    cell = kernel.start(code)
    kernel.until(lambda: cell.sent_by_widget())
    return cell


def rows_of(messages: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    rows: dict[int, dict[str, Any]] = {}
    for message in messages:
        for row in message.get("rows", ()):
            rows[row["i"]] = row
    return rows


def unfinished(kernel: Kernel) -> Any:
    """Tasks of ours on the kernel's loop and threads of ours; the journal's thread rests before it ends."""
    code = """
import asyncio, threading
([t for t in asyncio.all_tasks() if "flyte_notebook" in repr(t.get_coro())],
 [t.name for t in threading.enumerate() if t.name == "flyte-notebook-view"])
"""
    return ast.literal_eval(kernel.run(code).result or "")


# --- what a cell sends ----------------------------------------------------------------------------------------------


def test_a_cell_shows_a_widget_first_and_leaves_the_finished_tree(tasks: Kernel) -> None:
    cell = tasks.run(AWAITED.format(0.3))
    assert cell.status == "ok"
    assert cell.result == "3"
    first, last = cell.contents("display_data")
    assert list(first["data"]) == ["text/plain", VIEW_MIME]
    assert first["data"]["text/plain"] == ""
    assert set(last["data"]) == {RUN_MIME, "text/html", "text/plain"}
    assert last["data"]["text/plain"].splitlines() == [
        "main · SUCCEEDED · 4 actions",
        "main = 3",
        "├─ nap = 0.3",
        "├─ nap = 0.3",
        "└─ nap = 0.3",
    ]
    (emptied,) = cell.contents("update_display_data")
    assert emptied["data"] == {"text/plain": ""}
    assert emptied["transient"] == first["transient"]
    kinds = [message["msg_type"] for message in cell.messages]
    assert kinds.index("execute_result") > kinds.index("update_display_data")


def test_the_patches_show_actions_while_they_run_and_nothing_is_left_open(tasks: Kernel) -> None:
    cell = tasks.run(AWAITED.format(0.3))
    patches = [message for message in cell.sent_by_widget() if message["type"] == "patch"]
    assert [message["seq"] for message in patches] == list(range(1, len(patches) + 1))
    assert {row["s"] for row in patches[0]["rows"]} == {"RUNNING"}
    assert patches[0]["run"]["live"] is True
    assert patches[0]["run"]["total"] == 4
    assert cell.sent_by_widget()[-1] == {"type": "closed"}
    opened = [content["comm_id"] for content in cell.contents("comm_open")]
    assert sorted(content["comm_id"] for content in cell.contents("comm_close")) == sorted(opened)
    assert unfinished(tasks) == ([], [])


def test_the_saved_run_has_rows_and_details_for_a_reader_without_a_kernel(tasks: Kernel) -> None:
    (saved,) = tasks.run(AWAITED.format(0.0)).displays(RUN_MIME)
    assert saved["version"] == 1
    assert saved["truncated"] == 0
    assert (saved["run"]["phase"], saved["run"]["ended"], saved["run"]["live"]) == ("SUCCEEDED", True, False)
    assert [(row["n"], row.get("p")) for row in saved["rows"]] == [("main", None), *[("nap", 0)] * 3]
    detail = saved["details"]["0"]
    assert detail["task"] == "my-env.main"
    assert [(value["name"], value["text"]) for value in detail["inputs"]] == [("seconds", "0.0")]
    assert detail["output"]["text"] == "3"
    assert detail["log"] == [{"stream": "stdout", "text": "begins\n"}]
    assert "async def main" in detail["source"]
    assert [attempt["phase"] for attempt in detail["attempts"]] == ["SUCCEEDED"]
    assert detail["error"] is None


def test_a_blocking_run_in_a_plain_cell_is_shown_live_too(tasks: Kernel) -> None:
    cell = tasks.run(NESTED.format(0.3))
    assert cell.status == "ok"
    assert any(row["s"] == "RUNNING" for row in rows_of(cell.sent_by_widget()[:1]).values())
    assert cell.displays(RUN_MIME)[0]["run"]["phase"] == "SUCCEEDED"


def test_the_tree_comes_before_what_the_cell_prints_after_a_run(tasks: Kernel) -> None:
    cell = tasks.run(NESTED.format(0.0) + "\nprint('afterwards')")
    kinds = [
        "print" if "afterwards" in message["content"].get("text", "") else "tree"
        for message in cell.messages
        if "afterwards" in message["content"].get("text", "") or RUN_MIME in message["content"].get("data", {})
    ]
    assert kinds == ["tree", "print"]


def test_two_runs_at_once_are_two_trees_that_never_mix(tasks: Kernel) -> None:
    code = "%%flyte\nimport asyncio\n"
    code += "await asyncio.gather(flyte.run.aio(main, seconds=0.2), flyte.run.aio(nap, seconds=0.1))"
    trees = tasks.run(code).displays(RUN_MIME)
    assert sorted([row["n"] for row in tree["rows"]] for tree in trees) == [["main", "nap", "nap", "nap"], ["nap"]]


def test_a_cell_without_a_run_sends_nothing_of_ours(tasks: Kernel) -> None:
    cell = tasks.run("%%flyte\nx = 1\nx")
    assert {message["msg_type"] for message in cell.messages} == {"status", "execute_input", "execute_result"}


def test_a_front_end_that_does_not_name_its_cells_gets_the_finished_tree_only(tasks: Kernel) -> None:
    cell = tasks.run(AWAITED.format(0.1), cell_id=None)
    assert not cell.contents("comm_open")
    assert [set(content["data"]) for content in cell.contents("display_data")] == [
        {RUN_MIME, "text/html", "text/plain"}
    ]


def test_cleaning_without_a_front_end_that_can_be_asked_says_what_to_type(tasks: Kernel) -> None:
    assert tasks.run(AWAITED.format(0.0)).status == "ok"
    cell = tasks.run("%flyte clean --older-than 0m")
    assert "nothing was removed, as nobody can be asked here. Type: %flyte clean --older-than 0m --yes" in (
        cell.traceback + cell.complained
    )
    assert "can go" in cell.printed


def test_the_record_knows_the_cell_and_its_source(tasks: Kernel) -> None:
    tasks.run(AWAITED.format(0.0), cell_id="cell-42")
    cell = tasks.run("r = flyte.runs()[0].record\n(r.cell_id, r.source)", cell_id="other")
    assert ast.literal_eval(cell.result or "") == ("cell-42", AWAITED.format(0.0))


def test_a_task_that_prints_html_is_shown_escaped_in_the_saved_tree(tasks: Kernel) -> None:
    tasks.run("%%flyte\n@env.task\nasync def nasty() -> str:\n    return '<script>alert(1)</script>'")
    (html,) = tasks.run("%%flyte\nawait nasty()").displays("text/html")
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_a_value_whose_repr_raises_is_shown_all_the_same(tasks: Kernel) -> None:
    tasks.run(
        """%%flyte
class Shy:
    def __repr__(self):
        raise ValueError("no")
@env.task
async def shy() -> Shy:
    return Shy()
"""
    )
    cell = tasks.run("%%flyte\nawait shy();")
    assert cell.status == "ok"
    assert cell.displays(RUN_MIME)[0]["run"]["phase"] == "SUCCEEDED"


def test_a_huge_result_is_cut_in_every_form(tasks: Kernel) -> None:
    tasks.run("%%flyte\n@env.task\nasync def huge(n: int) -> str:\n    return 'x' * n")
    cell = tasks.run("%%flyte\nawait huge(1_000_000);")
    (display,) = [content for content in cell.contents("display_data") if RUN_MIME in content["data"]]
    assert len(json.dumps(display)) < 20_000


# --- what the browser asks ------------------------------------------------------------------------------------------


@pytest.fixture(params=[AWAITED, NESTED], ids=["awaited", "nested"])
def busy(request, tasks: Kernel) -> tuple[Kernel, Cell, str]:
    """A cell that goes on for a minute, its kernel, and the subshell that JupyterLab uses for the widget."""
    subshell = tasks.subshell()
    return tasks, live(tasks, request.param.format(60.0)), subshell


def test_hello_details_and_cancel_are_answered_while_the_cell_is_busy(busy: tuple[Kernel, Cell, str]) -> None:
    tasks, cell, subshell = busy
    comm = cell.widget()
    assert comm is not None

    def answers(asked: Cell, kind: str) -> list[dict[str, Any]]:
        # The kernel answers under the request or, older ones, under the cell.
        return [message for message in asked.sent_by_widget() + cell.sent_by_widget() if message["type"] == kind]

    tasks.until(lambda: len(rows_of(cell.sent_by_widget())) == 4)
    asked = tasks.tell_widget(comm, {"type": "hello"}, subshell=subshell)
    tasks.until(lambda: answers(asked, "snapshot"))
    (snapshot,) = answers(asked, "snapshot")
    assert [row["n"] for row in snapshot["rows"]] == ["main", "nap", "nap", "nap"]

    asked = tasks.tell_widget(comm, {"type": "detail", "i": 2}, subshell=subshell)
    tasks.until(lambda: answers(asked, "detail"))
    (detail,) = answers(asked, "detail")
    assert (detail["i"], detail["detail"]["task"]) == (2, "my-env.nap")
    assert detail["detail"]["inputs"][0]["text"] == "60.0"

    tasks.tell_widget(comm, {"type": "cancel"}, subshell=subshell)
    tasks.finish(cell)
    assert cell.status == "error"
    assert cell.error["ename"] == "ActionAbortedError"
    assert cell.displays(RUN_MIME)[0]["run"]["phase"] == "ABORTED"
    assert tasks.run("1 + 1").result == "2"
    assert unfinished(tasks) == ([], [])


def test_messages_that_make_no_sense_are_ignored(tasks: Kernel) -> None:
    subshell = tasks.subshell()
    cell = live(tasks, AWAITED.format(60.0))
    comm = cell.widget() or ""
    for nonsense in (
        {},
        {"type": "detail"},
        {"type": "detail", "i": 99},
        {"type": "detail", "i": -1},
        {"type": "detail", "i": True},
        {"type": "cancel", "i": "0"},
        {"type": "cancel", "i": 10**30},
        {"type": "exec", "code": "1/0"},
        ["cancel"],
    ):
        tasks.tell_widget(comm, nonsense, subshell=subshell)  # type: ignore[arg-type]
    asked = tasks.tell_widget(comm, {"type": "hello"}, subshell=subshell)
    tasks.until(lambda: asked.sent_by_widget())
    assert asked.sent_by_widget()[0]["run"]["phase"] == "RUNNING"
    tasks.tell_widget(comm, {"type": "cancel"}, subshell=subshell)
    assert tasks.finish(cell).status == "error"


def test_one_action_can_be_cancelled_and_its_caller_is_told(tasks: Kernel) -> None:
    subshell = tasks.subshell()
    cell = live(tasks, AWAITED.format(60.0))
    tasks.tell_widget(cell.widget() or "", {"type": "cancel", "i": 1}, subshell=subshell)
    tasks.finish(cell)
    assert cell.error["ename"] == "ActionAbortedError"
    (saved,) = cell.displays(RUN_MIME)
    assert saved["run"]["phase"] == "FAILED"
    assert {row["n"]: row["s"] for row in saved["rows"]} == {"main": "FAILED", "nap": "ABORTED"}


def test_a_body_that_blocks_the_loop_freezes_neither_the_tree_nor_its_messages(tasks: Kernel) -> None:
    subshell = tasks.subshell()
    cell = live(tasks, "%%flyte\nawait hog(3.0)")
    asked = tasks.tell_widget(cell.widget() or "", {"type": "hello"}, subshell=subshell)
    tasks.until(lambda: asked.sent_by_widget())
    assert not any(content["execution_state"] == "idle" for content in cell.contents("status"))
    assert asked.sent_by_widget()[0]["rows"][0]["s"] == "RUNNING"
    assert tasks.finish(cell).status == "ok"
    assert "plain `def`" in cell.displays(RUN_MIME)[0]["rows"][0]["h"]


# --- the interrupt button -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        AWAITED.format(60.0),
        NESTED.format(60.0),
        "%%flyte\nblock(3.0)",
        "%%flyte\nawait block.aio(3.0)",
        "%%flyte\nflyte.run(nap, seconds=60.0)",
        "%%flyte\nlist(flyte.map(nap, [60.0, 60.0]))",
        "%%flyte\nflyte.durable.sleep(60)",
        "%%flyte\nfor _ in range(4):\n    try: await nap(60.0)\n    except BaseException: pass",
    ],
    ids=[
        "awaited",
        "nested",
        "blocking",
        "thread",
        "run in a cell",
        "map in a cell",
        "durable sleep in a cell",
        "catches everything",
    ],
)
def test_an_interrupt_ends_the_cell_and_leaves_nothing_behind(tasks: Kernel, code: str) -> None:
    cell = live(tasks, code)
    queued = tasks.start("'queued'")
    tasks.interrupt()
    tasks.finish(cell)
    # Jupyter stops at a cell that says so; a request that it has not received by then is run.
    assert (cell.status, cell.error["ename"]) == ("error", "KeyboardInterrupt")
    assert cell.displays(RUN_MIME)[0]["run"]["phase"] == "ABORTED"
    assert tasks.finish(queued).status in ("aborted", "ok")
    assert tasks.run("'next'").result == "'next'"
    assert unfinished(tasks) == ([], [])


@pytest.mark.parametrize(
    "code",
    ["flyte.durable.sleep(60)", "list(flyte.map(nap, [60.0, 60.0]))", "list(flyte.map(spin, [60.0]))"],
    ids=["sleep", "map", "map that computes"],
)
@pytest.mark.parametrize("before", ["await asyncio.sleep(0)", "pass"], ids=["awaited", "sync"])
def test_an_interrupt_ends_what_a_plain_cell_waits_for_outside_any_run(tasks: Kernel, before: str, code: str) -> None:
    cell = tasks.start(f"{before}\nprint('on')\n{code}")
    tasks.until(lambda: cell.printed)
    time.sleep(0.3)  # nothing is sent when the wait begins
    tasks.interrupt()
    assert tasks.finish(cell).error["ename"] == "KeyboardInterrupt"
    assert tasks.run("'next'").result == "'next'"
    assert unfinished(tasks) == ([], [])


def test_cancel_ends_a_durable_sleep_at_the_top_of_a_cell(tasks: Kernel) -> None:
    subshell = tasks.subshell()
    cell = live(tasks, "%%flyte\nflyte.durable.sleep(60)")
    tasks.tell_widget(cell.widget() or "", {"type": "cancel"}, subshell=subshell)
    assert tasks.finish(cell).error["ename"] == "ActionAbortedError"
    assert cell.displays(RUN_MIME)[0]["run"]["phase"] == "ABORTED"


def test_an_interrupted_awaited_cell_says_so_in_one_line(tasks: Kernel) -> None:
    cell = live(tasks, AWAITED.format(60.0))
    tasks.interrupt()
    assert tasks.finish(cell).traceback == "KeyboardInterrupt"


def test_the_interrupt_of_plain_cells_is_as_before(tasks: Kernel) -> None:
    tasks.run(AWAITED.format(0.0))
    cell = tasks.start("print('on')\nimport time; time.sleep(60)")
    tasks.until(lambda: cell.printed)
    tasks.interrupt()
    assert tasks.finish(cell).error["ename"] == "KeyboardInterrupt"


READS_ONCE = """
def read_payload(manager=get_ipython().payload_manager):
    del manager.read_payload
    raise KeyboardInterrupt
get_ipython().payload_manager.read_payload = read_payload
"""


def test_an_interrupt_between_a_cells_end_and_its_reply_is_its_reply(tasks: Kernel) -> None:
    cell = tasks.run(READS_ONCE)
    assert cell.error["ename"] == "KeyboardInterrupt"
    assert tasks.run("'next'").result == "'next'"


def test_an_interrupt_that_comes_too_late_leaves_the_cell_its_reply(tasks: Kernel) -> None:
    tasks.run("get_ipython().kernel._execute_sleep = 1.0  # between the end of a cell and its reply")
    try:
        cell = tasks.start("print('on')")
        tasks.until(lambda: cell.printed)
        tasks.interrupt()
        assert tasks.finish(cell).status == "ok"
    finally:
        tasks.run("get_ipython().kernel._execute_sleep = 0.0005")
    cell = tasks.start("print('on')\nimport time; time.sleep(60)")
    tasks.until(lambda: cell.printed)
    tasks.interrupt()
    assert tasks.finish(cell).error["ename"] == "KeyboardInterrupt"


# --- Run All --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [(), ("import nest_asyncio\nnest_asyncio.apply()",)], ids=["ours", "nest_asyncio"])
def test_cells_queued_behind_nested_runs_are_all_executed(before: tuple[str, ...]) -> None:
    with kernel(*before) as fresh:
        fresh.run(TASKS)
        queued = []
        for number in range(6):
            code = (NESTED if number % 2 else AWAITED).format(0.1)
            queued.append(fresh.start(f"{code}\nprint({number})"))
        for number, cell in enumerate(queued):
            assert fresh.finish(cell).status == "ok", cell.traceback
            assert f"{number}\n" in cell.printed


def test_a_cell_that_arrives_while_others_are_being_answered_is_read(tasks: Kernel) -> None:
    for _ in range(30):
        failing, queued = tasks.start("1 / 0"), tasks.start("None")
        tasks.finish(failing)
        # Sent while the second answer is on its way: ipykernel 7.3 alone reads it in two cases of three.
        assert tasks.run("'next'").status in ("ok", "aborted")
        assert tasks.finish(queued).status in ("ok", "aborted")
    assert tasks.run("'next'").result == "'next'"


def test_another_kernel_on_the_same_store_shows_the_run(tasks: Kernel) -> None:
    tasks.run(AWAITED.format(0.0))
    code = "from flyte_notebook.record.store import open_store\n(str(open_store().home), flyte.runs()[0].name)"
    home, name = ast.literal_eval(tasks.run(code).result or "")
    with kernel(FLYTE_NOTEBOOK_HOME=home) as other:
        shown = other.run(f"%flyte show {name}")
        assert shown.displays("text/plain")[0].splitlines()[:2] == ["main · SUCCEEDED · 4 actions", "main = 3"]
        assert shown.displays(RUN_MIME)[0]["run"]["name"] == name
        assert name in (other.run("%flyte runs").result or "")


# --- unloading ------------------------------------------------------------------------------------------------------


def test_unloading_in_a_kernel_leaves_plain_cells_as_they_were(tasks: Kernel) -> None:
    tasks.run(AWAITED.format(0.0))
    tasks.run("%unload_ext flyte_notebook")
    assert tasks.run("1 + 1").result == "2"
    assert "not found" in tasks.run("%%flyte\n1").complained
    plain = tasks.run(NESTED.format(0.0))
    assert plain.status == "ok"
    assert not plain.contents("display_data")
    assert unfinished(tasks) == ([], [])
    assert tasks.run("%load_ext flyte_notebook").status == "ok"
    assert tasks.run(AWAITED.format(0.0)).displays(RUN_MIME)

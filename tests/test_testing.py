"""What the pytest plugin lets differ between a saved notebook and its new execution, and what it does not."""

from __future__ import annotations

import copy
import os
import subprocess
import sys

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbclient import NotebookClient

from flyte_notebook.testing import RUN_MIME, WIDGET_MIME, comparable, compare_outputs


def saved_run(**changes):
    """A finished tree as a cell shows it."""
    name = changes.get("name", "main-abc123")
    seconds = changes.get("seconds", 1.25)
    row = {"i": 0, "id": f"id of {name}", "k": "task", "n": "main", "t": "env.main", "s": "SUCCEEDED", "b": 0.5}
    row |= {"e": seconds * 1000, "v": "12", **changes.get("row", {})}
    detail = {"id": row["id"], "attempts": [{"number": 1, "phase": "SUCCEEDED", "ms": seconds * 1000}]}
    detail |= {"output": {"type": "int", "text": "12"}, "log": [{"stream": "stdout", "text": "hello\n"}]}
    run = {"name": name, "phase": "SUCCEEDED", "elapsed": seconds * 1000, "ended": True, "total": 1}
    mime = {"version": 1, "run": run, "rows": [row], "details": {"0": detail}, "truncated": 0}
    text = f"{name}  SUCCEEDED  {seconds} s\n  main  {seconds:>9} s  12"
    data = {RUN_MIME: mime, "text/plain": text, "text/html": f"<b>{name}</b> in {seconds:.0f} min 3 s"}
    return {"output_type": "display_data", "metadata": {}, "data": data}


def stream(text):
    return {"output_type": "stream", "name": "stdout", "text": text}


def equal(test, reference, skip_compare=None):
    return list(test) == list(reference)


@given(st.floats(0, 1e5), st.text("abcdef0123456789", min_size=6, max_size=6))
def test_runs_that_differ_in_name_and_duration_compare_equal(seconds, suffix):
    again = saved_run(name=f"main-{suffix}", seconds=round(seconds, 2))
    assert compare_outputs(equal, set(), [again], [saved_run()])


@pytest.mark.parametrize("change", [{"s": "FAILED"}, {"v": "13"}, {"n": "other"}, {"a": 2}, {"c": True}])
def test_runs_that_differ_in_what_they_did_do_not(change):
    assert not compare_outputs(equal, set(), [saved_run(row=change)], [saved_run()])


def test_the_name_of_the_run_that_is_resumed_may_differ():
    def resuming(name):
        output = saved_run()
        output["data"][RUN_MIME]["run"] |= {"resumed_from": name, "recovered": 7}
        output["data"]["text/plain"] += f" · resumes {name}"
        return output

    assert compare_outputs(equal, set(), [resuming("main-aaaaaa")], [resuming("main-bbbbbb")])
    assert not compare_outputs(equal, set(), [resuming("main-aaaaaa")], [resuming("other-bbbbbb")])


def test_a_log_that_differs_is_seen():
    other = saved_run()
    other["data"][RUN_MIME]["details"]["0"]["log"][0]["text"] = "good bye\n"
    assert not compare_outputs(equal, set(), [other], [saved_run()])


def test_a_name_that_a_later_cell_prints_is_known_from_the_earlier_one():
    names = set()
    compare_outputs(equal, names, [saved_run(name="main-aaaaaa")], [saved_run(name="main-bbbbbb")])
    assert compare_outputs(equal, names, [stream("main-aaaaaa took 3 s")], [stream("main-bbbbbb took 15 ms")])
    assert not compare_outputs(equal, names, [stream("main-aaaaaa: 1")], [stream("main-bbbbbb: 2")])


def test_durations_that_no_run_showed_are_compared():
    assert not compare_outputs(equal, {"main-aaaaaa"}, [stream("waits 3 s")], [stream("waits 4 s")])


def test_the_live_view_left_empty_is_no_output():
    live = {"output_type": "display_data", "data": {"text/plain": "", WIDGET_MIME: {"model_id": "1"}}}
    emptied = {"output_type": "display_data", "data": {"text/plain": ""}}
    assert compare_outputs(equal, set(), [live, saved_run()], [emptied, saved_run()])
    assert compare_outputs(equal, set(), [saved_run()], [emptied, saved_run()])


def test_outputs_are_left_as_they_were():
    output = saved_run()
    before = copy.deepcopy(output)
    comparable(nbformat.from_dict(output), {"main-abc123"})
    assert output == before


CELLS = """
%load_ext flyte_notebook
---
%%flyte
@env.task(retries=2)
async def flaky(x: int) -> int:
    if flyte.ctx().attempt_number == 0:
        raise ValueError("once")
    return x

@env.task
async def main(n: int) -> int:
    print("summing", n)
    return sum([r async for r in flyte.map.aio(flaky, range(n))])

await main(3)
---
%%flyte
await main("three")
"""


def nbval(folder):
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-p", "no:cacheprovider", "."]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_a_notebook_with_runs_passes_nbval_and_a_changed_one_does_not(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c.strip()) for c in CELLS.split("---")])
    notebook.cells[2].metadata["tags"] = ["raises-exception"]
    NotebookClient(notebook, allow_errors=True).execute()
    nbformat.write(notebook, tmp_path / "runs.ipynb")
    done = nbval(tmp_path)
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["runs.ipynb"], "a store is left"

    notebook.cells[1].source = notebook.cells[1].source.replace("range(n)", "range(n + 1)")
    nbformat.write(notebook, tmp_path / "runs.ipynb")
    done = nbval(tmp_path)
    assert done.returncode == 1
    assert "Cell outputs differ" in done.stdout

"""Front ends without widgets: `jupyter execute`, papermill, nbconvert get the finished tree and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tests.notebook.kernels import RUN_MIME

TASK = """%%flyte my-env
@env.task
async def double(x: int) -> int:
    print("doubling", x)
    return 2 * x
"""
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    cells = ["%load_ext flyte_notebook", TASK, "%%flyte\nawait double(21)", "flyte.run(double, x=4).outputs()"]
    path = tmp_path / "work.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(cell) for cell in cells], metadata=KERNEL), path)
    return path


def call(name: str, *arguments: str) -> None:
    """Run a command of this environment."""
    command = [str(Path(sys.executable).with_name(name)), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["jupyter-execute", "--inplace", "NOTEBOOK"],
        ["papermill", "--no-progress-bar", "NOTEBOOK", "NOTEBOOK"],
        ["jupyter-nbconvert", "--to", "notebook", "--execute", "--inplace", "NOTEBOOK"],
    ],
    ids=lambda command: command[0],
)
def test_a_notebook_is_executed_with_finished_trees_and_no_widget(command: list[str], notebook: Path) -> None:
    call(*(str(notebook) if word == "NOTEBOOK" else word for word in command))
    executed = nbformat.read(notebook, 4)
    outputs = [cell["outputs"] for cell in executed.cells if cell["cell_type"] == "code"][-4:]
    assert [output["output_type"] for output in outputs[2]] == ["stream", "display_data", "execute_result"]
    tree = outputs[2][1]["data"]
    assert set(tree) == {RUN_MIME, "text/html", "text/plain"}
    assert tree["text/plain"] == "double · SUCCEEDED · 1 action\ndouble = 42"
    assert outputs[2][2]["data"]["text/plain"] == "42"
    assert outputs[3][1]["data"]["text/plain"] == "double · SUCCEEDED · 1 action\ndouble = 8"
    assert "widgets" not in executed.metadata
    nbformat.validate(executed)


def test_a_page_made_of_the_notebook_keeps_the_table(notebook: Path) -> None:
    call("jupyter-nbconvert", "--to", "html", "--execute", str(notebook))
    page = notebook.with_suffix(".html").read_text(encoding="utf-8")
    assert "<code>42</code>" in page

"""The notebooks are chapters of the guide: each of its blocks stands in one of them as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from flyte_notebook.testing import RUN_MIME
from tests.guide.sections import SECTIONS

CHAPTERS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
BLOCKS = [block for section in SECTIONS for block in section.blocks]


def code_cells(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.file)
def test_a_block_of_the_guide_is_typed_in_a_chapter_and_called_there(block):
    typed = [
        cell for path in CHAPTERS for cell in code_cells(path) if cell.source.startswith(f"%%flyte\n{block.source}")
    ]
    (cell,) = typed
    for call in block.calls:
        assert cell.source.endswith(f"\n{call.awaited}")
        (result,) = [output for output in cell.outputs if output.output_type == "execute_result"]
        assert eval(result.data["text/plain"]) == call.value


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_notebook_is_saved_with_its_trees_and_without_errors_or_paths_of_the_machine(path):
    outputs = [output for cell in code_cells(path) for output in cell.outputs]
    assert any(RUN_MIME in output.get("data", ()) for output in outputs)
    complaints = [
        output
        for cell in code_cells(path)
        for output in cell.outputs
        if (output.output_type == "error" and "raises-exception" not in cell.metadata.get("tags", ()))
        or (output.get("name") == "stderr" and not output.text.startswith("flyte_notebook: resuming"))
    ]
    assert complaints == []
    # What a traceback calls a cell is the kernel's way to name it: there is no such file.
    text = re.sub(r"/tmp/ipykernel_\d+/", "", path.read_text())
    assert [place for place in (str(path.parents[1]), "/tmp/", "/home/") if place in text] == []


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_the_cells_of_a_notebook_were_run_in_order(path):
    assert [cell.execution_count for cell in code_cells(path)] == list(range(1, len(code_cells(path)) + 1))


def test_the_quickstart_is_saved_with_its_tables():
    saved = [o.data[RUN_MIME] for c in code_cells(CHAPTERS[0]) for o in c.outputs if RUN_MIME in o.get("data", ())]
    outputs = [detail["output"] for run in saved for detail in run["details"].values()]
    frames = [output for output in outputs if output["text"].startswith("DataFrame")]
    assert len(frames) == 1 + 2 * (1 + 9 + 9)
    assert all("<table>" in frame["html"] for frame in frames)

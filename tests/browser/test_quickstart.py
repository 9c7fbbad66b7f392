"""The quickstart notebook, as a newcomer runs it; the README's pictures are taken here."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.lab import Notebook

QUICKSTART = Path(__file__).parents[2] / "notebooks" / "01_quickstart.ipynb"


@pytest.fixture
def quickstart(page, server):
    shutil.copy(QUICKSTART, server.folder)
    return Notebook(page, server, QUICKSTART.name).open()


def test_run_all_on_the_quickstart_shows_finished_trees_and_no_error(quickstart):
    quickstart.run_all()
    saved = quickstart.save()
    outputs = [output for cell in saved.cells for output in cell.get("outputs", [])]
    assert [output for output in outputs if output["output_type"] == "error"] == []
    shown = [i for i, cell in enumerate(saved.cells) if "vnd.flyte-notebook.run" in str(cell.get("outputs", ""))]
    assert shown
    for index in shown:
        quickstart.select(index)
        expect(quickstart.tree(index).view).to_have_count(1)
        expect(quickstart.tree(index).header).to_be_visible()
    biggest = max(shown, key=lambda index: len(str(saved.cells[index].outputs)))
    quickstart.select(biggest)
    tree = quickstart.tree(biggest)
    tree.row("read").locator(".fn-toggle").click()
    expect(tree.details("biscoe-2008")).to_be_visible()
    for theme in ("Light", "Dark"):
        quickstart.theme(theme)
        quickstart.picture(f"quickstart-{theme}", tree.view)
        quickstart.picture(f"quickstart-page-{theme}")

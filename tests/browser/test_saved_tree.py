"""The finished tree: after a reload, reopened without a kernel, in both themes, by mouse and by keyboard."""

from __future__ import annotations

import re

import nbformat
import pytest
from playwright.sync_api import expect

from tests.browser.lab import Notebook

SETUP = "%load_ext flyte_notebook\nimport pandas as pd"

PIPELINE = """
%%flyte
@env.task
def load(rows: int) -> pd.DataFrame:
    print(f"loading {rows} rows")
    return pd.DataFrame({"animal": ["<b>cat</b>", "dog", "owl"][:rows], "legs": [4, 4, 2][:rows]})

@env.task
def legs(frame: pd.DataFrame) -> int:
    return int(frame["legs"].sum())

@env.task
def picky(x: int) -> int:
    raise ValueError(f"not {x}")

@env.task
async def main(rows: int) -> int:
    total = await legs.aio(await load.aio(rows))
    try:
        await picky.aio(total)
    except flyte.errors.RuntimeUserError as error:
        return total

await main(3)
"""

HOSTILE = """
%%flyte
@env.task
def hostile(x: str) -> str:
    print(x)
    return x

hostile('<img src=x onerror="window.hacked = 1"><script>window.hacked = 1</script>')
"""


@pytest.fixture
def finished(notebook):
    """A notebook with one finished tree in its second cell."""
    nb = notebook(SETUP, PIPELINE.strip())
    nb.run_all()
    expect(nb.tree(1).row("main")).to_have_attribute("aria-label", re.compile("succeeded, 10"))
    # The live tree may have said so already: what is saved must be the finished one.
    expect(nb.tree(1).view).to_have_count(1)
    expect(nb.tree(1).cancel).to_have_count(0)
    return nb


def expect_the_finished_tree(nb):
    tree = nb.tree(1)
    expect(tree.view).to_have_count(1)
    expect(tree.rows).to_have_count(4)
    expect(tree.row("main")).to_have_attribute("aria-label", re.compile("succeeded, 10"))
    expect(tree.row("picky")).to_have_attribute("aria-label", re.compile("failed, ValueError: not 10"))
    expect(tree.cancel).to_have_count(0)
    return tree


def test_a_reload_shows_the_finished_tree(finished):
    finished.save()
    finished.reload()
    expect_the_finished_tree(finished)


def test_a_notebook_reopened_without_a_kernel_shows_the_finished_tree_and_its_details(finished):
    finished.save()
    finished.shut_down_kernel()
    finished.open(kernel=False)
    # JupyterLab draws the outputs of a cell when it comes into view.
    finished.select(1)
    tree = expect_the_finished_tree(finished)
    assert finished.server.kernels() == []
    pane = tree.details("load")
    expect(pane.get_by_role("table")).to_contain_text("<b>cat</b>")
    pane.get_by_role("tab", name="Log").click()
    expect(pane).to_contain_text("loading 3 rows")
    pane.get_by_role("tab", name="Source").click()
    expect(pane).to_contain_text("def load(rows: int) -> pd.DataFrame:")


def test_a_notebook_from_somebody_else_shows_its_tree_though_it_is_not_trusted(finished, server):
    saved = finished.save()
    saved.metadata["from"] = "somebody else"
    nbformat.write(saved, server.folder / "from_somebody_else.ipynb")
    reopened = Notebook(finished.page, server, "from_somebody_else.ipynb").open(kernel=False)
    expect_the_finished_tree(reopened)


def test_a_failed_action_shows_its_error_with_the_line_of_the_cell(finished):
    tree = finished.tree(1)
    expect(tree.row("picky")).to_contain_text("line 13")
    pane = tree.details("picky")
    expect(pane.get_by_role("tab", name="Error")).to_have_attribute("aria-selected", "true")
    expect(pane).to_contain_text("ValueError: not 10")
    expect(pane).to_contain_text('raise ValueError(f"not {x}")')


def test_the_saved_output_has_the_tree_as_json_html_and_text(finished):
    saved = finished.save()
    displays = [output["data"] for output in saved.cells[1].outputs if output["output_type"] == "display_data"]
    (tree,) = [data for data in displays if "application/vnd.flyte-notebook.run.v1+json" in data]
    assert {"text/html", "text/plain"} <= set(tree)
    assert "main" in tree["text/plain"]
    assert "<script" not in tree["text/html"]
    assert "widgets" not in saved.metadata
    assert not [data for data in displays if "application/vnd.jupyter.widget-view+json" in data]


def test_values_are_shown_and_never_run(notebook):
    nb = notebook(SETUP, HOSTILE)
    nb.run_all()
    pane = nb.tree(1).details("hostile")
    expect(pane).to_contain_text('<img src=x onerror="window.hacked = 1">')
    pane.get_by_role("tab", name="Log").click()
    expect(pane).to_contain_text("<script>window.hacked = 1</script>")
    nb.save()
    nb.reload()
    nb.tree(1).details("hostile")
    assert nb.page.evaluate("window.hacked") is None


def test_the_tree_is_operated_by_keyboard_and_the_notebook_hears_none_of_it(finished):
    tree = finished.tree(1)
    cells = finished.page.locator(".jp-Notebook .jp-Cell")
    before = cells.count()
    tree.view.get_by_role("tree").focus()
    keys = finished.page.keyboard
    keys.press("End")
    expect(tree.rows.last).to_have_attribute("aria-selected", "true")
    keys.press("Home")
    expect(tree.row("main")).to_have_attribute("aria-selected", "true")
    keys.press("ArrowLeft")
    expect(tree.rows).to_have_count(1)
    keys.press("ArrowRight")
    expect(tree.rows).to_have_count(4)
    keys.type("load")
    expect(tree.row("load")).to_have_attribute("aria-selected", "true")
    keys.press("Enter")
    pane = tree.view.get_by_role("region", name="Details of load")
    expect(pane).to_be_visible()
    keys.press("Escape")
    expect(pane).to_have_count(0)
    expect(tree.view.get_by_role("tree")).to_be_focused()
    # JupyterLab's own: delete the cell, insert one, make it markdown.
    for key in ("d", "d", "a", "m"):
        keys.press(key)
    assert cells.count() == before


CONTRAST = """
elements => {
  const parse = text => {
    const numbers = (text.match(/[\\d.]+/g) ?? []).map(Number);
    // What color-mix computes has channels from 0 to 1.
    return text.startsWith("color(srgb") ? numbers.map((n, i) => (i < 3 ? 255 * n : n)) : numbers;
  };
  const channel = c => { c /= 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
  const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const behind = element => {
    for (let e = element; e !== null; e = e.parentElement) {
      const colour = parse(getComputedStyle(e).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  return elements.map(element => {
    const [low, high] = [luminance(parse(getComputedStyle(element).color)), luminance(behind(element))].sort((a, b) => a - b);
    return [element.className, (high + 0.05) / (low + 0.05)];
  });
}
"""


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_every_text_stands_out_from_what_is_behind_it(finished, theme):
    finished.theme(theme)
    tree = finished.tree(1)
    tree.details("picky")
    texts = tree.view.locator(
        ".fn-run, .fn-word, .fn-count, .fn-elapsed, .fn-label, .fn-result, .fn-time, .fn-tab, pre"
    )
    measured = texts.evaluate_all(CONTRAST)
    finished.picture(f"finished-{theme}", tree.view)
    assert len(measured) > 12
    # The ratio that WCAG asks of text.
    assert [text for text in measured if text[1] < 4.5] == []

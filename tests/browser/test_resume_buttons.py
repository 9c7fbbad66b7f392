"""The buttons of a failed tree: what they say, what they start, and what the notebook keeps of it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.lab import RunTree

SETUP = """
%load_ext flyte_notebook
import asyncio
from pathlib import Path
"""

# Once mended, item 8 waits for a file that the test writes: what is seen meanwhile does not depend on how fast things are.
TASKS = """
%%flyte
@env.task
async def item(n: int, gate: str) -> int:
    if n == 7: raise ValueError(f"bad item {n}")
    return n * n

@env.task
async def main(gate: str) -> int:
    return sum([await item(n, gate) for n in range(10)])
"""
MENDED = TASKS.replace(
    'if n == 7: raise ValueError(f"bad item {n}")',
    "while n == 8 and not Path(gate).exists(): await asyncio.sleep(0.02)",
)
TOTAL = str(sum(n * n for n in range(10)))


@pytest.fixture
def gate(server, request):
    path = server.folder / f"{request.node.name}-gate"
    yield path
    path.touch()


@pytest.fixture
def failed(notebook, gate):
    """A notebook whose third cell has failed at item 7."""
    nb = notebook(SETUP, TASKS, f"%%flyte\nawait main({gate.name!r})", "6 * 7")
    for cell in range(3):
        nb.run(cell)
    expect(nb.tree(2).row("main")).to_have_attribute("aria-label", re.compile("failed"))
    return nb


def mend(nb, cell: int = 1, source: str = MENDED) -> None:
    nb.page.evaluate(
        "([cell, source]) => window.jupyterapp.shell.currentWidget.content.widgets[cell].model.sharedModel.setSource(source)",
        [cell, source],
    )
    nb.run(cell)
    nb.select(2)


def trees(nb) -> list[RunTree]:
    """The failed tree and the one below it, of the run that resumes it."""
    views = nb.cell(2).locator(".flyte-notebook")
    return [RunTree(views.nth(position)) for position in range(2)]


def button(tree: RunTree, name: str):
    return tree.header.get_by_role("button", name=name)


def test_a_failed_tree_says_what_resuming_would_run_and_counts_again_after_an_edit(failed):
    tree = failed.tree(2)
    expect(button(tree, "Run what changed: 1")).to_be_visible()
    mend(failed)
    expect(button(tree, "Run what changed: 8")).to_be_visible()
    expect(button(tree, "Keep every success: 1")).to_be_visible()
    failed.picture("resume-offer-light", tree.view)
    failed.theme("Dark")
    failed.picture("resume-offer-dark", tree.view)
    failed.theme("Light")


def test_keeping_every_success_runs_in_the_background_and_stays_in_the_notebook(failed, gate):
    mend(failed)
    before, after = trees(failed)
    button(before, "Keep every success: 1").dblclick()
    expect(after.header).to_contain_text(re.compile(r"resumes main-\w+ · 7 recovered"))
    expect(after.row("item").nth(8)).to_have_attribute("aria-label", re.compile("running"))
    expect(after.cancel).to_be_visible()
    expect(before.header.get_by_role("button")).to_have_count(0)
    # The kernel is free meanwhile.
    failed.run(3)
    expect(failed.output(3)).to_contain_text("42")
    failed.select(2)
    for theme in ("Dark", "Light"):
        failed.theme(theme)
        failed.picture(f"resume-live-{theme}", failed.output(2))
    gate.touch()
    expect(after.header).to_contain_text("Succeeded")
    expect(after.cancel).to_have_count(0)
    expect(failed.cell(2).locator(".flyte-notebook")).to_have_count(2)
    saved = failed.save()
    (output,) = [
        output
        for output in saved.cells[2].outputs
        if output["output_type"] == "display_data" and len(output["data"]) > 1
    ]
    assert TOTAL in output["data"]["text/plain"]
    assert "recovered" in output["data"]["text/html"]
    for theme in ("Dark", "Light"):
        failed.theme(theme)
        failed.picture(f"resume-done-{theme}", failed.output(2))
    failed.reload()
    failed.select(2)
    before, after = trees(failed)
    expect(before.header).to_contain_text("Failed")
    expect(after.row("main")).to_have_attribute("aria-label", re.compile(f"succeeded, {TOTAL}"))
    expect(failed.output(2).get_by_role("button", name=re.compile("Run what|Keep"))).to_have_count(0)
    failed.shut_down_kernel()
    failed.open(kernel=False)
    failed.select(2)
    before, after = trees(failed)
    expect(after.row("main")).to_have_attribute("aria-label", re.compile(f"succeeded, {TOTAL}"))


def test_a_resumed_run_is_cancelled_by_its_own_button_and_offers_to_go_on(failed, gate):
    mend(failed)
    before, after = trees(failed)
    button(before, "Keep every success: 1").click()
    expect(after.row("item").nth(8)).to_have_attribute("aria-label", re.compile("running"))
    after.cancel.click()
    expect(after.header).to_contain_text("Aborted")
    gate.touch()
    # What was recovered was made by the code of before.
    expect(button(after, "Run what changed: 8")).to_be_visible()
    button(after, "Keep every success: 1").click()
    expect(failed.cell(2).locator(".flyte-notebook")).to_have_count(3)
    last = RunTree(failed.cell(2).locator(".flyte-notebook").nth(2))
    expect(last.row("main")).to_have_attribute("aria-label", re.compile(f"succeeded, {TOTAL}"))
    expect(last.header).to_contain_text("8 recovered")


def test_a_page_reloaded_meanwhile_shows_the_live_tree_and_keeps_the_finished_one(failed, gate):
    mend(failed)
    before, after = trees(failed)
    button(before, "Keep every success: 1").click()
    expect(after.row("item").nth(8)).to_have_attribute("aria-label", re.compile("running"))
    failed.save()
    failed.reload()
    failed.select(2)
    before, after = trees(failed)
    expect(after.row("item").nth(8)).to_have_attribute("aria-label", re.compile("running"))
    gate.touch()
    expect(after.row("main")).to_have_attribute("aria-label", re.compile(f"succeeded, {TOTAL}"))
    expect(after.cancel).to_have_count(0)
    failed.save()
    failed.reload()
    failed.select(2)
    expect(trees(failed)[1].row("main")).to_have_attribute("aria-label", re.compile(f"succeeded, {TOTAL}"))


def test_a_new_kernel_says_what_it_needs_and_then_resumes(failed, gate):
    failed.save()
    failed.shut_down_kernel()
    failed.server.shut_down_kernels()
    failed.open()
    failed.select(2)
    tree = failed.tree(2)
    expect(tree.header).to_contain_text("Failed")
    expect(tree.header.get_by_role("button")).to_have_count(0)
    failed.run(0)
    failed.select(2)
    expect(tree.header).to_contain_text("needs notebook.main, not defined in this kernel: run the cells that define")
    failed.picture("resume-blocked", tree.view)
    for name in ("Run what changed: 1", "Keep every success: 1"):
        expect(button(tree, name)).to_be_disabled()
    mend(failed)
    gate.touch()
    button(tree, "Keep every success: 1").click()
    expect(trees(failed)[1].row("main")).to_have_attribute("aria-label", re.compile(f"succeeded, {TOTAL}"))


def test_a_kernel_that_is_gone_leaves_its_run_to_the_next_one(failed, gate):
    mend(failed)
    before, after = trees(failed)
    button(before, "Keep every success: 1").click()
    expect(after.row("item").nth(8)).to_have_attribute("aria-label", re.compile("running"))
    failed.page.evaluate(
        "async () => { await window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart(); }"
    )
    expect(after.header).to_contain_text("Kernel gone")
    failed.run(0)
    failed.run(1)
    gate.touch()
    failed.select(2)
    # What was recovered was made by the code of before.
    expect(button(after, "Run what changed: 8")).to_be_visible()
    button(after, "Keep every success: 1").click()
    expect(after.row("main")).to_have_attribute("aria-label", re.compile(f"succeeded, {TOTAL}"))
    expect(after.header).to_contain_text("8 recovered")
    expect(failed.cell(2).locator(".flyte-notebook")).to_have_count(2)


def test_the_buttons_are_reached_and_pressed_by_keyboard(failed, gate):
    mend(failed)
    gate.touch()
    before, after = trees(failed)
    button(before, "Run what changed: 8").focus()
    failed.page.keyboard.press("Tab")
    expect(button(before, "Keep every success: 1")).to_be_focused()
    failed.page.keyboard.press("Enter")
    expect(after.view.get_by_role("tree")).to_be_focused()
    expect(after.row("main")).to_have_attribute("aria-label", re.compile(f"succeeded, {TOTAL}"))

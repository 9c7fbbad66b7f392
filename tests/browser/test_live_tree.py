"""The live tree in JupyterLab while cells run, and what stops them."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

SETUP = """
%load_ext flyte_notebook
import asyncio, time
from pathlib import Path
"""

# Tasks wait for a file that the test writes: what is seen while they wait does not depend on how fast anything is.
GATED = """
%%flyte
@env.task
async def gated(name: str) -> str:
    while not Path(name).exists():
        await asyncio.sleep(0.02)
    return f"through {name}"

@env.task
async def walk(names: list[str]) -> list[str]:
    return [await gated(name) for name in names]
"""

SLEEPERS = """
%%flyte
@env.task
async def asleep() -> None:
    await asyncio.sleep(600)

@env.task
def asleep_in_thread(gate: str) -> None:
    while not Path(gate).exists():
        time.sleep(0.02)

@env.task
async def stuck(gate: str) -> None:
    while not Path(gate).exists():
        time.sleep(0.02)

@env.task
async def sleepers() -> None:
    await asyncio.gather(*(asleep() for _ in range(20)))
"""


@pytest.fixture
def gate(server, request):
    """Names of gates of this test alone, and `open` to open one."""

    class Gate:
        @staticmethod
        def name(number: int) -> str:
            return f"{request.node.name}-{number}"

        def open(self, number: int) -> None:
            (server.folder / self.name(number)).touch()

    return Gate()


def says(words):
    """What a row tells a screen reader contains all of this."""
    return re.compile("".join(f"(?=.*{re.escape(word)})" for word in words.split(", ")))


def test_rows_change_while_the_cell_runs(notebook, gate):
    nb = notebook(SETUP, GATED, f"%%flyte\nawait walk({[gate.name(0), gate.name(1)]!r})")
    nb.start_all()
    tree = nb.tree(2)
    expect(tree.row("walk")).to_have_attribute("aria-label", says("walk, running"))
    expect(tree.row("gated")).to_have_count(1)
    expect(tree.row("gated")).to_have_attribute("aria-label", says("running"))
    gate.open(0)
    expect(tree.row("gated")).to_have_count(2)
    expect(tree.row("gated").nth(0)).to_have_attribute("aria-label", says(f"succeeded, through {gate.name(0)}"))
    expect(tree.row("gated").nth(1)).to_have_attribute("aria-label", says("running"))
    expect(nb.cell(2).locator(".jp-InputPrompt")).to_have_text("[*]:")
    expect(tree.cancel).to_be_visible()
    gate.open(1)
    nb.finish()
    expect(tree.view).to_have_count(1)
    expect(tree.row("walk")).to_have_attribute("aria-label", says("walk, succeeded"))
    expect(tree.cancel).to_have_count(0)
    expect(nb.output(2)).to_contain_text(f"['through {gate.name(0)}', 'through {gate.name(1)}']")


def test_a_cell_magic_called_by_code_shows_live_rows_too(notebook, gate):
    call = f"get_ipython().run_cell_magic('flyte', '', 'await walk({[gate.name(0)]!r})')"
    nb = notebook(SETUP, GATED, call.replace("['", '["').replace("']", '"]'))
    nb.start_all()
    tree = nb.tree(2)
    expect(tree.row("gated")).to_have_attribute("aria-label", says("running"))
    gate.open(0)
    nb.finish()
    expect(tree.row("gated")).to_have_attribute("aria-label", says("succeeded"))
    expect(nb.output(2)).to_contain_text(f"['through {gate.name(0)}']")


def test_a_body_that_blocks_the_loop_does_not_freeze_the_tree(notebook, gate):
    nb = notebook(SETUP, SLEEPERS, f"%%flyte\nawait stuck({gate.name(0)!r})")
    nb.start_all()
    tree = nb.tree(2)
    expect(tree.row("stuck")).to_have_attribute("aria-label", says("running"))
    # After a second of it, the advice.
    expect(tree.row("stuck")).to_have_attribute("aria-label", says("def"))
    gate.open(0)
    nb.finish()
    expect(tree.row("stuck")).to_have_attribute("aria-label", says("succeeded"))


def test_cancel_ends_a_long_run_and_the_next_cell_works(notebook):
    nb = notebook(SETUP, SLEEPERS, "%%flyte\nawait sleepers()", "print(len(asyncio.all_tasks()))", "6 * 7")
    nb.run(0)
    nb.run(1)
    nb.run(3)
    before = nb.output(3).inner_text()
    nb.start(2)
    tree = nb.tree(2)
    expect(tree.row("asleep")).to_have_count(20)
    tree.cancel.click()
    nb.finish()
    expect(tree.row("sleepers")).to_have_attribute("aria-label", says("aborted"))
    expect(tree.row("asleep").first).to_have_attribute("aria-label", says("aborted"))
    expect(nb.cell(2).locator(".jp-InputPrompt")).not_to_have_text("[*]:")
    nb.run(3)
    assert nb.output(3).inner_text() == before, "tasks are left on the loop"
    nb.run(4)
    expect(nb.output(4)).to_contain_text("42")


def test_cancel_ends_a_cell_whose_body_blocks_the_loop(notebook, gate):
    nb = notebook(SETUP, SLEEPERS, f"%%flyte\nawait stuck({gate.name(0)!r})", "6 * 7")
    nb.start_all()
    tree = nb.tree(2)
    expect(tree.row("stuck")).to_have_attribute("aria-label", says("running"))
    tree.cancel.click()
    expect(tree.header.get_by_role("button")).to_have_text("Cancelling…")
    gate.open(0)
    nb.finish()
    nb.run(3)
    expect(nb.output(3)).to_contain_text("42")


def test_cancel_leaves_a_thread_that_cannot_be_stopped_and_says_so(notebook, gate):
    nb = notebook(SETUP, SLEEPERS, f"%%flyte\nawait asleep_in_thread.aio({gate.name(0)!r})", "6 * 7")
    nb.start_all()
    tree = nb.tree(2)
    expect(tree.row("asleep_in_thread")).to_have_attribute("aria-label", says("running"))
    tree.cancel.click()
    nb.finish()
    expect(tree.row("asleep_in_thread")).to_have_attribute("aria-label", says("aborted, still running in a thread"))
    nb.run(3)
    expect(nb.output(3)).to_contain_text("42")
    gate.open(0)


def test_one_action_can_be_cancelled_and_the_run_goes_on(notebook, gate):
    body = f"""%%flyte
async def patient():
    try:
        await asleep()
    except flyte.errors.RuntimeUserError as error:
        return type(error).__name__
    except asyncio.CancelledError:
        return "cancelled"
result = await asyncio.gather(patient(), walk([{gate.name(0)!r}]))
result"""
    nb = notebook(SETUP, GATED, SLEEPERS, body)
    nb.start_all()
    tree = nb.tree(3)
    tree.details("asleep").get_by_role("button", name="Cancel action").click()
    expect(tree.row("asleep")).to_have_attribute("aria-label", says("aborted"))
    expect(tree.row("gated")).to_have_attribute("aria-label", says("running"))
    gate.open(0)
    nb.finish()
    expect(nb.output(3)).to_contain_text(f"['through {gate.name(0)}']")


@pytest.mark.parametrize("nested", [False, True])
def test_the_interrupt_button_ends_a_cell_and_the_next_one_works(notebook, nested):
    body = "await sleepers()"
    cell = f"get_ipython().run_cell_magic('flyte', '', {body!r})" if nested else f"%%flyte\n{body}"
    nb = notebook(
        SETUP, SLEEPERS, cell, "print('not run')", "%%flyte\n@env.task\ndef six() -> int: return 6\nawait six.aio()"
    )
    nb.start_all()
    tree = nb.tree(2)
    expect(tree.row("asleep")).to_have_count(20)
    nb.command("notebook:interrupt-kernel")
    nb.finish()
    expect(nb.output(2)).to_contain_text("KeyboardInterrupt")
    expect(tree.row("sleepers")).to_have_attribute("aria-label", says("aborted"))
    expect(nb.output(3)).not_to_contain_text("not run")
    nb.run(4)
    expect(nb.tree(4).row("six")).to_have_attribute("aria-label", says("succeeded, 6"))


def test_a_page_reloaded_while_the_cell_runs_shows_the_live_tree_again(notebook, gate):
    nb = notebook(SETUP, GATED, f"%%flyte\nawait walk({[gate.name(0)]!r})")
    nb.start_all()
    tree = nb.tree(2)
    expect(tree.row("gated")).to_have_attribute("aria-label", says("running"))
    nb.save()
    nb.reload(busy=True)
    expect(tree.row("gated")).to_have_attribute("aria-label", says("running"))
    expect(tree.cancel).to_be_visible()
    gate.open(0)
    expect(tree.row("gated")).to_have_attribute("aria-label", says("succeeded"))


def test_a_map_is_folded_with_counts_and_its_failure_unfolds_with_the_line_of_the_error(notebook):
    body = """
%%flyte
@env.task
def process(x: int) -> int:
    if x == 7:
        raise ValueError("bad row 7")
    return x

@env.task
async def batch() -> int:
    results = [r async for r in flyte.map.aio(process, range(60))]
    return sum(isinstance(r, Exception) for r in results)

await batch()
"""
    nb = notebook(SETUP, body.strip())
    nb.run_all()
    tree = nb.tree(1)
    # The map's own line, and of its items the one that failed.
    expect(tree.row("process")).to_have_count(2)
    expect(tree.row("process").nth(0)).to_have_attribute("aria-label", says("60 of 60"))
    expect(tree.row("process").nth(1)).to_have_attribute("aria-label", says("failed, ValueError: bad row 7"))
    expect(tree.row("process").nth(1)).to_contain_text("line 5")
    tree.view.get_by_text("Show all 60").click()
    expect(tree.row("process").nth(6)).to_be_visible()


def test_two_and_a_half_thousand_rows_scroll_with_few_elements(notebook):
    body = """
%%flyte
@env.task
async def double(x: int) -> int:
    return 2 * x

@env.task
async def fan(n: int) -> int:
    return sum(await asyncio.gather(*(double(i) for i in range(n))))

await fan(2500)
"""
    nb = notebook(SETUP, body)
    nb.start_all()
    nb.finish()
    tree = nb.tree(1)
    expect(tree.row("fan")).to_have_attribute("aria-label", says("succeeded, 6247500"))
    tree.row("fan").locator(".fn-toggle").click()
    scroller = tree.view.get_by_role("tree")
    scroller.evaluate("tree => { tree.scrollTop = tree.scrollHeight; }")
    expect(tree.row("double").last).to_be_visible()
    assert tree.rows.count() < 60

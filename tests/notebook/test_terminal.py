"""IPython in a real terminal: the tree is drawn while the run lasts, and stays when it has ended."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest
from rich.console import Console

from flyte_notebook.notebook.terminal import drawing
from flyte_notebook.notebook.tree import Tree
from tests.notebook.test_static import Run, pipeline

# pexpect forks, and whatever ran before in this process may have left threads.
pytestmark = pytest.mark.filterwarnings("ignore:.*forkpty:DeprecationWarning")

ESCAPES = re.compile(r"\x1b(\[[0-9;?]*[a-zA-Z]|\][^\x07]*\x07|[=>])")
TASKS = """%%flyte demo
import asyncio
@env.task
async def nap(seconds: float) -> float:
    print("napping")
    await asyncio.sleep(seconds)
    return seconds
@env.task
async def main(seconds: float) -> int:
    naps = await asyncio.gather(*[nap(seconds) for _ in range(3)])
    print("no end of line", end="")
    return len(naps)
"""
IPYTHON = [sys.executable, "-m", "IPython", "--no-banner", "--simple-prompt", "--no-confirm-exit", "--colors=NoColor"]


def setup(folder: Path, *cells: str) -> str:
    """A script that loads the extension and runs `cells`."""
    script = folder / "setup.ipy"
    runs = "".join(f"_ = get_ipython().run_cell({cell!r})\n" for cell in cells)
    script.write_text(f"%load_ext flyte_notebook\n{runs}")
    return str(script)


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "IPYTHONDIR": str(folder), "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}


class Terminal:
    """IPython under a pseudo-terminal."""

    def __init__(self, folder: Path) -> None:
        self.child = pexpect.spawn(
            IPYTHON[0],
            [*IPYTHON[1:], "-i", setup(folder, TASKS)],
            dimensions=(30, 100),
            encoding="utf-8",
            timeout=30,
            env=environment(folder),
        )
        self.prompt()

    def prompt(self) -> str:
        """Everything up to the next prompt, without escape sequences."""
        self.child.expect(r"In \[\d+\]: ")
        return ESCAPES.sub("", self.child.before or "").replace("\r\n", "\n")

    def type(self, line: str) -> None:
        self.child.sendline(line)

    def cell(self, body: str) -> None:
        code = f"%%flyte\n{body}"
        self.type(f"_ = get_ipython().run_cell({code!r})")


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    running = Terminal(tmp_path)
    yield running
    running.child.close(force=True)


def last_tree(shown: str) -> list[str]:
    """The lines from the last title on, without times and results."""
    lines = shown.splitlines()
    start = max(number for number, line in enumerate(lines) if re.match(r"\S*main-\w{6} · ", line))
    return [re.sub(r"\s{2,}.*", "", line) for line in lines[start:] if line.strip()]


def test_the_tree_is_drawn_while_the_run_lasts_and_stays_when_it_has_ended(terminal: Terminal) -> None:
    terminal.type("flyte.run(main, seconds=1.0);")
    terminal.child.expect("Ctrl-C cancels")
    terminal.child.expect("nap")
    shown = terminal.prompt()
    title, *lines = last_tree(shown)
    assert "SUCCEEDED" in title
    assert "4 actions" in title
    assert lines == ["✓ main", "├─ ✓ nap", "├─ ✓ nap", "└─ ✓ nap"]


def test_what_is_printed_meanwhile_is_above_it_and_whole(terminal: Terminal) -> None:
    terminal.cell("x = await main(0.6)")
    shown = terminal.prompt()
    assert shown.count("napping\n") == 3
    # The line without an end is shown with the drawing, and ended before the tree that stays.
    assert re.search(r"no end of line\nmain-\w{6} · SUCCEEDED", shown)


def test_the_result_of_an_awaited_cell_follows_its_tree(terminal: Terminal) -> None:
    terminal.cell("await main(0.6)")
    assert last_tree(terminal.prompt())[-1].endswith("3")


def test_ctrl_c_ends_the_run_and_the_next_one_works(terminal: Terminal) -> None:
    for start in (lambda: terminal.cell("await main(60.0)"), lambda: terminal.type("flyte.run(main, seconds=60.0)")):
        start()
        terminal.child.expect("Ctrl-C cancels")
        terminal.child.expect("nap")
        terminal.child.sendintr()
        shown = terminal.prompt()
        assert "ABORTED" in shown
        assert "KeyboardInterrupt" in shown
    terminal.type("flyte.run(nap, seconds=0.0).outputs().o0 + 41")
    assert terminal.prompt().rstrip().endswith("41.0")


def test_show_draws_it_again(terminal: Terminal) -> None:
    terminal.cell("x = await main(0.0)")
    terminal.prompt()
    terminal.type("%flyte show")
    assert "✓ main" in last_tree(terminal.prompt())


def test_a_shell_whose_output_is_piped_prints_plain_text(tmp_path: Path) -> None:
    command = [*IPYTHON, setup(tmp_path, TASKS, "%%flyte\nawait main(0.0)")]
    env = environment(tmp_path)
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60, env=env)
    assert "main · SUCCEEDED · 4 actions\nmain = 3\n├─ nap = 0.0\n" in done.stdout
    assert "\x1b[" not in done.stdout


# --- what is drawn --------------------------------------------------------------------------------------------------


def drawn(tree: Tree, width: int = 80) -> list[str]:
    out = io.StringIO()
    Console(width=width, file=out, color_system=None).print(drawing(tree, width=10, depth=24, total=100))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_failures_are_drawn_before_other_children_and_the_rest_is_counted() -> None:
    lines = drawn(pipeline())
    assert lines[0].startswith("main-abc123 · SUCCEEDED · 33 actions: 1 failed, 32 succeeded · ")
    assert lines[1].startswith("✓ main")
    assert lines[2].startswith("├─ ✓ bump cached")
    assert any("✗ score" in line and "ValueError: bad row 7 (line 12)" in line for line in lines)
    assert "│  └─ … 20 more: 20 succeeded" in lines


def test_values_are_drawn_as_they_are_and_cut_to_the_width() -> None:
    run = Run()
    run.submit("a")
    run.succeed("a", "[bold]not markup[/bold] \x1b[31m" + "x" * 200)
    lines = drawn(run.end(), 60)
    assert "[bold]not markup" in lines[1]
    assert "\x1b" not in "".join(lines)
    assert all(len(line) <= 60 for line in lines)


def test_a_thousand_running_actions_fit_on_a_screen() -> None:
    run = Run()
    for number in range(1000):
        run.submit(str(number))
    lines = drawn(run.tree)
    assert len(lines) == 12
    assert lines[-1] == "… 990 more: 990 running"

"""Each block of the guide pasted into IPython in a terminal, as a person does it: its results, its tree, its record."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pexpect
import pytest

from tests.guide.sections import SECTIONS

HERE = Path(__file__).parent
PASTE, PASTED, RUN_IT = "\x1b[200~", "\x1b[201~", "\x1b\r"
CONTROL = re.compile(r"\x1b(\[[0-9;?]*[ -/]*[@-~]|\][^\x07]*\x07|[=>()][A-Z0-9]?)|\r")


class Terminal:
    """`ipython` in a terminal of its own."""

    def __init__(self, child):
        self._child = child
        self._number = 1
        self._child.expect_exact("In [1]:")

    def paste(self, source):
        """Paste a cell, run it, and read what appears on the screen until the next prompt."""
        self._child.send(f"{PASTE}{source}{PASTED}")
        self._child.send(RUN_IT)
        self._number += 1
        self._child.expect_exact(f"In [{self._number}]:")
        return CONTROL.sub("", self._child.before)


@pytest.fixture(scope="module")
def terminal(tmp_path_factory):
    folder = tmp_path_factory.mktemp("terminal")
    environment = {
        **os.environ,
        "PYTHONPATH": str(HERE),
        "FLYTE_NOTEBOOK_HOME": str(folder / "store"),
        "IPYTHONDIR": str(folder / "ipython"),
        "TERM": "xterm",
        # No emulator answers the question where the cursor is.
        "PROMPT_TOOLKIT_NO_CPR": "1",
    }
    options = ["--no-banner", "--no-confirm-exit", "--colors=nocolor", "--HistoryManager.enabled=False"]
    child = pexpect.spawn(
        sys.executable,
        ["-m", "IPython", *options],
        cwd=folder,
        env=environment,
        encoding="utf-8",
        timeout=20,
        dimensions=(50, 160),
    )
    terminal = Terminal(child)
    terminal.paste("%load_ext flyte_notebook")
    terminal.paste("from observe import observed")
    terminal.report = folder / "observed.json"
    yield terminal
    child.sendeof()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.name)
def test_a_block_pasted_below_flyte_runs_with_its_call(terminal, section):
    for block in section.blocks:
        if not block.calls:
            terminal.paste(f"%%flyte\n{block.source}")
        for call in block.calls:
            shown = terminal.paste(f"%%flyte\n{block.source}\n{call.awaited}")
            assert f"]: {call.value!r}" in shown
            assert drawn(shown) == [drawing(line) for line in call.actions]
            terminal.paste(f"open({str(terminal.report)!r}, 'w').write(observed(_));")
            recorded = json.loads(terminal.report.read_text())
            assert (recorded["value"], recorded["actions"]) == (call.value, call.actions)


def drawing(line):
    """Depth and name of an expected action in the drawn tree, where a group is a level of its own."""
    indent, name, group = re.fullmatch(r"( *)(\S+): \S+( in \S+)?", line).groups()
    return len(indent) // 2 + (group is not None), name


def drawn(screen):
    """Depth and name of the actions of the tree drawn last: the finished one."""
    finished = screen.rpartition(" · SUCCEEDED · ")[2]
    return [(len(stem) // 3, name) for stem, name in re.findall(r"^([│├└─ ]*)✓ (\S+)", finished, re.MULTILINE)]

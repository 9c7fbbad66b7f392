"""Each block of the guide in a plain script: unchanged after `install_as_flyte()`, and under this package's own name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.guide.sections import SECTIONS

HERE = Path(__file__).parent


def run_script(source, folder):
    """The values that the script prints, one JSON line each; it must leave nothing on stderr."""
    script = folder / "program.py"
    script.write_text(source)
    environment = {**os.environ, "PYTHONPATH": str(HERE), "FLYTE_NOTEBOOK_HOME": str(folder / "store")}
    command = [sys.executable, "-W", "error", str(script)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def expect(section):
    calls = [call for block in section.blocks for call in block.calls]
    return [
        {"value": call.value, "runs": number, "phase": "SUCCEEDED", "actions": call.actions}
        for number, call in enumerate(calls, 1)
    ]


def typed(section):
    """The blocks as they stand in the guide, each followed by its calls."""
    parts = ["from observe import observed"]
    for block in section.blocks:
        parts.append(block.source)
        parts += [f"print(observed({call.run}))" for call in block.calls]
    return "\n".join(parts)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.name)
def test_a_script_that_says_import_flyte_runs_unchanged_after_install_as_flyte(section, tmp_path):
    source = f"import flyte_notebook\nflyte_notebook.install_as_flyte()\n{typed(section)}"
    assert run_script(source, tmp_path) == expect(section)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.name)
def test_a_script_that_imports_flyte_notebook_as_flyte_does_the_same(section, tmp_path):
    source = typed(section).replace("import flyte\n", "import flyte_notebook as flyte\n")
    assert "import flyte\n" not in source
    assert run_script(source, tmp_path) == expect(section)

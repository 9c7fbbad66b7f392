"""Fingerprints are equal in every kernel that ran the same cells, in whatever order of counting and hash seed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import pytest

CELLS = [
    """
    import functools
    import numpy as np
    import flyte_notebook as flyte
    env = flyte.TaskEnvironment("kernels")
    WORDS = {"alpha", "beta", "gamma", "delta"}
    OPTIONS = {"deep": [{"a": {1, 2, 3}}], "names": frozenset(WORDS)}
    """,
    """
    class Cleaner:
        stop = {"the", "a", "of"}
        def clean(self, text):
            return [w for w in text.split() if w not in {"x", "y", "z"} and w not in self.stop]

    class Client:
        def __init__(self): self.words, self.cache, self.calls = {"x", "y"}, {}, 0
        def get(self, text):
            self.calls += 1
            self.cache[text] = text
            return text
    client = Client()

    def helper(text):
        return Cleaner().clean(client.get(text))
    """,
    """
    @env.task
    async def child(text: str) -> list[str]:
        return helper(text)

    @env.task(retries=2)
    async def main(text: str, mode: str = "fast") -> list[str]:
        # a remark
        words = await child(text)
        return sorted(w for w in words if w in WORDS or w in OPTIONS["names"])

    udf = lambda x: x in WORDS
    """,
]

RUNNER = """
import asyncio, json, sys
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
for cell in json.loads(sys.argv[1]):
    result = shell.run_cell(cell, store_history=True)
    result.raise_error()
from flyte_notebook.record.fingerprint import fingerprint_parts
if "ran" in shell.user_ns:
    shell.user_ns["helper"]("the text")
print(json.dumps([fingerprint_parts(shell.user_ns[name]) for name in ("main", "child", "udf", "helper")]))
"""


def kernel(cells: list[str], seed: int, runner: str = RUNNER, cwd: object = None) -> object:
    """The parts of the fingerprints in a fresh kernel that ran these cells."""
    done = subprocess.run(
        [sys.executable, "-c", runner, json.dumps([textwrap.dedent(cell) for cell in cells])],
        env={**os.environ, "PYTHONHASHSEED": str(seed)},
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def first():
    """What one kernel found."""
    return kernel(CELLS, seed=1)


def test_another_kernel_with_another_seed_finds_the_same(first):
    assert kernel(CELLS, seed=2) == first


def test_cells_that_were_run_before_or_twice_change_nothing(first):
    assert kernel(["1 + 1", CELLS[0], CELLS[1], CELLS[1], "unrelated = 5", *CELLS, CELLS[2]], seed=3) == first


def test_running_the_code_changes_nothing(first):
    assert kernel([*CELLS, "ran = True"], seed=4) == first


def test_an_edit_in_another_cell_is_found_where_it_was_made(first):
    edited = kernel([CELLS[0], CELLS[1].replace('"of"', '"off"'), CELLS[2]], seed=1)
    changed = [
        {label for label in old.keys() | new.keys() if old.get(label) != new.get(label)}
        for old, new in zip(first, edited, strict=True)
    ]
    assert changed == [{"captured Cleaner.stop"}, {"captured Cleaner.stop"}, set(), {"captured Cleaner.stop"}]


SCRIPT = """
import json, sys
from flyte_notebook.record.fingerprint import fingerprint_parts
exec(compile("\\n".join(json.loads(sys.argv[1])), "<string>", "exec"), globals())
print(json.dumps([fingerprint_parts(globals()[name]) for name in ("main", "child", "udf", "helper")]))
"""


def test_code_without_source_is_told_apart_by_its_bytecode_in_every_kernel_alike():
    parts = kernel(CELLS, seed=1, runner=SCRIPT)
    assert kernel(CELLS, seed=2, runner=SCRIPT) == parts
    assert kernel([CELLS[0], CELLS[1].replace('"z"', '"w"'), CELLS[2]], seed=2, runner=SCRIPT) != parts


def test_the_folder_of_the_notebook_does_not_count(first, tmp_path):
    assert kernel(CELLS, seed=1, cwd=tmp_path) == first

"""The arrows of the package go one way; the contracts are in pyproject.toml."""

from __future__ import annotations

import subprocess
import sys

LINT = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"


def test_layers_import_only_what_is_below_them(pytestconfig):
    # In a process of its own: import-linter configures logging, which silences every logger there is.
    done = subprocess.run([sys.executable, "-c", LINT], capture_output=True, text=True, cwd=pytestconfig.rootpath)
    assert done.returncode == 0, done.stdout + done.stderr

"""Shells in this process, and kernels in their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from flyte_notebook.notebook import cell
from tests.notebook.kernels import Kernel, kernel
from tests.notebook.shells import Shell


@pytest.fixture
def shell(monkeypatch) -> Iterator[Shell]:
    """IPython without a front end, the extension loaded; gone afterwards."""
    monkeypatch.setattr(cell, "environments", {})
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    InteractiveShell.clear_instance()
    instance = InteractiveShell.instance(config=config)
    running = Shell(instance)
    running.ok("%load_ext flyte_notebook")
    yield running
    instance.run_line_magic("unload_ext", "flyte_notebook")
    instance.restore_sys_module_state()
    InteractiveShell.clear_instance()


@pytest.fixture(scope="module")
def running_kernel(tmp_path_factory) -> Iterator[Kernel]:
    """One real kernel for the tests of a module."""
    with kernel(FLYTE_NOTEBOOK_HOME=str(tmp_path_factory.mktemp("kernel-home"))) as started:
        yield started

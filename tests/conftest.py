"""For every test: a store of its own, and no skipping."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch):
    """The store of this test, as `$FLYTE_NOTEBOOK_HOME`."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("FLYTE_NOTEBOOK_HOME", str(folder))
    return folder

"""For every test: a store of its own, and no skipping."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

# How fast an example is made depends on what else the machine does. In CI, the same examples every time.
settings.register_profile(
    "house", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=bool(os.environ.get("CI"))
)
settings.load_profile("house")


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch):
    """The store of this test, as `$FLYTE_NOTEBOOK_HOME`."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("FLYTE_NOTEBOOK_HOME", str(folder))
    return folder

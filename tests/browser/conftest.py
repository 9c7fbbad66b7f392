"""One Chromium and one JupyterLab for all browser tests, and a fresh page for each."""

from __future__ import annotations

import pytest
from playwright.sync_api import sync_playwright

from tests.browser.chromium import OPTIONS, find
from tests.browser.lab import Notebook, serve


@pytest.fixture(scope="session")
def browser():
    path = find()
    assert path is not None, "No Chromium was found: `make test-browser` installs one."
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    with serve(tmp_path_factory.mktemp("notebooks"), tmp_path_factory.mktemp("state")) as server:
        yield server


@pytest.fixture
def page(browser):
    page = browser.new_page(viewport={"width": 1280, "height": 1000}, device_scale_factor=2)
    page.set_default_timeout(30_000)
    yield page
    page.close()


@pytest.fixture
def notebook(page, server, request):
    """Make and open a notebook of the given code cells."""
    opened = []

    def make(*sources: str) -> Notebook:
        path = server.write(f"{request.node.name}.ipynb", *sources)
        opened.append(Notebook(page, server, path).open())
        return opened[-1]

    yield make
    for notebook in opened:
        assert notebook.complaints == []

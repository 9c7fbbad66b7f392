"""One Chromium with one JupyterLab for all browser tests; a notebook with a kernel of its own for each."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.browser.chromium import OPTIONS, find
from tests.browser.lab import Notebook, listen, serve


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


@pytest.fixture(scope="session")
def lab(browser):
    """The page that all tests use, each with a JupyterLab loaded afresh, and what goes wrong in it."""
    page = browser.new_page(viewport={"width": 1280, "height": 1000}, device_scale_factor=2)
    page.set_default_timeout(30_000)
    expect.set_options(timeout=15_000)
    complaints = listen(page)
    yield page, complaints
    page.close()


@pytest.fixture
def page(lab, server):
    page, complaints = lab
    complaints.clear()
    yield page
    server.shut_down_kernels()
    assert complaints == []


@pytest.fixture
def notebook(page, server, request):
    """Make and open a notebook of the given code cells."""

    def make(*sources: str) -> Notebook:
        return Notebook(page, server, server.write(f"{request.node.name}.ipynb", *sources)).open()

    return make

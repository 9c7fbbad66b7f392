"""A real JupyterLab server, and a notebook in it as a person sees it: open, run, click, look, reload, reopen."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import Locator, Page

# JupyterLab says "idle" before a kernel is ready and then drops what it is told: every script waits for the kernel.
READY = """
async () => {
  const panel = window.jupyterapp.shell.currentWidget;
  await panel.context.ready;
  await panel.sessionContext.ready;
  await panel.sessionContext.session.kernel.info;
}
"""
# What an error says when it comes from our extension, or from our widget, whose module is loaded from a blob; JupyterLab
# has errors of its own, when a kernel goes.
OURS = re.compile("flyte|blob:|displaying widget")


@dataclass(frozen=True)
class Server:
    """A running JupyterLab."""

    url: str
    token: str
    folder: Path
    """What it serves."""

    def write(self, name: str, *sources: str) -> str:
        """Make a notebook of these code cells; returns its path in the server."""
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(source) for source in sources],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        )
        nbformat.write(notebook, self.folder / name)
        return name

    def read(self, name: str) -> nbformat.NotebookNode:
        return nbformat.read(self.folder / name, as_version=4)

    def kernels(self) -> list[str]:
        """Ids of the kernels that run."""
        return [kernel["id"] for kernel in self._ask("GET", "api/kernels")]

    def shut_down_kernels(self) -> None:
        for kernel in self.kernels():
            self._ask("DELETE", f"api/kernels/{kernel}")

    def _ask(self, method: str, path: str) -> Any:
        headers = {"Authorization": f"token {self.token}"}
        with urllib.request.urlopen(urllib.request.Request(self.url + path, method=method, headers=headers)) as reply:
            return json.loads(reply.read() or "null")


@contextmanager
def serve(folder: Path, state: Path) -> Iterator[Server]:
    """Start JupyterLab on `folder`; all that it and its kernels remember goes to `state`."""
    token = secrets.token_hex(16)
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
        f"--ServerApp.root_dir={folder}",
        f"--IdentityProvider.token={token}",
        "--LabApp.expose_app_in_browser=True",
        "--LabApp.extension_manager=readonly",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.news_url=None",
    ]
    places = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
    }
    environment = {**os.environ, **{name: str(state / place) for name, place in places.items()}}
    # As a user has it: the store beside the notebook.
    environment.pop("FLYTE_NOTEBOOK_HOME", None)
    settings = state / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text('{"fetchNews": "false"}')
    log = state / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield Server(_wait_for_url(process, state / "runtime", log), token, folder)
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            # A worker thread of the server can outlive the loop that the signal has stopped; kernels follow by themselves.
            process.kill()
            process.wait()


def _wait_for_url(process: subprocess.Popen[bytes], runtime: Path, log: Path) -> str:
    deadline = time.monotonic() + 45
    while time.monotonic() < deadline and process.poll() is None:
        # The file exists for a moment before it is written.
        for text in filter(None, (info.read_text() for info in runtime.glob("jpserver-*.json"))):
            return str(json.loads(text)["url"])
        time.sleep(0.1)
    raise AssertionError(f"JupyterLab did not start:\n{log.read_text()}")


def listen(page: Page) -> list[str]:
    """The list that our errors in this page will be added to."""
    complaints: list[str] = []

    def hear(error: str) -> None:
        if OURS.search(error):
            complaints.append(error)

    page.on("pageerror", lambda error: hear(f"{error}\n{error.stack}"))
    page.on("console", lambda m: hear(f"{m.text}\n{m.location['url']}") if m.type == "error" else None)
    return complaints


@dataclass(frozen=True)
class Notebook:
    """A notebook in a browser page, which shows no other."""

    page: Page
    server: Server
    path: str

    def open(self, *, kernel: bool = True) -> Notebook:
        """Open JupyterLab afresh, with nothing but this notebook, read from disk; without a kernel if asked."""
        # A workspace of its own: JupyterLab opens nothing by itself, and nothing of the last notebook is left.
        self.page.goto(f"{self.server.url}lab/workspaces/{secrets.token_hex(4)}?token={self.server.token}")
        self.page.wait_for_function("window.jupyterapp !== undefined")
        preference = {} if kernel else {"shouldStart": False, "autoStartDefault": False, "canStart": False}
        self.page.evaluate(
            """async ([path, kernelPreference]) => {
              const app = window.jupyterapp;
              await app.restored;
              app.shell.collapseLeft();
              const panel = await app.commands.execute('docmanager:open', {path, factory: 'Notebook', kernelPreference});
              await panel.context.ready;
              await panel.revealed;
              app.shell.activateById(panel.id);
            }""",
            [self.path, preference],
        )
        self.page.wait_for_function(
            "path => window.jupyterapp.shell.currentWidget?.context?.path === path", arg=self.path
        )
        if kernel:
            self.page.evaluate(READY)
        return self

    def reload(self, *, busy: bool = False) -> None:
        """Press F5; a busy kernel says nothing of itself until its cell has ended."""
        self.page.reload()
        self.page.wait_for_function("window.jupyterapp !== undefined")
        self.page.evaluate("async () => { await window.jupyterapp.restored; }")
        self.page.wait_for_function("window.jupyterapp.shell.currentWidget?.context?.isReady")
        if not busy:
            self.page.evaluate(READY)

    def command(self, name: str, **arguments: Any) -> Any:
        """Run one of JupyterLab's commands and wait until it is done."""
        return self.page.evaluate(
            "async ([name, args]) => { await window.jupyterapp.commands.execute(name, args); }", [name, arguments]
        )

    def run_all(self) -> None:
        """Run every cell and wait for the last."""
        self.command("notebook:run-all-cells")

    def run(self, index: int) -> None:
        """Run one cell and wait for it."""
        self.select(index)
        self.command("notebook:run-cell")

    def start(self, index: int) -> None:
        """Run one cell without waiting for it."""
        self.select(index)
        self.page.evaluate("() => { window.running = window.jupyterapp.commands.execute('notebook:run-cell'); }")

    def start_all(self) -> None:
        """Run every cell without waiting."""
        self.page.evaluate("() => { window.running = window.jupyterapp.commands.execute('notebook:run-all-cells'); }")

    def finish(self) -> None:
        """Wait for what was started."""
        self.page.evaluate("async () => { await window.running; }")

    def select(self, index: int) -> None:
        self.page.evaluate(
            """async (index) => {
              const notebook = window.jupyterapp.shell.currentWidget.content;
              notebook.activeCellIndex = index;
              await notebook.scrollToItem(index);
            }""",
            index,
        )

    def cell(self, index: int) -> Locator:
        """A cell on the page."""
        return self.page.locator(f'.jp-Notebook .jp-Cell[data-windowed-list-index="{index}"]')

    def output(self, index: int) -> Locator:
        """What a cell shows below its source."""
        return self.cell(index).locator(".jp-Cell-outputWrapper")

    def tree(self, index: int) -> RunTree:
        """The tree that a cell shows: live while it runs, the saved one after."""
        return RunTree(self.cell(index).locator(".flyte-notebook"))

    def execution_count(self, index: int) -> int | None:
        return self.page.evaluate(
            "index => window.jupyterapp.shell.currentWidget.content.widgets[index].model.executionCount", index
        )

    def save(self) -> nbformat.NotebookNode:
        """Save, and read what was written."""
        self.command("docmanager:save")
        return self.server.read(self.path)

    def shut_down_kernel(self) -> None:
        self.page.evaluate("async () => { await window.jupyterapp.shell.currentWidget.sessionContext.shutdown(); }")

    def theme(self, name: str) -> None:
        """`Light` or `Dark`."""
        self.command("apputils:change-theme", theme=f"JupyterLab {name}")
        self.page.wait_for_selector(f'body[data-jp-theme-light="{str(name == "Light").lower()}"]', state="attached")

    def picture(self, name: str, of: Locator | None = None) -> Path:
        """A screenshot, under build/screenshots."""
        path = Path(__file__).parents[2] / "build" / "screenshots" / f"{re.sub(r'[^a-z0-9-]', '-', name.lower())}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        (of or self.page).screenshot(path=path)
        return path


@dataclass(frozen=True)
class RunTree:
    """A run as a cell shows it."""

    view: Locator

    @property
    def rows(self) -> Locator:
        return self.view.get_by_role("treeitem")

    @property
    def header(self) -> Locator:
        return self.view.locator(".fn-header")

    @property
    def cancel(self) -> Locator:
        return self.header.get_by_role("button", name="Cancel")

    def row(self, name: str) -> Locator:
        """Rows of the actions with this short name."""
        label = self.view.page.locator(".fn-label", has_text=re.compile(f"^{re.escape(name)}$"))
        return self.rows.filter(has=label)

    def details(self, name: str) -> Locator:
        """Click a row; the pane that opens."""
        self.row(name).first.click()
        return self.view.get_by_role("region", name=f"Details of {name}")

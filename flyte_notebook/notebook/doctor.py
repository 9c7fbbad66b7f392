"""`%flyte doctor`: what flyte_notebook finds here, and what to do about what is missing."""

from __future__ import annotations

import asyncio
import json
import platform
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from flyte_notebook.errors import FlyteNotebookError
from flyte_notebook.notebook import frontend
from flyte_notebook.notebook.text import count
from flyte_notebook.record.store import open_store

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

Finding = tuple[bool, str, str]
"""Fine or not, what was looked at, what was found (and what to do)."""

_PACKAGES = ("ipython", "ipykernel", "ipywidgets", "anywidget", "nest_asyncio2", "pandas", "pyarrow")
_NEEDED = frozenset(_PACKAGES) - {"pyarrow"}
_STATIC = Path(__file__).parent.parent / "static"


def report(shell: InteractiveShell) -> str:
    """One line for each finding; those that need attention are marked with `!`."""
    checks: tuple[Callable[[InteractiveShell], Iterator[Finding]], ...] = (_versions, _store, _loop, _view, _sdk)
    findings = [finding for check in checks for finding in check(shell)]
    width = max(len(subject) for _, subject, _ in findings)
    return "\n".join(f"{' ' if fine else '!'} {subject:<{width}}  {found}" for fine, subject, found in findings)


def _versions(shell: InteractiveShell) -> Iterator[Finding]:
    import flyte_notebook

    yield True, "flyte_notebook", f"{flyte_notebook.__version__} on Python {platform.python_version()}"
    for package in _PACKAGES:
        try:
            yield True, package, version(package)
        except PackageNotFoundError:
            if package in _NEEDED:
                yield False, package, f"missing: pip install {package}"


def _store(shell: InteractiveShell) -> Iterator[Finding]:
    try:
        store = open_store()
        yield True, "store", f"{store.home} ({count(len(store.journal.runs()), 'run')})"
    except FlyteNotebookError as error:
        yield False, "store", str(error)


def _loop(shell: InteractiveShell) -> Iterator[Finding]:
    if shell.autoawait:
        yield True, "await in cells", "on"
    else:
        yield False, "await in cells", "off, so %%flyte cells block and Cancel may wait: %autoawait on"
    patched = hasattr(asyncio, "_nest_asyncio2")
    alone = hasattr(asyncio, "_nest_patched") and not patched
    found = "nest_asyncio alone: %reload_ext flyte_notebook repairs it" if alone else "by nest_asyncio2"
    yield patched, "nested loops", found if patched or alone else "not yet: %reload_ext flyte_notebook"


def _view(shell: InteractiveShell) -> Iterator[Finding]:
    kind, reason = frontend.view_kind(shell)
    yield True, "live tree", f"{kind} ({reason})"
    if kind != "widget":
        return
    built = (_STATIC / "widget.js").is_file()
    yield built, "explorer", "built" if built else f"{_STATIC / 'widget.js'} is missing: install the package again"
    yield _extension()


def _extension() -> Finding:
    from jupyter_core.paths import jupyter_path

    for folder in jupyter_path("labextensions"):
        package = Path(folder, "flyte-notebook", "package.json")
        if package.is_file():
            found = json.loads(package.read_text(encoding="utf-8")).get("version", "unknown version")
            return True, "JupyterLab extension", f"{found} in {package.parent}"
    return True, "JupyterLab extension", "not in this environment: reopened notebooks show plain tables without it"


def _sdk(shell: InteractiveShell) -> Iterator[Finding]:
    # Not by the module's name, which may be bound to this package.
    try:
        found = f"{version('flyte')}; in %%flyte cells `import flyte` means flyte_notebook"
    except PackageNotFoundError:
        found = "not installed; only needed to go to a Flyte cluster"
    yield True, "Flyte SDK", found

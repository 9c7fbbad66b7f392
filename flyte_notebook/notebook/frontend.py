"""What is on the other side of this shell: which notebook and cell, and which kind of view it can show."""

from __future__ import annotations

import os
import sys
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from flyte_notebook.engine.settings import Origin

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


_PROCESS = token_hex(8)


def origin(shell: InteractiveShell, source: str | None = None) -> Origin:
    """Where the running code was typed. Without a front end that says so, the working folder stands for the notebook."""
    notebook = os.environ.get("JPY_SESSION_NAME") or os.getcwd()
    return Origin(notebook, cell_id(shell), source, _execution(shell))


def cell_id(shell: InteractiveShell) -> str | None:
    """The id of the running cell; JupyterLab, Notebook and VS Code tell it, nbclient and terminals do not."""
    found = _request(shell).get("metadata", {}).get("cellId")
    return found if isinstance(found, str) else None


def view_kind(shell: InteractiveShell) -> tuple[str, str]:
    """`"widget"`, `"terminal"` or `"static"`, and why.

    Front ends without widgets must not be sent any: they would show nothing, or store them in the notebook.
    """
    if is_terminal(shell):
        tty = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        return ("terminal", "a terminal") if tty else ("static", "a terminal whose output is not shown as it comes")
    if getattr(shell, "kernel", None) is None:
        return "static", "not a Jupyter kernel"
    if cell_id(shell) is not None:
        return "widget", "the front end names its cells, as those with widgets do"
    if "google.colab" in sys.modules:
        return "widget", "Google Colab"
    return "static", "the front end does not name its cells (nbclient, papermill, a console)"


def is_terminal(shell: InteractiveShell) -> bool:
    """True for IPython in a terminal."""
    # Not imported: prompt_toolkit is slow to import, and a kernel does without it.
    terminal = sys.modules.get("IPython.terminal.interactiveshell")
    return terminal is not None and isinstance(shell, terminal.TerminalInteractiveShell)


def remark(text: str) -> None:
    """Tell the reader something in one line, beside the cell's output."""
    sys.stderr.write(f"flyte_notebook: {text}\n")


def _execution(shell: InteractiveShell) -> str:
    """What tells this execution of a cell from all others."""
    found = _request(shell).get("header", {}).get("msg_id")
    return found if isinstance(found, str) else f"{_PROCESS}_{shell.execution_count}"


def _request(shell: InteractiveShell) -> dict[str, Any]:
    """The message that asked for the running code, or nothing outside a kernel."""
    get_parent = getattr(shell, "get_parent", None)
    parent = get_parent() if get_parent is not None else None
    return parent if isinstance(parent, dict) else {}

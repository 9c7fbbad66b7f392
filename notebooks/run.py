"""Runs a notebook in a real kernel and prints it as text, cell by cell: `python notebooks/run.py NOTEBOOK`.

The notebook's file stays as it is. Ends with status 1 at the first cell that fails.
"""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError


def run(path: Path) -> None:
    """Execute the notebook at `path` in its own folder. Raises CellExecutionError when a cell fails."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(path.parent)}})
    with client.setup_kernel():
        for index, cell in enumerate(notebook.cells):
            if cell.cell_type == "markdown":
                print(f"\n{cell.source}\n", flush=True)
            elif cell.source.strip():
                print(textwrap.indent(cell.source, "    >>> ", lambda _line: True), flush=True)
                client.execute_cell(cell, index)
                print(textwrap.indent("".join(map(_text, cell.outputs)), "    "), flush=True)


def _text(output: dict[str, Any]) -> str:
    if output["output_type"] == "stream":
        return str(output["text"])
    text = output.get("data", {}).get("text/plain", "")
    return f"{text}\n" if text else ""


if __name__ == "__main__":
    try:
        run(Path(sys.argv[1]))
    except CellExecutionError as error:
        sys.exit(str(error))

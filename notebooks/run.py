"""Runs notebooks in a real kernel and prints them as text, cell by cell: `python notebooks/run.py NOTEBOOK...`.

The files stay as they are, unless `--save` is given: then the outputs are saved in them, as of a first run ever, and a
notebook is written only when all its cells have run. Ends with status 1 at the first cell that fails.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    # No version: who saves a notebook should not show in it.
    "language_info": {"name": "python"},
}


def run(path: Path) -> nbformat.NotebookNode:
    """Execute the notebook at `path` in its own folder and print it. Raises CellExecutionError when a cell fails."""
    notebook = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(path.parent)}}
    # Errors only: a kernel warns that its messages could be read on this machine, which is no news to a reader here.
    quiet = ["--log-level=ERROR"]
    client = NotebookClient(
        notebook,
        timeout=600,
        resources=where,
        record_timing=False,
        # A printed line may arrive in pieces.
        coalesce_streams=True,
        extra_arguments=quiet,
    )
    with client.setup_kernel():
        for index, cell in enumerate(notebook.cells):
            if cell.cell_type == "markdown":
                print(f"\n{cell.source}\n", flush=True)
            elif cell.source.strip():
                print(textwrap.indent(cell.source, "    >>> ", lambda _line: True), flush=True)
                client.execute_cell(cell, index)
                print(textwrap.indent("".join(map(_text, cell.outputs)), "    "), flush=True)
    return notebook


def save(path: Path) -> None:
    """Execute the notebook with a store of its own, and save the outputs in it."""
    with tempfile.TemporaryDirectory(prefix="flyte-notebook-") as home:
        os.environ["FLYTE_NOTEBOOK_HOME"] = home
        notebook = run(path)
    notebook.metadata = nbformat.from_dict(METADATA)
    nbformat.write(notebook, path)


def _text(output: dict[str, Any]) -> str:
    if output["output_type"] == "stream":
        return str(output["text"])
    text = output.get("data", {}).get("text/plain", "")
    return f"{text}\n" if text else ""


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="+", type=Path, metavar="NOTEBOOK")
    parser.add_argument("--save", action="store_true", help="save the outputs in the notebooks")
    arguments = parser.parse_args()
    for path in arguments.notebooks:
        (save if arguments.save else run)(path)


if __name__ == "__main__":
    try:
        main()
    except CellExecutionError as error:
        sys.exit(str(error))

"""A real kernel, and cells typed into it one after the other, as a person sees what comes of them."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

HERE = Path(__file__).parent
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Kernel:
    """A kernel whose cells are typed one after the other."""

    def __init__(self, client):
        self._client = client

    def run(self, source):
        """The outputs of a cell; what it prints on stderr fails the test."""
        cell = self._type(source)
        assert [output.text for output in cell.outputs if output.get("name") == "stderr"] == []
        return cell.outputs

    def fail(self, source):
        """The class, the message and the traceback that a cell ends with, and the other outputs."""
        with pytest.raises(CellExecutionError):
            self._type(source)
        *others, error = self._client.nb.cells[-1].outputs
        assert error.output_type == "error"
        return error.ename, error.evalue, COLOUR.sub("", "\n".join(error.traceback)), others

    def complain(self, source):
        """What a cell that fails without a traceback says on stderr."""
        with pytest.raises(CellExecutionError):
            self._type(source)
        (output,) = self._client.nb.cells[-1].outputs
        assert output.name == "stderr"
        return output.text

    def observed(self):
        """What the last run has on record, and how many runs there are."""
        (output,) = self.run("print(observed(None))")
        return json.loads(output.text)

    def _type(self, source):
        cell = nbformat.v4.new_code_cell(source)
        self._client.nb.cells.append(cell)
        return self._client.execute_cell(cell, len(self._client.nb.cells) - 1)


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kernel")
    environment = {**os.environ, "PYTHONPATH": str(HERE), "FLYTE_NOTEBOOK_HOME": str(folder / "store")}
    where = {"metadata": {"path": str(folder)}}
    # A printed line may arrive in pieces.
    client = NotebookClient(nbformat.v4.new_notebook(), timeout=50, resources=where, coalesce_streams=True)
    with client.setup_kernel(env=environment):
        kernel = Kernel(client)
        kernel.run("%load_ext flyte_notebook\nfrom observe import observed")
        yield kernel

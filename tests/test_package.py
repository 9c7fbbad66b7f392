"""What is shipped: both bundles, built from these very sources, in a wheel and in an sdist that needs no Node."""

from __future__ import annotations

import configparser
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import flyte_notebook
from labextension.build import STAMP, stamp

ROOT = Path(__file__).parents[1]
EXTENSION = f"flyte_notebook-{flyte_notebook.__version__}.data/data/share/jupyter/labextensions/flyte-notebook"


def build(target, source, destination):
    """Build with nothing on PATH: with Node out of reach, only bundles that are up to date pass."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(destination)]
    done = subprocess.run(command, cwd=source, env={**os.environ, "PATH": ""}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (built,) = destination.iterdir()
    return built


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    return build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(sdist, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        # Not as an argument, which the first releases of Python 3.11 do not have.
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(folder)
    (unpacked,) = folder.iterdir()
    with zipfile.ZipFile(build("wheel", unpacked, tmp_path_factory.mktemp("wheel"))) as archive:
        yield archive


def test_the_bundles_at_hand_were_built_from_these_sources():
    assert json.loads(STAMP.read_text()) == stamp()


def test_an_sdist_builds_a_wheel_without_node_that_has_both_bundles(wheel):
    names = wheel.namelist()
    assert {"flyte_notebook/static/widget.js", "flyte_notebook/static/widget.css"} <= set(names)
    assert {f"{EXTENSION}/package.json", f"{EXTENSION}/install.json"} <= set(names)
    assert any(name.startswith(f"{EXTENSION}/static/remoteEntry.") for name in names)


def test_the_wheel_ships_each_file_once_and_nothing_else(wheel):
    folders = {name.split("/")[0] for name in wheel.namelist()}
    version = flyte_notebook.__version__
    assert folders == {"flyte_notebook", f"flyte_notebook-{version}.data", f"flyte_notebook-{version}.dist-info"}
    assert not [name for name in wheel.namelist() if name.startswith("flyte_notebook/labextension/")]


def test_the_wheel_has_every_module(wheel):
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "flyte_notebook").rglob("*.py")}
    assert modules <= set(wheel.namelist())


def test_pytest_finds_the_plugin(wheel):
    (entry_points,) = [name for name in wheel.namelist() if name.endswith("dist-info/entry_points.txt")]
    parser = configparser.ConfigParser()
    parser.read_string(wheel.read(entry_points).decode())
    assert parser["pytest11"]["flyte_notebook"] == "flyte_notebook.testing"


def test_the_extension_has_the_version_of_the_package():
    assert json.loads((ROOT / "labextension" / "package.json").read_text())["version"] == flyte_notebook.__version__

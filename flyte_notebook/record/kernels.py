"""Who that writes to a store is alive: each writer keeps one byte of the store's `kernels` file locked while it has runs.

Which byte is drawn at random and stands in the rows of its runs; see `lockfile`. One of a writer and not of a process:
once a journal has failed, what its writer recorded is as dead as if the process had died.
"""

from __future__ import annotations

import secrets
import sys
from typing import TYPE_CHECKING

from flyte_notebook.record import lockfile

if TYPE_CHECKING:
    from pathlib import Path


def draw() -> int:
    """A byte for a writer to show itself with."""
    return secrets.randbits(62)


def hold(path: Path, byte: int) -> None:
    """Show the writer with this byte as alive in the file at `path` until `release` has been called as often.

    Raises:
        OSError: the file cannot be opened or locked.
    """
    # Whoever looks whether this byte is locked locks it for a moment.
    lockfile.lock(path, byte, wait=True)


def release(path: Path, byte: int) -> None:
    """End one `hold`; harmless when there is none (after a fork, say)."""
    lockfile.unlock(path, byte)


def alive(path: Path, byte: int, pid: int) -> bool:
    """True while the writer lives that holds `byte` of the file at `path`; `pid` is asked for where locks are not.

    A run that says it is running is believed where the file system knows no locks.
    """
    if lockfile.locked_here(path, byte):
        return True
    if sys.platform == "win32":
        return _exists(pid)
    try:
        return lockfile.locked_elsewhere(path, byte)
    except FileNotFoundError:
        return False


def others_at_work(path: Path) -> bool:
    """True while another process holds its byte, whether or not its run is on record yet; False where locks are not."""
    return sys.platform != "win32" and lockfile.any_locked_elsewhere(path)


def _exists(pid: int) -> bool:
    try:
        import psutil  # type: ignore[import-untyped]
    except ImportError:
        return True
    return bool(psutil.pid_exists(pid))

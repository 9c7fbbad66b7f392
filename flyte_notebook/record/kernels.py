"""Which processes that write to a store are alive: each keeps one byte of the store's `kernels` file locked.

Which byte is drawn at random per process and stands in the rows of its runs; see `lockfile`.
"""

from __future__ import annotations

import os
import secrets
import sys
from typing import TYPE_CHECKING

from flyte_notebook.record import lockfile

if TYPE_CHECKING:
    from pathlib import Path


def _draw() -> int:
    return secrets.randbits(62)


_own = _draw()


def own_byte() -> int:
    """The byte that this process locks, in every store; another one after a fork."""
    return _own


def hold(path: Path) -> None:
    """Show this process as alive in the file at `path` until `release` has been called as often.

    Raises:
        OSError: the file cannot be opened or locked.
    """
    # Whoever looks whether this byte is locked locks it for a moment.
    lockfile.lock(path, _own, wait=True)


def release(path: Path) -> None:
    """End one `hold`; harmless when there is none (after a fork, say)."""
    lockfile.unlock(path, _own)


def alive(path: Path, byte: int, pid: int) -> bool:
    """True while the process lives that holds `byte` of the file at `path`; `pid` is asked for where locks are not.

    A run that says it is running is believed where the file system knows no locks.
    """
    if byte == _own:
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


def _after_fork() -> None:
    global _own
    _own = _draw()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

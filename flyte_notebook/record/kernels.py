"""Which processes that write to a store are alive: each keeps one byte of the store's `kernels` file locked.

The operating system lets go of the lock the moment a process dies, however it dies, and answers rightly across
containers that share the folder, where process ids and host names mean nothing. Which byte is drawn at random per
process and stands in the rows of its runs.
"""

from __future__ import annotations

import os
import secrets
import sys
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

if sys.platform != "win32":
    import fcntl


def _draw() -> int:
    return secrets.randbits(62)


@dataclass(slots=True)
class _Process:
    """What this process shows of itself to others."""

    byte: int = field(default_factory=_draw)
    files: dict[Path, tuple[int, int]] = field(default_factory=dict)
    """Open file and number of holders, by path: closing any one descriptor of a file would drop all its locks."""
    lock: threading.Lock = field(default_factory=threading.Lock)


_process = _Process()


def own_byte() -> int:
    """The byte that this process locks, in every store; another one after a fork."""
    return _process.byte


def hold(path: Path) -> None:
    """Show this process as alive in the file at `path` until `release` has been called as often. Idempotent per call.

    Raises:
        OSError: the file cannot be opened or locked.
    """
    with _process.lock:
        descriptor, holders = _process.files.get(path, (-1, 0))
        if not holders:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            if sys.platform != "win32":
                fcntl.lockf(descriptor, fcntl.LOCK_EX, 1, _process.byte)
        _process.files[path] = (descriptor, holders + 1)


def release(path: Path) -> None:
    """End one `hold`; harmless when there is none (after a fork, say)."""
    with _process.lock:
        descriptor, holders = _process.files.get(path, (-1, 0))
        if holders > 1:
            _process.files[path] = (descriptor, holders - 1)
        elif holders:
            del _process.files[path]
            os.close(descriptor)


def alive(path: Path, byte: int, pid: int) -> bool:
    """True while the process lives that holds `byte` of the file at `path`; `pid` is asked for where locks are not."""
    if byte == _process.byte:
        return True
    if sys.platform == "win32":
        return _exists(pid)
    with _process.lock:
        held, _ = _process.files.get(path, (-1, 0))
        try:
            descriptor = held if held >= 0 else os.open(path, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, byte)
            fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, byte)
        except OSError:
            # Somebody's, or a file system without locks: then a run that says it is running is believed.
            return True
        finally:
            if descriptor != held:
                os.close(descriptor)
        return False


def _exists(pid: int) -> bool:
    try:
        import psutil  # type: ignore[import-untyped]
    except ImportError:
        return True
    return bool(psutil.pid_exists(pid))


def _after_fork() -> None:
    global _process
    inherited = _process
    _process = _Process()
    for descriptor, _ in inherited.files.values():
        # Locks belong to the process that took them: the parent's stay.
        os.close(descriptor)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

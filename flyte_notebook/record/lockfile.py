"""Bytes of a file as locks between processes: the operating system lets go of them when a process dies, however it dies.

It answers rightly across containers that share the folder, too, where process ids and host names mean nothing. On
Windows nothing is locked, and everybody gets what they ask for.
"""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

if sys.platform != "win32":
    import fcntl


@dataclass(slots=True)
class _File:
    """The one descriptor of a file in this process: closing any other would drop all locks that the process has on it."""

    descriptor: int
    holds: dict[int, int] = field(default_factory=dict)
    """How often each byte is locked, where it is."""


_files: dict[Path, _File] = {}
_guard = threading.Lock()


def lock(path: Path, byte: int, *, wait: bool = False) -> bool:
    """Lock a byte of the file at `path` for this process, until `unlock` was called as often; False: another has it.

    `wait` is for locks that others hold for a moment only.

    Raises:
        OSError: the file cannot be opened, or its file system knows no locks.
    """
    with _guard:
        file = _files.get(path)
        if file is None:
            file = _files[path] = _File(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        elif not _is_at(file, path):
            _move(file, path)
        try:
            if sys.platform != "win32" and byte not in file.holds:
                fcntl.lockf(file.descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), 1, byte)
            file.holds[byte] = file.holds.get(byte, 0) + 1
        except (BlockingIOError, PermissionError):
            return False
        finally:
            _close_unused(path, file)
        return True


def unlock(path: Path, byte: int) -> None:
    """Undo one `lock`; harmless when there is none (after a fork, say)."""
    with _guard:
        file = _files.get(path)
        if file is None or byte not in file.holds:
            return
        file.holds[byte] -= 1
        if not file.holds[byte]:
            del file.holds[byte]
            if sys.platform != "win32":
                fcntl.lockf(file.descriptor, fcntl.LOCK_UN, 1, byte)
            _close_unused(path, file)


def is_lost(path: Path) -> bool:
    """True when this process has locks in a file that is at `path` no more: nobody can see them."""
    with _guard:
        file = _files.get(path)
        return file is not None and not _is_at(file, path)


def locked_here(path: Path, byte: int) -> bool:
    """True while this process has locked that byte."""
    with _guard:
        file = _files.get(path)
        return file is not None and byte in file.holds


def locked_elsewhere(path: Path, byte: int) -> bool:
    """True while another process has locked that byte; also where that cannot be told, on a file system without locks.

    Raises:
        FileNotFoundError: there is no such file.
    """
    with _guard:
        file = _files.get(path)
        descriptor = file.descriptor if file is not None else os.open(path, os.O_RDWR)
        try:
            if sys.platform != "win32" and (file is None or byte not in file.holds):
                fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, byte)
                fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, byte)
        except OSError:
            return True
        finally:
            if file is None:
                os.close(descriptor)
        return False


def any_locked_elsewhere(path: Path) -> bool:
    """True while another process has locked some byte; also where that cannot be told, on a file system without locks."""
    with _guard:
        file = _files.get(path)
        try:
            descriptor = file.descriptor if file is not None else os.open(path, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            if sys.platform != "win32":
                for first, count in _between(sorted(file.holds) if file is not None else []):
                    fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB, count, first)
                    fcntl.lockf(descriptor, fcntl.LOCK_UN, count, first)
        except OSError:
            return True
        finally:
            if file is None:
                os.close(descriptor)
        return False


def _between(held: list[int]) -> Iterator[tuple[int, int]]:
    """First byte and number of bytes (0: all that follow) of what lies between those that this process holds itself."""
    first = 0
    for byte in held:
        if byte > first:
            yield first, byte - first
        first = byte + 1
    yield first, 0


def _is_at(file: _File, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.descriptor), path.stat())
    except FileNotFoundError:
        return False


def _move(file: _File, path: Path) -> None:
    """Lock the same bytes in the file that is at `path` now, the one that was there having been removed."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    if sys.platform != "win32":
        for byte in file.holds:
            fcntl.lockf(descriptor, fcntl.LOCK_EX, 1, byte)
    os.close(file.descriptor)
    file.descriptor = descriptor


def _close_unused(path: Path, file: _File) -> None:
    if not file.holds:
        del _files[path]
        os.close(file.descriptor)


def _after_fork() -> None:
    global _guard, _files
    _guard = threading.Lock()
    inherited, _files = _files, {}
    for file in inherited.values():
        # Locks belong to the process that took them: the parent's stay.
        os.close(file.descriptor)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

"""Values too large for the journal: files named by the SHA-256 of their content."""

from __future__ import annotations

import contextlib
import hashlib
import math
import mmap
import os
import re
import secrets
import stat
import threading
import time
from typing import TYPE_CHECKING, TypeAlias

from flyte_notebook.errors import BlobCorruptError, StoreError
from flyte_notebook.record.maps import can_map, mapped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_NAME = re.compile(r"[0-9a-f]{64}")
_SLICE = 256 * 2**10
"""Bytes that are copied, hashed and written at a time: they stay in the processor's cache."""
_SAMPLE = 64 * 2**10
"""Bytes at each end by which content is told that was probably put before."""
_MAPPED = 1 * 2**20
"""Files of at least this many bytes are mapped, smaller ones are read: cheaper, and they keep no file handle."""

_LOOKS = (0.0, 0.001, 0.05)
"""Seconds to wait before each look for a file: cleaning may have one in its hands for a moment and put it back."""
_JUST_NOW = 1.0
"""Seconds for which a blob need not be marked as used once more."""

_BINARY = getattr(os, "O_BINARY", 0)
"""Windows would change line ends."""

Identity: TypeAlias = tuple[int, int, int, int]
"""Device, inode, size and time of change: what tells that a file is still the one that was verified."""


class BlobStore:
    """The blobs in the folder `root`, which is made on the first `put`. All methods may be called from any thread."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._verified: dict[str, Identity] = {}
        self._verifying: dict[str, threading.Lock] = {}
        self._samples: set[bytes] = set()
        """Of the large content that was put by this process."""

    def put(self, parts: Sequence[bytes | memoryview]) -> str:
        """Store the concatenation of `parts` and return its SHA-256 in hex. Content that is there, and whole, is not written
        again; a damaged file is replaced.

        Memory views have to be C-contiguous. What changes meanwhile is stored in one of its states or as a mixture of
        them, but always under the name of exactly what is stored.

        Raises:
            StoreError: it cannot be written.
        """
        views = [memoryview(part).cast("B") for part in parts]
        size = sum(map(len, views))
        if size <= _MAPPED:
            # One copy: what is hashed is what is written.
            views = [memoryview(b"".join(views))]
        sample = _sample(views, size)
        try:
            # Hashing alone is cheaper than writing, but a pass of its own: only where it probably saves the writing.
            if size <= _MAPPED or sample in self._samples:
                sha = _sha256(views)
                if self._refresh(sha, size) or (self._is_whole(sha) and self._refresh(sha, size)):
                    return sha
            sha = self._write(views, size)
        except OSError as error:
            raise StoreError(
                f"The value cannot be stored in {self.root} ({error.strerror}). Make room (`%flyte clean` removes old "
                "runs) or make the folder writable, or set FLYTE_NOTEBOOK_HOME to another one."
            ) from error
        if size > _MAPPED:
            self._samples.add(sample)
        return sha

    def open(self, sha: str) -> memoryview:
        """The content, verified, writable and private to this call: changes reach neither the file nor other readers.

        Raises:
            BlobCorruptError: it is missing, or is not what its name says.
            StoreError: it is not this user's, or cannot be read.
        """
        content, identity = self._load(sha)
        if self._verified.get(sha) != identity:
            # One thread verifies, the others wait for it rather than read all of it too.
            with self._verifying.setdefault(sha, threading.Lock()):
                if self._verified.get(sha) != identity:
                    if _sha256([content]) != sha:
                        raise BlobCorruptError(
                            f"{self.path(sha)} is damaged: its content does not match its name. Run the cell again: "
                            "the value is made anew."
                        )
                    self._verified[sha] = identity
            self._verifying.pop(sha, None)
        return content

    def peek(self, sha: str) -> memoryview:
        """The content as it is, not verified, read-only, for a look at it. Raises as `open`."""
        descriptor, size, _ = self._opened(sha)
        try:
            return memoryview(mmap.mmap(descriptor, size, access=mmap.ACCESS_READ) if size else b"")
        finally:
            os.close(descriptor)

    def exists(self, sha: str) -> bool:
        """True when the file is there; its content is not looked at."""
        return self.path(sha).is_file()

    def is_verified(self, sha: str) -> bool:
        """True when this process wrote or checked it, so that opening it again is quick."""
        return sha in self._verified

    def path(self, sha: str) -> Path:
        """Where the blob is, or would be.

        Raises:
            StoreError: `sha` is not a SHA-256 in lower case hex.
        """
        if not _NAME.fullmatch(sha):
            raise StoreError(f"{sha!r} is not the name of a value in {self.root}.")
        return self.root / sha[:2] / sha[2:]

    def scan(self) -> Iterator[tuple[str, int, float]]:
        """Name, bytes and time of last use (seconds since the epoch) of every blob."""
        for path in self.root.glob("[0-9a-f][0-9a-f]/*"):
            sha = path.parent.name + path.name
            if _NAME.fullmatch(sha):
                with contextlib.suppress(FileNotFoundError):
                    status = path.lstat()
                    yield sha, status.st_size, status.st_mtime

    def use(self, sha: str) -> bool:
        """True when the file is there; its content is not looked at. Marks it as used, as `put` does."""
        path = self.path(sha)
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.lstat().st_mtime > _JUST_NOW:
                self._touch(sha)
            return path.is_file()
        return False

    def remove(self, sha: str, unused_since: float = math.inf) -> bool:
        """Delete a blob, unless it has been used since (seconds since the epoch). Whoever has it open keeps its content.

        False when it stays, or is gone already.
        """
        path = self.path(sha)
        aside = self.root / f".{secrets.token_hex(8)}"
        try:
            # Out of the way first: whoever puts the same content from here on finds nothing, and writes it.
            path.rename(aside)
        except FileNotFoundError:
            return False
        if aside.lstat().st_mtime >= unused_since:
            aside.replace(path)
            return False
        self._verified.pop(sha, None)
        aside.unlink()
        return True

    def remove_leftovers(self, before: float) -> None:
        """Delete what processes that died left half-written before this time."""
        for path in self.root.glob(".*"):
            with contextlib.suppress(FileNotFoundError):
                if path.lstat().st_mtime < before:
                    path.unlink()

    def _refresh(self, sha: str, size: int) -> bool:
        """True when the file is the one that was verified. Marks it as used, so that cleaning leaves it alone for long."""
        # Cleaning may take it away between any two of these steps.
        with contextlib.suppress(FileNotFoundError):
            status = self.path(sha).lstat()
            if status.st_size == size and _own(status) and self._verified.get(sha) == _identity(status):
                self._touch(sha)
                return True
        return False

    def _touch(self, sha: str) -> None:
        """Mark a blob as used now. Being touched is no change of what was verified. Raises FileNotFoundError."""
        path = self.path(sha)
        verified = self._verified.get(sha) == _identity(path.lstat())
        os.utime(path)
        if verified:
            self._verified[sha] = _identity(path.lstat())

    def _is_whole(self, sha: str) -> bool:
        """True when the file is there with the content that its name says; a power cut, say, can have left it short."""
        try:
            self.open(sha)
        except (StoreError, OSError):
            return False
        return True

    def _write(self, views: list[memoryview], size: int) -> str:
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self.root / f".{secrets.token_hex(8)}"
        descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | _BINARY, 0o600)
        try:
            try:
                sha = _copy(views, descriptor)
            finally:
                os.close(descriptor)
            if self._refresh(sha, size):
                draft.unlink()
                return sha
            path = self.path(sha)
            path.parent.mkdir(mode=0o700, exist_ok=True)
            # Not synced: the file survives the death of the process, and after a power cut its hash tells.
            draft.replace(path)
            self._verified[sha] = _identity(path.lstat())
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        return sha

    def _load(self, sha: str) -> tuple[memoryview, Identity]:
        descriptor, size, identity = self._opened(sha)
        try:
            if size >= _MAPPED and can_map(descriptor):
                return memoryview(mapped(descriptor, size)), identity
            content = bytearray(size)
            view = memoryview(content)
            read = 0
            with os.fdopen(descriptor, "rb", buffering=0, closefd=False) as file:
                while read < size and (count := file.readinto(view[read:])):
                    read += count
            return view[:read], identity
        finally:
            os.close(descriptor)

    def _opened(self, sha: str) -> tuple[int, int, Identity]:
        path = self.path(sha)
        descriptor = _descriptor(path)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or not _own(status):
            os.close(descriptor)
            raise StoreError(
                f"{path} belongs to another user: it is not read. Set FLYTE_NOTEBOOK_HOME to your own store."
            )
        return descriptor, status.st_size, _identity(status)


def _descriptor(path: Path) -> int:
    for wait in _LOOKS:
        time.sleep(wait)
        try:
            return os.open(path, os.O_RDONLY | _BINARY | getattr(os, "O_NOFOLLOW", 0))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise StoreError(f"{path} cannot be read ({error.strerror}).") from error
    raise BlobCorruptError(f"{path} is missing from the store. Run the cell again: the value is made anew.")


def _sha256(views: list[memoryview]) -> str:
    digest = hashlib.sha256()
    for view in views:
        digest.update(view)
    return digest.hexdigest()


def _copy(views: list[memoryview], descriptor: int) -> str:
    """Write `views`, and return the SHA-256 of what was written, whatever they have become meanwhile."""
    digest = hashlib.sha256()
    for view in views:
        for start in range(0, len(view), _SLICE):
            piece = memoryview(bytes(view[start : start + _SLICE]))
            digest.update(piece)
            while piece:
                piece = piece[os.write(descriptor, piece) :]
    return digest.hexdigest()


def _sample(views: list[memoryview], size: int) -> bytes:
    ends = [bytes(view[:_SAMPLE]) + bytes(view[-_SAMPLE:]) for view in (*views[:2], *views[-1:])]
    return hashlib.sha256(b"".join([b"%d " % size, *ends])).digest()


def _identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns


def _own(status: os.stat_result) -> bool:
    return not hasattr(os, "geteuid") or status.st_uid == os.geteuid()

"""`Dir`: a folder as a value. What travels between tasks is its path; the content stays where it is."""

from __future__ import annotations

import asyncio
import fnmatch
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from flyte_notebook.io import storage
from flyte_notebook.io.file import File
from flyte_notebook.io.located import Located

T = TypeVar("T")

_NO_FOLDER = "::flyte-empty-dir::"


@dataclass
class Dir(Located[T]):
    """A folder of files, on this machine or elsewhere; made and used as a `File` is."""

    @property
    def is_empty(self) -> bool:
        """True for `Dir.empty()`: no folder was produced."""
        return self.path == _NO_FOLDER

    @classmethod
    def empty(cls) -> Dir[T]:
        """What a task returns that produced no folder after all."""
        return EmptyDir()

    # --- where a folder comes from ---

    @classmethod
    def new_remote(cls, dir_name: str | None = None, hash: str | None = None) -> Dir[T]:
        """A folder that is yet to be filled, in the run's own folder; on this machine it is made at once."""
        path = storage.fresh_path(dir_name)
        if not storage.is_remote(path):
            Path(path).mkdir(parents=True)
        return cls(path=path, hash=hash)

    @classmethod
    def from_existing_remote(cls, remote_path: str, dir_cache_key: str | None = None) -> Dir[T]:
        """A folder that is already where it is; nothing is copied."""
        return cls(path=remote_path, hash=dir_cache_key)

    @classmethod
    def from_local_sync(
        cls,
        local_path: str | Path,
        remote_destination: str | None = None,
        dir_cache_key: str | None = None,
        batch_size: int | None = None,
        chunk_size: int | None = None,
        max_concurrency: int | None = None,
    ) -> Dir[T]:
        """Take in a folder of this machine: its files are copied, to the store or to `remote_destination`.

        `batch_size`, `chunk_size` and `max_concurrency` tune uploads of a cluster and change nothing here.

        Raises:
            ValueError: there is no such folder.
        """
        del batch_size, chunk_size, max_concurrency
        source = Path(local_path)
        if not source.is_dir():
            raise ValueError(f"Directory not found: {local_path}")
        path = storage.take_in(source, remote_destination)
        return cls(path=path, name=source.resolve().name, hash=dir_cache_key)

    @classmethod
    async def from_local(
        cls,
        local_path: str | Path,
        remote_destination: str | None = None,
        dir_cache_key: str | None = None,
        batch_size: int | None = None,
        chunk_size: int | None = None,
        max_concurrency: int | None = None,
    ) -> Dir[T]:
        """As `from_local_sync`, without blocking the loop."""
        return await asyncio.to_thread(
            cls.from_local_sync,
            local_path,
            remote_destination,
            dir_cache_key,
            batch_size,
            chunk_size,
            max_concurrency,
        )

    # --- content ---

    def walk_sync(
        self, recursive: bool = True, file_pattern: str = "*", max_depth: int | None = None
    ) -> Iterator[File[T]]:
        """The files whose names match, by name, those of a folder before those of its subfolders.

        `max_depth` 1 is the folder itself, and so is `recursive=False`.
        """
        depth = max_depth if recursive else 1
        if storage.is_remote(self.path):
            found = self._remote_files(depth)
        else:
            found = (str(path) for path in storage.files_in(storage.local(self.path), depth))
        return (File(path=path) for path in found if fnmatch.fnmatch(path.rpartition("/")[2], file_pattern))

    async def walk(self, recursive: bool = True, max_depth: int | None = None) -> AsyncIterator[File[T]]:
        """As `walk_sync`, without blocking the loop."""
        for file in await asyncio.to_thread(lambda: list(self.walk_sync(recursive, max_depth=max_depth))):
            yield file

    def list_files_sync(self) -> list[File[T]]:
        """The files of the folder itself, by name."""
        return list(self.walk_sync(recursive=False))

    async def list_files(self) -> list[File[T]]:
        """The files of the folder itself, by name."""
        return await asyncio.to_thread(self.list_files_sync)

    def get_file_sync(self, file_name: str) -> File[T] | None:
        """The file of that name in the folder, or None."""
        file: File[T] = File(path=f"{self.path.rstrip('/')}/{file_name}")
        return file if file.exists_sync() else None

    async def get_file(self, file_name: str) -> File[T] | None:
        """The file of that name in the folder, or None."""
        return await asyncio.to_thread(self.get_file_sync, file_name)

    def exists_sync(self) -> bool:
        """True when the folder is there."""
        if storage.is_remote(self.path):
            fs, inside = storage.filesystem(self.path)
            return bool(fs.exists(inside))
        return storage.local(self.path).is_dir()

    async def exists(self) -> bool:
        """True when the folder is there."""
        return await asyncio.to_thread(self.exists_sync)

    def download_sync(self, local_path: str | Path | None = None) -> str:
        """Have the files on this machine, and say in which folder: `local_path`, or one that is made.

        Without `local_path`, a folder that is on this machine already is not copied, and must not be written to.
        """
        if storage.is_remote(self.path):
            destination = Path(local_path or Path(storage.scratch_folder()) / (self.name or "")).absolute()
            fs, inside = storage.filesystem(self.path)
            for path in fs.find(inside):
                target = destination / path[len(inside) :].lstrip("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                fs.get_file(path, str(target))
            return str(destination)
        source = storage.local(self.path)
        if local_path is None or Path(local_path).absolute() == source.absolute():
            return str(source)
        storage.copy_to(source, Path(local_path))
        return str(local_path)

    async def download(self, local_path: str | Path | None = None) -> str:
        """As `download_sync`, without blocking the loop."""
        return await asyncio.to_thread(self.download_sync, local_path)

    def _remote_files(self, depth: int | None) -> Iterator[str]:
        fs, inside = storage.filesystem(self.path)
        for folder, _, names in sorted(fs.walk(inside, maxdepth=depth)):
            for name in sorted(names):
                yield fs.unstrip_protocol(f"{folder.rstrip('/')}/{name}")


class EmptyDir(Dir[T]):
    """The value that stands for no folder; it arrives as a `Dir` with `is_empty`."""

    def __init__(self) -> None:
        super().__init__(path=_NO_FOLDER, name="")

"""`File`: a file as a value. What travels between tasks is its path; the content stays where it is."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

from flyte_notebook.engine.context import current_action
from flyte_notebook.io import storage
from flyte_notebook.io.handle import AsyncHandle
from flyte_notebook.io.hashing import HashMethod, hash_of
from flyte_notebook.io.located import Located

T = TypeVar("T")


@dataclass
class File(Located[T]):
    """A file, on this machine or elsewhere; `File[T]` may say what kind, for the reader.

    Make one with `from_local`, `new_remote` or `from_existing_remote`. Methods come in two kinds: async ones, and sync
    ones whose names end in `_sync`. Remote paths (`s3://…`) need fsspec and its package for their protocol.
    """

    @property
    def hash_method(self) -> HashMethod | None:
        """What `hash` is computed with while content is written; it does not travel."""
        # Not a field, so that it is neither compared nor recorded; absent in a file that comes from the record.
        method: HashMethod | None = self.__dict__.get("_hash_method")
        return method

    # --- where a file comes from ---

    @classmethod
    def new_remote(cls, file_name: str | None = None, hash_method: HashMethod | str | None = None) -> File[T]:
        """A file that is yet to be written, in the run's own folder.

        `hash_method` computes `hash` as the file is written; a string is the hash itself.
        """
        return cls._hashed(storage.fresh_path(file_name), hash_method)

    @classmethod
    def named_remote(cls, name: str) -> File[T]:
        """As `new_remote`, at a path that is the same in every attempt of the action.

        Raises:
            ValueError: there is no action here, or `name` is a path.
        """
        call = current_action()
        if call is None:
            raise ValueError("File.named_remote() requires an active task execution context.")
        if Path(name).name != name:
            raise ValueError(f"File.named_remote() takes a plain file name, got {name!r}")
        return cls(path=str(call.run.data_dir.absolute() / (call.id or "") / name))

    @classmethod
    def from_existing_remote(cls, remote_path: str, file_cache_key: str | None = None) -> File[T]:
        """A file that is already where it is; nothing is copied."""
        return cls(path=remote_path, hash=file_cache_key)

    @classmethod
    def from_local_sync(
        cls,
        local_path: str | Path,
        remote_destination: str | None = None,
        hash_method: HashMethod | str | None = None,
        chunk_size: int | None = None,
        max_concurrency: int | None = None,
    ) -> File[T]:
        """Take in a file of this machine: its content is copied, to the store or to `remote_destination`.

        `chunk_size` and `max_concurrency` tune uploads of a cluster and change nothing here.

        Raises:
            ValueError: there is no such file.
        """
        del chunk_size, max_concurrency
        source = Path(local_path)
        if not source.is_file():
            raise ValueError(f"File not found: {local_path}")
        file = cls._hashed(storage.take_in(source, remote_destination), hash_method)
        file.name = source.name
        file._hash_content(source)
        return file

    @classmethod
    async def from_local(
        cls,
        local_path: str | Path,
        remote_destination: str | None = None,
        hash_method: HashMethod | str | None = None,
        chunk_size: int | None = None,
        max_concurrency: int | None = None,
    ) -> File[T]:
        """As `from_local_sync`, without blocking the loop."""
        return await asyncio.to_thread(
            cls.from_local_sync, local_path, remote_destination, hash_method, chunk_size, max_concurrency
        )

    # --- content ---

    @contextlib.contextmanager
    def open_sync(
        self,
        mode: str = "rb",
        block_size: int | None = None,
        cache_type: str = "readahead",
        cache_options: dict[str, Any] | None = None,
        compression: str | None = None,
        **kwargs: Any,
    ) -> Iterator[IO[Any]]:
        """Open the file, for a `with` block.

        `compression` and the block and cache options are fsspec's and mean something for remote files.

        Raises:
            PermissionError: the mode would change content that is on record.
        """
        file = self._opened(mode, block_size, cache_type, cache_options, compression, kwargs)
        with file:
            yield file
        self._wrote(mode)

    @contextlib.asynccontextmanager
    async def open(
        self,
        mode: str = "rb",
        block_size: int | None = None,
        cache_type: str = "readahead",
        cache_options: dict[str, Any] | None = None,
        compression: str | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AsyncHandle]:
        """Open the file, for an `async with` block; reads and writes are awaited. Else as `open_sync`."""
        file = await asyncio.to_thread(self._opened, mode, block_size, cache_type, cache_options, compression, kwargs)
        try:
            yield AsyncHandle(file)
        finally:
            await asyncio.to_thread(file.close)
        await asyncio.to_thread(self._wrote, mode)

    def exists_sync(self) -> bool:
        """True when the file is there."""
        if storage.is_remote(self.path):
            fs, inside = storage.filesystem(self.path)
            return bool(fs.exists(inside))
        return storage.local(self.path).exists()

    async def exists(self) -> bool:
        """True when the file is there."""
        return await asyncio.to_thread(self.exists_sync)

    def download_sync(self, local_path: str | Path | None = None) -> str:
        """Have the file on this machine, and say where: at `local_path`, or in it when it is a folder.

        Without `local_path`, a file that is on this machine already is not copied, and must not be written to.
        """
        remote = storage.is_remote(self.path)
        if not remote and local_path is None:
            return str(storage.local(self.path))
        destination = Path(local_path) if local_path is not None else Path(storage.scratch_folder())
        if local_path is None or destination.is_dir() or os.fspath(local_path).endswith(os.sep):
            destination /= Path(self.path).name
        destination = destination.absolute()
        if remote:
            fs, inside = storage.filesystem(self.path)
            destination.parent.mkdir(parents=True, exist_ok=True)
            fs.get_file(inside, str(destination))
        elif destination != storage.local(self.path).absolute():
            storage.copy_to(storage.local(self.path), destination)
        return str(destination)

    async def download(self, local_path: str | Path | None = None) -> str:
        """As `download_sync`, without blocking the loop."""
        return await asyncio.to_thread(self.download_sync, local_path)

    def _opened(
        self,
        mode: str,
        block_size: int | None,
        cache_type: str,
        cache_options: dict[str, Any] | None,
        compression: str | None,
        options: dict[str, Any],
    ) -> IO[Any]:
        if not storage.is_remote(self.path) and compression is None:
            return storage.open_local(storage.local(self.path), mode, **options)
        fs, inside = storage.filesystem(self.path)
        if block_size:
            options["block_size"] = block_size
        if cache_type != "none":
            options.update(cache_type=cache_type, cache_options=cache_options or {})
        opened: IO[Any] = fs.open(inside, mode=mode, compression=compression, **options)
        return opened

    def _wrote(self, mode: str) -> None:
        if self.hash_method is not None and not mode.startswith("r"):
            with self._opened("rb", None, "none", None, None, {}) as stream:
                self.hash = hash_of(stream, self.hash_method)

    def _hash_content(self, source: Path) -> None:
        if self.hash_method is not None:
            with source.open("rb") as stream:
                self.hash = hash_of(stream, self.hash_method)

    @classmethod
    def _hashed(cls, path: str, hash_method: HashMethod | str | None) -> File[T]:
        if isinstance(hash_method, str):
            return cls(path=path, hash=hash_method)
        file = cls(path=path)
        file.__dict__["_hash_method"] = hash_method
        return file

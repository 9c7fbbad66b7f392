"""`AsyncHandle`: an open file for async code; each operation happens in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import IO, Any


class AsyncHandle:
    """Wraps an open file: `await handle.read()`, `await handle.write(...)`, `async for line in handle`."""

    def __init__(self, file: IO[Any]) -> None:
        self._file = file

    async def read(self, size: int = -1) -> Any:
        """Read `size` bytes or characters, or all there are."""
        return await asyncio.to_thread(self._file.read, size)

    async def readline(self, size: int = -1) -> Any:
        """Read one line."""
        return await asyncio.to_thread(self._file.readline, size)

    async def readlines(self, hint: int = -1) -> list[Any]:
        """Read the lines that are left."""
        return await asyncio.to_thread(self._file.readlines, hint)

    async def write(self, data: Any) -> int:
        """Write, and say how many bytes or characters that were."""
        return await asyncio.to_thread(self._file.write, data)

    async def writelines(self, lines: Iterable[Any]) -> None:
        """Write each of `lines`."""
        await asyncio.to_thread(self._file.writelines, lines)

    async def seek(self, offset: int, whence: int = 0) -> int:
        """Move to another position, and say which."""
        return await asyncio.to_thread(self._file.seek, offset, whence)

    async def tell(self) -> int:
        """The position."""
        return await asyncio.to_thread(self._file.tell)

    async def flush(self) -> None:
        """Hand what was written to the operating system."""
        await asyncio.to_thread(self._file.flush)

    async def close(self) -> None:
        """Close the file."""
        await asyncio.to_thread(self._file.close)

    def __aiter__(self) -> AsyncHandle:
        return self

    async def __anext__(self) -> Any:
        line = await self.readline()
        if not line:
            raise StopAsyncIteration
        return line

"""Hash methods that a user may give a file or a DataFrame: what a cluster's cache tells them apart by."""

from __future__ import annotations

from collections.abc import Callable
from typing import IO, Any, Protocol, runtime_checkable

_CHUNK = 1 << 20


@runtime_checkable
class HashMethod(Protocol):
    """Anything that is fed data and then asked for the hash; `hashlib` objects in a thin wrapper, say."""

    def update(self, data: Any, /) -> None:
        """Take in more data."""

    def result(self) -> str:
        """The hash of all that was taken in."""


class HashFunction:
    """A hash method made of one function, from the whole data (bytes, a DataFrame) to a string."""

    def __init__(self, fn: Callable[[Any], str]) -> None:
        self._fn = fn
        self._value: str | None = None

    @classmethod
    def from_fn(cls, fn: Callable[[Any], str]) -> HashFunction:
        """The hash method that calls `fn`."""
        return cls(fn)

    def update(self, data: Any, /) -> None:
        """Hash `data`, which is all there is."""
        self._value = self._fn(data)

    def result(self) -> str:
        """The hash of the last data.

        Raises:
            ValueError: there was none yet.
        """
        if self._value is None:
            raise ValueError("No data was hashed yet: call update() first")
        return self._value


def hash_of(stream: IO[bytes], method: HashMethod) -> str:
    """The hash of a stream's whole content; read in pieces, unless `method` needs it in one."""
    if isinstance(method, HashFunction):
        method.update(stream.read())
    else:
        while chunk := stream.read(_CHUNK):
            method.update(memoryview(chunk))
    return method.result()

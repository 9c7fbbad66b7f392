"""`Dual`: a function for sync code that async code calls as `.aio`, as the SDK's public functions are."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Dual(Generic[P, R]):
    """`f(...)` for sync code, `await f.aio(...)` for async code.

    Without a function of its own for async code, the sync one must be quick: `.aio` calls it as it is.
    """

    def __init__(self, call: Callable[P, R], aio: Callable[P, Awaitable[R]] | None = None) -> None:
        self._call = call
        self._aio = aio
        functools.update_wrapper(self, call)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function from sync code."""
        return self._call(*args, **kwargs)

    async def aio(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function from async code."""
        if self._aio is None:
            return self._call(*args, **kwargs)
        return await self._aio(*args, **kwargs)

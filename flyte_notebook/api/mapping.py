"""`flyte.map`: one task over many inputs; concurrent, lazy, in input order, and tidy when left early."""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from flyte_notebook.api.scopes import group
from flyte_notebook.api.task import Task
from flyte_notebook.engine import bridge, waits
from flyte_notebook.engine.context import current_frame

Mapped = Task[..., Any] | functools.partial[Any]

READ_AHEAD = 64
"""With bounded concurrency: how many items beyond the running ones may be finished but not consumed yet."""


class _Map:
    """`flyte.map(task, *iterables)` and `flyte.map.aio(...)`."""

    def __call__(
        self,
        func: Mapped,
        *iterables: Iterable[Any],
        group_name: str | None = None,
        concurrency: int = 0,
        return_exceptions: bool = True,
    ) -> Iterator[Any]:
        """Call `func` on the items of `iterables`, zipped to the shortest, and yield the results in input order.

        Args:
            func: a task, or a `functools.partial` of one that leaves exactly one parameter.
            iterables: one per parameter left.
            group_name: names the group in the view: `{task}_{group_name or "map"}`.
            concurrency: how many run at once; 0 is no limit (and reads all the input at once).
            return_exceptions: True yields a failed item's exception in its place; False raises it, cancelling the rest.

        Raises:
            TypeError: `func` is no task, or a partial that leaves more or fewer than one parameter.
            ValueError: `concurrency` is negative.
        """
        task = _checked(func, concurrency)
        if current_frame() is None:
            return _plain(func, task, iterables, return_exceptions)
        return _blocking(_mapped(func, task, iterables, group_name, concurrency, return_exceptions))

    def aio(
        self,
        func: Mapped,
        *iterables: Iterable[Any],
        group_name: str | None = None,
        concurrency: int = 0,
        return_exceptions: bool = True,
    ) -> AsyncIterator[Any]:
        """The same, for `async for`."""
        task = _checked(func, concurrency)
        if current_frame() is None:
            return _plain_aio(func, task, iterables, return_exceptions)
        return _mapped(func, task, iterables, group_name, concurrency, return_exceptions)


map = _Map()  # noqa: A001 - the SDK's name


def _checked(func: Mapped, concurrency: int) -> Task[..., Any]:
    task = func.func if isinstance(func, functools.partial) else func
    if not isinstance(task, Task):
        raise TypeError(f"flyte.map takes a task or a functools.partial of a task, not {type(task).__name__} {task!r}")
    if concurrency < 0:
        raise ValueError(f"concurrency must be 0 (no limit) or positive, got {concurrency}")
    if isinstance(func, functools.partial):
        _check_partial(func, task)
    return task


def _check_partial(func: functools.partial[Any], task: Task[..., Any]) -> None:
    names = list(task.interface.inputs)
    left = len(names) - len(func.args) - len(func.keywords)
    if left != 1:
        raise TypeError(
            "Partial function must leave exactly one parameter unspecified for mapping. "
            f"Found {left} unspecified parameters in {task.name}, params: {names}"
        )
    for name in names[: len(func.args) + 1]:
        if name in func.keywords:
            raise TypeError(
                f"Parameter '{name}' is provided both as positional argument and keyword argument "
                f"in partial function {task.name}."
            )


async def _mapped(
    func: Mapped,
    task: Task[..., Any],
    iterables: tuple[Iterable[Any], ...],
    group_name: str | None,
    concurrency: int,
    return_exceptions: bool,
) -> AsyncGenerator[Any, None]:
    call = _caller(func, task)
    items = zip(*iterables, strict=False)
    gate = asyncio.Semaphore(concurrency) if concurrency else None
    window = concurrency + READ_AHEAD if concurrency else None
    with group(f"{task.name}_{group_name or 'map'}"):
        # Only a copy is kept: the code that consumes this generator must not find itself inside the group.
        context = contextvars.copy_context()
    running: deque[asyncio.Task[Any]] = deque()

    def start(arguments: Iterable[tuple[Any, ...]]) -> None:
        for item in arguments:
            coroutine = call(*item) if gate is None else _gated(gate, call, item)
            running.append(asyncio.get_running_loop().create_task(coroutine, context=context.copy()))

    try:
        start(islice(items, window))
        while running:
            try:
                result = await running[0]
            except Exception as error:
                if not return_exceptions:
                    raise
                result = error
            running.popleft()
            start(islice(items, 1))
            yield result
    finally:
        await _abandon(running)


async def _gated(gate: asyncio.Semaphore, call: Callable[..., Any], item: tuple[Any, ...]) -> Any:
    async with gate:
        return await call(*item)


def _caller(func: Mapped, task: Task[..., Any]) -> Callable[..., Any]:
    return functools.partial(task.aio, *func.args, **func.keywords) if isinstance(func, functools.partial) else task.aio


async def _abandon(running: deque[asyncio.Task[Any]]) -> None:
    """Cancel what was not consumed and wait for it, so that its actions are on record as aborted."""
    for one in running:
        one.cancel()
    if running:
        await asyncio.gather(*running, return_exceptions=True)


def _blocking(results: AsyncGenerator[Any, None]) -> Iterator[Any]:
    """Drive an async generator from sync code."""
    nothing = object()

    async def following() -> Any:
        return await anext(results, nothing)

    try:
        while (result := bridge.run_sync(following)) is not nothing:
            yield result
    finally:
        bridge.run_sync(_closed, results)


async def _closed(results: AsyncGenerator[Any, None]) -> None:
    await results.aclose()


def _plain(
    func: Mapped, task: Task[..., Any], iterables: tuple[Iterable[Any], ...], return_exceptions: bool
) -> Iterator[Any]:
    """Outside a run tasks are plain functions, and so is their map: one after the other."""
    for item in zip(*iterables, strict=False):
        try:
            yield waits.blocking(func, *item) if task.is_async else func(*item)
        except Exception as error:
            if not return_exceptions:
                raise
            yield error


async def _plain_aio(
    func: Mapped, task: Task[..., Any], iterables: tuple[Iterable[Any], ...], return_exceptions: bool
) -> AsyncGenerator[Any, None]:
    call = _caller(func, task)
    for item in zip(*iterables, strict=False):
        try:
            result = await call(*item)
        except Exception as error:
            if not return_exceptions:
                raise
            result = error
        yield result

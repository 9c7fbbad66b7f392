"""Code that forks inside a run: the child is a copy of the kernel in mid-run, and must not go on as a second one.

It is outside the run: what it calls are plain functions, and nothing that it does is on record. It may end as it likes
where it was forked, as the children of `multiprocessing` do. Where it goes on instead it is ended: when the body or the
cell that it runs through ends, and before its parent's event loop moves.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import NoReturn

generation = 0
"""How many forks lie between this process and the one that imported the package; cheaper to ask than its pid."""

_loops: list[asyncio.AbstractEventLoop] = []
"""The loops that runs are on."""


class Confined:
    """A child that is forked in this block ends with it, as a script would that ends so."""

    __slots__ = ("_generation",)

    def __enter__(self) -> None:
        self._generation = generation

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._generation != generation:
            _end(error)


@contextlib.contextmanager
def guarded(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """A child that is forked while this block lasts, in the thread of `loop`, ends before the loop moves in it."""
    _loops.append(loop)
    try:
        yield
    finally:
        _loops.remove(loop)


def _end(error: BaseException | None) -> NoReturn:
    """End this process, with the status that a script would have."""
    status = 0
    if isinstance(error, SystemExit):
        if isinstance(error.code, int):
            status = error.code
        elif error.code is not None:
            status = 1
            _complain(f"{error.code}\n")
    elif error is not None:
        status = 1
        _complain("".join(traceback.format_exception(error)))
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    # Without atexit: what is registered there is about the parent's files, threads and sockets.
    os._exit(status & 0xFF)


def _complain(text: str) -> None:
    with contextlib.suppress(Exception):
        sys.stderr.write(text)


def _back_on_the_loop() -> NoReturn:
    """What a child finds first on the loop of its parent."""
    _end(
        RuntimeError(
            f"process {os.getpid()}, a fork of {os.getppid()}, went back to the event loop, which is its parent's, and "
            "was ended: a child must neither await nor outlive the code that forked it; os._exit() ends it there"
        )
    )


def _after_fork() -> None:
    global generation
    generation += 1
    for loop in _loops:
        if getattr(loop, "_thread_id", None) == threading.get_ident():
            # First of all, also of what is in the middle of being called.
            loop._ready.appendleft(asyncio.Handle(_back_on_the_loop, (), loop))  # type: ignore[attr-defined]
            # An `asyncio.run` that was made reentrant would take this thread's loop; Python 3.12 and later see to it.
            asyncio.set_event_loop(None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

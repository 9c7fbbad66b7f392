"""Work of ours that an interrupt must not cut in two, also where it calls libraries: a thread half started, a tree half made.

Elsewhere a signal that meets a library's code is raised in it: it was the reader's code that has called that.
"""

from __future__ import annotations

from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    F = TypeVar("F", bound=Callable[..., Any])

_codes: set[CodeType] = set()
_pauses: set[CodeType] = set()


def whole(function: F) -> F:
    """What this function begins it also ends, before an interrupt is raised; a coroutine function's steps alike."""
    _codes.add(function.__code__)
    return function


def pausing(function: F) -> F:
    """Wherever this function is called, it only waits: an interrupt may be raised in it."""
    _pauses.add(function.__code__)
    return function


def around(frame: FrameType | None) -> FrameType | None:
    """The outermost such function that `frame` runs in; None: there is none."""
    found = None
    while frame is not None:
        if frame.f_code in _pauses and found is None:
            return None
        if frame.f_code in _codes:
            found = frame
        frame = frame.f_back
    return found

"""What a value held when it was first seen, which stands for it when code changes it as it runs.

Running makes it no other value then, as looking at it again would; an edit does, because a cell that sets it anew makes
a new one. In another kernel that has run the same cells, it held the same at first.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

from flyte_notebook.record.anatomy import LIMIT
from flyte_notebook.record.digest import Hasher, TooLargeError

KEPT = 256
"""How many values are remembered; of one that was forgotten, what it holds next counts."""

_seen: dict[int, tuple[Callable[[], Any], Initial]] = {}
"""By id: how to get at the value, and what it held. In the order of being seen."""


class Initial(NamedTuple):
    """What a value held."""

    digest: bytes
    """Without the insides of code, and empty for what is too large."""
    code: list[Any]
    """The functions and classes that were in it."""


def initial(value: Any) -> Initial:
    """What `value` held at the first call with it."""
    key = id(value)
    known = _seen.get(key)
    if known is None or known[0]() is not value:
        known = _seen[key] = _reference(value), _held(value)
        while len(_seen) > KEPT:
            del _seen[next(iter(_seen))]
    return known[1]


def _held(value: Any) -> Initial:
    code: list[Any] = []

    def met(thing: Any) -> bytes:
        code.append(thing)
        return f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', '')}".encode()

    try:
        return Initial(Hasher(LIMIT, met).of(value), code)
    except (TooLargeError, RecursionError):
        return Initial(b"", [])


def _reference(value: Any) -> Callable[[], Any]:
    try:
        # An array that is referred to weakly cannot be resized.
        return weakref.ref(value) if type(value).__module__ != "numpy" else lambda: value
    except TypeError:
        # A dict or a list: kept, so that its id is its own.
        return lambda: value

"""What a value held when it was first seen, which stands for it when code changes it as it runs.

Running makes it no other value then, as looking at it again would; an edit does, because a cell that sets it anew makes
a new one. In another kernel that has run the same cells, it held the same at first.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

KEPT = 256
"""How many values are remembered; of one that was forgotten, what it holds next counts."""

_seen: dict[int, tuple[Callable[[], Any], str]] = {}
"""By id: how to get at the value, and its digest. In the order of being seen."""


def initial(value: Any, digest: Callable[[], str]) -> str:
    """The digest of `value` at the first call with it; `digest` takes it now, or says "" of what is too large to keep."""
    key = id(value)
    known = _seen.get(key)
    if known is None or known[0]() is not value:
        known = _reference(value), digest()
        if known[1]:
            _seen[key] = known
        while len(_seen) > KEPT:
            del _seen[next(iter(_seen))]
    return known[1]


def _reference(value: Any) -> Callable[[], Any]:
    try:
        # An array that is referred to weakly cannot be resized.
        return weakref.ref(value) if type(value).__module__ != "numpy" else lambda: value
    except TypeError:
        # A dict or a list: kept, so that its id is its own.
        return lambda: value

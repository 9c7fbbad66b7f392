"""The digests of the values that code refers to: of what they hold, or held at first where code changes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from flyte_notebook.record.anatomy import LIMIT, is_engine, outline, warn_once
from flyte_notebook.record.digest import Hasher, TooLargeError, combined, type_name
from flyte_notebook.record.initial import initial
from flyte_notebook.record.methods import is_running, is_unseeded
from flyte_notebook.record.passing import Place
from flyte_notebook.record.state import State


@dataclass(slots=True)
class Captured:
    """A value to digest, once it is known which values are state."""

    label: str
    value: Any
    place: Place
    """What holds it."""


class Digested(NamedTuple):
    """A part of a fingerprint."""

    label: str
    digest: str
    spent: int | None
    """Bytes that were read, unless the digest stays the same whatever becomes of the value."""


class Values:
    """Digests values; `reached` is told of all code in them, and says what stands for it."""

    def __init__(self, state: State, reached: Callable[[Any], bytes]) -> None:
        self._state = state
        self._reached = reached

    def of(self, captured: Captured) -> Digested | None:
        """None for what does not count."""
        label, value, kind = captured.label, captured.value, type(captured.value)
        is_state = self._state.attributes_of(value) is None
        if self._state.is_bound(captured.place) or (is_engine(kind) and not is_state):
            return None
        if is_state:
            held = combined(type_name(kind), self._initial(value)).hex()
            return Digested(label.replace("captured", "state", 1), held, None)
        hasher = self._hasher()
        try:
            return Digested(label, hasher.of(value).hex(), hasher.spent)
        except (TooLargeError, RecursionError) as error:
            if isinstance(error, TooLargeError) and not hasher.alive:
                # Of a client, a session, a running thing, nobody expects that its insides count.
                warn_once(label, value)
            return Digested(label, outline(value), None)

    def digest(self, value: Any) -> str | None:
        """That of a value that is no state as a whole; None when it cannot be told."""
        try:
            return self._hasher().of(value).hex()
        except (TooLargeError, RecursionError):
            return None

    def _hasher(self) -> Hasher:
        return Hasher(LIMIT, self._reached, state=self._state_of)

    def _state_of(self, value: Any) -> frozenset[str] | bytes:
        """What inside a value does not count, or what it held at first; but not of what an object has gathered."""
        omitted = self._state.attributes_of(value)
        if omitted is not None:
            return omitted
        return b"" if self._state.is_gathered(value) else self._initial(value)

    def _initial(self, value: Any) -> bytes:
        self._reached(type(value))
        if is_running(type(value)) or is_unseeded(value):
            return b""
        held = initial(value)
        for thing in held.code:
            self._reached(thing)
        return held.digest

"""What turns a value of one annotation into a node and back: the base of all converters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from flyte_notebook.record.encoded import Draft, Encoded, finish, opened
from flyte_notebook.record.envelope import Node, Sink

if TYPE_CHECKING:
    from flyte_notebook.record.blobs import BlobStore

_SHOWN = 200
"""Characters of a rejected value that an error quotes."""


class Mismatch(TypeError):
    """A value does not fit its annotation."""


def mismatch(annotation: Any, value: Any) -> Mismatch:
    """The error for a value of another type."""
    return Mismatch(f"Expected value of type {annotation} but got '{shown(value, str)}' of type {type(value)}")


def shown(value: Any, text: Any = repr, limit: int = _SHOWN) -> str:
    """`repr` (or `str`) of any value, bounded, whatever its own methods do."""
    try:
        result = text(value)
    except Exception as error:  # noqa: BLE001 - an error about a bad value must not be replaced by the value's own
        result = f"<{type(value).__name__} whose {text.__name__} raised {type(error).__name__}>"
    if not isinstance(result, str) or len(result) <= limit:
        return str(result)
    return result[: limit - 1] + "…"


class Converter(ABC):
    """Converts values of one annotation, strictly; compiled once per annotation by `converter`."""

    plain: bool = False
    """True when its nodes never hold a tagged node nor an object: their text is canonical as it stands."""

    unchecked: bool = False
    """True when it accepts every value."""

    def __init__(self, annotation: Any) -> None:
        self.annotation = annotation

    def now(self) -> Converter:
        """The converter to use for the values at hand, where it can change between calls."""
        return self

    def settled(self, value: Any) -> bool:
        """True when `value` cannot be changed and decoding it would give the same again, so that it may be handed on.

        Only a shortcut: False is always right.
        """
        return False

    @abstractmethod
    def lower(self, value: Any, sink: Sink) -> Node:
        """The node of `value`, with its memory left in `sink`.

        Raises Mismatch (a TypeError) when it is of another type, TypeError when it cannot be pickled, ValueError when
        it is out of range.
        """

    @abstractmethod
    def lift(self, node: Node, buffers: list[memoryview]) -> Any:
        """A fresh value from its node; it may keep and write into `buffers`."""

    def encode(self, value: Any) -> Encoded | Draft:
        """Check and encode. Raises TypeError when `value` does not fit or cannot be pickled, ValueError out of range."""
        sink = Sink()
        return finish(self.lower(value, sink), sink, self.plain)

    def decode(self, encoded: Encoded, blobs: BlobStore | None = None) -> Any:
        """A fresh, independent copy. `blobs` is needed for large values."""
        return self.lift(*opened(encoded, blobs))

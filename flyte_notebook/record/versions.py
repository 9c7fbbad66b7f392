"""Classes of the notebook, which are made anew whenever their cell is run: which of them a name means now.

A task keeps the class that its annotation named when the task was defined. After the class's cell was run again, that is
not the class the reader sees: values are checked against, and rebuilt as, the one that has the name now.
"""

from __future__ import annotations

import copyreg
import sys
import typing
from collections.abc import Callable
from types import ModuleType
from typing import Any

from flyte_notebook.record.converter import Converter, Mismatch
from flyte_notebook.record.digest import type_name
from flyte_notebook.record.envelope import Node, Sink

_NOTEBOOK = "__main__"


def is_redefinable(cls: Any) -> bool:
    """True for a class that a cell defined at its top level, alone or inside other classes."""
    return isinstance(cls, type) and cls.__module__ == _NOTEBOOK and "<locals>" not in cls.__qualname__


def current(cls: type) -> type:
    """The class that has the name of `cls` now; `cls` itself where nothing or something unrelated has it."""
    found = _named(cls)
    if found is cls or not isinstance(found, type) or type_name(found) != type_name(cls):
        return cls
    return found


def _named(cls: type) -> Any:
    found: Any = sys.modules.get(cls.__module__)
    for name in cls.__qualname__.split("."):
        if not isinstance(found, ModuleType | type):
            return None
        found = found.__dict__.get(name)
    return found


def version_among(kind: type, cls: type) -> type | None:
    """Where `kind` is, or derives from, another version of `cls`: that version."""
    name = type_name(cls)
    return next((base for base in kind.__mro__ if base is not cls and type_name(base) == name), None)


def is_version(value: Any, cls: type) -> bool:
    """True when the class of `value` is another version of `cls`: its cell was run again."""
    return type(value) is not cls and type_name(type(value)) == type_name(cls)


def outdated(cls: type, change: str) -> Mismatch:
    """The error for a value of another version of `cls` that cannot become one of it; `change`: what differs."""
    name = cls.__name__
    if _named(cls) is cls:
        return Mismatch(
            f"this {name} was made before its class was defined again {change}; run the cell that made it again"
        )
    return Mismatch(
        f"this {name} and the annotated one are of two definitions of the class, the one {change}; "
        "run the cell that defines the task again, or the one that made the value"
    )


def adopted(value: Any, cls: type) -> Any:
    """`value` turned into an instance of `cls` if its class is another version of that.

    Raises Mismatch when it cannot hold what `value` holds.
    """
    if isinstance(value, cls) or not is_version(value, cls):
        return value
    try:
        value.__class__ = cls
    except TypeError:
        # Another memory layout: slots were added, say.
        return _moved(value, cls)
    return value


def _moved(value: Any, cls: type) -> Any:
    names = [*getattr(value, "__dict__", ()), *copyreg._slotnames(type(value))]  # type: ignore[attr-defined]  # untyped
    try:
        made: Any = object.__new__(cls)
        for name in names:
            if hasattr(value, name):
                object.__setattr__(made, name, getattr(value, name))
    except (TypeError, AttributeError) as error:
        raise outdated(cls, f"in a way that does not fit it ({error})") from error
    return made


class CurrentConverter(Converter):
    """Converts values of a class of the notebook, generic or not, as the converter of its current version does."""

    def __init__(self, annotation: Any, compiled: Callable[[Any], Converter]) -> None:
        """`compiled`: from one version of the annotation to its converter."""
        super().__init__(annotation)
        self._declared: type = typing.get_origin(annotation) or annotation
        self._arguments = typing.get_args(annotation)
        self._compiled = compiled
        self._latest = (self._declared, compiled(annotation))
        self.unchecked = self._latest[1].unchecked

    def now(self) -> Converter:
        """The converter of the current version."""
        cls = current(self._declared)
        latest, convert = self._latest
        return convert if cls is latest else self._renewed(cls)

    def _renewed(self, cls: Any) -> Converter:
        generic = self._arguments and hasattr(cls, "__class_getitem__")
        convert = self._compiled(cls[self._arguments] if generic else cls)
        self._latest = (cls, convert)
        self.annotation, self.unchecked = convert.annotation, convert.unchecked
        return convert

    def settled(self, value: Any) -> bool:
        return self.now().settled(value)

    def lower(self, value: Any, sink: Sink) -> Node:
        return self.now().lower(value, sink)

    def lift(self, node: Node, buffers: list[memoryview]) -> Any:
        return self.now().lift(node, buffers)

"""Values of any type: plain data as a tree, and everything else by cloudpickle."""

from __future__ import annotations

import pickle
from typing import Any

from flyte_notebook.record.converter import Converter, shown
from flyte_notebook.record.envelope import KIND, Node, Sink

_ATOMS = frozenset({type(None), bool, int, float, str})
_DEPTH = 50
"""Plain data nested deeper than this (or in a circle) is pickled."""


class NotPlainError(Exception):
    """Some part of a value has no node of its own: the whole is pickled, which keeps what its parts share."""


class AnyConverter(Converter):
    """Accepts every value that can be pickled: for no annotation, `Any`, and annotations that Flyte does not know."""

    def settled(self, value: Any) -> bool:
        return type(value) in _ATOMS

    def lower(self, value: Any, sink: Sink) -> Node:
        if type(value) in _ATOMS:
            return value
        return lower_pickle(value, sink)

    def lift(self, node: Node, buffers: list[memoryview]) -> Any:
        return lift_any(node, buffers)


def lower_pickle(value: Any, sink: Sink) -> Node:
    """A node that holds a pickle. Raises TypeError `cannot pickle ...` when there is none of `value`."""
    import cloudpickle

    from flyte_notebook.record.digest import digest

    outside: list[pickle.PickleBuffer] = []
    try:
        stream = cloudpickle.dumps(value, protocol=5, buffer_callback=outside.append)
    except TypeError:
        raise
    except Exception as error:
        raise TypeError(f"cannot pickle {type(value).__name__} object: {error}") from error
    indices = [sink.buffer(stream), *(sink.buffer(memory.raw()) for memory in outside)]
    return sink.tag("pickle", t=type_name(type(value)), d=digest(value).hex(), b=indices, p=shown(value))


def type_name(cls: type) -> str:
    """Module and qualified name: how a type is known to the record."""
    return f"{cls.__module__}.{cls.__qualname__}"


def lift_any(node: Node, buffers: list[memoryview]) -> Any:
    """The value of any node, with nothing known about its type."""
    if not isinstance(node, dict) or KIND not in node:
        return node
    import cloudpickle  # noqa: F401 - its module must be there for what it pickled

    first, *rest = (buffers[i] for i in node["b"])
    return pickle.loads(first, buffers=rest)

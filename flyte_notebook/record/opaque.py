"""Values of any type: plain data as a tree, arrays as memory, and everything else by cloudpickle."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from typing import Any

from flyte_notebook.record.arrays import is_flat, lift_array, lower_array
from flyte_notebook.record.atoms import is_atom, lift_atom, lower_atom
from flyte_notebook.record.converter import Converter
from flyte_notebook.record.digest import is_data, type_name
from flyte_notebook.record.envelope import EXTERNAL, KIND, Node, Sink
from flyte_notebook.record.packed import lift_numbers, lift_text, lower_numbers, lower_text
from flyte_notebook.record.sketch import looks
from flyte_notebook.record.text import dump_sorted
from flyte_notebook.record.versions import adopted

_PLAIN = frozenset({type(None), bool, int, float, str})
_CONTAINERS = frozenset({list, dict, tuple, set, frozenset})
_CHANGEABLE = frozenset({list, dict, set})
_DEPTH = 50
"""Plain data nested deeper than this is pickled."""
_CONSTANT = 16
"""Elements of the longest tuple that may be written out wherever it is met, if it holds no containers."""
_GIANT = 1 << 1024
"""Python refuses to write integers of thousands of digits in decimal, as JSON would."""


class NotPlainError(Exception):
    """Some part of a value has no node of its own: the whole is pickled, which keeps what its parts share."""


class AnyConverter(Converter):
    """Accepts every value that can be pickled: for no annotation, `Any`, and annotations that Flyte does not know."""

    unchecked = True

    def settled(self, value: Any) -> bool:
        return type(value) in _PLAIN or type(value) is bytes

    def lower(self, value: Any, sink: Sink) -> Node:
        return lower_any(value, sink)

    def lift(self, node: Node, buffers: list[memoryview]) -> Any:
        return lift_any(node, buffers)


class ClassConverter(AnyConverter):
    """For a class that Flyte does not know: unchecked, as there, but what comes back is of the class as it is now.

    A class defined in a notebook is a new class after its cell is run again; a value recorded before would fail
    `isinstance` and lack the new methods.
    """

    def lift(self, node: Node, buffers: list[memoryview]) -> Any:
        return adopted(super().lift(node, buffers), self.annotation)


def lower_any(value: Any, sink: Sink) -> Node:
    """The node of any value. Raises TypeError `cannot pickle …` when it has none."""
    if type(value) is str:
        return lower_text(value, sink)
    if type(value) in _PLAIN:
        return _lower_plain(value, sink)
    mark = sink.mark()
    try:
        return _lower_data(value, sink, 0, set())
    except NotPlainError:
        sink.rewind(mark)
    return lower_pickle(value, sink)


def _lower_data(value: Any, sink: Sink, above: int, seen: set[int]) -> Node:
    kind = type(value)
    if kind in _PLAIN:
        return _lower_plain(value, sink)
    if kind not in _CONTAINERS:
        return _lower_leaf(value, kind, sink)
    if above > _DEPTH or id(value) in seen:
        # One list in two places stays one: only a pickle says so. Tuples, which nobody can tell apart, would grow.
        raise NotPlainError
    if kind in _CHANGEABLE or len(value) > _CONSTANT or not _CONTAINERS.isdisjoint(map(type, value)):
        seen.add(id(value))

    def lowered(items: Iterable[Any]) -> list[Node]:
        return [_lower_data(item, sink, above + 1, seen) for item in items]

    if kind is list:
        kinds = set(map(type, value))
        if kinds <= _PLAIN and not (int in kinds and any(type(item) is int and _is_giant(item) for item in value)):
            return lower_numbers(value, kinds.pop(), sink) if len(kinds) == 1 else list(value)
        return lowered(value)
    if kind is dict:
        if all(type(name) is str and name != KIND for name in value):
            return dict(zip(value, lowered(value.values()), strict=True))
        return sink.tag("dict", v=[lowered(pair) for pair in value.items()])
    if kind is tuple:
        return sink.tag("tuple", v=lowered(value))
    return sink.tag(kind.__name__, v=sorted(lowered(value), key=dump_sorted))


def _is_giant(value: int) -> bool:
    return not -_GIANT < value < _GIANT


def _lower_plain(value: Any, sink: Sink) -> Node:
    if type(value) is not int or not _is_giant(value):
        return value
    digits = hex(value)
    return sink.tag("int", t="builtins.int", v=digits, p=f"{digits[:40]}… ({value.bit_length():,} bits)")


def _lower_leaf(value: Any, kind: type, sink: Sink) -> Node:
    if is_atom(value):
        return lower_atom(value, sink)
    if is_flat(value):
        return lower_array(value, sink)
    if kind is bytes or kind is bytearray:
        return _lower_bytes(value, sink)
    raise NotPlainError


def _lower_bytes(value: bytes | bytearray, sink: Sink) -> Node:
    memory = bytes(value)
    node = sink.tag(type(value).__name__, b=sink.buffer(memory), s=len(memory), p=memory[:60].decode("latin-1"))
    return sink.identify(node, memory, len(memory))


def lower_pickle(value: Any, sink: Sink) -> Node:
    """A node that holds a pickle. Raises TypeError `cannot pickle …` when there is none of `value`."""
    from flyte_notebook.record import pickling

    stream, views = pickling.dumps(value)
    node = sink.tag("pickle", t=type_name(type(value)), b=[sink.buffer(stream), *map(sink.buffer, views)])
    largest = max(len(stream), *(view.nbytes for view in views), 0)
    if largest < EXTERNAL or not is_data(type(value)):
        # How a large table looks is found out with its identity, once for equal ones.
        node.update(looks(value))
    return sink.identify(node, value, largest)


def lift_any(node: Node, buffers: list[memoryview]) -> Any:
    """The value of any node, from what the node itself says."""
    if isinstance(node, list):
        return [lift_any(item, buffers) for item in node]
    if not isinstance(node, dict):
        return node
    kind = node.get(KIND)
    if kind is None:
        return {name: lift_any(item, buffers) for name, item in node.items()}
    lift = _LIFTS.get(kind)
    return lift(node, buffers) if lift is not None else lift_atom(node)


def lift_pickle(node: Node, buffers: list[memoryview]) -> Any:
    """Unpickle. Raises whatever the value's own reconstruction raises."""
    stream, *outside = (buffers[i] for i in node["b"])
    return pickle.loads(stream, buffers=outside)


def _items(node: Node, buffers: list[memoryview]) -> list[Any]:
    return [lift_any(item, buffers) for item in node["v"]]


_LIFTS: dict[str, Callable[[Node, list[memoryview]], Any]] = {
    "int": lambda node, buffers: int(node["v"], 16),
    "pickle": lift_pickle,
    "array": lift_array,
    "numbers": lift_numbers,
    "text": lift_text,
    "tuple": lambda node, buffers: tuple(_items(node, buffers)),
    "set": lambda node, buffers: set(_items(node, buffers)),
    "frozenset": lambda node, buffers: frozenset(_items(node, buffers)),
    "dict": lambda node, buffers: {lift_any(k, buffers): lift_any(v, buffers) for k, v in node["v"]},
    "bytes": lambda node, buffers: bytes(buffers[node["b"]]),
    "bytearray": lambda node, buffers: bytearray(buffers[node["b"]]),
    "union": lambda node, buffers: lift_any(node["v"], buffers),
    "record": lambda node, buffers: {name: lift_any(item, buffers) for name, item in node["f"].items()},
    "model": lambda node, buffers: lift_any(node["f"], buffers),
    "enum": lambda node, buffers: node["m"],
}

"""Converters of typed collections: list, dict, tuple, set, Optional, Union and Literal."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from flyte_notebook.record.converter import Converter, Mismatch, mismatch, shown
from flyte_notebook.record.digest import type_name
from flyte_notebook.record.envelope import KIND, Node, Sink
from flyte_notebook.record.opaque import lift_any, lower_any
from flyte_notebook.record.packed import lift_numbers, lower_numbers
from flyte_notebook.record.scalars import GREATEST, LEAST, Scalar, StrScalar
from flyte_notebook.record.text import dump_sorted
from flyte_notebook.record.versions import is_redefinable


class ListConverter(Converter):
    """`list[T]`: a list, nothing that merely iterates like one."""

    def __init__(self, annotation: Any, item: Converter) -> None:
        super().__init__(annotation)
        self.item = item
        self.plain = item.plain
        self._exact = item.type if isinstance(item, Scalar) else None

    def lower(self, value: Any, sink: Sink) -> Node:
        if not isinstance(value, list):
            raise Mismatch(f"Value '{shown(value, str)}' is not of container type {list}")
        if self._exact is not None and set(map(type, value)) == {self._exact} and _in_range(value, self._exact):
            return lower_numbers(value, self._exact, sink)
        if isinstance(self.item, Scalar):
            return [self.item.exact(item) for item in value]
        lower = self.item.now().lower
        return [lower(item, sink) for item in value]

    def lift(self, node: Node, buffers: list[memoryview]) -> list[Any]:
        if isinstance(node, dict):
            return lift_numbers(node, buffers)
        if isinstance(self.item, Scalar):
            return list(node)
        lift = self.item.now().lift
        return [lift(item, buffers) for item in node]


def _in_range(values: Collection[Any], kind: type) -> bool:
    return kind is not int or (min(values) >= LEAST and max(values) <= GREATEST)


class DictConverter(Converter):
    """`dict[K, V]`."""

    def __init__(self, annotation: Any, key: Converter, item: Converter) -> None:
        super().__init__(annotation)
        self.key = key
        self.item = item

    def lower(self, value: Any, sink: Sink) -> Node:
        if not isinstance(value, dict):
            raise Mismatch(f"Value '{shown(value, str)}' is not of container type {dict}")
        lower = self.item.now().lower
        if isinstance(self.key, StrScalar):
            if self._is_plain(value):
                return dict(value)
            exact = self.key.exact
            tree = {exact(name): lower(item, sink) for name, item in value.items()}
            if KIND not in tree:
                return tree
            return sink.tag("dict", v=[[name, node] for name, node in tree.items()])
        return sink.tag("dict", v=[[self.key.lower(name, sink), lower(item, sink)] for name, item in value.items()])

    def _is_plain(self, value: dict[Any, Any]) -> bool:
        """Whether keys and values are scalars of exactly the annotated types, as in most large dicts."""
        item = self.item
        if not isinstance(item, Scalar) or isinstance(item, StrScalar) or not value or KIND in value:
            return False
        exact = set(map(type, value)) == {str} and set(map(type, value.values())) == {item.type}
        return exact and _in_range(value.values(), item.type)

    def lift(self, node: Node, buffers: list[memoryview]) -> dict[Any, Any]:
        lift = self.item.now().lift
        if KIND not in node:
            return {name: lift(item, buffers) for name, item in node.items()}
        return {self.key.lift(name, buffers): lift(item, buffers) for name, item in node["v"]}


class TupleConverter(Converter):
    """`tuple[A, B]` and `tuple[A, ...]`; a list of the right length passes, as on a cluster."""

    def __init__(self, annotation: Any, items: tuple[Converter, ...], variable: bool) -> None:
        super().__init__(annotation)
        self.items = items
        self.variable = variable

    def _converters(self, count: int) -> tuple[Converter, ...]:
        if self.variable:
            return self.items * count
        if count != len(self.items):
            raise Mismatch(f"Tuple length {count} doesn't match expected length {len(self.items)}")
        return self.items

    def settled(self, value: Any) -> bool:
        return type(value) is tuple and all(
            c.settled(item) for c, item in zip(self._converters(len(value)), value, strict=True)
        )

    def lower(self, value: Any, sink: Sink) -> Node:
        if not isinstance(value, tuple | list):
            raise mismatch(self.annotation, value)
        converters = self._converters(len(value))
        return sink.tag("tuple", v=[c.lower(item, sink) for c, item in zip(converters, value, strict=True)])

    def lift(self, node: Node, buffers: list[memoryview]) -> tuple[Any, ...]:
        items = node["v"]
        return tuple(c.lift(n, buffers) for c, n in zip(self._converters(len(items)), items, strict=True))


class SetConverter(Converter):
    """`set[T]` and `frozenset[T]`."""

    def __init__(self, annotation: Any, item: Converter, kind: type[set[Any] | frozenset[Any]]) -> None:
        super().__init__(annotation)
        self.item = item
        self.kind = kind

    def lower(self, value: Any, sink: Sink) -> Node:
        if not isinstance(value, self.kind):
            raise mismatch(self.annotation, value)
        # Sorted, so that equal sets are equal bytes in every kernel.
        items = sorted((self.item.lower(item, sink) for item in value), key=dump_sorted)
        return sink.tag(self.kind.__name__, v=items)

    def lift(self, node: Node, buffers: list[memoryview]) -> Any:
        return self.kind(self.item.lift(item, buffers) for item in node["v"])


class UnionConverter(Converter):
    """`Optional[T]`, `Union[A, B]`, `A | B`: the variant of exactly the value's type, else the first that takes it."""

    def __init__(self, annotation: Any, variants: list[Converter]) -> None:
        super().__init__(annotation)
        checked = [v for v in variants if not v.unchecked]
        # What accepts everything comes last, or nothing after it would have a chance.
        self.variants = checked + [v for v in variants if v.unchecked]
        self.exact = {v.annotation: v for v in variants if isinstance(v.annotation, type)}
        if type(None) not in self.exact:
            self.exact.update({type(None): v for v in variants if v.annotation is None})
        self._redefinable = {type_name(kind): v for kind, v in self.exact.items() if is_redefinable(kind)}
        self._labelled = {str(v.annotation): v for v in variants}
        others = [v for v in variants if not isinstance(v, Scalar)]
        self._bare = not others
        """All variants are scalars, whose nodes are the values: no label is needed."""
        self.plain = self._bare

    def _exact(self, value: Any) -> Converter | None:
        kind = type(value)
        variant = self.exact.get(kind)
        if variant is None and self._redefinable:
            # Of another version of a class than the annotation holds.
            return self._redefinable.get(type_name(kind))
        return variant

    def settled(self, value: Any) -> bool:
        variant = self._exact(value)
        return variant is not None and variant.settled(value)

    def lower(self, value: Any, sink: Sink) -> Node:
        variant = self._exact(value)
        if variant is not None:
            return self._labelled_node(variant, variant.lower(value, sink), sink)
        for variant in self.variants:
            mark = sink.mark()
            try:
                node = variant.lower(value, sink)
            except Mismatch:
                sink.rewind(mark)
                continue
            return self._labelled_node(variant, node, sink)
        raise Mismatch(f"Value {shown(value, str)} is not of type {self.annotation}")

    def _labelled_node(self, variant: Converter, node: Node, sink: Sink) -> Node:
        if self._bare or node is None:
            return node
        return sink.tag("union", t=str(variant.annotation), v=node)

    def lift(self, node: Node, buffers: list[memoryview]) -> Any:
        if self._bare or node is None:
            return lift_any(node, buffers)
        if not isinstance(node, dict) or node.get(KIND) != "union":
            return self._first(node, buffers)
        variant = self._labelled.get(node["t"])
        return variant.lift(node["v"], buffers) if variant is not None else self._first(node["v"], buffers)

    def _first(self, node: Node, buffers: list[memoryview]) -> Any:
        """The annotation changed since the value was recorded: the first variant that can read it."""
        for variant in self.variants:
            try:
                return variant.lift(node, buffers)
            except (TypeError, ValueError, KeyError, AttributeError):
                continue
        raise Mismatch(f"No variant of {self.annotation} can read what was recorded")


class LiteralConverter(Converter):
    """`Literal[...]`: one of the values listed, of the same type."""

    def __init__(self, annotation: Any, values: tuple[Any, ...]) -> None:
        super().__init__(annotation)
        self.values = values

    def _listed(self, value: Any) -> Any:
        for listed in self.values:
            if type(listed) is type(value) and listed == value:
                return listed
        raise Mismatch(f"Value {shown(value, str)} is not one of {', '.join(map(repr, self.values))}")

    def settled(self, value: Any) -> bool:
        return True

    def lower(self, value: Any, sink: Sink) -> Node:
        self._listed(value)
        return lower_any(value, sink)

    def lift(self, node: Node, buffers: list[memoryview]) -> Any:
        return lift_any(node, buffers)


class BareDictConverter(Converter):
    """`dict` with nothing said about its contents: plain data only, as on a cluster, where it travels as msgpack."""

    def lower(self, value: Any, sink: Sink) -> Node:
        if not isinstance(value, dict):
            raise mismatch(self.annotation, value)
        try:
            return _lower_plain(value, sink, 0)
        except Mismatch as error:
            raise Mismatch(
                f"Cannot convert `{shown(value)}` to Flyte Literal.\nError Message: {error}; "
                "annotate it dict[str, Any] to pickle what it holds"
            ) from error

    def lift(self, node: Node, buffers: list[memoryview]) -> Any:
        return lift_any(node, buffers)


_MSGPACK = (bool, int, float, str, bytes, bytearray)


def _lower_plain(value: Any, sink: Sink, depth: int) -> Node:
    if depth > 200:
        raise Mismatch("it is nested too deeply")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        if not LEAST <= value < 2**64:
            raise ValueError(f"Value out of range: {value}")
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bytes | bytearray):
        return lower_any(value, sink)
    if isinstance(value, list):
        return [_lower_plain(item, sink, depth + 1) for item in value]
    if isinstance(value, tuple):
        return sink.tag("tuple", v=[_lower_plain(item, sink, depth + 1) for item in value])
    if isinstance(value, dict):
        items = [(_lower_plain(k, sink, depth + 1), _lower_plain(v, sink, depth + 1)) for k, v in value.items()]
        if all(type(k) is str and k != KIND for k, _ in items):
            return dict(items)
        return sink.tag("dict", v=[list(item) for item in items])
    raise Mismatch(f"can not serialize '{type(value).__name__}' object")

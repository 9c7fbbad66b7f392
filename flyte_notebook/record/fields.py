"""Converters of values that are stored as fields and rebuilt as the class annotated now: dataclasses, NamedTuples,
TypedDicts.

A class defined in a notebook is a new class each time its cell is run. Values of the old one are as good, as long as
their fields fit, and what an older kernel recorded is read into today's class.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

from flyte_notebook.record.converter import Converter, Mismatch, mismatch
from flyte_notebook.record.digest import type_name
from flyte_notebook.record.envelope import KIND, Node, Sink
from flyte_notebook.record.opaque import lift_any
from flyte_notebook.record.versions import adopted, is_version, outdated, version_among

Compile = Callable[[Any], Converter]
"""From the annotation of a field to its converter."""


def field_types(cls: type, names: list[str], parameters: dict[Any, Any] | None = None) -> dict[str, Any]:
    """The annotations of fields, resolved; one that names what does not exist (yet) counts as Any."""
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
    except Exception:  # noqa: BLE001 - annotations are expressions, which may raise anything
        hints = {name: hint for name, hint in getattr(cls, "__annotations__", {}).items() if not isinstance(hint, str)}
    parameters = parameters or {}
    return {name: parameters.get(hints.get(name, Any), hints.get(name, Any)) for name in names}


class DataclassConverter(Converter):
    """A dataclass, generic or not; a dict of its fields passes too."""

    def __init__(self, annotation: Any, compile_field: Compile) -> None:
        super().__init__(annotation)
        self.cls: type = typing.get_origin(annotation) or annotation
        self._compile = compile_field

    @cached_property
    def fields(self) -> dict[str, Converter]:
        """By name. Compiled at first use: a dataclass may hold itself."""
        parameters = dict(zip(getattr(self.cls, "__parameters__", ()), typing.get_args(self.annotation), strict=False))
        declared = dataclasses.fields(self.cls)
        hints = field_types(self.cls, [f.name for f in declared], parameters)
        # `x: int = None` is common, and a cluster lets it pass.
        return {
            f.name: self._compile(typing.Optional[hints[f.name]] if f.default is None else hints[f.name])  # noqa: UP045
            for f in declared
        }

    def lower(self, value: Any, sink: Sink) -> Node:
        if isinstance(value, dict):
            value = self._from_dict(value)
        if not isinstance(value, self.cls) and not self._fits(value):
            raise mismatch(self.annotation, value)
        tree = {}
        for name, field in self.fields.items():
            try:
                tree[name] = field.lower(getattr(value, name), sink)
            except AttributeError:
                if not _is_missing(value, name):
                    raise
            except Mismatch as error:
                raise Mismatch(f'Field "{name}" of {self.cls.__name__}: {error}') from error
        node = sink.tag("record", t=type_name(self.cls), f=tree)
        if self._has_more(value):
            node["more"] = True
        return node

    def _has_more(self, value: Any) -> bool:
        """Whether `__post_init__` may have set attributes that are no fields."""
        code = getattr(getattr(self.cls, "__post_init__", None), "__code__", None)
        if code is None or code.co_argcount > 1:
            # With InitVars it cannot be called again: they are gone.
            return False
        more = getattr(value, "__dict__", {}).keys() - self.fields.keys()
        return any(not isinstance(getattr(self.cls, name, None), cached_property) for name in more)

    def _fits(self, value: Any) -> bool:
        version = version_among(type(value), self.cls)
        if version is None or not dataclasses.is_dataclass(version):
            return False
        names = {f.name for f in dataclasses.fields(version)}
        if names <= self.fields.keys() and self._required() <= names:
            return True
        raise outdated(self.cls, f"with other fields ({', '.join(sorted(names ^ self.fields.keys()))})")

    def _required(self) -> set[str]:
        return {
            f.name
            for f in dataclasses.fields(self.cls)
            if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        }

    def _from_dict(self, value: dict[Any, Any]) -> Any:
        given = {f.name for f in dataclasses.fields(self.cls) if f.init}
        missing = [name for name in self.fields if name in given & self._required() and name not in value]
        if missing:
            raise Mismatch(f"The original fields are missing the following keys from the dataclass fields: {missing}")
        extra = [name for name in value if name not in given]
        if extra:
            raise Mismatch(
                f"The original fields have the following extra keys that are not in dataclass fields: {extra}"
            )
        sink = Sink()
        try:
            nodes = {name: self.fields[name].lower(item, sink) for name, item in value.items()}
        except Mismatch as error:
            raise Mismatch(f"{self.cls.__name__} from a dict: {error}") from error
        buffers = [memoryview(bytearray(memory)) for memory in sink.buffers]
        return self.cls(**{name: self.fields[name].lift(node, buffers) for name, node in nodes.items()})

    def lift(self, node: Node, buffers: list[memoryview]) -> Any:
        if node.get(KIND) != "record":
            return adopted(lift_any(node, buffers), self.cls)
        # Not through __init__: `__post_init__` has run on these values already, and would change them once more.
        value: Any = object.__new__(self.cls)
        items = dict(self._items(node["f"], buffers))
        for name, item in items.items():
            object.__setattr__(value, name, item)
        if "more" in node:
            value.__post_init__()
            for name, item in items.items():
                object.__setattr__(value, name, item)
        return value

    def _items(self, recorded: dict[str, Node], buffers: list[memoryview]) -> Iterator[tuple[str, Any]]:
        for field in dataclasses.fields(self.cls):
            if field.name in recorded:
                yield field.name, self.fields[field.name].lift(recorded[field.name], buffers)
            elif field.default is not dataclasses.MISSING:
                yield field.name, field.default
            elif field.default_factory is not dataclasses.MISSING:
                yield field.name, field.default_factory()
            elif field.init:
                raise outdated(self.cls, f"without the field {field.name}")


class TableConverter(DataclassConverter):
    """A dataclass that wraps tables, `io.DataFrame`: a bare table passes too."""

    def lower(self, value: Any, sink: Sink) -> Node:
        return super().lower(self.cls.__flyte_wrap__(value), sink)  # type: ignore[attr-defined]  # why it is chosen


def _is_missing(value: Any, name: str) -> bool:
    try:
        object.__getattribute__(value, name)
    except AttributeError:
        return True
    return False


def refitted(value: Any, cls: Any) -> Any:
    """`value` as an instance of the NamedTuple `cls`, by the names of its fields, if it is of another version of that.

    Raises Mismatch when its fields do not fit.
    """
    if not is_version(value, cls) or not hasattr(value, "_asdict"):
        return value
    given, fields = value._asdict(), set(cls._fields)
    if given.keys() <= fields and fields - cls._field_defaults.keys() <= given.keys():
        return cls(**given)
    raise outdated(cls, f"with other fields ({', '.join(sorted(given.keys() ^ fields))})")


class NamedTupleConverter(Converter):
    """A NamedTuple; a plain tuple or list of as many values passes, as on a cluster."""

    def __init__(self, annotation: Any, compile_field: Compile) -> None:
        super().__init__(annotation)
        self._compile = compile_field

    @cached_property
    def fields(self) -> dict[str, Converter]:
        """By name."""
        names = list(self.annotation._fields)
        return {name: self._compile(hint) for name, hint in field_types(self.annotation, names).items()}

    def settled(self, value: Any) -> bool:
        return type(value) is self.annotation and all(
            c.settled(item) for c, item in zip(self.fields.values(), value, strict=True)
        )

    def lower(self, value: Any, sink: Sink) -> Node:
        if not isinstance(value, tuple | list):
            raise mismatch(self.annotation, value)
        value = refitted(value, self.annotation)
        if len(value) != len(self.fields):
            raise Mismatch(f"Tuple length {len(value)} doesn't match expected length {len(self.fields)}")
        tree = {}
        for (name, field), item in zip(self.fields.items(), value, strict=True):
            try:
                tree[name] = field.lower(item, sink)
            except Mismatch as error:
                raise Mismatch(f'Field "{name}" of {self.annotation.__name__}: {error}') from error
        return sink.tag("record", t=type_name(self.annotation), f=tree)

    def lift(self, node: Node, buffers: list[memoryview]) -> Any:
        recorded = node["f"]
        given = {n: f.lift(recorded[n], buffers) for n, f in self.fields.items() if n in recorded}
        return self.annotation(**given)


class TypedDictConverter(Converter):
    """A TypedDict; keys that it does not declare are left out, as on a cluster."""

    def __init__(self, annotation: Any, compile_field: Compile) -> None:
        super().__init__(annotation)
        self._compile = compile_field

    @cached_property
    def fields(self) -> dict[str, Converter]:
        """By key."""
        hints = typing.get_type_hints(self.annotation)
        return {name: self._compile(hint) for name, hint in hints.items()}

    @cached_property
    def required(self) -> set[str]:
        """Keys that must be there. `__required_keys__` alone is wrong where annotations are kept as text."""
        hints = typing.get_type_hints(self.annotation, include_extras=True)
        marked = {name: typing.get_origin(hint) for name, hint in hints.items()}
        return {
            name
            for name in hints
            if marked[name] is typing.Required
            or (name in self.annotation.__required_keys__ and marked[name] is not typing.NotRequired)
        }

    def lower(self, value: Any, sink: Sink) -> Node:
        if not isinstance(value, dict):
            raise mismatch(self.annotation, value)
        missing = [name for name in self.required if name not in value]
        if missing:
            raise Mismatch(f"{self.annotation.__name__} misses {', '.join(sorted(missing))}")
        tree = {}
        for name in value:
            if name not in self.fields:
                continue
            try:
                tree[name] = self.fields[name].lower(value[name], sink)
            except Mismatch as error:
                raise Mismatch(f'Key "{name}" of {self.annotation.__name__}: {error}') from error
        return sink.tag("record", t=type_name(self.annotation), f=tree)

    def lift(self, node: Node, buffers: list[memoryview]) -> dict[str, Any]:
        recorded = node["f"]
        return {n: self.fields[n].lift(item, buffers) for n, item in recorded.items() if n in self.fields}

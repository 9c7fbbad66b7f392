"""Converters of the values that JSON has: None, bool, int, float and str, as strict as Flyte's."""

from __future__ import annotations

from abc import abstractmethod
from json.encoder import encode_basestring
from math import isfinite, isnan
from typing import Any, ClassVar

from flyte_notebook.record.converter import Converter, mismatch, shown
from flyte_notebook.record.envelope import Node, Sink
from flyte_notebook.record.packed import lift_text, lower_text

LEAST, GREATEST = -(2**63), 2**63 - 1


class Scalar(Converter):
    """A converter whose node is the value itself; `text` gives that node's JSON without building anything."""

    plain = True
    type: ClassVar[type]

    def settled(self, value: Any) -> bool:
        return type(value) is self.type

    @abstractmethod
    def exact(self, value: Any) -> Any:
        """`value` as an instance of exactly `type`. Raises Mismatch when it is not of that type."""

    @abstractmethod
    def text(self, value: Any) -> str:
        """The JSON of `value`. Raises Mismatch when it is not of `type`."""

    def lower(self, value: Any, sink: Sink) -> Node:
        return self.exact(value)

    def lift(self, node: Node, buffers: list[memoryview]) -> Any:
        return node


class NoneScalar(Scalar):
    """None."""

    type = type(None)

    def exact(self, value: Any) -> None:
        if value is not None:
            raise mismatch(self.annotation, value)

    def text(self, value: Any) -> str:
        self.exact(value)
        return "null"


class BoolScalar(Scalar):
    """True and False, nothing that merely looks like them."""

    type = bool

    def exact(self, value: Any) -> bool:
        if value is True or value is False:
            return value
        raise mismatch(self.annotation, value)

    def text(self, value: Any) -> str:
        return "true" if self.exact(value) else "false"


class IntScalar(Scalar):
    """An int of 64 bits; no bool, no integral float, no numpy integer."""

    type = int

    def exact(self, value: Any) -> int:
        if type(value) is not int:
            if not isinstance(value, int) or isinstance(value, bool):
                raise mismatch(self.annotation, value)
            value = int(value)
        number: int = value
        if LEAST <= number <= GREATEST:
            return number
        raise ValueError(f"Value out of range: {shown(value)}; an int has 64 bits, annotate it Any to carry more")

    def text(self, value: Any) -> str:
        if type(value) is int and LEAST <= value <= GREATEST:
            return int.__repr__(value)
        return int.__repr__(self.exact(value))


class FloatScalar(Scalar):
    """A float or a subclass of it, such as numpy's float64; no int."""

    type = float

    def exact(self, value: Any) -> float:
        if type(value) is float:
            return value
        if isinstance(value, float):
            return float(value)
        raise mismatch(self.annotation, value)

    def text(self, value: Any) -> str:
        value = self.exact(value)
        if isfinite(value):
            return float.__repr__(value)
        return "NaN" if isnan(value) else "Infinity" if value > 0 else "-Infinity"


class StrScalar(Scalar):
    """A str, or a subclass of it, which arrives as a plain str."""

    type = str

    def exact(self, value: Any) -> str:
        if type(value) is str:
            return value
        if isinstance(value, str):
            return str.__str__(value)
        raise mismatch(self.annotation, value)

    def text(self, value: Any) -> str:
        return encode_basestring(self.exact(value))

    def lower(self, value: Any, sink: Sink) -> Node:
        return lower_text(self.exact(value), sink)

    def lift(self, node: Node, buffers: list[memoryview]) -> Any:
        return lift_text(node, buffers) if isinstance(node, dict) else node


class LooseInt(IntScalar):
    """An int in a field: True and False count, and the range is that of the encoding."""

    def exact(self, value: Any) -> int:
        return int(value) if isinstance(value, int) else super().exact(value)


class LooseFloat(FloatScalar):
    """A float in a field: an int becomes one."""

    def exact(self, value: Any) -> float:
        return float(value) if isinstance(value, int) else super().exact(value)


SCALARS: dict[Any, type[Scalar]] = {
    None: NoneScalar,
    type(None): NoneScalar,
    bool: BoolScalar,
    int: IntScalar,
    float: FloatScalar,
    str: StrScalar,
}
"""By annotation; for arguments and results."""
LOOSE: dict[Any, type[Scalar]] = {int: LooseInt, float: LooseFloat}
"""By annotation; for fields, where Flyte converts."""

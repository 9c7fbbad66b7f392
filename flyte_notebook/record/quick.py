"""Scalars encoded without a tree: a fan-out of thousands of small calls spends its time here.

Each writer gives exactly what the general path would, or None for what it leaves to that path: values of other types
than exactly the annotated ones, and long ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any, TypeAlias

from flyte_notebook.record.converter import Converter
from flyte_notebook.record.encoded import Encoded
from flyte_notebook.record.envelope import INLINE
from flyte_notebook.record.scalars import GREATEST, LEAST, SCALARS, IntScalar, Scalar
from flyte_notebook.record.text import dump

ValueWriter: TypeAlias = Callable[[Any], Encoded | None]
ValuesWriter: TypeAlias = Callable[[dict[str, Any]], Encoded | None]


def value_writer(converter: Converter) -> ValueWriter | None:
    """A function that encodes one scalar, or None if `converter` is not for one."""
    if not _is_strict(converter):
        return None
    if isinstance(converter, IntScalar):
        return _write_int
    assert isinstance(converter, Scalar)
    kind, text = converter.type, converter.text

    def write(value: Any) -> Encoded | None:
        if type(value) is not kind:
            return None
        return _encoded("j" + text(value))

    return write


def values_writer(converters: Mapping[str, Converter]) -> ValuesWriter | None:
    """A function that encodes named scalars, or None if some of `converters` are for other values."""
    if not converters or not all(map(_is_strict, converters.values())):
        return None
    if len(converters) == 1 and all(isinstance(c, IntScalar) for c in converters.values()):
        return _one_int(next(iter(converters)))
    items = [(name, f"{dump(name)}:", c.type, c.text) for name, c in converters.items() if isinstance(c, Scalar)]
    order = sorted(range(len(items)), key=lambda i: items[i][0])
    in_order = order == list(range(len(items)))

    def write(values: dict[str, Any]) -> Encoded | None:
        pairs = []
        for name, head, kind, text in items:
            value = values[name]
            if type(value) is not kind:
                return None
            try:
                pairs.append(head + text(value))
            except ValueError:
                # Out of range: the general path says which input it is.
                return None
        return _encoded(f"j{{{','.join(pairs)}}}", None if in_order else f"j{{{','.join(pairs[i] for i in order)}}}")

    return write


def _is_strict(converter: Converter) -> bool:
    return isinstance(converter, Scalar) and SCALARS.get(converter.annotation) is type(converter)


def _encoded(text: str, canonical: str | None = None) -> Encoded | None:
    data = text.encode("utf-8", "surrogatepass")
    if len(data) > INLINE:
        return None
    same = data if canonical is None else canonical.encode("utf-8", "surrogatepass")
    return Encoded(data, None, blake2b(same, digest_size=16).digest(), len(data) - 1, None)


def _write_int(value: Any) -> Encoded | None:
    if type(value) is not int or not LEAST <= value <= GREATEST:
        return None
    data = b"j%d" % value
    return Encoded(data, None, blake2b(data, digest_size=16).digest(), len(data) - 1, None)


def _one_int(name: str) -> ValuesWriter:
    # A parameter's name is an identifier: it holds no percent sign.
    template = f"j{{{dump(name)}:%d}}".encode()

    def write(values: dict[str, Any]) -> Encoded | None:
        value = values[name]
        if type(value) is not int or not LEAST <= value <= GREATEST:
            return None
        data = template % value
        return Encoded(data, None, blake2b(data, digest_size=16).digest(), len(data) - 1, None)

    return write

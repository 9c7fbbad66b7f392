"""From an annotation to its converter."""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from functools import lru_cache, partial
from typing import Any

from flyte_notebook.record.arrays import FrameConverter
from flyte_notebook.record.atoms import MOMENTS, MomentConverter
from flyte_notebook.record.containers import (
    BareDictConverter,
    DictConverter,
    ListConverter,
    LiteralConverter,
    SetConverter,
    TupleConverter,
    UnionConverter,
)
from flyte_notebook.record.converter import Converter
from flyte_notebook.record.fields import DataclassConverter, NamedTupleConverter, TableConverter, TypedDictConverter
from flyte_notebook.record.models import EnumConverter, ModelConverter
from flyte_notebook.record.opaque import AnyConverter, ClassConverter
from flyte_notebook.record.scalars import LOOSE, SCALARS
from flyte_notebook.record.versions import CurrentConverter, is_redefinable


def converter(annotation: Any, loose: bool = False) -> Converter:
    """The converter of `annotation`; annotations that are equal and spelled alike share one.

    `loose`: inside a dataclass, a NamedTuple or a tuple, where Flyte takes an int for a float.
    """
    try:
        # With its text: `int | str` equals `str | int`, but tries its variants in another order.
        return _cached(annotation, str(annotation), loose)
    except TypeError:
        # Unhashable, such as an Annotated with a list in it.
        return _compiled(annotation, loose)


def _compiled(annotation: Any, loose: bool) -> Converter:
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return converter(typing.get_args(annotation)[0], loose)
    if type(annotation).__name__ == "TypeAliasType":
        return converter(annotation.__value__, loose)
    if is_redefinable(origin or annotation):
        return CurrentConverter(annotation, partial(_converted, loose=loose))
    return _converted(annotation, loose)


def _converted(annotation: Any, loose: bool) -> Converter:
    origin = typing.get_origin(annotation)
    if origin is not None:
        return _generic(annotation, origin, typing.get_args(annotation), loose)
    if annotation is None or isinstance(annotation, type):
        return _class(annotation, loose)
    if annotation is typing.Dict:  # noqa: UP006 - the annotation may be spelled so
        return BareDictConverter(annotation)
    return AnyConverter(annotation)


def _generic(annotation: Any, origin: Any, args: tuple[Any, ...], loose: bool) -> Converter:
    inner = partial(converter, loose=loose)
    if origin is typing.Union or origin is types.UnionType:
        return UnionConverter(annotation, [inner(arg) for arg in args])
    if origin is typing.Literal:
        return LiteralConverter(annotation, args)
    if origin is list and args:
        return ListConverter(annotation, inner(args[0]))
    if origin is dict:
        if not args:
            return BareDictConverter(annotation)
        return DictConverter(annotation, inner(args[0]), converter(args[1], loose or args[0] is not str))
    if origin is tuple and args:
        variable = len(args) == 2 and args[1] is Ellipsis
        items = args[:1] if variable else () if args == ((),) else args
        return TupleConverter(annotation, tuple(converter(arg, True) for arg in items), variable)
    if origin in (set, frozenset) and args:
        return SetConverter(annotation, inner(args[0]), origin)
    if dataclasses.is_dataclass(origin):
        return DataclassConverter(annotation, partial(converter, loose=True))
    return AnyConverter(annotation)


def _class(annotation: Any, loose: bool) -> Converter:
    scalar = (LOOSE if loose else SCALARS).get(annotation) or SCALARS.get(annotation)
    if scalar is not None:
        return scalar(annotation)
    if annotation in MOMENTS:
        return MomentConverter(annotation)
    if issubclass(annotation, enum.Enum):
        return EnumConverter(annotation)
    if annotation is dict:
        return BareDictConverter(annotation)
    if typing.is_typeddict(annotation):
        return TypedDictConverter(annotation, partial(converter, loose=True))
    if issubclass(annotation, tuple) and hasattr(annotation, "_fields"):
        return NamedTupleConverter(annotation, partial(converter, loose=True))
    if hasattr(annotation, "model_validate") and hasattr(annotation, "model_dump"):
        return ModelConverter(annotation)
    if dataclasses.is_dataclass(annotation):
        kind = TableConverter if hasattr(annotation, "__flyte_wrap__") else DataclassConverter
        return kind(annotation, partial(converter, loose=True))
    if annotation.__name__ == "DataFrame" and annotation.__module__.partition(".")[0] == "pandas":
        return FrameConverter(annotation)
    if annotation in (Any, object, list, tuple, set, frozenset):
        return AnyConverter(annotation)
    return ClassConverter(annotation)


@lru_cache(maxsize=1024)
def _cached(annotation: Any, _spelling: str, loose: bool) -> Converter:
    return _compiled(annotation, loose)

"""What functions, classes and captured values are made of, for whoever asks what code depends on."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import types
import typing
import warnings
from collections.abc import Iterator
from typing import Any

from flyte_notebook.record.digest import combined, type_name

LIMIT = 1024 * 1024
"""Bytes of a captured value that are read; a larger one counts by name, type and shape."""

_warned: set[str] = set()


def short_name(function: types.FunctionType) -> str:
    """`clean`, `Model.fit`: the qualified name, from the innermost function on."""
    return function.__qualname__.rpartition("<locals>.")[2]


def cells_of(function: types.FunctionType) -> dict[str, Any]:
    """What a function captured: its cells, by name."""
    return dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))


def contents_of(function: types.FunctionType) -> Iterator[Any]:
    """The values that a function captured and that are bound by now."""
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:
            continue


def defaults_of(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """The defaults of a function's parameters, by name."""
    positional = function.__defaults__ or ()
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    yield from zip(names[len(names) - len(positional) :], positional, strict=True)
    yield from (function.__kwdefaults__ or {}).items()


def hints_of(cls: type) -> dict[str, str]:
    """The annotations written in a class, as text."""
    return {
        name: hint if isinstance(hint, str) else getattr(hint, "__qualname__", str(hint))
        for name, hint in inspect.get_annotations(cls).items()
    }


def hinted_by(cls: type) -> list[Any]:
    """What the annotations written in a class stand for, where that can be told."""
    try:
        return [hint for name, hint in typing.get_type_hints(cls).items() if name in inspect.get_annotations(cls)]
    except Exception:  # noqa: BLE001 - annotations are expressions, which may raise anything
        return []


def code_of(cls: type) -> Iterator[tuple[str, Any]]:
    """Methods and nested classes that are written in a class; those that a decorator makes follow from its fields."""
    for name, value in cls.__dict__.items():
        if isinstance(value, property):
            accessors = (value.fget, value.fset, value.fdel)
            yield from ((name, a) for a in accessors if isinstance(a, types.FunctionType))
            continue
        function = value.func if isinstance(value, functools.cached_property) else value
        function = getattr(function, "__func__", function)
        if isinstance(function, type) or (isinstance(function, types.FunctionType) and not _made(cls, name, function)):
            yield name, function


def _made(cls: type, name: str, function: types.FunctionType) -> bool:
    """Whether `dataclass` or `NamedTuple` wrote a method."""
    generates = dataclasses.is_dataclass(cls) or issubclass(cls, tuple)
    return generates and name.startswith("__") and function.__code__.co_filename in ("<string>", dataclasses.__file__)


def data_of(cls: type) -> Iterator[tuple[str, Any]]:
    """The values that a class holds: attributes, members of an enum, defaults of fields."""
    if hasattr(cls, "__members__"):
        yield from ((name, member.value) for name, member in cls.__members__.items())
        return
    for name, value in cls.__dict__.items():
        # Python's own are generated, and some are noted down only when the class is first used.
        own = (name.startswith("__") and name.endswith("__")) or name == "_abc_impl"
        if not own and not isinstance(value, _NOT_DATA):
            yield name, value
    if dataclasses.is_dataclass(cls):
        for field in dataclasses.fields(cls):
            if field.default_factory is not dataclasses.MISSING:
                yield field.name, field.default_factory
    for name, field in getattr(cls, "__pydantic_fields__", {}).items():
        yield name, (field.default, field.default_factory)


_NOT_DATA = (
    types.FunctionType,
    types.MemberDescriptorType,
    types.GetSetDescriptorType,
    property,
    staticmethod,
    classmethod,
    functools.cached_property,
    type,
)


def is_engine(cls: type) -> bool:
    """Environments and other objects of this package's machinery: declarations, which do not change what code does."""
    return cls.__module__.startswith(("flyte_notebook.api", "flyte_notebook.engine", "flyte_notebook.notebook"))


def is_random(value: Any) -> bool:
    """A generator of random numbers changes with every use."""
    return any(
        base.__module__ in ("random", "numpy.random._generator", "numpy.random.mtrand") for base in type(value).__mro__
    )


def outline(value: Any) -> str:
    """A digest of type and shape (or length) alone."""
    try:
        shape = getattr(value, "shape", None)
        size = len(value) if shape is None and hasattr(value, "__len__") else shape
    except Exception:  # noqa: BLE001 - any attribute of a user's value may raise anything
        size = None
    return combined(type_name(type(value)), repr(size).encode()).hex()


def warn_once(label: str, value: Any) -> None:
    """Say that a value is too large to be read; `label` says which: `captured WEIGHTS`."""
    if label not in _warned:
        _warned.add(label)
        warnings.warn(
            f"{label} ({type(value).__name__}) is larger than {LIMIT // 1024**2} MB: a change of it inside the same "
            "type and shape is not noticed by cache and resume. Pass it as an argument instead.",
            stacklevel=2,
        )

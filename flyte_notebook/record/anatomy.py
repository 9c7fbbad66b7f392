"""What functions, classes and captured values are made of, for whoever asks what code depends on."""

from __future__ import annotations

import contextlib
import copyreg
import dataclasses
import functools
import inspect
import types
import typing
import warnings
from collections.abc import Iterator
from typing import Any

from flyte_notebook.record.digest import combined, is_task, type_name
from flyte_notebook.record.origin import is_users

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


def implementations_of(function: types.FunctionType) -> list[tuple[type, Any]]:
    """The types, in order of their names, for which `functools.singledispatch` has a function, and these."""
    registry = getattr(function, "registry", None)
    if not isinstance(registry, types.MappingProxyType):
        return []
    return sorted(registry.items(), key=lambda pair: type_name(pair[0]))


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
        for part in functions_in(value):
            if isinstance(part, type) or (isinstance(part, types.FunctionType) and not is_made(cls, name, part)):
                yield name, part


def heirs_of(cls: type) -> Iterator[type]:
    """The classes of the user's that were derived from a class, in their order, and from these."""
    heirs: list[type] = type.__subclasses__(cls)
    for heir in heirs:
        if is_users(heir.__module__):
            yield heir
        yield from heirs_of(heir)


def functions_in(value: Any) -> list[Any]:
    """What an attribute of a class runs: the accessors of a property, what a `classmethod` is around, else itself."""
    if isinstance(value, property | types.DynamicClassAttribute):
        return [accessor for accessor in (value.fget, value.fset, value.fdel) if accessor is not None]
    if isinstance(value, functools.cached_property | functools.partialmethod):
        return [value.func]
    return [getattr(value, "__func__", value)]


def layers_of(value: Any) -> Iterator[types.FunctionType]:
    """A function that was decorated, and those inside it down to the one that was written."""
    seen: set[int] = set()
    while callable(value) and id(value) not in seen:
        seen.add(id(value))
        if isinstance(value, types.FunctionType):
            yield value
        value = getattr(value, "__wrapped__", None)


def cached_by(cls: type) -> set[str]:
    """The attributes that `functools.cached_property` fills in."""
    return {
        name for c in cls.__mro__ for name, value in vars(c).items() if isinstance(value, functools.cached_property)
    }


def attribute_of(value: Any, name: str, missing: Any) -> Any:
    """What is held under a name by a module, a function, a class, or an instance: no property is asked."""
    if name == "__class__":
        return type(value)
    if isinstance(value, types.ModuleType | types.FunctionType):
        return vars(value).get(name, missing)
    if not isinstance(value, type):
        own = _dict_of(value)
        if name in own:
            return own[name]
    for holder in (value if isinstance(value, type) else type(value)).__mro__:
        if name in vars(holder):
            found = vars(holder)[name]
            if isinstance(found, types.MemberDescriptorType) and not isinstance(value, type):
                with contextlib.suppress(AttributeError):
                    return found.__get__(value, type(value))
            return missing if hasattr(type(found), "__get__") else found
    return missing


def _dict_of(value: Any) -> dict[str, Any]:
    try:
        found = object.__getattribute__(value, "__dict__")
    except Exception:  # noqa: BLE001 - it may be a property of the user's
        return {}
    return found if isinstance(found, dict) else {}


def is_plain(cls: type) -> bool:
    """Whether an instance is its attributes and elements, as Python takes it apart, and not the class's own code."""
    own = any(getattr(cls, name, None) is not getattr(object, name, None) for name in _REDUCERS)
    return not own and not any(cls is known for known in copyreg.dispatch_table)


_REDUCERS = ("__reduce_ex__", "__reduce__", "__getstate__")


def is_made(cls: type, name: str, function: types.FunctionType) -> bool:
    """Whether `dataclass` or `NamedTuple` wrote a method."""
    generates = dataclasses.is_dataclass(cls) or issubclass(cls, tuple)
    return generates and name.startswith("__") and function.__code__.co_filename in ("<string>", dataclasses.__file__)


def form_of(cls: type) -> list[str]:
    """What decides, beside its code and values, how a class behaves: its fields in order, and what generated it."""
    form = [f"{name}: {hint}" for name, hint in hints_of(cls).items()]
    if "__dataclass_params__" in cls.__dict__:
        form.append(repr(cls.__dict__["__dataclass_params__"]))
        form += [_options(field) for field in dataclasses.fields(cls)]
    return form


def _options(field: dataclasses.Field[Any]) -> str:
    return f"{field.name} {field.init} {field.repr} {field.hash} {field.compare} {field.kw_only}"


def data_of(cls: type) -> Iterator[tuple[str, Any]]:
    """The values that a class holds: attributes, members of an enum, defaults of fields."""
    members = getattr(cls, "__members__", {})
    yield from ((name, member.value) for name, member in members.items())
    for name, value in cls.__dict__.items():
        # Python's own are generated, and some are noted down only when the class is first used.
        own = (name.startswith("__") and name.endswith("__")) or name == "_abc_impl"
        # An enum's own are `_value_`, `_missing_`, ….
        if own or name in members or (members and name.startswith("_") and name.endswith("_")):
            continue
        if not isinstance(value, _DESCRIPTORS):
            if not isinstance(value, _NOT_DATA):
                yield name, value
        elif indirect := [part for part in functions_in(value) if not isinstance(part, _NOT_DATA)]:
            # A partial, a cache or a callable object in place of the function.
            yield name, indirect
    if dataclasses.is_dataclass(cls):
        yield from _defaults_of_fields(cls)
    for name, field in getattr(cls, "__pydantic_fields__", {}).items():
        yield name, (field.default, field.default_factory)


def _defaults_of_fields(cls: type) -> Iterator[tuple[str, Any]]:
    for field in dataclasses.fields(cls):
        # With slots, the class itself does not hold the default.
        for default in (field.default, field.default_factory):
            if default is not dataclasses.MISSING:
                yield field.name, default
        if field.metadata:
            yield f"{field.name}.metadata", dict(field.metadata)


_DESCRIPTORS = (property, types.DynamicClassAttribute, staticmethod, classmethod, functools.cached_property)
_NOT_DATA = (types.FunctionType, types.MemberDescriptorType, types.GetSetDescriptorType, type)


def attribute_read(value: Any, names: tuple[str, ...]) -> tuple[types.FunctionType, str] | None:
    """The function, and the attribute set on it, that `names` lead to from `value`, through modules."""
    for name in names:
        if isinstance(value, types.FunctionType):
            return (value, name) if name in vars(value) and name != "__wrapped__" else None
        if not isinstance(value, types.ModuleType):
            return None
        value = getattr(value, name, None)
    return None


def is_definition(name: str, value: Any) -> bool:
    """Whether a name stands for what a `def` or `class` of that name has made, and not for what was put in its place."""
    function = value.func if is_task(value) else value
    return isinstance(function, types.FunctionType | type) and function.__qualname__ == name


def is_engine(cls: type) -> bool:
    """Environments and other objects of this package's machinery: declarations, which do not change what code does."""
    return cls.__module__.startswith(("flyte_notebook.api", "flyte_notebook.engine", "flyte_notebook.notebook"))


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

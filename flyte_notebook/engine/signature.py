"""From a function to the annotations of its inputs and outputs, with the rules that Flyte has for them."""

from __future__ import annotations

import functools
import inspect
import sys
import typing
from collections.abc import Callable
from types import FrameType
from typing import Any

_EMPTY = inspect.Parameter.empty
_PACKAGE = __name__.partition(".")[0]


def parameters(func: Callable[..., Any]) -> tuple[dict[str, tuple[Any, Any]], Any]:
    """Annotation and default by parameter name, and the return annotation, all resolved.

    Raises ValueError for `*args` and `**kwargs`, NameError for an annotation that cannot be resolved.
    """
    signature = inspect.signature(func)
    hints = _hints(func)
    inputs: dict[str, tuple[Any, Any]] = {}
    for name, parameter in signature.parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ValueError(
                f"Function {getattr(func, '__name__', func)} cannot have variable positional or keyword arguments."
            )
        inputs[name] = (hints.get(name, parameter.annotation), parameter.default)
    return inputs, hints.get("return", signature.return_annotation)


def _hints(func: Callable[..., Any]) -> dict[str, Any]:
    while isinstance(func, functools.partial):
        func = func.func
    if not inspect.isroutine(func) and not isinstance(func, type):
        func = type(func).__call__
    try:
        return typing.get_type_hints(func, include_extras=True)
    except NameError:
        around = _around(func)
        if not around:
            raise
    # Annotations kept as text (`from __future__ import annotations`) inside a function name what is local to it.
    return typing.get_type_hints(func, localns=around, include_extras=True)


def _around(func: Callable[..., Any]) -> dict[str, Any]:
    """The local names around the definition of a nested function: what it captured, and, while the function that
    defines it still runs (as it does when a decorator asks), that one's locals.
    """
    outer = getattr(func, "__qualname__", "").rpartition(".<locals>.")[0].rpartition(".")[2]
    if not outer:
        return {}
    names: dict[str, Any] = {}
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == outer and frame.f_globals is getattr(func, "__globals__", None):
            names.update(frame.f_locals)
            break
        frame = frame.f_back
    return names | dict(inspect.getclosurevars(func).nonlocals)


def is_named_tuple(annotation: Any) -> bool:
    """True for a NamedTuple class, whose fields are several outputs."""
    return isinstance(annotation, type) and issubclass(annotation, tuple) and hasattr(annotation, "_fields")


def output_types(returned: Any) -> dict[str, Any]:
    """Annotation by output name, from a return annotation: none, `o0`, or several for a tuple.

    Raises TypeError for a tuple of one element or of variable length.
    """
    if returned is None or returned is type(None) or returned is _EMPTY:
        return {}
    if is_named_tuple(returned):
        hints = typing.get_type_hints(returned, include_extras=True)
        return {name: hints.get(name, Any) for name in returned._fields}
    if isinstance(returned, tuple):
        if len(returned) == 1:
            raise TypeError("Please don't use a tuple if you're just returning one thing.")
        return {f"o{i}": item for i, item in enumerate(returned)}
    if typing.get_origin(returned) is tuple and typing.get_args(returned):
        items = typing.get_args(returned)
        if len(items) == 1:
            raise TypeError("Tuples should be used to indicate multiple return values, found only one return variable.")
        if Ellipsis in items:
            raise TypeError("Variable length tuples are not supported as return types.")
        return {f"o{i}": item for i, item in enumerate(items)}
    return {"o0": returned}

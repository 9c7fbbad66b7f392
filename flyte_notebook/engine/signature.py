"""From a function to the annotations of its inputs and outputs, with the rules that Flyte has for them."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Any

_EMPTY = inspect.Parameter.empty


def parameters(func: Callable[..., Any]) -> tuple[dict[str, tuple[Any, Any]], Any]:
    """Annotation and default by parameter name, and the return annotation, all resolved.

    Raises ValueError for `*args` and `**kwargs`, NameError for an annotation that cannot be resolved.
    """
    signature = inspect.signature(func)
    hints = typing.get_type_hints(func, include_extras=True)
    inputs: dict[str, tuple[Any, Any]] = {}
    for name, parameter in signature.parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ValueError(
                f"Function {getattr(func, '__name__', func)} cannot have variable positional or keyword arguments."
            )
        inputs[name] = (hints.get(name, parameter.annotation), parameter.default)
    return inputs, hints.get("return", signature.return_annotation)


def output_types(returned: Any) -> dict[str, Any]:
    """Annotation by output name, from a return annotation.

    Raises TypeError for a tuple of one element or of variable length.
    """
    if returned in (None, type(None), _EMPTY):
        return {}
    if isinstance(returned, tuple):
        if len(returned) == 1:
            raise TypeError("Please don't use a tuple if you're just returning one thing.")
        return {f"o{i}": item for i, item in enumerate(returned)}
    if typing.get_origin(returned) is tuple:
        items = typing.get_args(returned)
        if len(items) == 1:
            raise TypeError("Tuples should be used to indicate multiple return values, found only one return variable.")
        if Ellipsis in items:
            raise TypeError("Variable length tuples are not supported as return types.")
        return {f"o{i}": item for i, item in enumerate(items)}
    return {"o0": returned}

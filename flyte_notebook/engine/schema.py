"""The inputs of a task as a JSON schema, for tools that call tasks."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import inspect
import types
import typing
from collections.abc import Mapping
from typing import Any

_SIMPLE: dict[Any, dict[str, Any]] = {
    int: {"type": "integer"},
    float: {"type": "number", "format": "float"},
    str: {"type": "string"},
    bool: {"type": "boolean"},
    None: {"type": "null"},
    type(None): {"type": "null"},
    dict: {"type": "object"},
    dt.datetime: {"type": "string", "format": "datetime"},
    dt.date: {"type": "string", "format": "datetime"},
    dt.timedelta: {"type": "string", "format": "duration"},
    inspect.Parameter.empty: {"type": "string"},
}


def inputs_schema(inputs: Mapping[str, tuple[Any, Any]]) -> dict[str, Any]:
    """The schema of an object whose properties are inputs, given as (annotation, default) by name."""
    return {
        "type": "object",
        "properties": {name: schema(annotation) for name, (annotation, _) in inputs.items()},
        "required": [name for name, (_, default) in inputs.items() if default is inspect.Parameter.empty],
    }


def schema(annotation: Any) -> dict[str, Any]:
    """The schema of one annotation; what travels pickled is a binary string."""
    if isinstance(annotation, type | None) and annotation in _SIMPLE:
        return dict(_SIMPLE[annotation])
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return schema(args[0])
    if origin is typing.Literal and all(isinstance(value, str) for value in args):
        return {"type": "string", "enum": list(args)}
    if origin is list and args:
        return {"type": "array", "items": schema(args[0])}
    if origin is dict:
        return {"type": "object"} | ({"additionalProperties": schema(args[1])} if args and args[0] is str else {})
    if origin is tuple and args and Ellipsis not in args:
        names = [f"item_{i}" for i in range(len(args))]
        return _object(dict(zip(names, map(schema, args), strict=True)), names)
    if origin in (typing.Union, types.UnionType):
        variants = [schema(arg) for arg in args if arg is not type(None)]
        return variants[0] if len(variants) == 1 else {"oneOf": variants, "format": "union"}
    if isinstance(annotation, type):
        return _class(annotation)
    return _pickled(annotation)


def _class(annotation: type) -> dict[str, Any]:
    if issubclass(annotation, enum.Enum):
        return {"type": "string", "enum": list(annotation.__members__)}
    if hasattr(annotation, "model_json_schema"):
        return dict(annotation.model_json_schema())
    if dataclasses.is_dataclass(annotation):
        fields = [f for f in dataclasses.fields(annotation) if f.init]
        required = [
            f.name for f in fields if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        ]
        hints = typing.get_type_hints(annotation, include_extras=True)
        return _object({f.name: schema(hints[f.name]) for f in fields}, required) | {"title": annotation.__name__}
    if typing.is_typeddict(annotation):
        hints = typing.get_type_hints(annotation)
        return _object(
            {name: schema(hint) for name, hint in hints.items()}, sorted(getattr(annotation, "__required_keys__", ()))
        )
    if annotation.__name__ == "DataFrame":
        return {"type": "object", "format": "structured-dataset"}
    return _pickled(annotation)


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required}


def _pickled(annotation: Any) -> dict[str, Any]:
    return {"type": "string", "format": "binary", "python_class_name": str(annotation)}

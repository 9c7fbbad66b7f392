"""Declarations as JSON: what the tree's details show of an image, resources, a cache and so on."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

_TEXT = 200


def describe(value: Any) -> Any:
    """A JSON-able description of a declaration, bounded, with fields at their defaults left out.

    Values of a mapping are not shown, only its keys: mappings here are environment variables, which may hold secrets,
    and descriptions end up in saved notebooks.
    """
    if isinstance(value, enum.Enum):
        return describe(value.value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str | PurePath | dt.timedelta | dt.datetime):
        return _bounded(str(value))
    if isinstance(value, Mapping):
        return [_bounded(str(key)) for key in value]
    if isinstance(value, list | tuple | set | frozenset):
        return [describe(item) for item in value]
    described = getattr(value, "describe", None)
    if callable(described) and not isinstance(value, type):
        return described()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return describe_fields(value)
    # Objects of libraries we know nothing of (a pod spec, a link): their repr may be huge, or raise.
    return type(value).__name__


def describe_fields(value: Any, *, leave_out: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The fields of a dataclass instance that differ from their defaults, by name."""
    return {
        field.name: describe(getattr(value, field.name))
        for field in dataclasses.fields(value)
        if field.name not in leave_out and getattr(value, field.name) != _default(field)
    }


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _bounded(text: str) -> str:
    return text if len(text) <= _TEXT else text[: _TEXT - 1] + "…"

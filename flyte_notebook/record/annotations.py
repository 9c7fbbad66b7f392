"""From an annotation to its converter."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from flyte_notebook.record.converter import Converter
from flyte_notebook.record.opaque import AnyConverter
from flyte_notebook.record.scalars import SCALARS


def converter(annotation: Any) -> Converter:
    """The converter of `annotation`; equal annotations share one."""
    try:
        return _cached(annotation)
    except TypeError:
        # Unhashable, such as an Annotated with a list in it.
        return _compiled(annotation)


def _compiled(annotation: Any) -> Converter:
    if annotation is None or isinstance(annotation, type):
        scalar = SCALARS.get(annotation)
        if scalar is not None:
            return scalar(annotation)
    return AnyConverter(annotation)


_cached = lru_cache(maxsize=1024)(_compiled)

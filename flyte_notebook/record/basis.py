"""Whether what a fingerprint was taken from is still as it was: asked at every call, and told in a microsecond or two."""

from __future__ import annotations

import argparse
import dataclasses
import operator
import types
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

MISSING: Any = object()
"""What a name is bound to that is not bound."""

_SMALL = 4096
"""Bytes up to which a value that may be changed in place is looked at again."""
_SEQUENCES = (list, tuple, set, frozenset, deque)
_NAMESPACES = (types.SimpleNamespace, argparse.Namespace)
_SETTINGS = (dict, OrderedDict, defaultdict, Counter, list, set, deque, *_NAMESPACES)
_ATOMS = (str, int, float, bool, types.NoneType)


@dataclasses.dataclass(slots=True)
class _Setting:
    """A value that may be changed in place, its digest, and its pieces: as long as they are the same, so is the digest."""

    value: Any
    digest: str
    pieces: list[Any]


class Basis:
    """The names that some code reads, with what each is bound to, and the small settings among their values."""

    def __init__(self, digest: Callable[[Any], str | None]) -> None:
        """`digest` looks at a value again: None when it cannot."""
        self._digest = digest
        self._names: dict[tuple[int, str], tuple[Mapping[str, Any], str, Any]] = {}
        self._cells: dict[tuple[int, str], tuple[types.CellType, Any]] = {}
        self._settings: list[_Setting] = []

    def bound(self, place: tuple[int, str], names: Mapping[str, Any], name: str, value: Any) -> None:
        """The code reads a name, which is bound to `value` there."""
        self._names[place] = names, name, value

    def captured(self, place: tuple[int, str], cell: types.CellType, value: Any) -> None:
        """The code reads what a closure holds."""
        self._cells[place] = cell, value

    def holds_value(self, value: Any, digest: str, size: int) -> None:
        """Among them is a value of this digest, for which `size` bytes were read."""
        kind = type(value)
        if (kind in _SETTINGS or dataclasses.is_dataclass(kind)) and size <= _SMALL:
            self._settings.append(_Setting(value, digest, _pieces(value)))

    def forget(self, is_bound: Callable[[tuple[int, str]], bool]) -> None:
        """Leave out the places that code binds anew itself."""
        for places in (self._names, self._cells):
            for place in filter(is_bound, list(places)):
                del places[place]

    def holds(self) -> bool:
        """True while every name is bound to the same, and the settings are equal to what they were."""
        for names, name, value in self._names.values():
            if names.get(name, MISSING) is not value:
                return False
        for cell, value in self._cells.values():
            if content_of(cell) is not value:
                return False
        return all(self._is_as_it_was(setting) for setting in self._settings)

    def _is_as_it_was(self, setting: _Setting) -> bool:
        try:
            pieces = _pieces(setting.value)
        except RuntimeError:
            # Another thread changes it, now.
            return False
        if len(pieces) == len(setting.pieces) and all(map(operator.is_, pieces, setting.pieces)):
            return True
        setting.pieces = pieces
        return self._digest(setting.value) == setting.digest


def _pieces(value: Any) -> list[Any]:
    """All that a setting is made of, to any depth; what is no setting itself is one piece."""
    pieces: list[Any] = []
    waiting, met = [value], set()
    while waiting:
        piece = waiting.pop()
        pieces.append(piece)
        if type(piece) not in _ATOMS and id(piece) not in met:
            met.add(id(piece))
            waiting += _inside(piece)
    return pieces


def _inside(setting: Any) -> Iterable[Any]:
    kind = type(setting)
    if issubclass(kind, dict):
        return *setting, *setting.values()
    if kind in _SEQUENCES:
        return tuple(setting)
    if kind in _NAMESPACES:
        return _inside(vars(setting))
    if dataclasses.is_dataclass(kind):
        return [getattr(setting, field.name, MISSING) for field in dataclasses.fields(kind)]
    return ()


def content_of(cell: types.CellType) -> Any:
    """What a closure holds, or MISSING while its name is not bound."""
    try:
        return cell.cell_contents
    except ValueError:
        return MISSING

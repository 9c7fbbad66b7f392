"""Small immutable values that JSON lacks, as text: moments and durations, decimals, UUIDs, paths, complex numbers."""

from __future__ import annotations

import datetime as dt
import pathlib
from collections.abc import Callable
from importlib import import_module
from typing import Any

from flyte_notebook.record.converter import Converter, mismatch
from flyte_notebook.record.envelope import KIND, Node, Sink


def _text(value: Any) -> dict[str, Any]:
    return {"v": str(value)}


def _moment_parts(value: dt.datetime | dt.time) -> dict[str, Any]:
    parts: dict[str, Any] = {"v": value.isoformat()}
    if _is_zone(value.tzinfo):
        # The offset alone would lose when it changes.
        parts["z"] = value.tzinfo.key  # type: ignore[union-attr]  # it is a ZoneInfo
    if value.fold:
        parts["x"] = 1
    return parts


def _moment(node: Node, parse: Callable[[str], Any]) -> Any:
    value = parse(node["v"])
    if node.get("z"):
        value = value.replace(tzinfo=import_module("zoneinfo").ZoneInfo(node["z"]))
    return value.replace(fold=1) if node.get("x") else value


def _is_zone(zone: dt.tzinfo | None) -> bool:
    return type(zone).__name__ == "ZoneInfo" and getattr(zone, "key", None) is not None


def _duration(value: dt.timedelta) -> dict[str, Any]:
    return {"v": [value.days, value.seconds, value.microseconds]}


# By module and name: modules of types that nobody uses are not imported.
_Place = tuple[str, str]
_LOWERS: dict[_Place, tuple[str, Callable[[Any], dict[str, Any]]]] = {
    ("datetime", "datetime"): ("datetime", _moment_parts),
    ("datetime", "time"): ("time", _moment_parts),
    ("datetime", "date"): ("date", lambda value: {"v": value.isoformat()}),
    ("datetime", "timedelta"): ("timedelta", _duration),
    ("decimal", "Decimal"): ("Decimal", _text),
    ("uuid", "UUID"): ("UUID", _text),
    (type(pathlib.Path()).__module__, type(pathlib.Path()).__name__): ("Path", _text),
    ("builtins", "complex"): ("complex", lambda value: {"v": [value.real, value.imag]}),
}
_LIFTS: dict[str, Callable[[Node], Any]] = {
    "datetime": lambda node: _moment(node, dt.datetime.fromisoformat),
    "time": lambda node: _moment(node, dt.time.fromisoformat),
    "date": lambda node: dt.date.fromisoformat(node["v"]),
    "timedelta": lambda node: dt.timedelta(*node["v"]),
    "Decimal": lambda node: import_module("decimal").Decimal(node["v"]),
    "UUID": lambda node: import_module("uuid").UUID(node["v"]),
    "Path": lambda node: pathlib.Path(node["v"]),
    "complex": lambda node: complex(*node["v"]),
}


def is_atom(value: Any) -> bool:
    """True when `value` is of exactly one of these types, and its text says all of it."""
    kind = type(value)
    if (kind.__module__, kind.__name__) not in _LOWERS:
        return False
    zone = getattr(value, "tzinfo", None)
    return zone is None or type(zone) is dt.timezone or _is_zone(zone)


def lower_atom(value: Any, sink: Sink) -> Node:
    """The node of a value for which `is_atom` holds."""
    kind = type(value)
    name, lower = _LOWERS[kind.__module__, kind.__name__]
    return sink.tag(name, **lower(value))


def lift_atom(node: Node) -> Any:
    """The value of such a node. Raises ValueError for a kind that this version does not know."""
    lift = _LIFTS.get(node[KIND])
    if lift is None:
        raise ValueError(f"recorded by another version: unknown kind {node[KIND]!r}")
    return lift(node)


def _plain_datetime(value: dt.datetime) -> dt.datetime:
    return dt.datetime.combine(_plain_date(value), value.timetz())


def _plain_date(value: dt.date) -> dt.date:
    return dt.date(value.year, value.month, value.day)


def _plain_timedelta(value: dt.timedelta) -> dt.timedelta:
    return dt.timedelta(value.days, value.seconds, value.microseconds)


MOMENTS: dict[type, Callable[[Any], Any]] = {
    dt.datetime: _plain_datetime,
    dt.date: _plain_date,
    dt.timedelta: _plain_timedelta,
}


class MomentConverter(Converter):
    """`datetime`, `date` and `timedelta`; subclasses (such as pandas') arrive as the plain type."""

    def settled(self, value: Any) -> bool:
        return type(value) is self.annotation

    def lower(self, value: Any, sink: Sink) -> Node:
        from flyte_notebook.record.opaque import lower_any

        if not isinstance(value, self.annotation):
            raise mismatch(self.annotation, value)
        return lower_any(value if type(value) is self.annotation else MOMENTS[self.annotation](value), sink)

    def lift(self, node: Node, buffers: list[memoryview]) -> Any:
        from flyte_notebook.record.opaque import lift_any

        return lift_any(node, buffers)

"""Small immutable values that JSON lacks, as text: moments and durations, decimals, UUIDs, paths, complex numbers."""

from __future__ import annotations

import datetime as dt
import decimal
import pathlib
import uuid
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

from flyte_notebook.record.converter import Converter, mismatch
from flyte_notebook.record.envelope import KIND, Node, Sink

_Moment = dt.datetime | dt.time


def _text(value: Any) -> dict[str, Any]:
    return {"v": str(value)}


def _moment_parts(value: _Moment) -> dict[str, Any]:
    parts: dict[str, Any] = {"v": value.isoformat()}
    if isinstance(value.tzinfo, ZoneInfo):
        # The offset alone would lose when it changes.
        parts["z"] = value.tzinfo.key
    if value.fold:
        parts["x"] = 1
    return parts


def _moment(node: Node, parse: Callable[[str], Any]) -> Any:
    value = parse(node["v"])
    if node.get("z"):
        value = value.replace(tzinfo=ZoneInfo(node["z"]))
    return value.replace(fold=1) if node.get("x") else value


def _duration(value: dt.timedelta) -> dict[str, Any]:
    return {"v": [value.days, value.seconds, value.microseconds]}


_ATOMS: list[tuple[type, str, Callable[[Any], dict[str, Any]], Callable[[Node], Any]]] = [
    (dt.datetime, "datetime", _moment_parts, lambda node: _moment(node, dt.datetime.fromisoformat)),
    (dt.time, "time", _moment_parts, lambda node: _moment(node, dt.time.fromisoformat)),
    (dt.date, "date", lambda value: {"v": value.isoformat()}, lambda node: dt.date.fromisoformat(node["v"])),
    (dt.timedelta, "timedelta", _duration, lambda node: dt.timedelta(*node["v"])),
    (decimal.Decimal, "Decimal", _text, lambda node: decimal.Decimal(node["v"])),
    (uuid.UUID, "UUID", _text, lambda node: uuid.UUID(node["v"])),
    (type(pathlib.Path()), "Path", _text, lambda node: pathlib.Path(node["v"])),
    (complex, "complex", lambda value: {"v": [value.real, value.imag]}, lambda node: complex(*node["v"])),
]
_LOWERS = {kind: (name, lower) for kind, name, lower, _ in _ATOMS}
_LIFTS = {name: lift for _, name, _, lift in _ATOMS}


def is_atom(value: Any) -> bool:
    """True when `value` is of exactly one of these types, and its text says all of it."""
    if type(value) not in _LOWERS:
        return False
    zone = getattr(value, "tzinfo", None)
    return zone is None or type(zone) is dt.timezone or (type(zone) is ZoneInfo and zone.key is not None)


def lower_atom(value: Any, sink: Sink) -> Node:
    """The node of a value for which `is_atom` holds."""
    name, lower = _LOWERS[type(value)]
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

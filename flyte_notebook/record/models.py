"""Converters of enums and pydantic models, both stored by what they say and rebuilt as the class annotated now."""

from __future__ import annotations

import enum
from typing import Any

from flyte_notebook.record.converter import Converter, Mismatch, mismatch, shown
from flyte_notebook.record.digest import type_name
from flyte_notebook.record.envelope import KIND, Node, Sink
from flyte_notebook.record.opaque import lift_any, lower_any, lower_pickle
from flyte_notebook.record.versions import adopted, is_version, outdated, version_among


class EnumConverter(Converter):
    """An enum: a member, or the name of one."""

    def settled(self, value: Any) -> bool:
        return type(value) is self.annotation

    def lower(self, value: Any, sink: Sink) -> Node:
        member = self._member(value)
        return sink.tag("enum", t=type_name(self.annotation), m=member.name, v=lower_any(_plain(member.value), sink))

    def _member(self, value: Any) -> Any:
        if isinstance(value, self.annotation):
            return value
        members = self.annotation.__members__
        if is_version(value, self.annotation) and isinstance(value, enum.Enum):
            return self._same(value)
        if isinstance(value, str) and not isinstance(value, enum.Enum):
            if value in members:
                return members[value]
            if any(value == member.value for member in self.annotation):
                raise Mismatch(f"Value {value} is not valid value, expected - {list(members)}")
        raise Mismatch(f"Value {shown(value, str)} is not in Enum {self.annotation}")

    def _same(self, member: enum.Enum) -> Any:
        """The member that one of another version is now, by its name or else its value."""
        if member.name in self.annotation.__members__:
            return self.annotation[member.name]
        try:
            return self.annotation(member.value)
        except ValueError:
            raise outdated(self.annotation, f"without {member.name}") from None

    def lift(self, node: Node, buffers: list[memoryview]) -> Any:
        name = node["m"]
        if name in self.annotation.__members__:
            return self.annotation[name]
        # A combination of flags has no name of its own; a renamed member still has its value.
        return self.annotation(lift_any(node["v"], buffers))


def _plain(value: Any) -> Any:
    """The value of a member of a mixed-in enum, as the type that is mixed in."""
    for kind in (int, float, str):
        if isinstance(value, kind) and not isinstance(value, bool):
            return kind(value)
    return value


class ModelConverter(Converter):
    """A pydantic model; a dict that validates passes too.

    Stored as the JSON it dumps to, where that gives the same model back; else pickled, so that nothing is lost.
    """

    def lower(self, value: Any, sink: Sink) -> Node:
        cls = self.annotation
        if isinstance(value, dict):
            value = self._validated(value)
        elif is_version(value, cls) and hasattr(value, "model_dump"):
            value = self._renewed(value)
        if not isinstance(value, cls) and version_among(type(value), cls) is None:
            raise mismatch(cls, value)
        tree = self._dumped(value)
        if tree is None:
            return lower_pickle(value, sink)
        return sink.tag("model", t=type_name(cls), f=lower_any(tree, sink))

    def _validated(self, value: dict[Any, Any]) -> Any:
        try:
            return self.annotation.model_validate(value)
        except Exception as error:
            raise Mismatch(f"Failed to coerce dict into {self.annotation}: {error}") from error

    def _renewed(self, value: Any) -> Any:
        try:
            return self._validated(value.model_dump(round_trip=True, by_alias=True))
        except Mismatch as error:
            raise outdated(self.annotation, "with other fields") from error

    def _dumped(self, value: Any) -> Any:
        """The JSON of `value`, or None where some of it would be lost. Raises Mismatch when it is not valid."""
        from pydantic import ValidationError
        from pydantic_core import PydanticSerializationError

        if type(value) is not self.annotation:
            return None
        try:
            tree = value.model_dump(mode="json", round_trip=True, by_alias=True, warnings=False)
        except (PydanticSerializationError, ValueError, TypeError):
            return None
        try:
            same = self.annotation.model_validate(tree)
        except ValidationError as error:
            if self._valid(value):
                return None
            raise Mismatch(str(error)) from error
        return tree if same == value else None

    def _valid(self, value: Any) -> bool:
        from pydantic import ValidationError

        try:
            self.annotation.model_validate(dict(value), by_name=True, by_alias=True)
        except ValidationError:
            return False
        return True

    def lift(self, node: Node, buffers: list[memoryview]) -> Any:
        if node[KIND] != "model":
            return adopted(lift_any(node, buffers), self.annotation)
        return self.annotation.model_validate(lift_any(node["f"], buffers))

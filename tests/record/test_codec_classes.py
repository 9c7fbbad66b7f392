"""Values stored as fields: dataclasses, enums, models, NamedTuples, TypedDicts; and classes whose cell was run again."""

# ruff: noqa: UP045 - annotations come in every spelling
from __future__ import annotations

import dataclasses
import functools
import sys
import types
import typing
from typing import Any, NamedTuple, Optional

import pydantic
import pytest

from flyte_notebook.record.codec import Mismatch, converter
from tests.record.codec_cases import (
    Box,
    Color,
    Frozen,
    Level,
    Mode,
    Model,
    Options,
    Pair,
    Plain,
    Point,
    Rights,
    Shape,
    Tree,
    encoded,
    round_trip,
)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Point, Point(1, 2.5)),
        (Shape, Shape("s", Point(1), [Point(2), Point(3)], Point(4), {"a": 1})),
        (Frozen, Frozen(1)),
        (Tree, Tree(1, [Tree(2), Tree(3, [Tree(4)])])),
        (Box[int], Box(1)),
        (Box[Point], Box(Point(1))),
        (Model, Model(a=1, inner=Point(2))),
        (Pair, Pair(1, "a")),
        (Options, {"a": 1}),
        (Options, {"a": 1, "b": "x"}),
        (Color, Color.RED),
        (Level, Level.HIGH),
        (Mode, Mode.FAST),
        (Rights, Rights.READ | Rights.WRITE),
        (Rights, Rights(0)),
        (list[Point], [Point(1)]),
        (Optional[Model], Model(a=1)),
    ],
)
def test_a_value_arrives_as_it_was(annotation, value):
    arrived = round_trip(annotation, value)
    assert arrived == value
    assert type(arrived) is type(value)


@pytest.mark.parametrize(
    ("annotation", "value", "arrives"),
    [
        (Point, {"x": 1}, Point(1)),
        (Point, {"x": 1, "y": 2.0}, Point(1, 2.0)),
        (Shape, {"name": "s", "corner": {"x": 1}, "others": [{"x": 2}]}, Shape("s", Point(1), [Point(2)])),
        (Shape, Shape("s", {"x": 1}), Shape("s", Point(1))),
        (Point, Point(1, 2), Point(1, 2.0)),
        (Point, Point(True), Point(1)),
        (Model, {"a": 1}, Model(a=1)),
        (Model, {"a": "1", "ignored": 2}, Model(a=1)),
        (Pair, (1, "a"), Pair(1, "a")),
        (Pair, [1, "a"], Pair(1, "a")),
        (Options, {"a": 1, "undeclared": 2}, {"a": 1}),
        (Color, "RED", Color.RED),
        (list[Point], [{"x": 1}], [Point(1)]),
    ],
)
def test_what_flyte_converts_is_converted(annotation, value, arrives):
    arrived = round_trip(annotation, value)
    assert arrived == arrives
    assert type(arrived) is type(arrives)


@pytest.mark.parametrize(
    ("annotation", "value", "reason"),
    [
        (Point, Point("a"), "Field \"x\" of Point: Expected value of type <class 'int'>"),
        (Point, {"x": "a"}, "Point from a dict: Expected value of type <class 'int'>"),
        (Point, {}, r"missing the following keys from the dataclass fields: \['x'\]"),
        (Point, {"x": 1, "z": 2}, r"extra keys that are not in dataclass fields: \['z'\]"),
        (Point, 1, "Expected value of type <class '.*Point'> but got '1'"),
        (Point, Model(a=1), "Expected value of type"),
        (Shape, Shape("s", Point("a")), 'Field "corner" of Shape: Field "x" of Point'),
        (Box[int], Box("a"), 'Field "content" of Box'),
        (Model, {"a": "x"}, "Failed to coerce dict into"),
        (Model, Model.model_construct(a="x"), "validation error for Model"),
        (Model, Point(1), "Expected value of type"),
        (Pair, Pair("x", "y"), 'Field "a" of Pair'),
        (Pair, (1,), "Tuple length 1 doesn't match expected length 2"),
        (Pair, {"a": 1}, "Expected value of type"),
        (Options, {"b": "x"}, "Options misses a"),
        (Options, {"a": "x"}, 'Key "a" of Options'),
        (Color, "red", r"Value red is not valid value, expected - \['RED', 'BLUE'\]"),
        (Color, "green", "Value green is not in Enum"),
        (Color, Mode.FAST, "is not in Enum"),
        (Level, 1, "Value 1 is not in Enum"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(annotation, value, reason):
    with pytest.raises(Mismatch, match=reason):
        converter(annotation).encode(value)


def test_a_dataclass_is_rebuilt_without_running_its_initialisation_on_its_own_results():
    @dataclasses.dataclass
    class Doubling:
        x: int
        seen: int = dataclasses.field(init=False, default=0)

        def __post_init__(self) -> None:
            self.x *= 2

    value = Doubling(1)
    value.seen = 7
    assert round_trip(Doubling, value) == value
    assert round_trip(Doubling, {"x": 1}).x == 2


def test_attributes_that_are_no_fields_are_set_again():
    @dataclasses.dataclass
    class Prepared:
        words: list[str]

        def __post_init__(self) -> None:
            self.words = [*self.words, "end"]
            self.lookup = {word: i for i, word in enumerate(self.words)}

        @functools.cached_property
        def count(self) -> int:
            return len(self.words)

    value = Prepared(["a"])
    assert value.count == 2
    arrived = round_trip(Prepared, value)
    assert arrived.words == ["a", "end"]
    assert "a" in arrived.lookup


def test_a_field_whose_default_is_none_may_be_none():
    @dataclasses.dataclass
    class Sloppy:
        x: int = None  # type: ignore[assignment]

    assert round_trip(Sloppy, Sloppy()) == Sloppy()


def test_a_dataclass_with_slots_and_one_in_a_subclass_arrive():
    @dataclasses.dataclass(slots=True)
    class Slim:
        x: int

    @dataclasses.dataclass
    class Farther(Point):
        z: int = 0

    assert round_trip(Slim, Slim(3)) == Slim(3)
    assert round_trip(Farther, Farther(1, 2.0, 3)) == Farther(1, 2.0, 3)
    assert round_trip(Point, Farther(1, 2.0, 3)) == Point(1, 2.0)


def test_a_field_that_names_an_unknown_type_takes_anything():
    @dataclasses.dataclass
    class Open:
        x: NotImported  # noqa: F821
        y: int = 1

    assert round_trip(Open, Open("anything")) == Open("anything")


class Secretive(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
    key: pydantic.SecretStr = pydantic.SecretStr("")
    raw: bytes = b""
    extra: Any = None
    _hidden: int = pydantic.PrivateAttr(default=0)

    @pydantic.field_validator("extra")
    @classmethod
    def _count(cls, value: Any) -> Any:
        return value + 1 if isinstance(value, int) else value


@pytest.mark.parametrize(
    "value",
    [Secretive(key="hush"), Secretive(raw=b"\xff\xfe"), Secretive(extra=Plain(2)), Secretive(extra=1), Secretive()],
)
def test_a_model_that_its_own_json_would_lose_something_of_arrives_whole(value):
    value._hidden = 5
    arrived = round_trip(Secretive, value)
    assert arrived == value
    assert arrived._hidden == 5


def test_a_model_with_aliases_arrives():
    class Aliased(pydantic.BaseModel):
        a: int = pydantic.Field(alias="theA")

    assert round_trip(Aliased, Aliased(theA=1)) == Aliased(theA=1)
    assert round_trip(Aliased, {"theA": 1}) == Aliased(theA=1)


# --- a cell that is run again -----------------------------------------------------------------------------------------

CELL = """
import dataclasses, enum, pydantic
from typing import NamedTuple

@dataclasses.dataclass
class Point:
    x: int
    y: float = 1.0
    def norm(self): return {version}

class Color(enum.Enum):
    RED = "red"

class Model(pydantic.BaseModel):
    a: int

class Pair(NamedTuple):
    a: int

class Plain:
    def __init__(self): self.x = 1
    def version(self): return {version}
"""


@pytest.fixture
def cell(monkeypatch):
    """Runs source as a cell of `__main__` and gives its names."""
    main = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)

    def run(source: str) -> types.SimpleNamespace:
        exec(compile(source, "<cell>", "exec", dont_inherit=True), main.__dict__)
        return types.SimpleNamespace(**main.__dict__)

    return run


def test_a_value_of_a_class_whose_cell_was_run_again_is_as_good_as_a_new_one(cell):
    old, new = cell(CELL.format(version=1)), cell(CELL.format(version=2))
    assert old.Point is not new.Point
    values = {"Point": old.Point(1), "Color": old.Color.RED, "Model": old.Model(a=1), "Pair": old.Pair(1)}
    for name, value in values.items():
        arrived = round_trip(getattr(new, name), value)
        assert type(arrived) is getattr(new, name)
    assert round_trip(new.Point, old.Point(3)).norm() == 2
    plain = round_trip(new.Plain, old.Plain())
    assert type(plain) is new.Plain
    assert plain.version() == 2


def test_what_an_earlier_version_of_a_class_recorded_is_read_as_the_class_is_now(cell):
    old = cell(CELL.format(version=1))
    records = {
        name: encoded(getattr(old, name), v) for name, v in {"Point": old.Point(1), "Plain": old.Plain()}.items()
    }
    new = cell(CELL.format(version=2).replace("y: float = 1.0", "y: float = 1.0\n    z: int = 9"))
    point = converter(new.Point).decode(records["Point"])
    assert (type(point), point.x, point.z, point.norm()) == (new.Point, 1, 9, 2)
    plain = converter(new.Plain).decode(records["Plain"])
    assert (type(plain), plain.x, plain.version()) == (new.Plain, 1, 2)


def test_a_value_whose_class_has_other_fields_by_now_is_refused_in_words(cell):
    old = cell(CELL.format(version=1))
    new = cell(CELL.format(version=2).replace("x: int", "other: int"))
    with pytest.raises(Mismatch, match="defined again with other fields"):
        converter(new.Point).encode(old.Point(1))


def test_a_class_of_the_same_name_from_elsewhere_is_another_class(cell):
    stranger = cell(CELL.format(version=1)).Point
    with pytest.raises(Mismatch, match="Expected value of type"):
        converter(Point).encode(stranger(1))


def test_digests_do_not_tell_versions_of_a_class_apart(cell):
    old, new = cell(CELL.format(version=1)), cell(CELL.format(version=2))
    assert encoded(old.Point, old.Point(1)).digest == encoded(new.Point, new.Point(1)).digest
    assert encoded(Any, old.Plain()).digest == encoded(Any, new.Plain()).digest


def test_an_enum_is_found_by_its_value_when_its_member_was_renamed(cell):
    old = cell("import enum\nclass Mood(enum.Enum):\n    GOOD = 'good'")
    record = encoded(old.Mood, old.Mood.GOOD)
    new = cell("import enum\nclass Mood(enum.Enum):\n    FINE = 'good'")
    assert converter(new.Mood).decode(record) is new.Mood.FINE


def test_postponed_annotations_of_a_cell_are_resolved_in_it(cell):
    source = """
from __future__ import annotations
import dataclasses
@dataclasses.dataclass
class Node:
    value: int
    next: Node | None = None
"""
    node = cell(source).Node
    assert round_trip(node, node(1, node(2))) == node(1, node(2))
    with pytest.raises(Mismatch, match='Field "next" of Node'):
        converter(node).encode(node(1, node("a")))


def test_a_generic_dataclass_with_typing_generics_checks_its_parameters():
    @dataclasses.dataclass
    class Named(typing.Generic[typing.TypeVar("V")]):  # type: ignore[misc]
        items: list[int]

    assert round_trip(Named[int], Named([1])) == Named([1])


def test_a_named_tuple_may_hold_containers():
    class Batch(NamedTuple):
        rows: list[int]
        more: Optional[Point] = None

    value = Batch([1, 2], Point(1))
    arrived = round_trip(Batch, value)
    assert arrived == value
    assert arrived.rows is not value.rows

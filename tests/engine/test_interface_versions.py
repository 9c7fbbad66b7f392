"""Tasks whose annotations name classes of a cell that was run again after the tasks were defined."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

import pytest

from flyte_notebook.engine.interface import Interface
from flyte_notebook.errors import RuntimeDataValidationError

CELL = """
import dataclasses, enum, pydantic
from typing import Generic, NamedTuple, Optional, TypedDict, TypeVar

class Q:
    v = {v}
    def __init__(self, n=0): self.n = n

@dataclasses.dataclass
class P:
    x: int
    def version(self): return {v}

class Color(enum.Enum):
    RED = "red"
    def version(self): return {v}

class Model(pydantic.BaseModel):
    a: int
    def version(self): return {v}

class Pair(NamedTuple):
    a: int
    b: int = 0
    def version(self): return {v}

class Outer:
    @dataclasses.dataclass
    class Inner:
        x: int
        def version(self): return {v}
"""
HOLDING = """
import dataclasses
@dataclasses.dataclass
class Holder:
    p: P
    many: list[P]
"""
VALUES = ["Q(1)", "P(1)", "Color.RED", "Model(a=1)", "Pair(1, 2)", "Outer.Inner(1)"]


@pytest.fixture
def cell(monkeypatch) -> Callable[[str], Any]:
    """Runs source as a cell of `__main__` and gives that module."""
    main = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)

    def run(source: str) -> Any:
        exec(compile(source, "<cell>", "exec", dont_inherit=True), main.__dict__)
        return main

    return run


def evaluated(main: Any, expression: str) -> Any:
    return eval(expression, main.__dict__)


def through_input(interface: Interface, value: Any) -> Any:
    encoded, settled = interface.encode_inputs({"x": value})
    return value if settled else interface.decode_inputs(encoded)["x"]


def through_output(interface: Interface, value: Any) -> Any:
    encoded, settled = interface.encode_output(value)
    return value if settled else interface.decode_output(encoded)


def interfaces(cell: Any, annotation: str) -> tuple[Interface, Interface]:
    main = cell(f"def takes(x: {annotation}): ...\ndef gives() -> {annotation}: ...")
    return Interface.of(main.takes), Interface.of(main.gives)


@pytest.mark.parametrize("made_by", ["the new class", "the old class"])
@pytest.mark.parametrize("value", VALUES)
def test_a_value_arrives_as_the_class_that_has_the_name_now(cell, value, made_by):
    main = cell(CELL.format(v=1))
    name = value.split("(")[0].removesuffix(".RED")
    takes, gives = interfaces(cell, name)
    old = evaluated(main, value)
    assert type(through_input(takes, old)) is type(old)
    assert type(through_output(gives, old)) is type(old)
    cell(CELL.format(v=2))
    new = evaluated(main, value)
    assert type(new) is not type(old)
    given = new if made_by == "the new class" else old
    for arrived in (through_input(takes, given), through_output(gives, given)):
        assert type(arrived) is evaluated(main, name)
        assert arrived.v == 2 if name == "Q" else arrived.version() == 2
        assert name == "Q" or arrived == new


@pytest.mark.parametrize(
    ("annotation", "value", "inner"),
    [
        ("list[P]", "[P(1)]", "value[0]"),
        ("dict[str, P]", "{'a': P(1)}", "value['a']"),
        ("tuple[P, ...] | None", "(P(1),)", "value[0]"),
        ("Optional[P]", "P(1)", "value"),
        ("Color | P", "P(1)", "value"),
        ("Pair | Model | P", "Model(a=1)", "value"),
        ("Q | P", "P(1)", "value"),
        ("Holder", "Holder(P(1), [])", "value.p"),
        ("Holder", "Holder(P(1), [P(2)])", "value.many[0]"),
    ],
)
def test_so_it_does_inside_other_annotations(cell, annotation, value, inner):
    main = cell(CELL.format(v=1) + HOLDING)
    takes, gives = interfaces(cell, annotation)
    old = evaluated(main, value)
    through_input(takes, old), through_output(gives, old)
    for version in (2, 3):
        cell(CELL.format(v=version))
        for given in (old, evaluated(main, value)):
            for arrived in (through_input(takes, given), through_output(gives, given)):
                part = eval(inner, {"value": arrived})
                assert part.version() == version
                assert type(part) is getattr(main, type(part).__name__)


def test_a_generic_dataclass_is_rebuilt_as_it_is_now(cell):
    source = """
import dataclasses
from typing import Generic, TypeVar
T = TypeVar("T")
@dataclasses.dataclass
class Box(Generic[T]):
    content: T
    def version(self): return {v}
"""
    main = cell(source.format(v=1))
    takes, _ = interfaces(cell, "Box[int]")
    cell(source.format(v=2))
    assert through_input(takes, main.Box(1)).version() == 2
    with pytest.raises(TypeError, match='Field "content" of Box'):
        takes.encode_inputs({"x": main.Box("a")})


def test_fields_that_were_added_or_taken_away_are_those_of_the_class_now(cell):
    main = cell(CELL.format(v=1))
    takes, gives = interfaces(cell, "P")
    _, paired = interfaces(cell, "Pair")
    cell(
        CELL.format(v=2).replace("x: int", "x: int\n    y: str", 1).replace("    b: int = 0", "    b: int\n    c: str")
    )
    assert through_input(takes, main.P(1, "a")) == main.P(1, "a")
    assert through_output(gives, main.P(1, "a")) == main.P(1, "a")
    assert through_output(paired, main.Pair(1, 2, "c")) == main.Pair(1, 2, "c")
    assert list(paired.outputs) == ["a", "b", "c"]


def test_a_class_that_became_another_kind_of_class_is_converted_as_that(cell):
    main = cell(CELL.format(v=1))
    takes, gives = interfaces(cell, "P")
    cell("from typing import NamedTuple\nclass P(NamedTuple):\n    a: int\n    b: int")
    assert through_input(takes, main.P(1, 2)) == main.P(1, 2)
    assert through_output(gives, main.P(1, 2)) == main.P(1, 2)
    cell(CELL.format(v=2))
    assert through_output(gives, main.P(1)) == main.P(1)


@pytest.mark.parametrize(
    ("name", "value", "before", "after", "change"),
    [
        ("P", "P(1)", "x: int", "x: int\n    y: str", r"with other fields \(y\)"),
        ("Model", "Model(a=1)", "a: int", "a: int\n    z: int", "with other fields"),
        ("Pair", "Pair(1, 2)", "    b: int = 0", "    c: int", r"with other fields \(b, c\)"),
        ("Color", "Color.RED", 'RED = "red"', 'BLUE = "blue"', "without RED"),
    ],
)
def test_an_old_value_that_does_not_fit_the_class_now_is_refused_with_what_to_run_again(
    cell, name, value, before, after, change
):
    main = cell(CELL.format(v=1))
    takes, gives = interfaces(cell, name)
    old = evaluated(main, value)
    cell(CELL.format(v=2).replace(before, after, 1))
    message = f"this {name} was made before its class was defined again {change}; run the cell that made it again"
    with pytest.raises(TypeError, match=message):
        takes.encode_inputs({"x": old})
    with pytest.raises(RuntimeDataValidationError, match=message):
        gives.encode_output(old)


def test_where_the_name_is_gone_the_error_names_both_cells(cell):
    main = cell(CELL.format(v=1))
    takes, _ = interfaces(cell, "P")
    cell(CELL.format(v=2).replace("x: int", "x: int\n    y: str", 1))
    value = main.P(1, "a")
    del main.P
    with pytest.raises(TypeError, match="run the cell that defines the task again, or the one that made the value"):
        takes.encode_inputs({"x": value})


def test_a_name_that_something_else_has_now_changes_nothing(cell):
    main = cell(CELL.format(v=1))
    takes, _ = interfaces(cell, "P")
    old, value = main.P, main.P(1)
    cell("P = 7")
    assert type(through_input(takes, value)) is old
    cell("P = int")
    assert type(through_input(takes, value)) is old


def test_reordered_fields_of_an_old_named_tuple_are_taken_by_name(cell):
    main = cell(CELL.format(v=1))
    takes, gives = interfaces(cell, "Pair")
    old = main.Pair(1, 2)
    cell(CELL.format(v=2).replace("    a: int\n    b: int = 0", "    b: int\n    a: int"))
    assert through_input(takes, old) == main.Pair(b=2, a=1)
    assert through_output(gives, old) == main.Pair(b=2, a=1)


def test_a_value_of_a_class_derived_from_an_old_one_still_passes(cell):
    main = cell(CELL.format(v=1))
    takes, _ = interfaces(cell, "P")
    models, _ = interfaces(cell, "Model")
    cell("@dataclasses.dataclass\nclass Sub(P):\n    z: int = 0\nclass Finer(Model):\n    b: int = 0")
    cell(CELL.format(v=2))
    assert through_input(takes, main.Sub(1, 5)) == main.P(1)
    assert through_input(models, main.Finer(a=1, b=2)) == main.Finer(a=1, b=2)


def test_an_old_value_of_a_class_with_another_memory_layout_is_moved_into_the_new_one_if_it_fits(cell):
    source = "class S:\n    __slots__ = ({slots})\n"
    main = cell(source.format(slots="'a',"))
    takes, _ = interfaces(cell, "S")
    old = main.S()
    old.a = 1
    cell(source.format(slots="'a', 'b'"))
    arrived = through_input(takes, old)
    assert (type(arrived), arrived.a) == (main.S, 1)
    cell(source.format(slots="'b',"))
    with pytest.raises(TypeError, match="this S was made before its class was defined again in a way that does not"):
        through_input(takes, old)

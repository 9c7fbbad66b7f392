"""Lists, dicts, tuples, sets, unions and literals: strictness, nesting, and copies that share nothing."""

# ruff: noqa: PYI061, UP006, UP007, UP035, UP045 - annotations come in every spelling
from __future__ import annotations

import pickle
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Dict, List, Literal, Optional, Tuple, Union

import numpy as np
import pytest

from flyte_notebook.record.codec import converter
from tests.record.codec_cases import Color, Model, Options, Pair, Plain, Point, encoded, round_trip


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (list[int], [1, 2]),
        (list[int], []),
        (List[int], [1]),
        (list[float], [1.0, 2.5]),
        (list[str], ["a", "b"]),
        (list[bool], [True, False]),
        (list[Optional[int]], [1, None]),
        (list[list[int]], [[1], [], [2, 3]]),
        (list[Any], [1, "a", None, (1,), {2}]),
        (list, [1, "a", Plain()]),
        (list[tuple[int, str]], [(1, "a")]),
        (list[set[int]], [{1, 2}, set()]),
        (dict[str, int], {"b": 1, "a": 2}),
        (dict[str, int], {"$": 1, "a": 2}),
        (dict[int, str], {1: "a", -5: "b"}),
        (dict[tuple[int, int], int], {(1, 2): 3}),
        (dict[Color, int], {Color.RED: 1}),
        (dict[str, list[int]], {"a": [1]}),
        (dict[str, Any], {"a": Plain(), "b": (1, {2})}),
        (dict[str, dict[str, Point]], {"a": {"b": Point(1)}}),
        (dict, {"a": 1, "b": [None, True, {"c": 1.5}]}),
        (dict, {1: "a", "$": {2: b"x"}}),
        (Dict, {"a": 1}),
        (tuple[int, str], (1, "a")),
        (tuple[int, ...], (1, 2, 3)),
        (tuple[int, ...], ()),
        (tuple[()], ()),
        (tuple, (1, "a")),
        (Tuple, (1,)),
        (tuple[np.ndarray | None, int], (None, 1)),
        (set[int], {1, 2}),
        (set[tuple[int, str]], {(1, "a"), (2, "b")}),
        (frozenset[str], frozenset({"a", "b"})),
        (set, {1, "a"}),
        (Union[int, str], "a"),
        (int | float, 1.5),
        (Union[list[int], list[str]], ["a"]),
        (Union[list[int], list[str]], []),
        (Union[str, list[str]], ["a"]),
        (Union[Point, Model], Model(a=1)),
        (Union[Point, Model], Point(1)),
        (Union[int, bool], True),
        (Optional[Color], Color.BLUE),
        (Optional[Any], "a"),
        (Union[int, Plain], Plain(3)),
        (Literal["a", 1, None, b"x"], b"x"),
        (Literal["a", 1, None], None),
        (Sequence[int], (1, 2)),
        (Mapping[str, int], {"a": 1}),
        (Iterable[int], [1]),
    ],
)
def test_a_value_arrives_as_it_was(annotation, value):
    arrived = round_trip(annotation, value)
    assert arrived == value
    assert type(arrived) is type(value)


@pytest.mark.parametrize(
    ("annotation", "value", "reason"),
    [
        (list[int], (1, 2), "is not of container type <class 'list'>"),
        (list[int], range(3), "is not of container type <class 'list'>"),
        (list[int], {1}, "is not of container type <class 'list'>"),
        (list[int], np.array([1]), "is not of container type <class 'list'>"),
        (list[int], None, "is not of container type <class 'list'>"),
        (list[int], [1.0], "Expected value of type <class 'int'>"),
        (list[int], [1, True], "Expected value of type <class 'int'>"),
        (list[float], [1, 2], "Expected value of type <class 'float'>"),
        (list[list[int]], [(1,)], "is not of container type <class 'list'>"),
        (dict[str, int], [("a", 1)], "is not of container type <class 'dict'>"),
        (dict[str, int], {1: 1}, "Expected value of type <class 'str'>"),
        (dict[str, int], {"a": 1.0}, "Expected value of type <class 'int'>"),
        (dict, [1], "Expected value of type <class 'dict'>"),
        (dict, {"a": Plain()}, "can not serialize 'Plain' object"),
        (dict, {"a": {1}}, r"can not serialize 'set' object; annotate it dict\[str, Any\]"),
        (tuple[int, str], (1,), "Tuple length 1 doesn't match expected length 2"),
        (tuple[int, str], (1, 2), "Expected value of type <class 'str'>"),
        (tuple[int, str], 1, "Expected value of type tuple"),
        (set[int], [1], "Expected value of type set"),
        (set[int], {"a"}, "Expected value of type <class 'int'>"),
        (frozenset[int], {1}, "Expected value of type frozenset"),
        (Union[int, str], 1.0, "Value 1.0 is not of type typing.Union"),
        (int | str, True, r"Value True is not of type int \| str"),
        (Union[list[int], list[str]], [1.0], "is not of type"),
        (Literal["a", "b"], "c", "Value c is not one of 'a', 'b'"),
        (Literal[1, 2], True, "Value True is not one of 1, 2"),
        (Literal[1, 2], 3, "Value 3 is not one of 1, 2"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(annotation, value, reason):
    with pytest.raises(TypeError, match=reason):
        converter(annotation).encode(value)


@pytest.mark.parametrize(
    ("annotation", "value", "arrives"),
    [
        (tuple[int, str], [1, "a"], (1, "a")),
        (tuple[float, float], (1, 2), (1.0, 2.0)),
        (dict[int, float], {1: 1}, {1: 1.0}),
        (dict[str, int], OrderedDict(a=1), {"a": 1}),
        (dict, defaultdict(int, a=1), {"a": 1}),
        (Union[Point, Model], {"x": 1}, Point(1)),
        (Union[Point, Model], {"a": 1}, Model(a=1)),
    ],
)
def test_what_flyte_converts_is_converted(annotation, value, arrives):
    arrived = round_trip(annotation, value)
    assert arrived == arrives
    assert type(arrived) is type(arrives)


def test_a_dict_keeps_its_order_and_its_digest_does_not_have_one():
    one, other = {"b": 1, "a": [2]}, {"a": [2], "b": 1}
    assert list(round_trip(dict[str, Any], one)) == ["b", "a"]
    assert encoded(dict[str, Any], one).digest == encoded(dict[str, Any], other).digest


def test_a_set_has_one_encoding_whatever_its_history():
    grown = set(range(1000, 0, -1)) - set(range(11, 1001))
    assert encoded(set[int], grown) == encoded(set[int], set(range(1, 11)))


def test_what_a_child_changes_its_caller_never_sees():
    value = {"a": [1, 2], "b": [[3]]}
    encoding = encoded(dict[str, list], value)
    first, second = (converter(dict[str, list]).decode(encoding) for _ in range(2))
    first["a"].append(9)
    first["b"][0][0] = 9
    assert second == value == {"a": [1, 2], "b": [[3]]}


def test_a_value_is_recorded_as_it_was_when_it_was_passed():
    value = [1, 2, 3]
    encoding = encoded(list[int], value)
    value.append(4)
    assert converter(list[int]).decode(encoding) == [1, 2, 3]


def test_circles_and_shared_parts_survive_where_nothing_is_said_about_the_contents():
    circle: list = [1]
    circle.append(circle)
    arrived = round_trip(Any, circle)
    assert arrived[0] == 1
    assert arrived[1] is arrived

    for shared in (Plain(), [1], {"a": 1}, {1}):
        one, two = round_trip(list, [shared, shared])
        assert one is two
        assert one == shared


@pytest.mark.parametrize(
    "double", [lambda x: [x, x], lambda x: (x, x), lambda x: {"a": x, "b": x}, lambda x: (x, (x,))]
)
def test_a_value_whose_parts_are_shared_over_and_over_is_not_written_out(double):
    value = double(1)
    for _ in range(20):
        value = double(value)
    arrived = round_trip(Any, value)
    assert encoded(Any, value).size < 2_000
    for _ in range(20):
        value, arrived = ([*each.values()][0] if isinstance(each, dict) else each[0] for each in (value, arrived))
    assert arrived == value == double(1)


def test_a_long_tuple_in_many_places_is_written_once():
    rows = tuple(range(1_000))
    assert len(pickle.dumps(rows)) < encoded(Any, [rows] * 100).size < 2 * len(pickle.dumps(rows))


def test_a_circle_under_a_strict_annotation_is_a_clear_error():
    circle: dict = {}
    circle["a"] = circle
    with pytest.raises(TypeError, match="nested too deeply"):
        converter(dict).encode(circle)


def test_deep_plain_data_arrives():
    deep: Any = 1
    for _ in range(120):
        deep = [deep]
    assert round_trip(Any, deep) == deep


def test_a_union_read_after_its_annotation_changed_finds_the_variant_that_fits():
    encoding = encoded(Union[Point, list[int]], [1, 2])
    assert converter(Union[list[int], Color]).decode(encoding) == [1, 2]
    assert converter(Union[Color, list[float], list[int]]).decode(encoding) == [1, 2]


def test_equal_values_are_equal_whatever_variant_of_a_union_or_element_of_any_they_are():
    digests = {encoded(a, [1, 2]).digest for a in (list[int], list, Any, Union[list[int], str], Optional[list[int]])}
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("annotation", "value", "is_settled"),
    [
        (int, 1, True),
        (str, "a", True),
        (Optional[int], None, True),
        (tuple[int, str], (1, "a"), True),
        (tuple[int, list[int]], (1, [1]), False),
        (list[int], [1], False),
        (Color, Color.RED, True),
        (Color, "RED", False),
        (Pair, Pair(1, "a"), True),
        (Pair, (1, "a"), False),
        (Options, {"a": 1}, False),
        (Literal["a"], "a", True),
        (Any, "a", True),
        (Any, [1], False),
        (Callable, len, False),
    ],
)
def test_only_what_nobody_can_change_is_handed_on_as_it_is(annotation, value, is_settled):
    assert converter(annotation).settled(value) is is_settled

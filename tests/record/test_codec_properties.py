"""What holds for every value: it arrives as it was, copies share nothing, equal values have equal digests."""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import random
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from flyte_notebook.record.codec import Draft, converter, describe, preview
from flyte_notebook.record.digest import digest
from tests.record.codec_cases import Color, Point

many = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])

_INT = st.integers(-(2**63), 2**63 - 1)
_TEXT = st.text(st.characters(), max_size=20)
_FLOAT = st.floats(allow_nan=False)
_SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    int: _INT,
    float: _FLOAT,
    str: _TEXT,
    bool: st.booleans(),
    type(None): st.none(),
    bytes: st.binary(max_size=40),
    Color: st.sampled_from(Color),
    dt.datetime: st.datetimes() | st.datetimes(timezones=st.timezones()),
    dt.date: st.dates(),
    dt.timedelta: st.timedeltas(),
    Point: st.builds(Point, _INT, _FLOAT),
}
_HASHABLE = (int, str, bool, bytes, Color, dt.date)


def _typed() -> st.SearchStrategy[tuple[Any, Any]]:
    """An annotation and a value that fits it."""
    return _annotations().flatmap(lambda a: st.tuples(st.just(a), _values(a)))


def _annotations() -> st.SearchStrategy[Any]:
    def grow(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return st.one_of(
            inner.map(lambda a: list[a]),
            inner.map(lambda a: dict[str, a]),
            st.tuples(st.sampled_from(_HASHABLE), inner).map(lambda pair: dict[pair]),
            st.tuples(inner, inner).map(lambda pair: tuple[pair]),
            inner.map(lambda a: tuple[a, ...]),
            inner.map(lambda a: a | None),
            st.sampled_from(_HASHABLE).map(lambda a: set[a]),
        )

    return st.recursive(st.sampled_from(list(_SCALARS)), grow, max_leaves=4)


def _values(annotation: Any) -> st.SearchStrategy[Any]:
    if annotation in _SCALARS:
        return _SCALARS[annotation]
    origin, args = getattr(annotation, "__origin__", None), annotation.__args__
    if origin is list:
        return st.lists(_values(args[0]), max_size=4)
    if origin is dict:
        return st.dictionaries(_values(args[0]), _values(args[1]), max_size=4)
    if origin is set:
        return st.sets(_values(args[0]), max_size=4)
    if origin is tuple and args[-1] is Ellipsis:
        return st.lists(_values(args[0]), max_size=4).map(tuple)
    if origin is tuple:
        return st.tuples(*map(_values, args))
    return st.one_of(*map(_values, args))


class _Memory:
    """A blob store in memory."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}

    def put(self, parts: Any) -> str:
        name = f"{len(self.content):064x}"
        self.content[name] = b"".join(map(bytes, parts))
        return name

    def open(self, name: str) -> memoryview:
        return memoryview(bytearray(self.content[name]))

    def peek(self, name: str) -> memoryview:
        return self.open(name)


def _recorded(annotation: Any, value: Any) -> tuple[Any, Any]:
    result, memory = converter(annotation).encode(value), _Memory()
    return (result.seal(memory) if isinstance(result, Draft) else result), memory


@many
@given(_typed())
def test_a_typed_value_arrives_as_it_was(case):
    annotation, value = case
    encoded, memory = _recorded(annotation, value)
    arrived = converter(annotation).decode(encoded, memory)
    assert arrived == value
    assert type(arrived) is type(value)


@many
@given(_typed())
def test_a_value_arrives_as_it_was_where_nothing_is_said_about_it(case):
    _, value = case
    encoded, memory = _recorded(Any, value)
    assert converter(Any).decode(encoded, memory) == value


@many
@given(_typed())
def test_equal_values_have_equal_digests(case):
    annotation, value = case
    assert _recorded(annotation, value)[0].digest == _recorded(annotation, copy.deepcopy(value))[0].digest
    assert digest(value) == digest(copy.deepcopy(value))


@many
@given(_typed())
def test_a_value_that_went_through_the_record_has_the_digest_that_it_had(case):
    annotation, value = case
    encoded, memory = _recorded(annotation, value)
    again, _ = _recorded(annotation, converter(annotation).decode(encoded, memory))
    assert again.digest == encoded.digest


@many
@given(_typed(), _typed())
def test_different_values_have_different_digests(one, other):
    first, second = _recorded(*one)[0], _recorded(*other)[0]
    if first.digest == second.digest:
        assert one[1] == other[1]


@many
@given(_typed())
def test_whatever_is_shown_is_short_and_can_be_written(case):
    encoded, memory = _recorded(*case)
    line, shown = preview(encoded, memory), describe(encoded, memory)
    assert len(line) <= 200
    assert "\n" not in line
    assert len(shown["text"]) <= 4_000
    (line + shown["text"]).encode()


def _mutate(value: Any, random: random.Random) -> None:
    """Change everything in `value` that can be changed."""
    if isinstance(value, list):
        for item in value:
            _mutate(item, random)
        value.append(random.random())
    elif isinstance(value, dict):
        for item in value.values():
            _mutate(item, random)
        value[random.random()] = None
    elif isinstance(value, set):
        value.add(random.random())
    elif isinstance(value, tuple):
        for item in value:
            _mutate(item, random)
    elif dataclasses.is_dataclass(value):
        value.x = random.random()


@many
@given(_typed(), st.randoms(use_true_random=False))
def test_a_copy_that_is_changed_is_never_seen_by_the_original_nor_by_other_copies(case, random):
    annotation, value = case
    before = copy.deepcopy(value)
    encoded, memory = _recorded(annotation, value)
    copies = [converter(annotation).decode(encoded, memory) for _ in range(2)]
    _mutate(copies[0], random)
    assert value == before
    assert copies[1] == before


@many
@given(hnp.arrays(hnp.scalar_dtypes().filter(lambda d: d.kind != "V"), hnp.array_shapes(min_dims=0, min_side=0)))
def test_every_array_arrives_with_its_digest(array):
    encoded, memory = _recorded(np.ndarray, array)
    arrived = converter(np.ndarray).decode(encoded, memory)
    assert arrived.dtype == array.dtype
    assert arrived.shape == array.shape
    assert arrived.tobytes() == array.tobytes()
    assert _recorded(np.ndarray, np.array(array, order="F"))[0].digest == encoded.digest


@many
@given(
    st.lists(
        st.tuples(_INT, _FLOAT, st.text(st.characters(max_codepoint=127), max_size=8), st.booleans()), max_size=10
    ),
    st.randoms(use_true_random=False),
)
def test_every_table_arrives_with_its_digest(rows, random):
    frame = pd.DataFrame(rows, columns=["i", "f", "s", "b"])
    encoded, memory = _recorded(pd.DataFrame, frame)
    pd.testing.assert_frame_equal(converter(pd.DataFrame).decode(encoded, memory), frame)
    assert _recorded(pd.DataFrame, pd.concat([frame[[name]] for name in frame], axis=1))[0].digest == encoded.digest
    if rows:
        changed = frame.copy()
        changed.loc[random.randrange(len(rows)), "b"] ^= True
        assert _recorded(pd.DataFrame, changed)[0].digest != encoded.digest

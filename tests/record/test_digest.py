"""Structural digests: equal for equal values in every kernel, different for different ones."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import functools
import os
import pathlib
import re
import subprocess
import sys
import textwrap
import threading
import types
import uuid

import cloudpickle
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from flyte_notebook.record.codec import converter
from flyte_notebook.record.digest import Hasher, TooLargeError, digest
from tests.record.codec_cases import Color, Level, Model, Plain, Point


def kernel(source: str, seed: int) -> str:
    """What a fresh Python prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)],
        env={**os.environ, "PYTHONHASHSEED": str(seed)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_digests_are_equal_in_every_kernel():
    source = """
        import collections, dataclasses, datetime as dt, enum, functools, re
        import numpy as np, pandas as pd
        from flyte_notebook.record.digest import digest
        from flyte_notebook.record.codec import converter

        class Color(enum.Enum):
            RED = "red"

        @dataclasses.dataclass
        class Point:
            x: int
            tags: set

        class Plain:
            def __init__(self):
                self.names = {"a", "b", "c"}
                self.nested = [{"x": {1, 2}, "y": frozenset("abc")}]

        values = [
            {"a", "b", "c", 1, 2.5, None},
            {"b": 1, "a": {3, 2, 1}},
            Point(1, {"x", "y", "z"}),
            Color.RED,
            Plain(),
            [Plain(), {Color.RED: Plain()}],
            functools.partial(sorted, key=len),
            collections.Counter("hello world"),
            collections.defaultdict(list, a=[1]),
            re.compile("a+"),
            lambda x: x in {"p", "q", "r"},
            np.arange(10),
            pd.DataFrame({"a": [1, 2], "b": ["x", None]}),
            pd.Series(["x", "y"], dtype="category"),
            dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc),
            Point,
            Plain().__init__,
        ]
        for value in values:
            print(digest(value).hex(), converter(object).encode(value).digest.hex())
    """
    printed = [kernel(source, seed) for seed in (0, 1, 2)]
    assert len(printed[0].splitlines()) == 17
    assert printed[0] == printed[1] == printed[2]


@dataclasses.dataclass
class Other:
    x: int
    y: float = 1.0


def circle(value: int) -> list:
    ring: list = [value]
    ring.append(ring)
    return ring


def function(step: int):
    return lambda x: x + step


DIFFERENT = [
    None,
    True,
    False,
    1,
    1.0,
    -0.0,
    0.0,
    "1",
    b"1",
    bytearray(b"1"),
    1 + 0j,
    [],
    (),
    set(),
    frozenset(),
    {},
    [1, 2],
    [2, 1],
    (1, 2),
    {1, 2},
    {"a": 1},
    {"a": 2},
    {"a": {"b": 1}},
    [[1], 2],
    [1, [2]],
    Point(1),
    Point(2),
    Other(1),
    Point,
    Other,
    Model(a=1),
    Model(a=2),
    Color.RED,
    Color.BLUE,
    Level.LOW,
    Plain(1),
    Plain(2),
    dt.date(2020, 1, 1),
    dt.datetime(2020, 1, 1),
    dt.timedelta(1),
    decimal.Decimal("1.0"),
    decimal.Decimal("1.00"),
    uuid.UUID(int=1),
    pathlib.PurePosixPath("a"),
    re.compile("a"),
    re.compile("a", re.IGNORECASE),
    range(3),
    range(4),
    collections.OrderedDict(a=1),
    collections.OrderedDict(a=1, b=2),
    collections.OrderedDict(b=2, a=1),
    collections.deque([1]),
    collections.Counter(a=1),
    ValueError("a"),
    KeyError("a"),
    len,
    max,
    [].append,
    [1].append,
    functools.partial(max, 1),
    functools.partial(max, 2),
    function(1),
    function(2),
    Plain(1).double,
    Plain(2).double,
    circle(1),
    circle(2),
    types,
    np.int64(1),
    np.float64(1),
    np.arange(2),
    np.arange(2.0),
    np.arange(2).reshape(2, 1),
    np.array([1, None], dtype=object),
    np.dtype("i4"),
    np.zeros(1, dtype=[("a", "i4"), ("b", "i8")]),
    np.zeros(1, dtype=[("a", "i8"), ("b", "i8")]),
    np.zeros(1, dtype=[("b", "i8"), ("a", "i8")]),
    np.zeros(1, dtype=[(("title", "a"), "i8"), ("b", "i8")]),
    np.zeros(1, dtype=[("a", "i8"), ("b", [("x", "i8")])]),
    np.zeros(1, dtype=[("a", "i8"), ("b", [("y", "i8")])]),
    np.ma.zeros(1, dtype=[("a", "i8"), ("b", "i8")]),
    np.ma.zeros(1, dtype=[("b", "i8"), ("a", "i8")]),
    pd.DataFrame({"a": [0, 1]}),
    pd.DataFrame({"b": [0, 1]}),
    pd.DataFrame({"a": [0, 1]}, index=[1, 2]),
    pd.DataFrame({"a": [0, 1]}, index=pd.Index([0, 1], name="n")),
    pd.Series([0, 1]),
    pd.Series([0, 1], name="a"),
    pd.Index([0, 1]),
    pd.RangeIndex(2),
    pd.DatetimeIndex(["2024-01-31", "2024-02-29"]),
    pd.DatetimeIndex(["2024-01-31", "2024-02-29"], freq="ME"),
    pd.DatetimeIndex(["2024-01-31", "2024-02-29"], freq="BME"),
    pd.Series([0, 1], index=pd.DatetimeIndex(["2024-01-31", "2024-02-29"], freq="ME")),
    pd.Series([0, 1], index=pd.DatetimeIndex(["2024-01-31", "2024-02-29"], freq="BME")),
    pd.to_timedelta([0, 1], unit="D"),
    pd.timedelta_range("0D", periods=2, freq="D"),
    pd.DataFrame({"a": [0, 1]}).set_flags(allows_duplicate_labels=False),
    pd.Timestamp("2020"),
    pd.Categorical(["a"]),
    pa.array([1, 2]),
    pa.table({"a": [1, 2]}),
    pa.table({"a": [1, 2]}).replace_schema_metadata({"k": "x" * 2_000 + "1"}),
    pa.table({"a": [1, 2]}).replace_schema_metadata({"k": "x" * 2_000 + "2"}),
]


def test_different_values_have_different_digests():
    digests = collections.defaultdict(list)
    for value in DIFFERENT:
        digests[digest(value)].append(value)
    assert [same for same in digests.values() if len(same) > 1] == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (collections.Counter("ab"), collections.Counter("ba")),
        (Plain(1), Plain(1)),
        (circle(1), circle(1)),
        (function(1), function(1)),
        (np.arange(6).reshape(2, 3), np.asfortranarray(np.arange(6).reshape(2, 3))),
        (np.arange(10)[::2], np.arange(0, 10, 2)),
        (pd.DataFrame({"a": [1, 2]}).iloc[1:], pd.DataFrame({"a": [2]}, index=pd.RangeIndex(1, 2))),
        (pa.array([1, 2, 3])[1:], pa.array([2, 3])),
        (pa.chunked_array([[1], [2]]), pa.chunked_array([[1, 2]])),
        ([["a"], ["a"]], [shared := ["a"], shared]),
    ],
)
def test_equal_values_have_equal_digests(one, other):
    assert digest(one) == digest(other)


def test_an_object_with_something_that_cannot_be_taken_apart_counts_by_the_rest():
    class Guarded:
        def __init__(self, x: int) -> None:
            self.x = x
            self.lock = threading.Lock()

    def depended(value: object) -> bytes:
        return Hasher(code=lambda thing: b"code").of(value)

    assert depended(Guarded(1)) == depended(Guarded(1))
    assert depended(Guarded(1)) != depended(Guarded(2))
    assert digest(Guarded(1)) != digest(Guarded(1))


def test_a_value_of_more_bytes_than_allowed_is_not_read():
    for value in (
        "x" * 2_000,
        b"x" * 2_000,
        np.zeros(1_000),
        list(range(1_000)),
        {"a": ["x" * 2_000]},
        Plain("x" * 2_000),
    ):
        with pytest.raises(TooLargeError):
            digest(value, limit=1_000)
        assert digest(value, limit=100_000) == digest(value)


def test_padding_between_fields_of_a_record_is_no_content():
    kind = np.dtype([("a", "u1"), ("b", "u8")], align=True)
    one, other = np.zeros(3, kind), np.full(3 * kind.itemsize, 255, "u1").view(kind)
    other["a"] = 0
    other["b"] = 0
    assert one.tobytes() != other.tobytes()
    assert digest(one) == digest(other)


def test_a_table_with_many_interleaved_columns_is_read_in_one_pass_with_the_same_result():
    values = np.random.default_rng(0).normal(size=(5_000, 40))
    interleaved, apart = pd.DataFrame(values), pd.DataFrame({i: values[:, i].copy() for i in range(40)})
    apart.columns = interleaved.columns
    assert digest(interleaved) == digest(apart)
    values[4_999, 39] += 1
    assert digest(pd.DataFrame(values)) != digest(apart)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1}.keys(), {"b": 1, "c": 2}.keys()),
        ({"a": 1}.values(), {"a": 2}.values()),
        ({"a": 1}.items(), {"a": 2}.items()),
        (types.MappingProxyType({"a": 1}), types.MappingProxyType({"a": 2})),
        (property(function(1)), property(function(2))),
        (classmethod(function(1)), classmethod(function(2))),
        (function(1).__code__, circle.__code__),
        (function(1).__closure__[0], function(2).__closure__[0]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_only_cloudpickle_can_pickle_counts_by_what_it_would_pickle(one, other):
    assert digest(one) == digest(cloudpickle.loads(cloudpickle.dumps(one))) != digest(other)
    assert converter(object).encode(one).digest != converter(object).encode(other).digest


def test_a_number_of_thousands_of_digits_has_a_digest():
    big = 10**5000
    for one, same, other in (
        (big, 10**5000, big + 1),
        ([big], [10**5000], [big + 1]),
        ([1, -big], [1, -big], [1, big]),
    ):
        assert digest(one) == digest(same) != digest(other)


def test_a_value_that_raises_when_it_is_looked_at_is_never_taken_for_another():
    class Hostile:
        def __reduce_ex__(self, protocol):
            raise ZeroDivisionError

    class Endless:
        def __reduce__(self):
            return (list, (), None, (1 / 0 for _ in [1]))

    for value in (Hostile(), [Hostile(), 1], Endless()):
        assert digest(value) != digest(value)
        assert Hasher(code=lambda thing: b"code").of(value) == Hasher(code=lambda thing: b"code").of(value)


def test_a_value_nested_in_a_thousand_levels_has_a_digest():
    def nested(core: int) -> list:
        value: list = [core]
        for _ in range(400):
            value = [value]
        return value

    assert digest(nested(1)) == digest(nested(1)) != digest(nested(2))

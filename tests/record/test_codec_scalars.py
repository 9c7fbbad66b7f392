"""Scalars: what passes, what does not, and what arrives. The rules are Flyte's own."""

# ruff: noqa: UP017, UP045 - annotations come in every spelling
from __future__ import annotations

import datetime as dt
import decimal
import inspect
import math
import pathlib
import uuid
from typing import Annotated, Any, NewType, Optional
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from flyte_notebook.record.blobs import BlobStore
from flyte_notebook.record.codec import converter
from flyte_notebook.record.text import dump, load
from tests.record.codec_cases import Color, Level, Mode, drafted, encoded, round_trip

UserId = NewType("UserId", int)
UTC = dt.timezone.utc


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, 0),
        (int, -(2**63)),
        (int, 2**63 - 1),
        (float, 1.5),
        (float, -0.0),
        (float, math.inf),
        (float, 5e-324),
        (bool, True),
        (bool, False),
        (str, ""),
        (str, "Grüße, 世界 🎉 \x00\n\"'\\"),
        (str, "\ud800 alone"),
        (None, None),
        (type(None), None),
        (bytes, b"\x00\xff"),
        (bytearray, bytearray(b"abc")),
        (dt.datetime, dt.datetime(2020, 1, 2, 3, 4, 5, 6)),
        (dt.datetime, dt.datetime(2020, 1, 1, tzinfo=UTC)),
        (dt.datetime, dt.datetime(2020, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=2, seconds=1)))),
        (dt.date, dt.date(2020, 1, 1)),
        (dt.timedelta, dt.timedelta(days=-1, microseconds=1)),
        (dt.time, dt.time(1, 2, 3)),
        (decimal.Decimal, decimal.Decimal("-1.50")),
        (uuid.UUID, uuid.UUID(int=7)),
        (pathlib.Path, pathlib.Path("/a/b")),
        (complex, 1 - 2j),
        (range, range(3)),
        (type, int),
        (Any, None),
        (inspect.Parameter.empty, 3),
        (inspect.Parameter.empty, None),
        (object, "x"),
        (UserId, 3),
        (Annotated[int, "with a remark"], 3),
        (Annotated[list[int], ["unhashable"]], [3]),
    ],
)
def test_a_value_arrives_as_it_was(annotation, value):
    arrived = round_trip(annotation, value)
    assert arrived == value
    assert type(arrived) is type(value)


def test_nan_arrives_as_nan():
    assert math.isnan(round_trip(float, math.nan))
    assert [math.isnan(x) for x in round_trip(list[float], [math.nan, 1.0])] == [True, False]


def test_negative_zero_keeps_its_sign():
    assert math.copysign(1, round_trip(float, -0.0)) == -1


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, True),
        (int, 1.0),
        (int, np.int64(1)),
        (int, "1"),
        (int, None),
        (int, Color.RED),
        (float, 1),
        (float, -1),
        (float, True),
        (float, np.float32(1)),
        (float, np.int64(1)),
        (float, decimal.Decimal(1)),
        (float, "1"),
        (bool, 1),
        (bool, 0),
        (bool, np.bool_(True)),
        (bool, None),
        (str, 1),
        (str, None),
        (str, b"a"),
        (str, Color.RED),
        (None, 1),
        (dt.datetime, dt.date(2020, 1, 1)),
        (dt.datetime, "2020-01-01"),
        (dt.date, "2020-01-01"),
        (dt.timedelta, 1),
        (Annotated[int, "with a remark"], "a"),
    ],
)
def test_a_value_of_another_type_is_refused(annotation, value):
    with pytest.raises(TypeError, match="Expected value of type .* but got .* of type <"):
        converter(annotation).encode(value)


@pytest.mark.parametrize(
    ("annotation", "value", "arrives"),
    [
        (float, np.float64(2.5), 2.5),
        (int, Level.HIGH, 2),
        (str, Mode.FAST, "fast"),
        (str, np.str_("x"), "x"),
        (dt.datetime, pd.Timestamp("2020-01-01 12:00"), dt.datetime(2020, 1, 1, 12)),
        (dt.date, dt.datetime(2020, 1, 1, 12), dt.date(2020, 1, 1)),
        (dt.timedelta, pd.Timedelta("1s"), dt.timedelta(seconds=1)),
    ],
)
def test_a_subclass_arrives_as_the_annotated_type(annotation, value, arrives):
    arrived = round_trip(annotation, value)
    assert arrived == arrives
    assert type(arrived) is type(arrives)
    assert not converter(annotation).settled(value)


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 10**30])
def test_an_int_of_more_than_64_bits_is_out_of_range(value):
    with pytest.raises(ValueError, match=f"Value out of range: {value}"):
        converter(int).encode(value)
    with pytest.raises(ValueError, match="out of range"):
        converter(list[int]).encode([1, value])
    assert round_trip(Any, value) == value


def test_a_zone_keeps_its_rules_and_its_fold():
    zone = ZoneInfo("Europe/Berlin")
    ambiguous = dt.datetime(2023, 10, 29, 2, 30, tzinfo=zone, fold=1)
    arrived = round_trip(dt.datetime, ambiguous)
    assert arrived.tzinfo is zone
    assert arrived.fold == 1
    assert arrived.utcoffset() == ambiguous.utcoffset()


def test_a_zone_of_another_library_arrives():
    class Odd(dt.tzinfo):
        def utcoffset(self, moment):
            return dt.timedelta(hours=3)

        def dst(self, moment):
            return dt.timedelta(0)

        def tzname(self, moment):
            return "ODD"

    arrived = round_trip(dt.datetime, dt.datetime(2020, 1, 1, tzinfo=Odd()))
    assert arrived.tzname() == "ODD"
    assert arrived.utcoffset() == dt.timedelta(hours=3)


def test_optional_takes_none_and_its_type_only():
    assert round_trip(Optional[int], None) is None
    assert round_trip(int | None, 3) == 3
    for value in ("a", 1.0, True):
        with pytest.raises(TypeError, match=r"is not of type typing\.Optional\[int\]"):
            converter(Optional[int]).encode(value)


def test_digests_tell_types_apart():
    values = [(int, 1), (float, 1.0), (str, "1"), (bool, True), (None, None), (bytes, b"1"), (complex, 1 + 0j)]
    assert len({encoded(annotation, value).digest for annotation, value in values}) == len(values)


@pytest.mark.parametrize(
    "value", [10**5000, -(10**5000), 2**1024, -(2**1024), 2**1024 - 1, 1 - 2**1024], ids=int.bit_length
)
def test_integers_of_any_size_arrive_where_the_annotation_does_not_say_int(value):
    for holder in (value, [value], [1, value, "a"], (value,), {"a": value}, {value: 1}, {value}):
        assert round_trip(Any, holder) == holder
        assert encoded(Any, holder).digest == encoded(Any, holder).digest
    assert encoded(Any, value).digest != encoded(Any, value + 1).digest


def test_a_long_list_of_integers_of_any_size_arrives(tmp_path):
    value = [*range(2_000), 10**5000]
    blobs = BlobStore(tmp_path)
    assert converter(Any).decode(drafted(Any, value).seal(blobs), blobs) == value


def test_an_integer_of_thousands_of_digits_is_out_of_range_where_the_annotation_says_int():
    with pytest.raises(ValueError, match="Value out of range.* annotate it Any"):
        converter(int).encode(10**5000)


@pytest.mark.parametrize("text", ["", " ", "1 2", "[1", '{"a"}', "nul", '"', "1]"])
def test_what_is_no_json_is_refused_as_one_error(text):
    with pytest.raises(ValueError, match=r"char \d+"):
        load(text)


def test_json_that_was_written_is_read_as_it_was():
    for value in (None, True, 1, -1.5, "ä\ud800", [1, [2]], {"a": {"b": None}}, float("inf")):
        assert load(dump(value)) == value

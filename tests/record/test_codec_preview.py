"""What is shown of recorded values: bounded, escaped, and never unpickled."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import json
import pathlib
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flyte_notebook.record.blobs import BlobStore
from flyte_notebook.record.codec import Encoded, converter, describe, preview
from tests.record.codec_cases import Color, Model, Pair, Plain, Point, Rude, drafted, encoded


@pytest.fixture
def blobs(tmp_path):
    return BlobStore(tmp_path / "blobs")


@pytest.mark.parametrize(
    ("annotation", "value", "shown"),
    [
        (int, 3, "3"),
        (float, 1.5, "1.5"),
        (bool, True, "True"),
        (None, None, "None"),
        (str, "it's", '"it\'s"'),
        (str, "two\nlines", "'two\\nlines'"),
        (list[int], [1, 2], "[1, 2]"),
        (dict[str, int], {"a": 1}, "{'a': 1}"),
        (dict[int, Any], {1: None}, "{1: None}"),
        (tuple[int, str], (1, "a"), "(1, 'a')"),
        (tuple[int, ...], (1,), "(1,)"),
        (set[int], {1}, "{1}"),
        (set[int], set(), "set({})"),
        (frozenset[int], frozenset({1}), "frozenset({1})"),
        (Point, Point(1), "Point(x=1, y=1.0)"),
        (Model, Model(a=1), "Model(a=1, b='z', inner=None)"),
        (Pair, Pair(1), "Pair(a=1, b='q')"),
        (Color, Color.RED, "Color.RED"),
        (Point | None, Point(1), "Point(x=1, y=1.0)"),
        (bytes, b"ab\x00", "b'ab\\x00'"),
        (bytes, b"a" * 100, "b'" + "a" * 60 + "'…"),
        (dt.datetime, dt.datetime(2020, 1, 2, 3), "2020-01-02T03:00:00"),
        (dt.timedelta, dt.timedelta(seconds=90), "0:01:30"),
        (decimal.Decimal, decimal.Decimal("1.50"), "Decimal('1.50')"),
        (pathlib.Path, pathlib.Path("/a"), "Path('/a')"),
        (complex, 1 + 2j, "(1+2j)"),
        (np.ndarray, np.arange(10), "array 10 int64: 0, 1, 2, 3, 4, 5, …"),
        (np.ndarray, np.zeros((2, 3)), "array 2 × 3 float64: 0, 0, 0, 0, 0, 0"),
        (np.ndarray, np.zeros((0, 3)), "array 0 × 3 float64:"),
        (np.ndarray, np.array(5), "array scalar int64: 5"),
        (np.ndarray, np.arange(6).reshape(2, 3).T, "array 3 × 2 int64: 0, 3, 1, 4, 2, 5"),
        (np.ndarray, np.array(["a" * 16, "b"], np.dtypes.StringDType()), f"array 2 StringDType(): {'a' * 16}, b"),
        (pd.DataFrame, pd.DataFrame({"a": [1], "b": [2]}), "DataFrame 1 × 2: a, b"),
        (pd.Series, pd.Series([1, 2], name="n"), "Series 2 int64 n"),
        (Any, np.int64(3), "np.int64(3)"),
        (Any, range(3), "range(0, 3)"),
        (Any, ValueError("bad"), "ValueError('bad')"),
    ],
)
def test_a_value_is_shown_in_one_line(annotation, value, shown):
    assert preview(encoded(annotation, value)) == shown


@pytest.mark.parametrize(
    ("annotation", "value", "name"),
    [
        (int, 3, "int"),
        (None, None, "None"),
        (list[int], [1], "list"),
        (dict[str, int], {}, "dict"),
        (tuple[int, int], (1, 2), "tuple"),
        (Point | None, Point(1), "Point"),
        (Color, Color.RED, "Color"),
        (np.ndarray, np.zeros(1), "ndarray"),
        (pd.DataFrame, pd.DataFrame(), "DataFrame"),
        (Any, Plain(), "Plain"),
    ],
)
def test_the_type_is_said_shortly(annotation, value, name):
    assert describe(encoded(annotation, value))["type"] == name


HUGE = [
    (str, "x" * 1_000_000),
    (list[int], list(range(100_000))),
    (list[str], ["x" * 100_000] * 3),
    (dict[str, int], {f"key {i}" * 100: i for i in range(1_000)}),
    (bytes, b"x" * 1_000_000),
    (np.ndarray, np.zeros((1_000, 1_000))),
    (pd.DataFrame, pd.DataFrame(np.zeros((1_000, 100)), columns=[f"column {i}" * 50 for i in range(100)])),
    (list[Point], [Point(i) for i in range(10_000)]),
    (Any, [Plain(i) for i in range(10_000)]),
]


@pytest.mark.parametrize(("annotation", "value"), HUGE)
def test_what_is_shown_of_a_huge_value_is_bounded(annotation, value, blobs):
    sealed = drafted(annotation, value).seal(blobs)
    shown = describe(sealed, blobs)
    assert len(preview(sealed, blobs)) <= 200
    assert "\n" not in preview(sealed, blobs)
    assert len(shown["text"]) <= 4_000
    assert len(json.dumps(shown)) < 100_000
    assert shown["size"] > 80_000


def test_a_large_value_is_shown_by_its_line_alone_where_the_store_is_not_at_hand(blobs):
    sealed = drafted(list[str], ["text"] * 10_000).seal(blobs)
    assert preview(sealed).startswith("['text', 'text'")
    assert describe(sealed)["text"] == preview(sealed)


def test_a_long_list_of_numbers_shows_its_beginning(blobs):
    sealed = drafted(list[int], list(range(10_000))).seal(blobs)
    assert preview(sealed).startswith("[0, 1, 2, ")
    assert preview(sealed).endswith("49, …]")
    assert describe(sealed)["type"] == "list"


def test_a_value_whose_repr_raises_is_a_value_like_any_other():
    for value in (Rude(), [Rude()], {"a": Rude()}):
        encoding = encoded(Any, value)
        assert "Rude whose repr raised RuntimeError" in preview(encoding)
        assert type(converter(Any).decode(encoding)) is type(value)


@dataclasses.dataclass
class Loud:
    data: list[int]

    def __repr__(self) -> str:
        return "LOUD\n" * 1_000


def test_a_value_with_a_repr_of_many_lines_is_shown_in_one():
    assert preview(encoded(Any, Loud([1]))).startswith("LOUD LOUD")


def test_a_value_that_claims_to_be_everything_is_shown():
    class Chameleon:
        def __getattr__(self, name):
            raise ZeroDivisionError(name)

        def __repr__(self):
            return "chameleon"

        def __reduce__(self):
            return (str, ("x",))

    assert preview(encoded(Any, Chameleon())) == "chameleon"


def test_markup_in_values_is_text():
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    frame = pd.DataFrame({evil: [evil]}, index=[evil])
    html = describe(encoded(pd.DataFrame, frame))["html"]
    assert "<script" not in html
    assert "<img" not in html
    assert html.count("&lt;script&gt;") == 3
    assert describe(encoded(str, evil)) == {"type": "str", "text": evil, "html": None, "size": len(evil) + 2}


def test_a_table_shows_at_most_twenty_rows_and_columns_and_says_how_many_there_are(blobs):
    frame = pd.DataFrame(np.arange(30 * 25).reshape(30, 25))
    html = describe(drafted(pd.DataFrame, frame).seal(blobs), blobs)["html"]
    assert html.count("<tr>") == 21
    assert html.count("<td>") == 20 * 21
    assert "30 rows × 25 columns" in html


def test_tables_inside_a_tuple_or_a_dict_are_shown_as_tables():
    frame = pd.DataFrame({"a": [1]})
    assert describe(encoded(tuple[int, pd.DataFrame], (1, frame)))["html"].count("<table>") == 1
    assert describe(encoded(dict[str, pd.DataFrame], {"x": frame, "y": frame}))["html"].count("<table>") == 2


def test_long_structures_are_broken_into_lines():
    text = describe(encoded(dict[str, list[Point]], {"points": [Point(i) for i in range(10)], "none": []}))["text"]
    assert text.splitlines()[:3] == ["{", "  'points': [", "    Point(x=0, y=1.0),"]
    assert text.splitlines()[-1] == "}"


def test_text_is_described_as_it_stands():
    assert describe(encoded(str, "two\nlines"))["text"] == "two\nlines"


@pytest.mark.parametrize(
    ("value", "line", "text"),
    [
        ("\ud800", "'\\ud800'", "\\ud800"),
        ({"\udfff": "\ud800"}, "{'\\udfff': '\\ud800'}", "{'\\udfff': '\\ud800'}"),
        (["\x1b[31m\x00"], "['\\x1b[31m\\x00']", "['\\x1b[31m\\x00']"),
    ],
)
def test_what_is_shown_can_be_written_anywhere(value, line, text):
    encoding = encoded(Any, value)
    assert preview(encoding) == line
    assert describe(encoding)["text"] == text


def test_tables_of_text_that_no_encoding_can_hold_can_be_written_anywhere():
    frame = pd.DataFrame([["\ud800\x00"]], columns=pd.Index(["a\ud800"], dtype=object), dtype=object)
    html = describe(encoded(pd.DataFrame, frame))["html"]
    assert html.encode().decode() == html
    assert html.count("\ufffd") == 3


def test_an_integer_of_thousands_of_digits_is_shown_by_its_beginning():
    assert preview(encoded(Any, -(16**5000))) == "-0x1" + "0" * 36 + "… (20,001 bits)"
    assert describe(encoded(Any, [1, 16**5000]))["type"] == "list"


def test_nothing_is_unpickled_to_show_a_value(monkeypatch, tmp_path):
    class Trap:
        def __reduce__(self):
            return (pathlib.Path.touch, (tmp_path / "sprung",))

    def refuse(*args, **kwargs):
        raise AssertionError("unpickled")

    encodings = [encoded(a, v) for a, v in [(Any, Trap()), (pd.DataFrame, pd.DataFrame({"a": [1]})), (Any, print)]]
    monkeypatch.setattr(pickle, "loads", refuse)
    monkeypatch.setattr(pickle, "Unpickler", refuse)
    for encoding in encodings:
        preview(encoding)
        describe(encoding)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("data", [b"", b"j{", b"f\0\0\0\xff\xff\xff\xff", b"j\xff", b"zzz", b'j{"$":"record"}'])
def test_a_damaged_record_is_shown_as_such(data):
    damaged = Encoded(data, None, b"", 5, None)
    assert isinstance(preview(damaged), str)
    assert describe(damaged)["size"] == 5


def test_a_missing_blob_is_shown_by_what_was_noted(blobs):
    sealed = drafted(list[str], ["text"] * 10_000).seal(blobs)
    blobs.path(sealed.blob).unlink()
    assert describe(sealed, blobs)["text"].startswith("['text', 'text'")

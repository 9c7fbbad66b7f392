"""Arrays, tables and bytes: exact, independent copies, written once, read through maps."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flyte_notebook.record import envelope
from flyte_notebook.record.blobs import BlobStore
from flyte_notebook.record.codec import Encoded, converter, references
from tests.record.codec_cases import Plain, drafted, encoded, round_trip


@pytest.fixture
def blobs(tmp_path):
    return BlobStore(tmp_path / "blobs")


ARRAYS = {
    "empty": np.array([]),
    "scalar": np.array(3.5),
    "ints": np.arange(5),
    "big endian": np.arange(5, dtype=">i4"),
    "bools": np.array([True, False]),
    "dates": np.array(["2020-01-01", "NaT"], dtype="M8[ns]"),
    "durations": np.array([1, 2], dtype="m8[s]"),
    "text": np.array(["a", "bcd"]),
    "bytes": np.array([b"a", b"bcd"]),
    "complex": np.array([1 + 2j]),
    "half": np.array([0.5], dtype="f2"),
    "two dimensions": np.arange(6.0).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "strided": np.arange(10)[::2],
    "reversed": np.arange(5)[::-1],
    "transposed slice": np.arange(24).reshape(2, 3, 4).transpose(2, 0, 1)[1:, :, ::2],
    "no rows": np.empty((0, 3)),
    "objects": np.array([1, "a", None], dtype=object),
    "records": np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")]),
}


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("annotation", [np.ndarray, Any, np.ndarray | None])
def test_an_array_arrives_as_it_was(annotation, name):
    value = ARRAYS[name]
    arrived = round_trip(annotation, value)
    assert type(arrived) is np.ndarray
    assert arrived.dtype == value.dtype
    assert arrived.shape == value.shape
    np.testing.assert_array_equal(arrived, value)
    assert arrived.flags.writeable


@pytest.mark.parametrize("value", [np.float64(1.5), np.int8(3), np.bool_(True), np.datetime64("2020"), np.str_("a")])
def test_a_numpy_scalar_arrives_where_it_is_annotated(value):
    arrived = round_trip(type(value), value)
    assert arrived == value
    assert type(arrived) is type(value)


def test_masked_arrays_and_matrices_arrive_as_what_they_are():
    masked = np.ma.masked_array([1, 2], mask=[True, False])
    arrived = round_trip(np.ndarray, masked)
    assert type(arrived) is np.ma.MaskedArray
    np.testing.assert_array_equal(arrived.mask, [True, False])


FRAMES = {
    "empty": lambda: pd.DataFrame(),
    "numbers": lambda: pd.DataFrame({"a": [1, 2], "b": [1.5, np.nan]}),
    "text": lambda: pd.DataFrame({"s": ["x", None, "ü"]}),
    "python text": lambda: pd.DataFrame({"s": pd.array(["x", None], dtype=pd.StringDtype("python"))}),
    "arrow text": lambda: pd.DataFrame({"s": pd.array(["x", None], dtype=pd.StringDtype("pyarrow"))}),
    "arrow numbers": lambda: pd.DataFrame({"n": pd.array([1, None], dtype="int64[pyarrow]")}),
    "objects": lambda: pd.DataFrame({"o": pd.Series([1, "a", None, {"k": 1}], dtype=object)}),
    "categories": lambda: pd.DataFrame({"c": pd.Categorical(["a", "b", "a"], ordered=True)}),
    "moments": lambda: pd.DataFrame({"t": pd.to_datetime(["2020", "2021"]).tz_localize("Europe/Berlin")}),
    "durations": lambda: pd.DataFrame({"d": pd.to_timedelta([1, 2], unit="s")}),
    "nullable": lambda: pd.DataFrame({"n": pd.array([1, None], dtype="Int64"), "f": pd.array([True, None], "boolean")}),
    "intervals": lambda: pd.DataFrame({"i": pd.interval_range(0, 2)}),
    "periods": lambda: pd.DataFrame({"p": pd.period_range("2020", periods=2, freq="M")}),
    "named index": lambda: pd.DataFrame({"a": [1]}, index=pd.Index(["x"], name="key")),
    "many levels": lambda: pd.DataFrame(
        np.arange(8).reshape(4, 2),
        index=pd.MultiIndex.from_product([["a", "b"], [1, 2]], names=["l", "n"]),
        columns=pd.MultiIndex.from_tuples([("x", 1), ("x", 2)]),
    ),
    "double names": lambda: pd.DataFrame([[1, 2]], columns=["a", "a"]),
    "dates as index": lambda: pd.DataFrame({"a": [1, 2]}, index=pd.date_range("2020", periods=2, freq="D")),
}


@pytest.mark.parametrize("name", FRAMES)
def test_a_table_arrives_as_it_was(name):
    value = FRAMES[name]()
    arrived = round_trip(pd.DataFrame, value)
    pd.testing.assert_frame_equal(arrived, value)
    assert encoded(pd.DataFrame, arrived).digest == encoded(pd.DataFrame, value).digest


def test_equal_tables_have_equal_digests_and_others_do_not():
    digests = {name: encoded(pd.DataFrame, make()).digest for name, make in FRAMES.items()}
    assert digests == {name: encoded(pd.DataFrame, make()).digest for name, make in FRAMES.items()}
    # Text is the same text whatever holds it.
    assert digests.pop("python text") == digests["arrow text"]
    assert len(set(digests.values())) == len(digests)
    assert digests["numbers"] != encoded(pd.DataFrame, FRAMES["numbers"]().rename(columns={"a": "z"})).digest
    assert digests["numbers"] != encoded(pd.DataFrame, FRAMES["numbers"]().astype({"a": "int32"})).digest


@pytest.mark.parametrize("value", [{"a": [1]}, None, 1, pd.Series([1])])
def test_what_is_no_table_is_refused(value):
    with pytest.raises(TypeError, match="Expected value of type <class 'pandas.DataFrame'>"):
        converter(pd.DataFrame).encode(value)


def test_a_series_arrives_as_it_was():
    value = pd.Series([1, 2], name="n", index=["a", "b"])
    pd.testing.assert_series_equal(round_trip(pd.Series, value), value)


def test_layout_in_memory_does_not_count():
    rows = np.arange(20.0).reshape(4, 5)
    assert encoded(np.ndarray, rows).digest == encoded(np.ndarray, np.asfortranarray(rows)).digest
    assert encoded(np.ndarray, rows[::2]).digest == encoded(np.ndarray, rows[::2].copy()).digest
    one_block = pd.DataFrame(rows, columns=list("abcde"))
    many_blocks = pd.DataFrame({name: rows[:, i].copy() for i, name in enumerate("abcde")})
    assert encoded(pd.DataFrame, one_block).digest == encoded(pd.DataFrame, many_blocks).digest


def test_a_large_table_is_sealed_into_blobs_and_read_back(blobs):
    value = pd.DataFrame({"n": np.arange(50_000), "x": np.linspace(0, 1, 50_000), "s": ["text"] * 50_000})
    draft = drafted(pd.DataFrame, value)
    assert draft.size > 800_000
    sealed = draft.seal(blobs)
    pd.testing.assert_frame_equal(converter(pd.DataFrame).decode(sealed, blobs), value)
    assert sealed.digest == drafted(pd.DataFrame, value.copy()).seal(blobs).digest


def test_one_large_table_beside_different_small_inputs_is_written_once(blobs):
    value = np.arange(100_000)
    names = set()
    for i in range(5):
        sealed = drafted(dict[str, Any], {"data": value, "i": i}).seal(blobs)
        assert sealed.data is not None
        names |= set(references(sealed.data))
    (name,) = names
    assert blobs.path(name).stat().st_size == value.nbytes


def test_readers_of_one_blob_write_into_copies_of_their_own(blobs):
    value = np.zeros(300_000)
    sealed = drafted(np.ndarray, value).seal(blobs)
    first, second = (converter(np.ndarray).decode(sealed, blobs) for _ in range(2))
    first[:] = 1
    assert second.sum() == value.sum() == 0
    assert converter(np.ndarray).decode(sealed, blobs).sum() == 0


def test_readers_of_a_small_value_write_into_copies_of_their_own():
    encoding = encoded(np.ndarray, np.zeros(10))
    first, second = (converter(np.ndarray).decode(encoding) for _ in range(2))
    first[:] = 1
    assert second.sum() == 0


def test_a_small_array_that_changes_before_its_neighbours_are_sealed_is_recorded_as_it_was(blobs):
    small, large = np.zeros(1_000), np.zeros(100_000)
    draft = drafted(list[np.ndarray], [small, large])
    small[:] = 1
    assert converter(list[np.ndarray]).decode(draft.seal(blobs), blobs)[0].sum() == 0


@pytest.mark.parametrize("value", [b"x" * 100_000, bytearray(b"y" * 100_000)])
def test_large_bytes_arrive(value, blobs):
    arrived = round_trip(type(value), value, blobs)
    assert arrived == value
    assert type(arrived) is type(value)


@pytest.mark.parametrize("annotation", [str, str | None, int | str, Any, object])
@pytest.mark.parametrize("size", [10, 60_000, 70_000])
def test_text_of_any_length_arrives(annotation, size, blobs):
    text = "pä\ud800\n" * (size // 4)
    assert round_trip(annotation, text, blobs) == text
    assert round_trip(list[annotation], [text, text], blobs) == [text, text]
    assert round_trip(dict[str, annotation], {"a": text}, blobs) == {"a": text}


def test_large_lists_arrive(blobs):
    numbers = list(range(10_000))
    assert round_trip(list[int], numbers, blobs) == numbers
    assert round_trip(dict[str, list[int]], {"b": numbers, "a": []}, blobs) == {"b": numbers, "a": []}


@pytest.mark.parametrize("value", [[2**63 - 1] * 1_500, [-0.0, float("inf"), float("nan")] * 500, [2**70] * 1_500])
def test_long_lists_of_numbers_arrive_exactly(value, blobs):
    arrived = round_trip(Any, value, blobs)
    assert repr(arrived) == repr(value)
    assert set(map(type, arrived)) == set(map(type, value))


def test_long_lists_mixed_of_several_types_arrive_exactly(blobs):
    for value in ([1, 2.0] * 1_000, [True, 1] * 1_000, [1] * 2_000 + [None]):
        assert repr(round_trip(list, value, blobs)) == repr(value)


def test_the_digest_of_a_large_value_is_that_of_a_small_one_grown(blobs):
    assert drafted(list[int], list(range(10_000))).seal(blobs).digest != encoded(list[int], [1]).digest
    assert (
        drafted(list[int], list(range(10_000))).seal(blobs).digest
        == drafted(Any, list(range(10_000))).seal(blobs).digest
    )


def test_only_the_tree_counts_as_inline():
    assert encoded(int, 5).inline == 1
    assert drafted(str, "x" * 20_000).inline == 20_002
    assert drafted(str, "x" * 200_000).inline > 200_000
    assert drafted(np.ndarray, np.zeros(100_000)).inline < 500
    assert encoded(bytes, b"x" * 1_000).inline < 300
    assert drafted(list[int], list(range(10_000))).inline > 80_000
    assert encoded(list[str], ["x"] * 1_000).inline > 3_000


def test_a_value_says_what_it_needs_and_whether_it_is_there(blobs):
    sealed = drafted(list[np.ndarray], [np.zeros(100_000), np.zeros(1_500)]).seal(blobs)
    assert sealed.blob is not None
    assert sealed.is_whole(blobs)
    (name,) = references(blobs.open(sealed.blob))
    blobs.path(name).unlink()
    assert not sealed.is_whole(blobs)
    blobs.path(sealed.blob).unlink()
    assert not sealed.is_whole(blobs)


def test_reading_is_slow_where_blobs_are_new_to_the_process(blobs):
    sealed = drafted(np.ndarray, np.zeros(100_000)).seal(blobs)
    assert not sealed.is_slow(blobs)
    assert sealed.is_slow(BlobStore(blobs.root))
    assert not encoded(int, 1).is_slow(blobs)
    assert drafted(list[str], ["text"] * 100_000).seal(blobs).is_slow(blobs)


def test_what_is_no_recorded_value_is_refused():
    for data in (b"", b"x123", b"\x80\x05."):
        with pytest.raises(ValueError, match="not a recorded value"):
            envelope.unpack(data, None)


def test_a_value_recorded_by_a_newer_version_says_so():
    newer = Encoded(b'j{"$":"hologram"}', None, b"", 0, None)
    with pytest.raises(ValueError, match="recorded by another version: unknown kind 'hologram'"):
        converter(Any).decode(newer)


def test_arrays_inside_other_objects_travel_beside_the_pickle(blobs):
    value = Plain()
    value.data = np.arange(100_000)
    sealed = drafted(Plain, value).seal(blobs)
    arrived = converter(Plain).decode(sealed, blobs)
    np.testing.assert_array_equal(arrived.data, value.data)
    arrived.data[0] = 5
    assert converter(Plain).decode(sealed, blobs).data[0] == 0
    assert sealed.data is not None
    assert len(references(sealed.data)) == 1


def test_a_table_with_attributes_and_odd_cells_arrives():
    value = pd.DataFrame({"when": [dt.date(2020, 1, 1)], "list": [[1, 2]]})
    value.attrs["unit"] = "m"
    arrived = round_trip(pd.DataFrame, value)
    assert arrived.attrs == {"unit": "m"}
    assert arrived["list"][0] == [1, 2]

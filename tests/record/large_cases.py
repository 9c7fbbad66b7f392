"""Large values of every kind that the record knows, for the tests of how they travel."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from flyte_notebook.record.blobs import BlobStore
from flyte_notebook.record.codec import Draft, Encoded, converter

COUNT = 140_000
"""Elements: 1.1 MB of float64, enough to be mapped and not read."""


class Case(NamedTuple):
    make: Callable[[], Any]
    same: Callable[[Any, Any], None]
    memory: Callable[[Any], list[np.ndarray]] = lambda value: []
    """The arrays inside a value that its reader may write into, and that have to lie in maps."""
    beside: bool = True
    """False where pickling it yields no memory that could lie beside the pickle."""
    annotation: Any = None
    """The value's type, where none is given."""

    @property
    def annotated(self) -> Any:
        return self.annotation or type(self.make())


def _same_arrays(a: Any, b: Any) -> None:
    assert type(a) is type(b)
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    np.testing.assert_array_equal(a, b)


def _same_masked(a: Any, b: Any) -> None:
    assert type(a) is np.ma.MaskedArray
    np.testing.assert_array_equal(a.mask, b.mask)
    np.testing.assert_array_equal(a.filled(0), b.filled(0))


def _same_arrow(a: Any, b: Any) -> None:
    assert type(a) is type(b)
    assert a.equals(b)


def _same_plain(a: Any, b: Any) -> None:
    assert type(a) is type(b)
    # Not by pytest's own comparison, which would spell out megabytes.
    assert bool(a == b)


def _columns(value: pd.DataFrame) -> list[np.ndarray]:
    return [value[name].to_numpy() for name in value.columns]


def numbers(count: int = COUNT) -> np.ndarray:
    """The same random numbers each time."""
    return np.random.default_rng(0).random(count)


def _records() -> np.ndarray:
    made = np.zeros(COUNT, dtype=[("n", "i4"), ("x", "f8"), ("s", "U3")])
    made["x"] = numbers()
    made["s"] = "abc"
    return made


def _levels() -> pd.DataFrame:
    index = pd.MultiIndex.from_product([list("ab"), range(COUNT // 2)], names=["l", "n"])
    return pd.DataFrame({"x": numbers()}, index=index)


def _texts() -> list[str | None]:
    return [None if i % 7 == 0 else f"text {i}" for i in range(COUNT)]


def _array(make: Callable[[], Any]) -> Case:
    return Case(make, _same_arrays, lambda value: [value])


def _table(column: Callable[[], Any], *, beside: bool = True, written: bool = False) -> Case:
    return Case(
        lambda: pd.DataFrame({"c": column()}),
        pd.testing.assert_frame_equal,
        _columns if written else lambda value: [],
        beside,
    )


CASES: dict[str, Case] = {
    "one dimension": _array(numbers),
    "C order": _array(lambda: numbers().reshape(-1, 8)),
    "Fortran order": _array(lambda: np.asfortranarray(numbers().reshape(-1, 8))),
    "strided": _array(lambda: numbers(2 * COUNT)[::2]),
    "reversed": _array(lambda: numbers()[::-1]),
    "transposed slice": _array(lambda: numbers(2 * COUNT).reshape(40, 100, -1).transpose(2, 0, 1)[::2]),
    "big endian": _array(lambda: numbers().astype(">f8")),
    "dates": _array(lambda: np.arange(COUNT).astype("M8[s]")),
    "durations": _array(lambda: np.arange(COUNT).astype("m8[ns]")),
    "text": _array(lambda: np.array(["abcdefgh"] * COUNT)),
    "complex": _array(lambda: numbers().astype(complex)),
    "bools": _array(lambda: np.tile(numbers() > 0.5, 8)),
    "broadcast": _array(lambda: np.broadcast_to(numbers(1000), (200, 1000))),
    "records": _array(_records),
    "objects": Case(lambda: np.array([1, "a", None] * COUNT, dtype=object), _same_arrays, beside=False),
    "masked": Case(lambda: np.ma.masked_array(numbers(), mask=numbers() > 0.5), _same_masked, lambda v: [v.data]),
    "table of one block": Case(
        lambda: pd.DataFrame(numbers(4 * COUNT).reshape(-1, 4), columns=list("abcd")),
        pd.testing.assert_frame_equal,
        _columns,
    ),
    "table of columns": Case(
        lambda: pd.DataFrame({"a": numbers(), "b": np.arange(COUNT), "c": numbers()}),
        pd.testing.assert_frame_equal,
        _columns,
    ),
    "table of moments": _table(lambda: pd.date_range("2020", periods=COUNT, freq="s", tz="Europe/Berlin")),
    "table of text": _table(lambda: pd.array(_texts(), dtype="str")),
    "table of Python text": _table(lambda: pd.array(_texts(), dtype=pd.StringDtype("python")), beside=False),
    "table of Arrow numbers": _table(lambda: pd.array(np.arange(COUNT), dtype="int64[pyarrow]")),
    "table of Arrow lists": _table(
        lambda: pd.array([[1, 2], None] * (COUNT // 2), dtype=pd.ArrowDtype(pa.list_(pa.int64())))
    ),
    "table of objects": _table(lambda: pd.Series([1, "a", None, {"k": 1}] * 20_000, dtype=object), beside=False),
    "table of categories": _table(lambda: pd.Categorical(_texts())),
    "table of nullable numbers": _table(lambda: pd.array(np.arange(COUNT), dtype="Int64")),
    "table of sparse numbers": _table(lambda: pd.arrays.SparseArray(np.arange(COUNT))),
    "table of many levels": Case(_levels, pd.testing.assert_frame_equal, _columns),
    "every second row of a table": Case(lambda: pd.DataFrame({"a": numbers()})[::2], pd.testing.assert_frame_equal),
    "series": Case(lambda: pd.Series(numbers(), name="s"), pd.testing.assert_series_equal, lambda s: [s.to_numpy()]),
    "index": Case(lambda: pd.Index(numbers(), name="i"), pd.testing.assert_index_equal),
    "Arrow table": Case(lambda: pa.table({"n": numbers(), "s": _texts()}), _same_arrow),
    "Arrow array": Case(lambda: pa.array(numbers()), _same_arrow),
    "Arrow chunks": Case(lambda: pa.chunked_array([numbers(), numbers()[:-1]]), _same_arrow),
    "bytes": Case(lambda: numbers().tobytes(), _same_plain),
    "bytearray": Case(lambda: bytearray(numbers().tobytes()), _same_plain),
    "long text": Case(lambda: "ä" * COUNT, _same_plain),
    "long list": Case(lambda: list(range(COUNT)), _same_plain),
    "array in a list": Case(lambda: [numbers(), "x"], lambda a, b: _same_arrays(a[0], b[0]), lambda v: v[:1]),
    "array in a dict": Case(
        lambda: {"a": {"b": numbers()}},
        lambda a, b: _same_arrays(a["a"]["b"], b["a"]["b"]),
        lambda v: [v["a"]["b"]],
        annotation=dict[str, Any],
    ),
}


def _torch_cases() -> dict[str, Case]:
    """For those who have torch: as a dependency of the tests it would be ten times all others together."""
    import torch

    def same(a: Any, b: Any) -> None:
        assert type(a) is type(b)
        assert a.requires_grad == b.requires_grad
        assert torch.equal(a, b)

    def tensor() -> Any:
        return torch.from_numpy(numbers())

    def writable(value: Any) -> list[np.ndarray]:
        return [value.detach().numpy()]

    return {
        "tensor": Case(tensor, same, writable),
        "tensor of half precision": Case(lambda: torch.from_numpy(numbers(4 * COUNT)).bfloat16(), same),
        "transposed tensor": Case(lambda: tensor().reshape(-1, 8).T, same, writable),
        "parameter": Case(lambda: torch.nn.Parameter(tensor()), same, writable),
        "tensors in a dict": Case(
            lambda: {"a": tensor(), "b": tensor()[::2]},
            lambda a, b: [same(a[name], b[name]) for name in "ab"],
            lambda value: writable(value["a"]),
            annotation=dict[str, Any],
        ),
    }


if importlib.util.find_spec("torch") is not None:
    CASES.update(_torch_cases())


def sealed(annotation: Any, value: Any, blobs: BlobStore) -> Encoded:
    """`value` on record."""
    result = converter(annotation).encode(value)
    return result.seal(blobs) if isinstance(result, Draft) else result


if __name__ == "__main__":
    # The digests, by name, as another process sees them.
    store = BlobStore(Path(sys.argv[1]))
    for name, case in CASES.items():
        print(name, sealed(case.annotated, case.make(), store).digest.hex(), sep="\t")

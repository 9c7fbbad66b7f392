"""Content digests of numpy arrays, pandas objects, Arrow arrays and torch tensors.

A value's layout in memory (C or Fortran order, consolidated or not, sliced or whole) does not count, only what it
holds; and a large one is read in pieces that fit a processor's cache, without a copy of the whole.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from flyte_notebook.record.digest import Hasher, combined
from flyte_notebook.record.text import encode_text

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_PIECE = 512 * 1024
"""Bytes of strided memory to go through at a time."""
_TEXTS = 256 * 1024
"""Strings to go through at a time."""


def content_of(kind: type) -> Callable[[Hasher, Any], bytes] | None:
    """The function that digests values of `kind`, or None when they are taken apart as any object."""
    name = kind.__name__
    library = kind.__module__.partition(".")[0]
    if library == "numpy":
        if name == "ndarray":
            return array
        import numpy as np

        if kind is np.ma.MaskedArray:
            return masked
        return scalar if issubclass(kind, np.generic) and not issubclass(kind, np.void) else None
    if library == "torch":
        return tensor if name in ("Tensor", "Parameter") else None
    if library == "pyarrow":
        return arrow if name in ("ChunkedArray", "Table") or name.endswith("Array") else None
    pandas = sys.modules.get("pandas")
    if pandas is None:
        return None
    if kind is pandas.DataFrame:
        return frame
    if kind is pandas.Series:
        return series
    return index if issubclass(kind, pandas.Index) else None


def array(hasher: Hasher, value: np.ndarray[Any, Any]) -> bytes:
    """A numpy array: type, shape and elements in C order."""
    head = f"{value.dtype.str}{value.shape}".encode()
    if value.dtype.names is not None:
        # Padding between fields is not content.
        fields = (
            combined(name, hasher.of(value.dtype.fields[name][2:]), array(hasher, value[name]))
            for name in value.dtype.names
        )
        return combined("structured", head, *fields)
    if value.dtype.hasobject:
        return combined("array", head, hasher.items("objects", value.ravel().tolist()))
    return combined("array", head, _elements(hasher, value))


def masked(hasher: Hasher, value: np.ma.MaskedArray[Any, Any]) -> bytes:
    """A masked array: its data, also what is masked, its mask and what it is filled with."""
    import numpy as np

    # Not the property, which would fill in a default.
    fill = value._fill_value  # type: ignore[attr-defined]
    mask = np.ma.getmaskarray(value)
    return combined("masked", hasher.of(value.data), array(hasher, mask), hasher.of(fill), hasher.of(value.hardmask))


def scalar(hasher: Hasher, value: Any) -> bytes:
    """A numpy scalar."""
    return combined(f"scalar {value.dtype.str}", value.tobytes())


def _elements(hasher: Hasher, value: np.ndarray[Any, Any]) -> bytes:
    import numpy as np

    hasher.spend(value.nbytes)
    total = sha256()
    if value.flags.c_contiguous or value.ndim == 0:
        known = hasher.hashed.get((value.ctypes.data, value.nbytes))
        if known is not None:
            return bytes.fromhex(known)
        total.update(_raw(value))
        return total.digest()
    rows = max(1, _PIECE * len(value) // max(value.nbytes, 1))
    for start in range(0, len(value), rows):
        total.update(_raw(np.ascontiguousarray(value[start : start + rows])))
    return total.digest()


def _raw(value: np.ndarray[Any, Any]) -> memoryview:
    """The memory of a contiguous array, of any type, as bytes."""
    return value.reshape(-1).view("u1").data


def frame(hasher: Hasher, value: pd.DataFrame) -> bytes:
    """A DataFrame: columns, index, and the content of each column."""
    columns = [value.iloc[:, i] for i in range(value.shape[1])]
    flat = {i: c.to_numpy() for i, c in enumerate(columns) if _is_flat(c)}
    strided = {i: a for i, a in flat.items() if a.strides != (a.itemsize,)}
    hashed = _side_by_side(hasher, strided)
    parts = [
        combined(str(c.dtype), hashed[i]) if i in hashed else _column(hasher, c.array, flat.get(i))
        for i, c in enumerate(columns)
    ]
    labels = index(hasher, value.columns), index(hasher, value.index)
    return combined("DataFrame", *labels, *parts, _attrs(hasher, value))


def series(hasher: Hasher, value: pd.Series[Any]) -> bytes:
    """A Series: name, index, content."""
    flat = value.to_numpy() if _is_flat(value) else None
    parts = (hasher.of(value.name), index(hasher, value.index), _column(hasher, value.array, flat))
    return combined("Series", *parts, _attrs(hasher, value))


def index(hasher: Hasher, value: pd.Index[Any]) -> bytes:
    """An Index of any kind."""
    import pandas as pd

    names = hasher.of(list(value.names))
    if isinstance(value, pd.RangeIndex):
        return combined("RangeIndex", names, hasher.of([value.start, value.stop, value.step]))
    if isinstance(value, pd.MultiIndex):
        used = value.remove_unused_levels()
        levels = [index(hasher, level) for level in used.levels]
        return combined("MultiIndex", names, *levels, *(hasher.of(list(map(int, codes))) for codes in used.codes))
    flat = value.to_numpy() if _is_flat(value) else None
    # Of dates and spans: arithmetic on it goes by it.
    step = hasher.of(getattr(value, "freqstr", None))
    return combined(type(value).__name__, names, step, _column(hasher, value.array, flat))


def _attrs(hasher: Hasher, value: Any) -> bytes:
    return hasher.of([dict(value.attrs), value.flags.allows_duplicate_labels])


def _is_flat(column: Any) -> bool:
    import numpy as np

    return isinstance(column.dtype, np.dtype) and not column.dtype.hasobject


def _side_by_side(hasher: Hasher, columns: dict[int, np.ndarray[Any, Any]]) -> dict[int, bytes]:
    """Digests of columns that lie interleaved in memory: all in one pass over it, a piece of rows at a time."""
    import numpy as np

    if not columns:
        return {}
    hashers = {i: sha256() for i in columns}
    length = len(next(iter(columns.values())))
    hasher.spend(sum(column.nbytes for column in columns.values()))
    rows = max(256, _PIECE // max(abs(column.strides[0]) for column in columns.values()))
    for start in range(0, length, rows):
        for i, column in columns.items():
            hashers[i].update(_raw(np.ascontiguousarray(column[start : start + rows])))
    return {i: each.digest() for i, each in hashers.items()}


def _column(hasher: Hasher, values: Any, flat: np.ndarray[Any, Any] | None) -> bytes:
    """The content of one column; equal for Arrow-backed and Python-backed text."""
    import pandas as pd

    name = str(values.dtype)
    if flat is not None:
        return combined(name, _elements(hasher, flat))
    if isinstance(values.dtype, pd.CategoricalDtype):
        ordered = b"ordered" if values.ordered else b""
        return combined("category", ordered, index(hasher, values.categories), array(hasher, values.codes))
    if isinstance(values.dtype, pd.StringDtype):
        return combined(name, _texts(hasher, values))
    if isinstance(values.dtype, pd.SparseDtype):
        stored = values.sp_values, values.sp_index.indices
        return combined(name, hasher.of(len(values)), hasher.of(values.fill_value), *(array(hasher, a) for a in stored))
    if hasattr(values, "asi8"):
        return combined(name, _elements(hasher, values.asi8))
    if isinstance(values, pd.api.extensions.ExtensionArray) and hasattr(values, "_mask"):
        missing = values.isna()
        plain = values.fillna(values.dtype.type(0)).to_numpy(values.dtype.numpy_dtype)
        return combined(name, _elements(hasher, plain), _elements(hasher, missing))
    return combined(name, hasher.items("objects", values.tolist()))


def _texts(hasher: Hasher, values: Any) -> bytes:
    """Text, equal for Arrow-backed and Python-backed: its lengths in UTF-8 (-1: missing), and all of it in a row."""
    lengths, content = sha256(), sha256()
    arrow_backed = getattr(values.dtype, "storage", None) == "pyarrow"
    for start in range(0, len(values), _TEXTS):
        piece = values[start : start + _TEXTS]
        for sizes, memory in _arrow_text(piece) if arrow_backed else _python_text(piece):
            hasher.spend(sizes.nbytes + len(memory))
            lengths.update(_raw(sizes))
            content.update(memory)
    return lengths.digest() + content.digest()


def _python_text(values: Any) -> Iterator[tuple[np.ndarray[Any, Any], bytes]]:
    import numpy as np

    texts = [None if gone else encode_text(text) for text, gone in zip(values.tolist(), values.isna(), strict=True)]
    yield np.array([-1 if text is None else len(text) for text in texts], "i8"), b"".join(filter(None, texts))


def _arrow_text(values: Any) -> Iterator[tuple[np.ndarray[Any, Any], memoryview]]:
    import numpy as np
    import pyarrow.compute as pc

    for chunk in values.__arrow_array__().chunks:
        if not len(chunk):
            continue
        sizes = pc.fill_null(pc.binary_length(chunk), -1).to_numpy(zero_copy_only=False).astype("i8")
        # What lies under a missing value is not content.
        whole = pc.fill_null(chunk, "") if chunk.null_count else chunk
        _, offsets, memory = whole.buffers()
        kind = "i8" if str(whole.type).startswith("large") else "i4"
        bounds = np.frombuffer(offsets, kind)[whole.offset : whole.offset + len(whole) + 1]
        yield sizes, memoryview(memory or b"")[int(bounds[0]) : int(bounds[-1])]


def tensor(hasher: Hasher, value: Any) -> bytes:
    """A torch tensor, wherever it is."""
    import torch

    here = value.detach().cpu().contiguous()
    memory = here.reshape(-1).view(torch.uint8).numpy() if here.numel() else here.numpy()
    head = f"{here.dtype}{tuple(here.shape)}{value.requires_grad}".encode()
    return combined("tensor", head, _elements(hasher, memory))


def arrow(hasher: Hasher, value: Any) -> bytes:
    """An Arrow array or table, by its values: slices and chunks do not count."""
    if type(value).__name__ == "Table":
        columns = (arrow(hasher, column) for column in value.columns)
        return combined("Table", value.schema.serialize().to_pybytes(), *columns)
    return combined(str(value.type), hasher.items("values", value.to_pylist()))

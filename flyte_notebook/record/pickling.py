"""Pickles whose large memory lies beside them, also where a library's own pickling would copy it into the stream."""

from __future__ import annotations

import io
import pickle
import sys
from collections import ChainMap
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import cloudpickle

if TYPE_CHECKING:
    import numpy as np

_LEAST = 1024
"""Bytes: smaller memory is cheaper in the stream."""

_reducers: dict[type, Callable[[Any], Any]] = {}
"""How values of some types are taken apart; filled as the libraries that they come from are imported."""


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # it ships no types
    dispatch_table: ClassVar[ChainMap[type, Callable[[Any], Any]]] = ChainMap(
        _reducers, *cloudpickle.Pickler.dispatch_table.maps
    )


def dumps(value: Any) -> tuple[bytes, list[memoryview]]:
    """The pickle of `value`, and the memory that lies beside it. Raises TypeError `cannot pickle …` when it has none."""
    outside: list[pickle.PickleBuffer] = []

    def keep(memory: pickle.PickleBuffer) -> bool:
        # What is not contiguous has no single run of memory.
        view = memory.raw() if _contiguous(memory) else None
        if view is None or view.nbytes < _LEAST:
            return True
        outside.append(memory)
        return False

    _learn()
    stream = io.BytesIO()
    try:
        _Pickler(stream, protocol=5, buffer_callback=keep).dump(value)
    except TypeError:
        raise
    except Exception as error:
        raise TypeError(f"cannot pickle '{type(value).__name__}' object: {error}") from error
    return stream.getvalue(), [memory.raw() for memory in outside]


def _contiguous(memory: pickle.PickleBuffer) -> bool:
    with memoryview(memory) as view:
        return view.contiguous


def _learn() -> None:
    """Know the libraries that have been imported by now; importing them is not our business."""
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if numpy is not None and hasattr(numpy, "ma") and numpy.ndarray not in _reducers:
        _reducers[numpy.ndarray] = _array
        _reducers[numpy.ma.MaskedArray] = _masked
    # Half imported, as seen from another thread, it may lack these.
    typed, untyped = (
        getattr(getattr(torch, "storage", None), "TypedStorage", None),
        getattr(torch, "UntypedStorage", None),
    )
    if typed is not None and untyped is not None:
        _reducers[typed] = _typed_storage
        _reducers[untyped] = _storage


def _array(array: np.ndarray[Any, Any]) -> Any:
    """numpy copies what is not contiguous into the stream: a contiguous copy lies beside it."""
    import numpy as np

    if not array.flags.forc and not array.dtype.hasobject:
        array = np.ascontiguousarray(array)
    return array.__reduce_ex__(5)


def _masked(array: np.ma.MaskedArray[Any, Any]) -> Any:
    extra = {name: item for name, item in array.__dict__.items() if not name.startswith("_")}
    if array.dtype.hasobject or extra or array.baseclass is not type(array.data):
        return array.__reduce_ex__(5)
    fill = array._fill_value  # type: ignore[attr-defined]  # the property would fill in a default
    return _rebuilt_masked, (array.data, array.mask, fill, array.hardmask)


def _rebuilt_masked(data: Any, mask: Any, fill: Any, hard: bool) -> Any:
    import numpy as np

    return np.ma.MaskedArray(data, mask=mask, fill_value=fill, hard_mask=hard, copy=False)


def _typed_storage(storage: Any) -> Any:
    # Its public attributes warn that the class is on its way out.
    if storage._untyped_storage.device.type != "cpu":
        return storage.__reduce_ex__(5)
    return _rebuilt_typed_storage, (storage._untyped_storage, storage.dtype)


def _rebuilt_typed_storage(storage: Any, dtype: Any) -> Any:
    import torch

    return torch.storage.TypedStorage(wrap_storage=storage, dtype=dtype, _internal=True)


def _storage(storage: Any) -> Any:
    """The memory of torch tensors, which torch itself saves, as it would to a file, into the stream."""
    import torch

    if storage.device.type != "cpu" or not len(storage):
        return storage.__reduce_ex__(5)
    return _rebuilt_storage, (torch.empty(0, dtype=torch.uint8).set_(storage).numpy(),)


def _rebuilt_storage(memory: np.ndarray[Any, Any]) -> Any:
    import torch

    return torch.from_numpy(memory).untyped_storage()

"""Converters of numpy arrays and pandas DataFrames."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from flyte_notebook.record.converter import Converter, mismatch
from flyte_notebook.record.envelope import Node, Sink
from flyte_notebook.record.sketch import title

if TYPE_CHECKING:
    import numpy as np


def is_flat(value: Any) -> bool:
    """True for a plain numpy array of numbers, dates or text, whose memory says everything."""
    numpy = sys.modules.get("numpy")
    if numpy is None or type(value) is not numpy.ndarray:
        return False
    return not value.dtype.hasobject and value.dtype.names is None


def lower_array(value: np.ndarray[Any, Any], sink: Sink) -> Node:
    """The node of an array for which `is_flat` holds: its memory as it lies, in C or Fortran order."""
    import numpy as np

    order = "F" if value.flags.f_contiguous and not value.flags.c_contiguous else "C"
    straight = value.T if order == "F" else np.ascontiguousarray(value)
    memory = straight.reshape(-1).view("u1").data
    node = sink.tag("array", t=value.dtype.str, s=list(value.shape), o=order, b=sink.buffer(memory), p=title(value))
    return sink.identify(node, value, value.nbytes)


def lift_array(node: Node, buffers: list[memoryview]) -> np.ndarray[Any, Any]:
    """A writable array over its buffer; nothing is copied."""
    import numpy as np

    dtype, shape = np.dtype(node["t"]), tuple(node["s"])
    memory = buffers[node["b"]]
    if not memory.nbytes:
        return np.empty(shape, dtype)
    return np.frombuffer(memory, dtype).reshape(shape, order=node["o"])


class FrameConverter(Converter):
    """`pandas.DataFrame`: a DataFrame or a subclass of it, or an `io.DataFrame` that holds one."""

    def lower(self, value: Any, sink: Sink) -> Node:
        from flyte_notebook.record.opaque import lower_pickle

        unwrap = getattr(type(value), "__flyte_unwrap__", None)
        if unwrap is not None:
            value = unwrap(value, self.annotation)
        if not isinstance(value, self.annotation):
            raise mismatch(self.annotation, value)
        return lower_pickle(value, sink)

    def lift(self, node: Node, buffers: list[memoryview]) -> Any:
        from flyte_notebook.record.opaque import lift_any

        return lift_any(node, buffers)

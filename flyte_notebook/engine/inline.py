"""What may travel by value: inputs and outputs up to a task's `max_inline_io_bytes`, as on a Flyte cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flyte_notebook.errors import InlineIOMaxBytesBreached

if TYPE_CHECKING:
    from flyte_notebook.record.codec import Draft, Encoded

_MB = 1024 * 1024


def breach(what: str, value: Encoded | Draft, limit: int, task: str) -> InlineIOMaxBytesBreached | None:
    """The error for inputs or outputs that take more than `limit` bytes by value; None while they fit.

    Numbers, text, lists, dicts, dataclasses and models count; arrays, tables, bytes, pickles and files travel by
    reference and do not. A limit of -1 is none. `what`: "Inputs" or "Outputs".
    """
    # Most values are smaller as a whole, which costs nothing to know.
    if value.size <= limit or limit == -1:
        return None
    size = value.inline
    if size <= limit:
        return None
    # The first sentence is Flyte's.
    return InlineIOMaxBytesBreached(
        f"{what} exceed max_bytes limit of {limit / _MB} MB, actual size: {size / _MB} MB. "
        f"Pass large data to and from {task} as an array, a DataFrame or a File, "
        f"or raise the limit: max_inline_io_bytes={size} or more."
    )

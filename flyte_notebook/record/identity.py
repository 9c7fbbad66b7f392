"""The identities of large values, taken of what is stored of them and not of what they have become meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeAlias

from flyte_notebook.record.digest import digest, is_data
from flyte_notebook.record.envelope import KIND, Node, Sink
from flyte_notebook.record.sketch import looks
from flyte_notebook.record.text import Buffer, address

if TYPE_CHECKING:
    from flyte_notebook.record.blobs import BlobStore

_Content: TypeAlias = tuple[str, ...]
"""The SHA-256 of each buffer of a node, after what else there is to it: all that its identity depends on."""

_known: dict[_Content, dict[str, Any]] = {}
"""What there is to say of arrays and tables: one that is passed on and on is looked at once."""
_KNOWN = 256
"""How many are remembered."""
_remembering = threading.Lock()


def identify(sink: Sink, stored: Sequence[str | None], blobs: BlobStore) -> None:
    """Complete the nodes whose identity was put off. `stored`: the names of the buffers that are in `blobs` by now,
    which are not read once more.

    Raises what the store raises when it is damaged.
    """
    buffers = sink.buffers
    for node, value in sink.pending:
        mine = node["b"] if isinstance(node["b"], list) else [node["b"]]
        if is_data(type(value)):
            node.update(_of_data(node, mine, buffers, stored, blobs))
        else:
            known = {address(buffers[i]): name for i in mine if (name := stored[i]) is not None}
            node["d"] = digest(value, hashed=known).hex()
    sink.pending.clear()


def _of_data(
    node: Node, mine: list[int], buffers: list[Buffer], stored: Sequence[str | None], blobs: BlobStore
) -> dict[str, Any]:
    content = (
        *(str(node.get(part)) for part in (KIND, "t", "s", "o")),
        *(stored[i] or sha256(buffers[i]).hexdigest() for i in mine),
    )
    known = _known.get(content)
    if known is None:
        value, hashed = _read_back(node, mine, buffers, stored, blobs)
        known = {} if "p" in node else looks(value)
        known["d"] = digest(value, hashed=hashed).hex()
        with _remembering:
            _known[content] = known
            while len(_known) > _KNOWN:
                del _known[next(iter(_known))]
    return known


def _read_back(
    node: Node, mine: list[int], buffers: list[Buffer], stored: Sequence[str | None], blobs: BlobStore
) -> tuple[Any, dict[tuple[int, int], str]]:
    """The value as it is stored, and the SHA-256 of its memory."""
    from flyte_notebook.record.opaque import lift_any

    read = [memoryview(b"")] * len(buffers)
    hashed = {}
    for i in mine:
        name = stored[i]
        read[i] = memoryview(buffers[i]) if name is None else blobs.open(name)
        if name is not None:
            hashed[address(read[i])] = name
    return lift_any(node, read), hashed

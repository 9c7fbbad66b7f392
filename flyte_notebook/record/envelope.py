"""The bytes of a recorded value: a JSON tree that says what it holds, and raw buffers beside it.

A value is lowered to a *node*: None, bool, int, float and str as they are, lists as lists, dicts with string keys as
objects, and everything else as an object with the key `$` (its kind), which nobody has to unpickle to describe. Raw
memory (bytes, array contents, pickles) lies beside the tree, aligned, so that it can be read through a memory map.

Two layouts, told apart by the first byte: `j`, the tree alone; `f` or `r`, eight bytes of header, a head
(`{"v": tree, "b": buffers}`) and the buffers that are not blobs of their own. With `r` some are: the head names them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from flyte_notebook.record.digest import digest
from flyte_notebook.record.text import Buffer, dump, dump_sorted, encode_text, length, load

if TYPE_CHECKING:
    from flyte_notebook.record.blobs import BlobStore

Node: TypeAlias = Any

INLINE = 8 * 1024
"""Largest envelope, in bytes, that is kept in the journal; larger ones become blobs."""
EXTERNAL = 64 * 1024
"""Buffers of at least this many bytes become blobs of their own, so that equal ones are written once."""
_ALIGN = 64

KIND = "$"
_UNIDENTIFYING = frozenset("bphnso")
"""Keys of a tagged node that say where its memory lies and how it looks, not what it is; `d` stands for them."""


class Sink:
    """Collects what a lowering leaves beside the tree."""

    __slots__ = ("buffers", "pending", "tagged")

    def __init__(self) -> None:
        self.buffers: list[Buffer] = []
        self.pending: list[tuple[dict[str, Any], Any]] = []
        self.tagged = False

    def buffer(self, memory: Buffer) -> int:
        """Keep `memory`; the result is its index."""
        self.buffers.append(memory)
        return len(self.buffers) - 1

    def tag(self, kind: str, **parts: Any) -> dict[str, Any]:
        """A tagged node."""
        self.tagged = True
        return {KIND: kind, **parts}

    def identify(self, node: dict[str, Any], value: Any, size: int) -> dict[str, Any]:
        """Give `node` the identity of `value`; where that takes a pass over much memory (`size` bytes), later."""
        if size >= EXTERNAL:
            self.pending.append((node, value))
        else:
            node["d"] = digest(value).hex()
        return node

    def mark(self) -> tuple[int, int, bool]:
        """Where it stands, for `rewind`."""
        return len(self.buffers), len(self.pending), self.tagged

    def rewind(self, mark: tuple[int, int, bool]) -> None:
        """Forget everything since `mark`: an attempt at lowering came to nothing."""
        buffers, pending, self.tagged = mark
        del self.buffers[buffers:], self.pending[pending:]


def canonical(node: Node) -> Node:
    """`node` without whatever differs between equal values: buffer numbers, previews, the order of sets and dicts."""
    if isinstance(node, list):
        return [canonical(item) for item in node]
    if not isinstance(node, dict):
        return node
    kind = node.get(KIND)
    if kind is None:
        return {k: canonical(v) for k, v in node.items()}
    if kind == "union":
        return canonical(node["v"])
    if kind in ("set", "frozenset", "dict"):
        return {KIND: kind, "v": sorted(map(canonical, node["v"]), key=dump_sorted)}
    return {k: canonical(v) for k, v in node.items() if k not in _UNIDENTIFYING}


def canonical_text(node: Node, tagged: bool) -> str:
    """The text whose hash is the structural digest of `node`; equal for equal values, in every kernel."""
    return dump_sorted(canonical(node) if tagged else node)


def pack(node: Node, buffers: Sequence[Buffer], blobs: Sequence[str | None]) -> list[Buffer]:
    """The parts of an envelope, to be joined or written one after another.

    `blobs`: the names of those buffers that are stored as blobs of their own, None for the others.
    """
    if not buffers:
        return [b"j" + encode_text(dump(node))]
    table: list[int | list[str | int]] = []
    inside: list[Buffer] = []
    for memory, sha in zip(buffers, blobs, strict=True):
        if sha is not None:
            table.append([sha, length(memory)])
        else:
            table.append(length(memory))
            inside.append(memory)
    head = encode_text(dump({"v": node, "b": table}))
    layout = b"f" if len(inside) == len(buffers) else b"r"
    parts: list[Buffer] = [layout + b"\0\0\0" + len(head).to_bytes(4, "little"), head]
    position = 8 + len(head)
    for memory in inside:
        parts.append(bytes(-position % _ALIGN))
        parts.append(memory)
        position += -position % _ALIGN + length(memory)
    return parts


def unpack(data: Buffer, blobs: BlobStore | None) -> tuple[Node, list[memoryview]]:
    """The tree and the buffers of an envelope.

    The buffers are writable, and private to this call, if `data` is writable or they are blobs of their own (which are
    opened copy-on-write); read-only views of `data` otherwise. Raises ValueError for what is no envelope, and when
    `blobs` is needed and missing.
    """
    head, position = _head(data)
    view = memoryview(data)
    buffers: list[memoryview] = []
    for entry in head["b"]:
        if isinstance(entry, list):
            if blobs is None:
                raise ValueError("a large value can be read only from the store that holds it")
            buffers.append(blobs.open(entry[0]))
            continue
        position += -position % _ALIGN
        buffers.append(view[position : position + entry])
        position += entry
    return head["v"], buffers


def tree_of(data: Buffer) -> tuple[Node, list[int]]:
    """The tree of an envelope and the sizes of its buffers, which are left alone."""
    head, _ = _head(data)
    return head["v"], [entry[1] if isinstance(entry, list) else entry for entry in head["b"]]


def references(data: Buffer) -> list[str]:
    """The sha256 names of the blobs that an envelope needs beside itself. ValueError when it is damaged."""
    if bytes(data[:1]) != b"r":
        return []
    try:
        return [str(entry[0]) for entry in _head(data)[0]["b"] if isinstance(entry, list)]
    except (LookupError, TypeError) as error:
        raise ValueError("not a recorded value: what it names cannot be read") from error


def inline_size(data: Buffer) -> int:
    """Bytes of an envelope that would travel inline on a cluster: the tree, text and lists of numbers."""
    if bytes(data[:1]) == b"j":
        return len(data) - 1
    node, sizes = tree_of(data)
    return int.from_bytes(data[4:8], "little") + inline_buffers(node, sizes)


def inline_buffers(node: Node, sizes: Sequence[int]) -> int:
    """Bytes of the texts and lists of numbers that lie beside a tree."""
    if isinstance(node, list):
        return sum(inline_buffers(item, sizes) for item in node)
    if not isinstance(node, dict):
        return 0
    if node.get(KIND) in ("numbers", "text"):
        return sizes[node["b"]]
    return sum(inline_buffers(item, sizes) for item in node.values())


def _head(data: Buffer) -> tuple[dict[str, Any], int]:
    layout = bytes(data[:1])
    if layout == b"j":
        return {"v": load(str(data[1:], "utf-8", "surrogatepass")), "b": []}, len(data)
    if layout not in (b"f", b"r"):
        raise ValueError(f"not a recorded value: it begins with {bytes(data[:8])!r}")
    end = 8 + int.from_bytes(data[4:8], "little")
    head: dict[str, Any] = load(str(data[8:end], "utf-8", "surrogatepass"))
    return head, end

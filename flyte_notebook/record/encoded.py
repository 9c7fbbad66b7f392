"""What a value is once it is encoded: recorded in place when small, a draft to be sealed when large."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flyte_notebook.errors import StoreError
from flyte_notebook.record.envelope import (
    EXTERNAL,
    INLINE,
    Node,
    Sink,
    canonical_text,
    inline_buffers,
    inline_size,
    pack,
    references,
    tree_of,
    unpack,
)
from flyte_notebook.record.identity import identify
from flyte_notebook.record.memory import now, passage, sample
from flyte_notebook.record.text import digest_text, dump, encode_text, length, load

if TYPE_CHECKING:
    from flyte_notebook.record.blobs import BlobStore


_LONG = 256 * 1024
"""Bytes that take a few milliseconds to decode."""


@dataclass(slots=True)
class Encoded:
    """A value as it is recorded."""

    data: bytes | None
    """The self-describing envelope, when small; None when it is a blob."""
    blob: str | None
    """sha256 (hex) of the envelope, when large."""
    digest: bytes
    """Structural identity, 16 bytes: equal for equal values in every kernel; never taken of pickled bytes."""
    size: int
    """Bytes of the value, buffers included."""
    preview: str | None
    """One line of text; None when it can be had from `data`."""

    @property
    def inline(self) -> int:
        """Bytes that would travel inline on a cluster, where `max_inline_io_bytes` bounds them: all but the contents
        of arrays, tables, bytes and pickles, which are offloaded. Of what became a blob, all counts: ask its draft.
        """
        return self.size if self.data is None else inline_size(self.data)

    def is_slow(self, blobs: BlobStore) -> bool:
        """True when decoding it is better done in a thread: it is long, or blobs have to be checked first."""
        if self.blob is not None:
            return self.size > _LONG or not blobs.is_verified(self.blob)
        data = self.data or b""
        return data[:1] == b"r" and not all(map(blobs.is_verified, references(data)))

    def is_whole(self, blobs: BlobStore) -> bool:
        """True when all that it needs is in `blobs`, where it is marked as used: somebody goes on with it.

        Contents are not verified here but when they are read.
        """
        if self.data is None:
            if self.blob is None or not blobs.use(self.blob):
                return False
            try:
                return all(map(blobs.use, references(blobs.peek(self.blob))))
            except (StoreError, ValueError):
                # Damaged so that it cannot even be told what it names.
                return False
        return self.data[:1] != b"r" or all(map(blobs.use, references(self.data)))


class Draft:
    """A value too large to be recorded on the spot: `seal` hashes and writes it, in any thread.

    Large memory is not copied: it should not change until it is sealed. If it does, what is on record is one of its
    states or a mixture of them, and its digest that of what is on record.
    """

    __slots__ = ("_asked", "_node", "_passages", "_plain", "_samples", "_sink", "_text", "changed", "size")

    def __init__(self, node: Node, sink: Sink, text: str | None, size: int, plain: bool) -> None:
        self._node = node
        self._sink = sink
        self._text = text
        self._plain = plain
        self.size = size
        """Bytes of the value, buffers included."""
        self._passages = [passage(memory) if length(memory) >= EXTERNAL else None for memory in sink.buffers]
        self._samples = [sample(memory) for memory in sink.buffers]
        self._asked = now()
        self.changed = False
        """True once it was sealed and has been seen to change meanwhile; a change of a small part may go unseen."""

    @property
    def inline(self) -> int:
        """As `Encoded.inline`."""
        sizes = list(map(length, self._sink.buffers))
        return self.size - sum(sizes) + inline_buffers(self._node, sizes)

    def seal(self, blobs: BlobStore) -> Encoded:
        """Hash and store. Raises what the store raises when it cannot be written."""
        from flyte_notebook.record.preview import text

        sink = self._sink
        stored = [
            way.store(memory, blobs, self._asked) if way is not None else None
            for way, memory in zip(self._passages, sink.buffers, strict=True)
        ]
        identify(sink, stored, blobs)
        self.changed = any(map(operator.ne, self._samples, map(sample, sink.buffers)))
        digest = _digest(self._node, sink, self._text if self._plain else None)
        parts = pack(self._node, sink.buffers, stored) if self._text is None else [b"j", encode_text(self._text)]
        if sum(map(length, parts)) <= INLINE:
            return Encoded(b"".join(parts), None, digest, self.size, None)
        return Encoded(None, blobs.put(parts), digest, self.size, text(self._node))


def finish(node: Node, sink: Sink, plain: bool = False) -> Encoded | Draft:
    """Record `node` in place if it is small enough. `plain`: it holds no objects, and tagged nodes only if any are."""
    text = dump(node)
    plain = plain and not sink.tagged
    if not sink.buffers:
        data = b"j" + encode_text(text)
        if len(data) > INLINE:
            return Draft(node, sink, text, len(data) - 1, plain)
        return Encoded(data, None, _digest(node, sink, text if plain else None), len(data) - 1, None)
    size = sum(map(length, sink.buffers)) + len(encode_text(text))
    if size <= INLINE and not sink.pending:
        data = b"".join(pack(node, sink.buffers, [None] * len(sink.buffers)))
        if len(data) <= INLINE:
            return Encoded(data, None, _digest(node, sink, None), size, None)
    # What is small is copied now, so that a value changed while it is sealed in a thread costs no torn record.
    sink.buffers = [bytes(memory) if length(memory) < EXTERNAL else memory for memory in sink.buffers]
    return Draft(node, sink, None, size, plain)


def _digest(node: Node, sink: Sink, canonical: str | None) -> bytes:
    return digest_text(canonical_text(node, sink.tagged) if canonical is None else canonical)


def opened(encoded: Encoded, blobs: BlobStore | None) -> tuple[Node, list[memoryview]]:
    """The tree of `encoded` and its buffers, which are private to the caller and writable."""
    if encoded.data is not None:
        data = encoded.data
        if data[:1] == b"j":
            return load(str(data[1:], "utf-8", "surrogatepass")), []
        # A copy of its own, which the value's arrays may be written into.
        return unpack(memoryview(bytearray(data)), blobs)
    if encoded.blob is None or blobs is None:
        raise ValueError("a large value can be read only from the store that holds it")
    return unpack(blobs.open(encoded.blob), blobs)


def tree(encoded: Encoded, blobs: BlobStore | None) -> tuple[Node, list[int]]:
    """The tree of `encoded` and the sizes of its buffers, which are not read. ValueError when `blobs` is missing."""
    if encoded.data is not None:
        return tree_of(encoded.data)
    if encoded.blob is None or blobs is None:
        raise ValueError("the value is in a store that is not at hand")
    return tree_of(blobs.peek(encoded.blob))

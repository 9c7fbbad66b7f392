"""Recorded values as text: bounded, escaped, and never unpickled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flyte_notebook.record.encoded import Encoded
from flyte_notebook.record.envelope import KIND, Node, unpack

if TYPE_CHECKING:
    from flyte_notebook.record.blobs import BlobStore

PREVIEW = 200


def preview(encoded: Encoded, blobs: BlobStore | None = None) -> str:
    """One line of at most 200 characters. Never unpickles and never raises."""
    if encoded.preview is not None or encoded.data is None:
        return encoded.preview or ""
    return text(unpack(encoded.data, None)[0])


def text(node: Node, limit: int = PREVIEW) -> str:
    """One line of at most `limit` characters for a node."""
    if isinstance(node, dict) and KIND in node:
        node_text = node["p"]
    else:
        node_text = repr(node)
    return node_text if len(node_text) <= limit else node_text[: limit - 1] + "…"


def describe(encoded: Encoded) -> dict[str, Any]:
    """What the explorer shows of a value: type, text, and the size in bytes. Never unpickles."""
    return {"type": "", "text": preview(encoded), "html": None, "size": encoded.size}


def describe_items(encoded: Encoded, blobs: BlobStore | None = None) -> list[dict[str, Any]]:
    """One description for each named value of recorded inputs."""
    tree, _ = unpack(encoded.data, None) if encoded.data is not None else ({}, [])
    return [{"name": name, "type": "", "text": text(node), "html": None, "size": 0} for name, node in tree.items()]

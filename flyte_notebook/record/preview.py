"""Recorded values as text and tables: bounded, escaped, and read from the record alone; nothing is ever unpickled."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flyte_notebook.record.encoded import Encoded, tree
from flyte_notebook.record.envelope import KIND, Node
from flyte_notebook.record.sketch import CELL, TITLE, cut
from flyte_notebook.record.text import dump, encode_text

if TYPE_CHECKING:
    from flyte_notebook.record.blobs import BlobStore

TEXT = 4000
"""Characters of a description."""
_WIDTH = 88
"""Characters of a line in a description, where it can be broken."""
_TABLES = 3


def preview(encoded: Encoded, blobs: BlobStore | None = None) -> str:
    """One line of at most 200 characters. Never unpickles and never raises."""
    if encoded.preview is not None:
        return encoded.preview
    try:
        node, _ = tree(encoded, blobs)
        return text(node)
    except Exception as error:  # noqa: BLE001 - a damaged record must not break the view of all others
        return f"<unreadable: {cut(str(error), CELL)}>"


def describe(encoded: Encoded, blobs: BlobStore | None = None) -> dict[str, Any]:
    """What the explorer shows of a value; JSON-able.

    `type`, a short name; `text`, at most 4,000 characters; `html`, the heads of DataFrames in it as escaped tables (20
    rows by 20 columns), or None; `size` in bytes. `blobs` is needed for more than a line about large values. Never
    unpickles and never raises.
    """
    try:
        node, _ = tree(encoded, blobs)
        return {"type": type_of(node), **_shown(node), "size": encoded.size}
    except Exception:  # noqa: BLE001 - as above
        return {"type": "", "text": preview(encoded), "html": None, "size": encoded.size}


def describe_items(encoded: Encoded, blobs: BlobStore | None = None) -> list[dict[str, Any]]:
    """`name`, `type`, `text`, `html` and `size` of each of recorded inputs. Never unpickles and never raises."""
    try:
        items, sizes = tree(encoded, blobs)
        return [
            {"name": name, "type": type_of(node), **_shown(node), "size": _size(node, sizes)}
            for name, node in items.items()
        ]
    except Exception:  # noqa: BLE001 - as above
        return [{"name": "inputs", "type": "", "text": preview(encoded), "html": None, "size": encoded.size}]


def _shown(node: Node) -> dict[str, Any]:
    return {"text": _description(node), "html": "".join(map(_table, _tables(node))) or None}


def _size(node: Node, sizes: list[int]) -> int:
    held: list[int] = []

    def gather(part: Node) -> None:
        if isinstance(part, list):
            for item in part:
                gather(item)
        elif isinstance(part, dict):
            where = part.get("b") if KIND in part else None
            held.extend([where] if isinstance(where, int) else where or [])
            for item in part.values():
                if isinstance(item, list | dict) and item is not where:
                    gather(item)

    gather(node)
    return len(encode_text(dump(node))) + sum(sizes[i] for i in held)


def type_of(node: Node) -> str:
    """A short name for the type of what a node holds."""
    if not isinstance(node, dict) or KIND not in node:
        return "None" if node is None else type(node).__name__
    kind = node[KIND]
    if kind == "union":
        return type_of(node["v"])
    if kind == "array":
        return "ndarray"
    return str(node["t"]).rpartition(".")[2] if "t" in node else str(kind)


class _FullError(Exception):
    """No room is left."""


class _Writer:
    """Writes a node as Python would show the value, up to a number of characters."""

    def __init__(self, room: int) -> None:
        self.parts: list[str] = []
        self.room = room

    def write(self, piece: str) -> None:
        if len(piece) > self.room:
            self.parts.append(piece[: self.room])
            raise _FullError
        self.parts.append(piece)
        self.room -= len(piece)

    def node(self, node: Node) -> None:
        if isinstance(node, str):
            self.write(repr(node[: self.room + 1]))
        elif isinstance(node, list):
            self.row("[", node, "]")
        elif not isinstance(node, dict):
            self.write(repr(node))
        elif KIND not in node:
            self.pairs("{", [(repr(cut(name, TITLE)), item) for name, item in node.items()], ": ", "}")
        else:
            self.tagged(node, node[KIND])

    def row(self, left: str, items: list[Node], right: str) -> None:
        self.write(left)
        for i, item in enumerate(items):
            if i:
                self.write(", ")
            self.node(item)
        self.write(right)

    def pairs(self, left: str, items: list[tuple[str, Node]], between: str, right: str) -> None:
        self.write(left)
        for i, (name, item) in enumerate(items):
            self.write(f"{', ' if i else ''}{name}{between}")
            self.node(item)
        self.write(right)

    def tagged(self, node: dict[str, Any], kind: str) -> None:
        if kind == "union":
            self.node(node["v"])
        elif kind == "numbers":
            self.row("[", node["p"], ", …]")
        elif kind == "tuple":
            self.row("(", node["v"], ",)" if len(node["v"]) == 1 else ")")
        elif kind == "dict":
            self.pairs("{", [(text(k), v) for k, v in node["v"]], ": ", "}")
        elif kind in ("set", "frozenset"):
            left, right = ("{", "}") if kind == "set" and node["v"] else (f"{kind}({{", "})")
            self.row(left, node["v"], right)
        elif kind in ("record", "model"):
            self.pairs(f"{type_of(node)}(", list(node["f"].items()), "=", ")")
        else:
            self.write(_ATOMS.get(kind, _plain)(node))


def _plain(node: dict[str, Any]) -> str:
    return str(node["p"] if "p" in node else node.get("v", node[KIND]))


_ATOMS: dict[str, Callable[[dict[str, Any]], str]] = {
    "enum": lambda node: f"{type_of(node)}.{node['m']}",
    "text": lambda node: repr(node["p"]),
    "bytes": lambda node: repr(node["p"].encode("latin-1")) + ("…" if node["s"] > len(node["p"]) else ""),
    "bytearray": lambda node: f"bytearray({node['p'].encode('latin-1')!r})",
    "timedelta": lambda node: str(dt.timedelta(*node["v"])),
    "complex": lambda node: str(complex(*node["v"])),
    "Decimal": lambda node: f"Decimal({node['v']!r})",
    "UUID": lambda node: f"UUID({node['v']!r})",
    "Path": lambda node: f"Path({node['v']!r})",
}


def text(node: Node, limit: int = TITLE) -> str:
    """One line of at most `limit` characters for a node."""
    writer = _Writer(limit)
    try:
        writer.node(node)
    except _FullError:
        return cut("".join(writer.parts) + "…", limit)
    return "".join(writer.parts)


def _description(node: Node) -> str:
    if isinstance(node, str):
        # Text is read as it stands; lone surrogates could not be written anywhere.
        return cut(node, TEXT).encode("utf-8", "backslashreplace").decode()
    if isinstance(node, dict) and ("n" in node or node.get(KIND) == "text"):
        long = cut(str(node["n"]), TEXT) if "n" in node else cut(node["p"] + "…", TEXT)
        return long.encode("utf-8", "backslashreplace").decode()
    return cut("\n".join(_lines(node, "", _WIDTH)), TEXT)


def _lines(node: Node, indent: str, width: int) -> list[str]:
    """A node over several lines, where it is too long for one and has parts."""
    one = text(node, width + 1)
    left, items, right = _parts(node)
    if len(one) <= width or not items or len(indent) > 40:
        return [indent + (one if len(one) <= width else text(node, TITLE))]
    lines = [indent + left]
    for label, item in items[: TEXT // 8]:
        head, *rest = _lines(item, indent + "  ", width)
        lines += [f"{indent}  {label}{head.lstrip()}", *rest]
        lines[-1] += ","
    return [*lines, indent + right]


def _parts(node: Node) -> tuple[str, list[tuple[str, Node]], str]:
    if isinstance(node, list):
        return "[", [("", item) for item in node], "]"
    if not isinstance(node, dict):
        return "", [], ""
    kind = node.get(KIND)
    if kind is None:
        return "{", [(f"{cut(name, TITLE)!r}: ", item) for name, item in node.items()], "}"
    if kind == "union":
        return _parts(node["v"])
    if kind == "tuple":
        return "(", [("", item) for item in node["v"]], ")"
    if kind in ("record", "model"):
        return f"{type_of(node)}(", [(f"{name}=", item) for name, item in node["f"].items()], ")"
    return "", [], ""


def _tables(node: Node) -> list[dict[str, Any]]:
    """The recorded heads of tables in a node, and in what it holds directly."""
    if isinstance(node, dict) and KIND in node:
        if "h" in node:
            return [node["h"]]
        inner = node["v"] if node[KIND] in ("union", "tuple") else node.get("f")
        return _tables(inner) if isinstance(inner, list | dict) else []
    if isinstance(node, list | dict):
        items = node if isinstance(node, list) else list(node.values())
        heads = [i["h"] for i in items[:20] if isinstance(i, dict) and KIND in i and "h" in i]
        return heads[:_TABLES]
    return []


def _table(head: dict[str, Any]) -> str:
    """The head of a table as HTML, everything in it escaped."""
    from html import escape

    rows, columns = head["shape"]
    more = columns > len(head["columns"])
    names = "".join(f"<th>{escape(name)}</th>" for name in head["columns"]) + ("<th>…</th>" if more else "")
    lines = []
    for label, cells in zip(head["index"], head["rows"], strict=True):
        body = "".join(f"<td>{escape(cell)}</td>" for cell in cells) + ("<td>…</td>" if more else "")
        lines.append(f"<tr><th>{escape(label)}</th>{body}</tr>")
    size = f"<p>{rows:,} rows × {columns:,} columns</p>"
    return f"<table><thead><tr><th></th>{names}</tr></thead><tbody>{''.join(lines)}</tbody></table>{size}"

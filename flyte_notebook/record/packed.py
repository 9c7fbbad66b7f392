"""Long lists of numbers, and long text, as raw memory: as JSON they would block the event loop for seconds."""

from __future__ import annotations

from array import array
from typing import Any

from flyte_notebook.record.envelope import Node, Sink
from flyte_notebook.record.text import encode_text

LONG = 1000
"""Elements of the shortest list that is packed."""
LONG_TEXT = 64 * 1024
"""Characters of the shortest text that is packed."""
_CODES = {int: "q", float: "d"}
_SHOWN, _SHOWN_TEXT = 50, 2000


def lower_numbers(value: list[Any], kind: type, sink: Sink) -> Node:
    """The node of a list whose elements are all of exactly `kind`; a plain list where it is short or does not fit."""
    code = _CODES.get(kind)
    if code is None or len(value) < LONG:
        return list(value)
    try:
        memory = array(code, value).tobytes()
    except OverflowError:
        return list(value)
    node = sink.tag("numbers", t="builtins.list", c=code, s=len(value), p=value[:_SHOWN], b=sink.buffer(memory))
    return sink.identify(node, memory, len(memory))


def lift_numbers(node: Node, buffers: list[memoryview]) -> list[Any]:
    """The list again."""
    numbers = array(node["c"])
    numbers.frombytes(buffers[node["b"]])
    return numbers.tolist()


def lower_text(value: str, sink: Sink) -> Node:
    """The node of a str; itself where it is short."""
    if len(value) < LONG_TEXT:
        return value
    memory = encode_text(value)
    node = sink.tag("text", t="builtins.str", s=len(value), p=value[:_SHOWN_TEXT], b=sink.buffer(memory))
    return sink.identify(node, memory, len(memory))


def lift_text(node: Node, buffers: list[memoryview]) -> str:
    """The text again."""
    return str(buffers[node["b"]], "utf-8", "surrogatepass")

"""JSON text and raw memory: the two things that recorded values are made of."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, TypeAlias

Buffer: TypeAlias = bytes | memoryview

dump: Callable[[Any], str] = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
dump_sorted: Callable[[Any], str] = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, sort_keys=True).encode
_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # the stubs do not know it


def load(text: str) -> Any:
    """The value of a JSON text that `dump` made, with nothing around it: twice as fast as `json.loads`.

    Raises json.JSONDecodeError, a ValueError, for anything else.
    """
    try:
        value, end = _scan(text, 0)
    except StopIteration as stopped:
        raise json.JSONDecodeError("Expecting value", text, stopped.value) from None
    if end != len(text):
        raise json.JSONDecodeError("Extra data", text, end)
    return value


def encode_text(text: str) -> bytes:
    """UTF-8 that also carries lone surrogates, which Python strings may hold."""
    return text.encode("utf-8", "surrogatepass")


def length(memory: Buffer) -> int:
    """Size in bytes."""
    return memory.nbytes if isinstance(memory, memoryview) else len(memory)


def digest_text(text: str) -> bytes:
    """The 16-byte digest of a canonical text: of the envelope that it would be alone."""
    return blake2b(b"j" + encode_text(text), digest_size=16).digest()


def address(memory: Buffer) -> tuple[int, int]:
    """Where memory lies, and how long it is; `(0, 0)` where that cannot be told."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not length(memory):
        return 0, 0
    return numpy.frombuffer(memory, "u1").ctypes.data, length(memory)

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
load: Callable[[str], Any] = json.JSONDecoder().decode


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

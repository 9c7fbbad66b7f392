"""How values, errors and texts lie in the journal's columns."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from operator import itemgetter
from typing import Any, TypeAlias

from flyte_notebook.record.encoded import Encoded
from flyte_notebook.record.events import RunStarted
from flyte_notebook.record.model import ErrorRecord

Row: TypeAlias = list[Any]
"""A row of a table, in the order of its columns; mutable until it is committed."""

# Where things lie in a row of `actions`.
_ID, _PARENT, PHASE, ENDED, CACHE_KEY, OUTPUT = 1, 2, 7, 13, 15, 18

_HEAD = struct.Struct("<16sQ")
_DIGEST_BYTES = 16
# ASCII, so that lone surrogates in messages and previews survive.
_dump = json.JSONEncoder(separators=(",", ":")).encode


def storable(text: str) -> str:
    """`text` itself, or, if it holds lone surrogates, which SQLite refuses, with these escaped."""
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode()


def pack(encoded: Encoded) -> bytearray:
    """The column of a value; `rest_of` says what else there is to keep. Never empty."""
    # A bytearray: sqlite3 takes `bytes` through its slow adapter protocol.
    packed = bytearray(_HEAD.pack(encoded.digest, encoded.size))
    if encoded.data is not None:
        packed += encoded.data
    return packed


def rest_of(encoded: Encoded) -> list[Any] | None:
    """What `pack` leaves out, JSON-able: the blob's name and the preview. None for most values: neither."""
    if encoded.blob is None and encoded.preview is None:
        return None
    return [encoded.blob, encoded.preview]


def unpack(packed: bytes, rest: list[Any] | None) -> Encoded | None:
    """The value again; None if there was none."""
    if not packed:
        return None
    digest, size = _HEAD.unpack_from(packed)
    blob, preview = rest or (None, None)
    return Encoded(None if blob else packed[_HEAD.size :], blob, digest, size, preview)


def digest_of(packed: bytes) -> bytes:
    """The structural digest of a packed value."""
    return packed[:_DIGEST_BYTES]


def with_extra(extra: str, **more: Any) -> str:
    """An `extra` column with `more` in it, but for what is None."""
    more = {name: value for name, value in more.items() if value is not None}
    if not more:
        return extra
    return _dump({**parse(extra), **more} if extra else more)


def parse(extra: str) -> dict[str, Any]:
    """What an `extra` column holds."""
    parsed: dict[str, Any] = json.loads(extra) if extra else {}
    return parsed


def dump_error(error: ErrorRecord | None) -> list[Any] | None:
    """An error as JSON-able data."""
    if error is None:
        return None
    return [error.code, error.message, error.kind, error.traceback, error.line]


def load_error(dumped: list[Any] | None) -> ErrorRecord | None:
    """The error again."""
    return None if dumped is None else ErrorRecord(*dumped)


def dump_mapping(mapping: Mapping[str, Any]) -> str:
    """A mapping as JSON; what JSON cannot say becomes its `str`."""
    return json.dumps(dict(mapping), default=str)


def dump_options(run: RunStarted) -> str:
    """How a run was asked to behave, and what started it, as JSON."""
    started = {name: value for name in _STARTED if (value := getattr(run, name)) is not None}
    return dump_mapping({**run.options, **started})


def load_options(text: str) -> tuple[dict[str, Any], str | None, str | None]:
    """Options, execution and surrounding run, as in `RunStarted`."""
    options = parse(text)
    execution, within = (options.pop(name, None) for name in _STARTED)
    return options, execution, within


_STARTED = ("execution", "within")


def before_and_after(actions: list[Row]) -> tuple[list[Row], list[Row]]:
    """Rows of actions to write first, and to write then: whoever ended comes on record after all that it has called.

    Those are first written as they were before their end, because what they called refers to them.
    """
    callers = {row[_PARENT] for row in actions}
    ended = [row for row in actions if row[ENDED] and row[_ID] in callers]
    begun = {row[0]: _begun(row) for row in ended}
    # Keys are in the order of submission: what is called has a higher one than its caller.
    ended.sort(key=itemgetter(0), reverse=True)
    return [begun.get(row[0], row) for row in actions], ended


def _begun(row: Row) -> Row:
    begun = row[:]
    begun[PHASE], begun[ENDED], begun[CACHE_KEY], begun[OUTPUT] = "RUNNING", 0.0, "", b""
    return begun

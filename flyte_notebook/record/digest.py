"""The structural identity of any value: equal for equal values in every kernel, whatever the hash seed.

Made of type names, fields, elements and array contents; sets and dicts count without their order. Never of pickled
bytes, which differ between kernels for equal values, nor of addresses.
"""

from __future__ import annotations

import contextlib
import copyreg
import enum
import functools
import pickle
import sys
import types
from collections import OrderedDict
from collections.abc import Callable, Mapping
from hashlib import blake2b, sha256
from secrets import token_bytes
from types import MappingProxyType
from typing import Any

from flyte_notebook.record.origin import is_users
from flyte_notebook.record.text import address, dump, encode_text

_DECIMAL = 1024
"""Bits of the largest integer whose digest is taken of its decimal digits."""
_OBJECT = 64
"""Bytes that an object counts for, beside what it holds."""
_SCALARS = frozenset({type(None), bool, int, float, str})


class TooLargeError(Exception):
    """The value holds more bytes than the caller wanted read."""


def digest(value: Any, limit: int | None = None, hashed: Mapping[tuple[int, int], str] = MappingProxyType({})) -> bytes:
    """16 bytes that identify `value`.

    What cannot be taken apart, though it may be pickled, differs each time: nothing else can be told to be the same.
    `hashed`: the SHA-256 (hex) of runs of memory, by address and length, which are not read once more. Raises
    TooLargeError once more than `limit` bytes were read.
    """
    try:
        return Hasher(limit, hashed=hashed).of(value)
    except RecursionError:
        # Nested in hundreds of levels: its pickle, which may differ between kernels, is better than nothing.
        return combined("deep", type_name(type(value)).encode(), _pickled(value))


def _pickled(value: Any) -> bytes:
    try:
        return pickle.dumps(value, protocol=5)
    except Exception:  # noqa: BLE001 - whatever a user's object raises: nothing else can be told to be this one
        return token_bytes(16)


def type_name(cls: type) -> str:
    """Module and qualified name: how a type is known to the record."""
    return f"{cls.__module__}.{cls.__qualname__}"


def combined(tag: str, *parts: bytes) -> bytes:
    """One digest of several, in order."""
    hasher = blake2b(encode_text(tag), digest_size=16)
    for part in parts:
        hasher.update(b"\0%d\0" % len(part))
        hasher.update(part)
    return hasher.digest()


class Hasher:
    """Digests the parts of one value; shared parts once, and circles without end."""

    def __init__(
        self,
        limit: int | None = None,
        code: Callable[[Any], bytes] | None = None,
        hashed: Mapping[tuple[int, int], str] = MappingProxyType({}),
        state: Callable[[Any], frozenset[str] | bytes] | None = None,
    ) -> None:
        """`code` says what to take for functions, classes, tasks and modules inside; by default their fingerprints.
        `state` names the attributes of a value that do not count, or says what stands for all that it holds.
        """
        self.hashed = hashed
        self.alive = False
        """True once something was met that is no data: a lock, a connection, a frame."""
        self.spent = 0
        """Bytes read so far."""
        self._limit = limit
        self.code = code
        self._state = state
        self._done: dict[int, tuple[Any, bytes]] = {}
        """By id; the value is kept so that its id stays its own."""
        self._open: dict[int, int] = {}

    def of(self, value: Any) -> bytes:
        """The digest of `value`."""
        kind = type(value)
        if kind in _SCALARS:
            return self._text(kind.__name__, _scalar(value, kind))
        if kind in (bytes, bytearray, memoryview):
            return self.content(kind.__name__, bytes(value) if kind is memoryview else value)
        known = self._done.get(id(value))
        if known is not None:
            return known[1]
        if id(value) in self._open:
            return combined("circle", str(len(self._open) - self._open[id(value)]).encode())
        self._open[id(value)] = len(self._open)
        try:
            result = self._compound(value, kind)
        except (TooLargeError, RecursionError):
            raise
        except Exception:  # noqa: BLE001 - whatever a user's object raises when it is looked at: its type is left
            self.alive = True
            self._maker(kind)
            # Of what code depends on the type is enough; a value must not be taken for another one.
            result = combined("opaque", type_name(kind).encode(), b"" if self.code is not None else token_bytes(16))
        finally:
            del self._open[id(value)]
        self._done[id(value)] = (value, result)
        return result

    def spend(self, size: int) -> None:
        """Account for `size` bytes to be read. Raises TooLargeError past the limit."""
        self.spent += size
        if self._limit is not None and self.spent > self._limit:
            raise TooLargeError

    def content(self, tag: str, memory: Any) -> bytes:
        """The digest of a run of memory."""
        self.spend(len(memory))
        known = self.hashed.get(address(memory)) if self.hashed else None
        return combined(tag, bytes.fromhex(known) if known is not None else sha256(memory).digest())

    def items(self, tag: str, values: Any) -> bytes:
        """The digest of a sequence."""
        values = list(values)
        if set(map(type, values)) <= _SCALARS:
            # ValueError: an integer of thousands of digits.
            with contextlib.suppress(ValueError):
                return self._text(tag, dump(values))
        return combined(tag, *map(self.of, values))

    def mapping(self, tag: str, pairs: Any) -> bytes:
        """The digest of pairs of key and value, whatever their order."""
        return combined(tag, *sorted(self.of(k) + self.of(v) for k, v in pairs))

    def _text(self, tag: str, text: str) -> bytes:
        self.spend(len(text))
        return combined(tag, encode_text(text))

    def _compound(self, value: Any, kind: type) -> bytes:
        self.spend(_OBJECT)
        omitted = frozenset[str]() if self._state is None else self._state(value)
        if isinstance(omitted, bytes):
            self._maker(kind)
            return combined("state", type_name(kind).encode(), omitted)
        if kind is list or kind is tuple:
            return self.items(kind.__name__, value)
        if kind is dict:
            return self.mapping("dict", value.items())
        if kind is set or kind is frozenset:
            return combined(kind.__name__, *sorted(map(self.of, value)))
        if isinstance(value, enum.Enum):
            self._maker(kind)
            return combined(type_name(kind), self.of(value.name), self.of(value.value))
        special = _code(value) or _data(kind)
        if special is not None:
            return special(self, value)
        return self._reduced(value, kind, omitted)

    def _reduced(self, value: Any, kind: type, omitted: frozenset[str]) -> bytes:
        """By the parts that pickling would take, which every type defines for itself."""
        parts = _reduce(value, kind)
        if isinstance(parts, str):
            return combined("global", type_name(kind).encode(), parts.encode())
        make, args, state, elements, pairs = (*parts, None, None, None)[:5]
        if self.code is not None and isinstance(state, dict) and "__wrapped__" in state:
            # What `functools.update_wrapper` copied from the function, which counts itself, without its docstring.
            omitted = omitted.union(functools.WRAPPER_ASSIGNMENTS)
        if omitted:
            state = _without(state, omitted)
        return combined(
            type_name(kind),
            self._maker(make),
            *map(self._maker, args or ()),
            self.of(state),
            self.items("elements", elements or ()),
            # As for Python, order is of the value of an OrderedDict, and of no other dict.
            self.items("pairs", pairs or ()) if issubclass(kind, OrderedDict) else self.mapping("pairs", pairs or ()),
        )

    def _maker(self, part: Any) -> bytes:
        # A class that is only told how to build the value counts by name: instances do not change with its methods.
        if not isinstance(part, type):
            return self.of(part)
        if self.code is not None:
            # Unless somebody asks what the value depends on: then they do.
            self.code(part)
        return combined("class", type_name(part).encode())


def _without(state: Any, omitted: frozenset[str]) -> Any:
    """The attributes of an object but some; the same before any of these was set, and after."""
    if isinstance(state, tuple):
        # Of a class with slots: what is in its dict, and what is in them.
        attributes, slots = (_without(part, omitted) for part in state)
        return (attributes, slots) if slots else attributes
    return {name: part for name, part in state.items() if name not in omitted} or None if state else None


def _scalar(value: Any, kind: type) -> str:
    if kind is float:
        return float.hex(value)
    # Python refuses to write thousands of digits in decimal.
    return hex(value) if kind is int and value.bit_length() > _DECIMAL else str(value)


def _reduce(value: Any, kind: type) -> Any:
    """What pickling would take, or cloudpickle, which knows more types. Raises for locks, sockets and the like."""
    reducer = copyreg.dispatch_table.get(kind)
    if reducer is not None:
        return reducer(value)
    try:
        return value.__reduce_ex__(4)
    except Exception:
        from cloudpickle import Pickler

        reducer = Pickler.dispatch_table.get(kind)
        if reducer is None:
            raise
        make, *parts = reducer(value)
        # By name: that function is no part of the value.
        return make.__qualname__, *parts


def _code(value: Any) -> Callable[[Hasher, Any], bytes] | None:
    """How to digest what is code: functions, methods, classes, modules, tasks."""
    if isinstance(value, types.MethodType):
        return _method
    if isinstance(value, types.BuiltinFunctionType | types.BuiltinMethodType):
        return _builtin
    if isinstance(value, types.ModuleType):
        return lambda hasher, module: combined("module", module.__name__.encode())
    if isinstance(value, functools.partial):
        return _partial
    if isinstance(value, types.FunctionType | type) or is_task(value) or (callable(value) and _wraps(value)):
        return _fingerprint
    return None


def _wraps(value: Any) -> bool:
    # A decorator of the user's own has attributes and a `__call__`, which count too.
    return isinstance(getattr(value, "__wrapped__", None), types.FunctionType) and not is_users(type(value).__module__)


def is_task(value: Any) -> bool:
    """True for a task, told by what it has: the record does not know the class."""
    fields = type(value)
    return callable(value) and hasattr(fields, "override") and hasattr(value, "func") and hasattr(value, "short_name")


def _fingerprint(hasher: Hasher, value: Any) -> bytes:
    if hasher.code is not None:
        return combined("code", hasher.code(value))
    from flyte_notebook.record.fingerprint import fingerprint

    return combined("code", fingerprint(value).encode())


def _method(hasher: Hasher, method: types.MethodType) -> bytes:
    return combined("method", hasher.of(method.__func__), hasher.of(method.__self__))


def _builtin(hasher: Hasher, function: types.BuiltinFunctionType) -> bytes:
    owner = function.__self__
    bound = b"" if owner is None or isinstance(owner, types.ModuleType) else hasher.of(owner)
    return combined("builtin", f"{function.__module__}.{function.__qualname__}".encode(), bound)


def _partial(hasher: Hasher, value: functools.partial[Any]) -> bytes:
    return combined("partial", hasher.of(value.func), hasher.of(value.args), hasher.of(value.keywords))


def is_data(kind: type) -> bool:
    """True for arrays and tables: an equal one, made from the same bytes, has the same digest."""
    return _data(kind) is not None


def _data(kind: type) -> Callable[[Hasher, Any], bytes] | None:
    """How to digest an array or a table, when the library it comes from is there."""
    if kind.__module__.partition(".")[0] not in ("numpy", "pandas", "pyarrow", "torch") or "numpy" not in sys.modules:
        return None
    from flyte_notebook.record.contents import content_of

    return content_of(kind)

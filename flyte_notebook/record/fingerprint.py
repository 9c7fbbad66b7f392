"""The identity of a function: of its code and of all that it refers to."""

from __future__ import annotations

import ast
import inspect
import textwrap
from hashlib import blake2b
from typing import Any


def fingerprint(fn: Any) -> str:
    """32 hex digits."""
    return blake2b("\0".join(fingerprint_parts(fn).values()).encode(), digest_size=16).hexdigest()


def fingerprint_parts(fn: Any) -> dict[str, str]:
    """What the fingerprint is made of, by name."""
    try:
        text = ast.dump(ast.parse(textwrap.dedent(inspect.getsource(fn))))
    except (OSError, TypeError, SyntaxError):
        code = getattr(fn, "__code__", None)
        text = repr((code.co_code, code.co_names)) if code is not None else repr(type(fn))
    return {"own code": blake2b(text.encode(), digest_size=16).hexdigest()}

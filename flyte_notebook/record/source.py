"""The source text of a function, for the record: what a run knew of its tasks."""

from __future__ import annotations

import inspect
import textwrap
from typing import Any


def source_of(func: Any) -> str | None:
    """The dedented source of `func` with its decorators, or None where there is none (builtins, callable objects)."""
    try:
        return textwrap.dedent(inspect.getsource(inspect.unwrap(func)))
    except (OSError, TypeError, ValueError, SyntaxError):
        return None

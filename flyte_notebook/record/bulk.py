"""Many rows in few statements.

SQLite works without the interpreter lock, so each statement has to win it back twice, up to 5 ms each time against a
thread that computes: `executemany`, a statement per row, would take seconds for a batch. Here a batch is one
statement per table.
"""

from __future__ import annotations

from bisect import bisect_left
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flyte_notebook.record.rows import Row

Statement: TypeAlias = "tuple[str, Sequence[Any]]"
"""SQL and its parameters."""

_SIZES = (*range(1, 8), *(step << shift for shift in range(1, 7) for step in range(4, 8)), 512)
"""Rows per statement. Few sizes, because SQLite keeps a statement for each; close enough that little is filled up."""
_PARAMETERS = 999
"""What SQLite allows in one statement before 3.32; later ones allow 32,766."""


def inserts(table: str, rows: list[Row]) -> Iterator[Statement]:
    """Statements, with their parameters, that insert `rows` whole, or replace those with equal keys."""
    if not rows:
        return
    width = len(rows[0])
    sizes = _sizes(width)
    for start in range(0, len(rows), sizes[-1]):
        chunk = rows[start : start + sizes[-1]]
        size = sizes[bisect_left(sizes, len(chunk))]
        # Filled up with the last row: replacing it by itself changes nothing.
        chunk += [chunk[-1]] * (size - len(chunk))
        yield _insert(table, width, size), list(chain.from_iterable(chunk))


def is_one(rows: list[Row]) -> bool:
    """Whether one statement inserts them all: nobody sees, and no crash leaves, a part of them."""
    return not rows or len(rows) <= _sizes(len(rows[0]))[-1]


@cache
def _sizes(width: int) -> tuple[int, ...]:
    import sqlite3

    most = (32_766 if sqlite3.sqlite_version_info >= (3, 32) else _PARAMETERS) // width
    return tuple(size for size in _SIZES if size <= most)


@cache
def _insert(table: str, width: int, size: int) -> str:
    row = f"({', '.join('?' * width)})"
    # `table` is one of ours.
    return f"INSERT OR REPLACE INTO {table} VALUES {', '.join([row] * size)}"  # noqa: S608

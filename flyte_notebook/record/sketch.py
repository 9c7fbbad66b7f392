"""What is written down, when a value is encoded, of how it looks: later nobody unpickles it to find out.

Whatever a value's own `repr` does (raise, never end a line, print a page of HTML), the result is bounded text.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import reprlib
import sys
import types
from collections.abc import Callable
from typing import Any

from flyte_notebook.record.digest import is_task
from flyte_notebook.record.source import source_of

TITLE = 200
"""Characters of a one-line title."""
NOTE = 2000
"""Characters of the longer text in the details."""
ROWS, COLUMNS, CELL = 20, 20, 40
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


class _Repr(reprlib.Repr):
    """A `repr` with bounds on depth, count and length, safe against the values' own methods."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 4
        self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = self.maxdict = self.maxdeque = 8
        self.maxstring = self.maxlong = self.maxother = 120

    def repr_instance(self, x: Any, level: int) -> str:
        if dataclasses.is_dataclass(x) and type(x).__repr__.__qualname__.endswith("__create_fn__.<locals>.__repr__"):
            return self._fields(x, level)
        try:
            text = repr(x)
        except Exception as error:  # noqa: BLE001 - a value whose repr raises is a value like any other
            return f"<{type(x).__name__} whose repr raised {type(error).__name__}>"
        return cut(_ADDRESS.sub("", text), self.maxother)

    def _fields(self, x: Any, level: int) -> str:
        if level <= 0:
            return f"{type(x).__name__}(...)"
        shown = [f for f in dataclasses.fields(x) if f.repr][: self.maxdict]
        parts = [f"{f.name}={self.repr1(getattr(x, f.name, None), level - 1)}" for f in shown]
        return f"{type(x).__name__}({', '.join(parts)})"


def cut(text: str, limit: int) -> str:
    """`text`, shortened to `limit` characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def one_line(text: str, limit: int = TITLE) -> str:
    """`text` on one line, printable, and shortened to `limit` characters."""
    # Cut first: joining the words of a page to keep one line of it costs more than the page is worth.
    line = " ".join(cut(text, 4 * limit).split())
    if not line.isprintable():
        line = "".join(c if c.isprintable() else "\ufffd" for c in line)
    return cut(line, limit)


def title(value: Any) -> str:
    """One line about any value, without addresses, which differ between kernels."""
    special = _guarded(_special, value)
    return one_line(special if special is not None else _bounded(value, 120))


def looks(value: Any) -> dict[str, Any]:
    """What a node says of how its value looks: `p`, its title, and what `outline` tells."""
    return {"p": title(value), **outline(value)}


def outline(value: Any) -> dict[str, Any]:
    """What else the details of a pickled value show: `n`, a longer text; `h`, the head of a table."""
    if isinstance(value, types.FunctionType):
        source = source_of(value)
        return {"n": cut(source, NOTE)} if source else {}
    table = _guarded(_table, value)
    if table is not None:
        return {"h": table}
    if _guarded(_special, value) is not None:
        return {}
    text = cut(_bounded(value, NOTE), NOTE)
    return {"n": text} if "\n" in text or len(text) > TITLE else {}


def _guarded(look: Callable[[Any], Any], value: Any) -> Any:
    """What `look` finds, or None: a value that cannot be looked at closely is shown by its `repr`."""
    try:
        return look(value)
    except Exception:  # noqa: BLE001 - any attribute of a user's value may raise anything
        return None


def _bounded(value: Any, limit: int) -> str:
    writer = _Repr()
    writer.maxother = limit
    try:
        return writer.repr(value)
    except Exception as error:  # noqa: BLE001 - such as a subclass of dict whose iteration raises
        return f"<{type(value).__name__} whose repr raised {type(error).__name__}>"


def _special(value: Any) -> str | None:
    """A better title than `repr` for what tasks often pass around."""
    kind = type(value)
    library = kind.__module__.partition(".")[0]
    if isinstance(value, types.FunctionType):
        return f"{value.__name__}{_signature(value)}"
    if is_task(value):
        return f"task {getattr(value, 'name', value.short_name)}"
    if library == "pandas" and kind.__name__ == "DataFrame":
        names = ", ".join(_cell(name) for name in list(value.columns[:COLUMNS]))
        return f"DataFrame {value.shape[0]:,} × {value.shape[1]:,}: {names}"
    if library == "pandas" and kind.__name__ == "Series":
        return f"Series {len(value):,} {value.dtype}" + (f" {_cell(value.name)}" if value.name is not None else "")
    if library == "numpy" and kind.__name__ == "ndarray":
        shape = " × ".join(f"{n:,}" for n in value.shape) or "scalar"
        head = ", ".join(_cell(item) for item in map(value.item, range(min(6, value.size))))
        return f"array {shape} {value.dtype}: {head}{', …' if value.size > 6 else ''}"
    return None


def _signature(function: types.FunctionType) -> str:
    try:
        return str(inspect.signature(function))
    except (ValueError, TypeError):
        return "(…)"


def _table(value: Any) -> dict[str, Any] | None:
    """The head of a DataFrame as text: column names, index labels, cells, and the whole shape."""
    pandas = sys.modules.get("pandas")
    if pandas is None or not isinstance(value, pandas.DataFrame):
        return None
    head = value.iloc[:ROWS, :COLUMNS]
    columns = [head.iloc[:, i].tolist() for i in range(head.shape[1])]
    return {
        "columns": [_cell(name) for name in head.columns],
        "index": [_cell(label) for label in head.index],
        "rows": [[_cell(column[i]) for column in columns] for i in range(len(head))],
        "shape": list(value.shape),
    }


def _cell(value: Any) -> str:
    if type(value) is float:
        return f"{value:.6g}"
    return one_line(value if isinstance(value, str) else _bounded(value, CELL), CELL)

"""Pytest plugin: `pytest --nbval` just works on notebooks with `%%flyte` cells.

Between two executions of a notebook a run's name, its ids, its clock times and its durations differ; all else that a
run shows is compared as it stands. Every notebook gets a store of its own, which goes when the tests end.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections import defaultdict
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping

RUN_MIME = "application/vnd.flyte-notebook.run.v1+json"
WIDGET_MIME = "application/vnd.jupyter.widget-view+json"

_LENGTH = r"\d+(?:\.\d+)?\s?(?:µs|ms|s|min|h)\b"
_VARYING_TEXT = (
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?(\+\d\d:?\d\d|Z)?"), "CLOCK"),
    (re.compile(rf"\b{_LENGTH}(?: {_LENGTH})*"), "DURATION"),
    (re.compile(r"\b0x[0-9a-f]{6,}\b"), "ADDRESS"),
    # The file that a kernel says a cell is: its process, and a hash that is for one cell the same.
    (re.compile(r"\bipykernel_\d+\b"), "KERNEL"),
    # Columns are padded to the longest duration.
    (re.compile(r"[ \t]+"), " "),
)
_VARYING_KEYS = {
    "run": {"name", "started", "elapsed"},
    # When a row's action ran, its id, and the remark on how long its body blocked the loop.
    "rows": {"id", "b", "e", "h"},
    "detail": {"id"},
    "attempts": {"ms"},
}


def pytest_configure(config: pytest.Config) -> None:
    """Join in when nbval is asked to run notebooks."""
    if config.getoption("nbval", default=False) or config.getoption("nbval_lax", default=False):
        config.pluginmanager.register(NotebookRuns(), "flyte_notebook_runs")


class NotebookRuns:
    """What a notebook with recorded runs needs from nbval: a store of its own, and tolerance of what must differ."""

    def __init__(self) -> None:
        self._homes = tempfile.TemporaryDirectory(prefix="flyte-notebook-tests-")
        self._home_of: dict[Path, Path] = {}
        self._names_of: defaultdict[Path, set[str]] = defaultdict(set)

    def pytest_unconfigure(self) -> None:
        """Every kernel has ended: the stores may go."""
        self._homes.cleanup()

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Let nbval compare a cell's outputs only after what must differ has been taken out."""
        compare = getattr(item, "compare_outputs", None)
        if compare is not None:
            item.compare_outputs = partial(compare_outputs, compare, self._names_of[item.path])  # type: ignore[attr-defined]

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Give the kernel its store: it starts in the setup of a notebook's first cell, with the environment of then."""
        home = self._home_of.setdefault(item.path, Path(self._homes.name, f"{len(self._home_of)}-{item.path.stem}"))
        with _environment("FLYTE_NOTEBOOK_HOME", str(home)):
            return (yield)


def compare_outputs(
    compare: Callable[..., bool],
    names: set[str],
    test: Iterable[Mapping[str, Any]],
    reference: Iterable[Mapping[str, Any]],
    skip_compare: tuple[str, ...] | None = None,
) -> bool:
    """nbval's comparison of a cell's outputs, without what differs between two executions.

    `names`, the runs that the notebook has shown so far, grows by those of this cell: later cells may print them.
    """
    import nbformat

    test, reference = list(test), list(reference)
    names.update(_run_names(test), _run_names(reference))
    return compare(
        [nbformat.from_dict(comparable(output, names)) for output in test if not _emptied(output)],
        [nbformat.from_dict(comparable(output, names)) for output in reference if not _emptied(output)],
        skip_compare,
    )


def comparable(output: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """One output, as nbformat describes it, in words that two executions have in common.

    Times are taken out only of outputs that show or name a run of `names`: other outputs mean what they say.
    """
    name = re.compile("|".join(map(re.escape, sorted(names, key=len, reverse=True))) or r"(?!)")
    is_ours = RUN_MIME in output.get("data", ()) or name.search(str(output)) is not None

    def rewrite(text: str) -> str:
        text = name.sub(lambda match: match[0].rpartition("-")[0] + "-RUN", text)
        for pattern, word in _VARYING_TEXT if is_ours else ():
            text = pattern.sub(word, text)
        return text

    rewritten = _map_strings(output, rewrite)
    if RUN_MIME in rewritten.get("data", ()):
        rewritten["data"][RUN_MIME] = _without_times(rewritten["data"][RUN_MIME])
    return rewritten  # type: ignore[no-any-return]  # a mapping maps to a dict


def _run_names(outputs: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for output in outputs:
        if RUN_MIME in output.get("data", ()):
            run = output["data"][RUN_MIME]["run"]
            yield run["name"]
            if "resumed_from" in run:
                yield run["resumed_from"]


def _emptied(output: Mapping[str, Any]) -> bool:
    """True for the live view's display: a widget while the run lasts, and nothing afterwards."""
    data = output.get("data")
    return data is not None and set(data) <= {"text/plain", WIDGET_MIME} and not data.get("text/plain")


def _without_times(saved: Any, key: str = "") -> Any:
    """A saved run without its varying keys; `key` is what `saved` is found under."""
    if isinstance(saved, list):
        return [_without_times(element, key) for element in saved]
    if not isinstance(saved, dict):
        return saved
    if key == "details":
        # Details are keyed by row.
        return {row: _without_times(detail, "detail") for row, detail in saved.items()}
    return {k: _without_times(v, k) for k, v in saved.items() if k not in _VARYING_KEYS.get(key, ())}


def _map_strings(value: Any, rewrite: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return rewrite(value)
    if isinstance(value, dict):
        return {key: _map_strings(element, rewrite) for key, element in value.items()}
    if isinstance(value, list):
        return [_map_strings(element, rewrite) for element in value]
    return value


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before

"""Which runs are resumed together: those that resumed one another, and what each of them had started."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flyte_notebook.record.model import Run


def lineage(recorded: list[Run], name: str, *, cell: bool) -> Iterator[tuple[Run, int]]:
    """The run of this name, what comes with it, the run that it resumed, and so on, each with how often it was resumed.

    `recorded` is newest first. `cell`: with the run comes what else its cell has started.
    """
    by_name = {run.name: run for run in recorded}
    told = set[str]()
    chain: list[str] = []
    resumed = by_name.get(name)
    # One that was cleaned away ends the chain: what had been recovered from it is in the run that did so.
    while resumed is not None and resumed.name not in chain:
        for run in (resumed, *_with(resumed, recorded, cell)):
            # A cell may resume a run that it has started itself.
            if run.name not in told:
                told.add(run.name)
                yield run, len(chain)
        chain.append(resumed.name)
        cell = resumed.options.get("cell") is True
        resumed = by_name.get(resumed.resumed_from or "")


def _with(run: Run, recorded: list[Run], cell: bool) -> Iterator[Run]:
    """The runs that are resumed with `run`: those started in its actions, and, of a `cell`, those that this has started.

    The own run of a cell is always resumed with the others: it is the cell that runs again.
    """
    inside = {run.name}
    # Oldest first: a run comes after the one that it was started in.
    for other in reversed(recorded):
        if other.name not in inside and (
            other.within in inside or ((cell or run.source is not None) and run.beside(other))
        ):
            inside.add(other.name)
            yield other

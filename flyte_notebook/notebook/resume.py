"""`%%flyte --resume`: which run a cell resumes, and what it recovers from it."""

from __future__ import annotations

import asyncio
from itertools import chain
from typing import TYPE_CHECKING

from IPython.core.error import UsageError

from flyte_notebook.engine.recovery import Recovery
from flyte_notebook.engine.runs import unwritten
from flyte_notebook.errors import ResumeError, RunNotFoundError
from flyte_notebook.notebook import frontend, sources
from flyte_notebook.record.model import Phase
from flyte_notebook.record.store import open_store

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from flyte_notebook.engine.settings import Origin
    from flyte_notebook.record import model
    from flyte_notebook.record.journal import Journal

_CANDIDATES = 8

_failed: set[str] = set()
"""The executions of cells that an error has ended in this process. The runs that such a cell had started by `flyte.run`
may all have succeeded; a later kernel does not know."""


def cell_ended(where: Origin, *, failed: bool) -> None:
    """Note how the cell at `where` has ended."""
    if where.execution is None:
        return
    if failed:
        _failed.add(where.execution)
    else:
        # Without a kernel executions are numbered, and `%reset` begins anew.
        _failed.discard(where.execution)


def resumable(shell: InteractiveShell, wanted: str, where: Origin) -> model.Run:
    """The run that a cell at `where` resumes: the one that is `wanted`, else the cell's last, else the notebook's last.

    Raises:
        UsageError: there is none; it names candidates.
    """
    journal = open_store().journal
    _must_be_written(wanted, where)
    if wanted:
        try:
            return journal.find(wanted)
        except RunNotFoundError as error:
            raise UsageError(str(error)) from None
    here = [run for run in journal.runs() if run.notebook == where.notebook]
    candidates = [run for run in _of_cell(shell, here, where) or here if run.within is None]
    if not candidates:
        raise UsageError(f"nothing to resume: no run of this notebook is on record. {_candidates(journal)}")
    last = candidates[0]
    return _spokesman([last, *(run for run in candidates if run is not last and run.beside(last))])


def _must_be_written(wanted: str, where: Origin) -> None:
    """Raises UsageError while the run that is meant is still being written: it may not even be on record."""
    for run in unwritten():
        its = run.origin
        here = its.notebook == where.notebook and where.cell_id in (None, its.cell_id)
        if run.name.startswith(wanted) if wanted else here:
            raise UsageError(f"{run.ending.explained()}. Resume it then")


def _spokesman(runs: list[model.Run]) -> model.Run:
    """Of what one execution of a cell has started, newest first: its own run, else one that has not succeeded."""
    own = (run for run in runs if run.source is not None)
    unsuccessful = (run for run in runs if run.phase is not Phase.SUCCEEDED)
    return next(chain(own, unsuccessful, runs))


def _of_cell(shell: InteractiveShell, runs: list[model.Run], where: Origin) -> list[model.Run]:
    """The runs of the cell at `where`: those with its id; where it has none, those of its text, else of its tasks.

    Which tasks a cell speaks of is a guess, good enough here: only what is the same call is recovered.
    """
    if where.cell_id is not None:
        return [run for run in runs if run.cell_id == where.cell_id]
    typed = [(run, run.source) for run in runs if run.cell_id is None and run.source is not None]
    source = where.source or ""
    same = [run for run, other in typed if sources.body(other) == sources.body(source)]
    if same:
        return same
    tasks = sources.task_names(shell, source)
    return [run for run, other in typed if sources.task_names(shell, other) == tasks]


def _candidates(journal: Journal) -> str:
    names = [run.name for run in journal.runs(_CANDIDATES)]
    return (
        f"Type %%flyte --resume RUN, RUN being one of {', '.join(names)}."
        if names
        else "Run the cell without --resume."
    )


async def recovery(run: model.Run, keep: bool) -> Recovery | None:
    """What a cell recovers from `run`, and a line that says so.

    None when that has succeeded, and so has the cell that started it, as far as is known: there is nothing left to do.

    Raises:
        UsageError: it is still running.
    """
    succeeded = run.phase is Phase.SUCCEEDED
    if succeeded and run.execution not in _failed:
        frontend.remark(f"{run.name} had succeeded: this run starts afresh")
        return None
    try:
        found = await asyncio.to_thread(Recovery.load, open_store(), run.name, keep=keep, cell=True)
    except ResumeError as error:
        raise UsageError(str(error)) from None
    kept = ", also where the code has changed" if keep else ""
    successes = f"{found.available} recorded success{'' if found.available == 1 else 'es'}"
    phase = f"{run.phase}, but its cell had failed" if succeeded else run.phase
    frontend.remark(f"resuming {run.name} ({phase}): {successes} can be recovered{kept}")
    return found

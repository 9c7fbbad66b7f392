"""What resuming a run would run, counted before anything is: the numbers on the buttons of a failed tree."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from flyte_notebook.api.task import defined
from flyte_notebook.record.fingerprint import fingerprint
from flyte_notebook.record.model import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flyte_notebook.api.run import Run
    from flyte_notebook.record.history import Standing


class Plan(NamedTuple):
    """How many actions on record would run again; those that were never called cannot be counted."""

    changed: int
    """When successes are recovered whose code is unchanged."""
    keep: int
    """When every success is."""


async def plan(run: Run) -> Plan:
    """What resuming `run` would run, as the tasks are defined in this process now.

    Raises:
        RunNotFoundError: it is not on record.
        JournalError: the record cannot be read.
    """
    standings = await asyncio.to_thread(run.store.journal.standings, run.name)
    # On the loop, where cells run as well: what a task refers to must not change while it is looked at.
    unchanged = _Unchanged()
    return Plan(_count(standings, unchanged), _count(standings, lambda _: True))


class _Unchanged:
    """Whether a success was made by the code that its task has now; asked once for each task and code."""

    def __init__(self) -> None:
        self._now: dict[str, str | None] = {}

    def __call__(self, past: Standing) -> bool:
        if past.kind != "task":
            # A trace is known only once it is called.
            return True
        if past.task_name not in self._now:
            task = defined(past.task_name)
            self._now[past.task_name] = fingerprint(task.func) if task is not None else None
        now = self._now[past.task_name]
        # A task that is not defined any more is not called any more.
        return now is None or now == past.fingerprint


def _count(standings: Sequence[Standing], stands: Callable[[Standing], bool]) -> int:
    """How many would run when the successes of which `stands` holds are recovered, each with all that it called.

    Of what did not succeed only the innermost counts: the callers of a failed item run again because of it.
    """
    parents = {past.id: past.parent_id for past in standings}
    recovered: set[str] = set()
    again = 0
    unsuccessful: list[str] = []
    for past in standings:
        if past.parent_id in recovered:
            recovered.add(past.id)
        elif past.phase is not Phase.SUCCEEDED:
            unsuccessful.append(past.id)
        elif past.fingerprint is not None and stands(past):
            recovered.add(past.id)
        else:
            again += 1
    callers: set[str] = set()
    for action in unsuccessful:
        caller = parents[action]
        while caller is not None and caller not in callers:
            callers.add(caller)
            caller = parents.get(caller)
    return again + sum(action not in callers for action in unsuccessful)

"""`run.resume()`: another run that recovers what this one has on record, and does the rest."""

from __future__ import annotations

import asyncio
import builtins
import dis
import functools
import inspect
import types
import warnings
from collections.abc import Awaitable, Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any

from flyte_notebook.api import launch
from flyte_notebook.api.task import defined
from flyte_notebook.engine import bridge
from flyte_notebook.engine.recovery import Recovery
from flyte_notebook.errors import ResumeError, RunNotFoundError
from flyte_notebook.record.model import Phase
from flyte_notebook.record.store import open_store

if TYPE_CHECKING:
    from flyte_notebook.api.run import Run
    from flyte_notebook.api.task import Task
    from flyte_notebook.record.model import Action
    from flyte_notebook.record.store import Store

resume_cell: Callable[[Run, bool], Awaitable[Run]] | None = None
"""Runs the cell of a run again, to resume it; set by the front end that runs cells. The second argument is `keep`."""


class Resume:
    """`run.resume()` and `await run.resume.aio()`."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def __call__(self, *, keep: bool = False) -> Run:
        """Run again what failed, changed or never ran; return the new run, which links to this one.

        Successes on record whose task and inputs are unchanged are recovered, with all they called; `keep` recovers
        those too whose code has changed since. A run that has succeeded starts afresh.

        Raises:
            ResumeError: it still runs, or tasks that it needs are not defined here.
            BaseRuntimeError: it failed again.
        """
        return bridge.run_sync(functools.partial(self.aio, keep=keep))

    async def aio(self, *, keep: bool = False) -> Run:
        """The same, awaited."""
        __tracebackhide__ = True
        run = self._run
        record = run.record
        if record.source is not None:
            if resume_cell is None:
                raise ResumeError(f"{run.name} was a notebook cell's: resume it in IPython or Jupyter, or run its code")
            return await resume_cell(run, keep)
        recovery = await recovery_of(run, keep)
        task, begun = root_call(run)
        return await launch.again(task, begun.inputs(), record.options, recovery)


def root_call(run: Run) -> tuple[Task[..., Any], Run]:
    """What a run of `flyte.run` calls again: the task, and the run that has its inputs on record.

    Raises:
        ResumeError: it is not on record, or it, or another that it would call, is not defined here.
    """
    begun, root = _begun(run)
    missing = undefined(run.store, begun.name)
    if missing:
        raise ResumeError(needs(run.name, missing))
    task = defined(root.task_name)
    assert task is not None
    return task if task.short_name == root.short_name else task.override(short_name=root.short_name), begun


def _begun(run: Run) -> tuple[Run, Action]:
    """The run itself and its root; where its kernel died before that was on record, those of the run it resumed.

    Raises:
        ResumeError: neither has a root on record.
    """
    from flyte_notebook.api.run import Run

    tried, seen = run, set[str]()
    # A cell is not a call: its first action is none either.
    while tried.name not in seen and tried.record.source is None:
        seen.add(tried.name)
        if (root := tried.action) is not None:
            return tried, root
        try:
            before = Run(tried.record.resumed_from or tried.name, run.store)
            started = before.record.execution or run.record.within
            if started is not None and _first_task(before) != _first_task(run):
                # What it resumes is the cell, or the run, that it was started in.
                break
            tried = before
        except RunNotFoundError:
            break
    raise ResumeError(f"{run.name} ended before its task was on record: start it anew")


def _first_task(run: Run) -> str:
    # A run that was given a name is not told apart: it has to be started anew.
    return run.name.rpartition("-")[0]


async def recovery_of(run: Run, keep: bool) -> Recovery | None:
    """What can be recovered of a run; None, with a warning, when it has succeeded and there is nothing left to do.

    Raises:
        ResumeError: it is still running.
    """
    if run.phase is Phase.SUCCEEDED:
        warnings.warn(f"{run.name} had succeeded: this run starts afresh", stacklevel=2)
        return None
    # Opened anew where the journal that the run was written to has failed.
    return await asyncio.to_thread(Recovery.load, open_store(run.store.home), run.name, keep=keep)


def needs(run: str, missing: list[str]) -> str:
    """The one line that names tasks that are not defined here."""
    tasks = ", ".join(missing)
    return (
        f"{run} needs {tasks}, not defined in this kernel: run the cells that define {_them(missing)}, and resume again"
    )


def _them(names: list[str]) -> str:
    return "it" if len(names) == 1 else "them"


def undefined(store: Store, run: str, missed: Collection[str] | None = None) -> list[str]:
    """Names of the tasks in the run's record that are not defined in this process and that it would call again.

    Those are its root, and what the code of the tasks defined here, or its cell, speaks of and does not find: another that
    is on record may have been edited away. `missed`: the names that its cell does not find, if it is a cell's.
    """
    recorded = {name: defined(name) for name in store.journal.tasks(run)}
    missing = sorted(name for name, task in recorded.items() if task is None)
    if not missing:
        return []
    root = store.journal.root(run)
    if missed is None and root is not None and root.task_name in missing:
        return missing
    wanted = {name for task in recorded.values() if task is not None for name in _missed(task.func)}.union(missed or ())
    return [name for name in missing if name.rpartition(".")[2] in wanted]


def _missed(func: Callable[..., Any]) -> Iterator[str]:
    """The names that a function's code speaks of and would not find."""
    func = inspect.unwrap(func)
    code = getattr(func, "__code__", None)
    if code is not None:
        found = {**vars(builtins), **func.__globals__}
        yield from (name for name in globals_of(code) if name not in found)


def globals_of(code: types.CodeType) -> Iterator[str]:
    """Every name that code, with the functions and classes in it, looks up outside all functions."""
    yield from (i.argval for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME"))
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from globals_of(constant)

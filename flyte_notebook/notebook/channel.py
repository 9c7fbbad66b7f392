"""The buttons of a failed tree: what resuming its run would run, and resuming it, which no cell waits for.

Each tree on a page speaks over a comm of its own; the page opens it. A run that is resumed goes on in the background, on
the kernel's loop, and is shown by all the pages that ask for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from functools import partial
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from IPython.core.async_helpers import get_asyncio_loop

from flyte_notebook.api.plan import Plan, plan
from flyte_notebook.api.resume import root_call
from flyte_notebook.api.run import Run
from flyte_notebook.engine.context import background
from flyte_notebook.engine.recovery import must_be_over, must_be_written
from flyte_notebook.engine.settings import Origin
from flyte_notebook.errors import FlyteNotebookError, ResumeError
from flyte_notebook.notebook import again, cell, view
from flyte_notebook.notebook.text import clip
from flyte_notebook.record.model import Phase
from flyte_notebook.record.store import open_store

if TYPE_CHECKING:
    from comm.base_comm import BaseComm
    from IPython.core.interactiveshell import InteractiveShell

    from flyte_notebook.record.events import RunStarted

TARGET = "flyte_notebook"

_LONGEST_ERROR = 300
_REMEMBERED = 16
"""Finished trees that are kept for pages; each is at most a few MB."""

_log = logging.getLogger(__name__)


def answer_on_any_thread(comm: BaseComm) -> None:
    """Let messages of the browser arrive while a cell blocks the main thread.

    ipykernel 7.4 would answer on the shell that last published on this comm, which is the busy one. The attribute is
    private; without it (other versions) there is nothing to override.
    """
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = lambda _data, default: default


class Conversations:
    """With the pages that show failed trees of one kernel."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._comms: set[BaseComm] = set()
        self._going: dict[str, Resumed] = {}
        """The runs that are being resumed here, by the name of the one that failed."""
        self._finished: dict[str, dict[str, Any]] = {}
        """Finished trees, by the name of the run that failed. Not for one page once: it may be loaded anew before its
        notebook is saved, and then knows of the failed run only."""
        self._working: set[asyncio.Task[None]] = set()

    def open(self, undo: contextlib.ExitStack) -> None:
        """Answer from now on, until `undo`. Where there is no kernel, nobody asks."""
        manager = getattr(getattr(self._shell, "kernel", None), "comm_manager", None)
        if manager is not None:
            manager.register_target(TARGET, self._opened)
            undo.callback(self._close)
            undo.callback(manager.unregister_target, TARGET, self._opened)

    def _close(self) -> None:
        for comm in list(self._comms):
            comm.close()
        self._comms.clear()

    def _opened(self, comm: BaseComm, _message: Any) -> None:
        self._comms.add(comm)
        answer_on_any_thread(comm)
        comm.on_msg(partial(self._heard, comm))
        comm.on_close(lambda _message: self._left(comm))

    def _left(self, comm: BaseComm) -> None:
        self._comms.discard(comm)
        for resumed in list(self._going.values()):
            resumed.leave(comm)

    def _heard(self, comm: BaseComm, message: dict[str, Any]) -> None:
        """A message of the page, on whatever thread; what is not understood is ignored."""
        asked = message["content"].get("data")
        if not isinstance(asked, dict):
            return
        name = asked.get("run")
        match asked.get("type"):
            case "plan" if isinstance(name, str):
                self._do(partial(self._answer, comm, name))
            case "resume" if isinstance(name, str):
                self._do(partial(self._resume, comm, name, asked.get("keep") is True))
            case _:
                for resumed in list(self._going.values()):
                    resumed.heard(comm, asked)

    def _do(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do it on the kernel's loop, in the context of the message: what is printed there belongs to no cell."""
        context = copy_context()
        context.run(background.set, True)

        def start() -> None:
            task = loop.create_task(work(), context=context)
            self._working.add(task)
            task.add_done_callback(self._working.discard)

        loop = _loop(self._shell)
        with contextlib.suppress(RuntimeError):  # it is closed: the kernel ends
            loop.call_soon_threadsafe(start, context=context)

    # --- the plan -----------------------------------------------------------------------------------------------------

    async def _answer(self, comm: BaseComm, name: str) -> None:
        if name in self._finished:
            comm.send(self._finished[name])
            return
        counted, error = Plan(0, 0), None
        try:
            run = Run(name, open_store())
            _must_have_failed(run)
            counted = await plan(run)
            _must_be_possible(self._shell, run)
        except Exception as refused:  # noqa: BLE001 - whatever it is, it is the reason why nothing can be resumed
            error = _in_one_line(refused)
        going = name in self._going
        comm.send({"type": "plan", "run": name, **counted._asdict(), "error": error, "going": going})

    # --- resuming -----------------------------------------------------------------------------------------------------

    async def _resume(self, comm: BaseComm, name: str, keep: bool) -> None:
        """Resume the run, or join those who look on while it is."""
        going = self._going.get(name)
        if going is not None:
            going.join(comm)
            return
        going = self._going[name] = Resumed(name)
        going.join(comm)
        try:
            await self._run(going, keep)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - also SystemExit, which would end the kernel's loop
            # What fails in a run is shown by its tree.
            if going.name is None:
                going.send({"type": "refused", "run": name, "error": _in_one_line(error)})
        finally:
            del self._going[name]
            if going.saved is not None:
                self._finish(name, going.saved)
                going.send(going.saved)
            going.send({"type": "closed"})

    def _finish(self, name: str, saved: dict[str, Any]) -> None:
        self._finished[name] = saved
        if len(self._finished) > _REMEMBERED:
            del self._finished[next(iter(self._finished))]

    async def _run(self, going: Resumed, keep: bool) -> None:
        run = Run(going.failed, open_store())
        _must_have_failed(run)
        record = run.record
        going.of_cell = record.source is not None
        view.elsewhere.set(going)
        # What the cell had started and goes on here still belongs to that execution; a cell's own run executes it anew.
        execution = record.execution if record.source is None else token_hex(8)
        with cell.standing_in(Origin(record.notebook, record.cell_id, execution=execution)):
            await run.resume.aio(keep=keep)


class Resumed:
    """A run in the background, that resumes `failed`: where its tree is shown, and what the notebook keeps of it."""

    def __init__(self, failed: str) -> None:
        self.failed = failed
        self.of_cell = False
        self.name: str | None = None
        """Of the run, once it has started."""
        self.saved: dict[str, Any] | None = None
        """What tells a page of its end, once it has ended."""
        self._comms: tuple[BaseComm, ...] = ()
        self._hear: Callable[[Any], None] | None = None

    def join(self, comm: BaseComm) -> None:
        """Show the tree on one more page."""
        if comm not in self._comms:
            self._comms = (*self._comms, comm)
            self.heard(comm, {"type": "hello"})

    def leave(self, comm: BaseComm) -> None:
        """That page is gone."""
        self._comms = tuple(other for other in self._comms if other is not comm)

    def heard(self, comm: BaseComm, message: dict[str, Any]) -> None:
        """Pass on what a page asks of the tree."""
        if comm in self._comms and self._hear is not None:
            self._hear(message)

    # As `view.Elsewhere`:

    def takes(self, started: RunStarted) -> bool:
        """Whether this is the run: its cell, or its tasks, may start others by `flyte.run`."""
        wanted = self.name is None and started.resumed_from == self.failed
        if wanted and (started.source is not None) == self.of_cell:
            self.name = started.run
            return True
        return False

    def save(self, bundle: dict[str, Any]) -> None:
        """The finished tree is for the pages, which put it into their notebook."""
        self.saved = {"type": "saved", "run": self.failed, "bundle": bundle}

    # As `explorer.Channel`:

    def open(self, _header: dict[str, Any], hear: Callable[[Any], None]) -> None:
        """The pages are there already: show them what there is."""
        self._hear = hear
        hear({"type": "hello"})

    def send(self, message: dict[str, Any]) -> None:
        """To every page that looks on."""
        for comm in self._comms:
            comm.send(message)

    def tell(self, header: dict[str, Any]) -> None:
        """As a message: these pages have no model of the run."""
        self.send({"type": "header", "run": header})

    def end(self, *, stay: bool) -> None:
        """Nothing to do: what is shown stays until its finished tree has come."""


def _must_have_failed(run: Run) -> None:
    """Raises ResumeError for a run that goes on or has succeeded, RunNotFoundError for one of another store."""
    must_be_written(run.name)
    record = run.record
    must_be_over(record)
    if record.phase is Phase.SUCCEEDED:
        raise ResumeError(f"{run.name} has succeeded: nothing is left to do")


def _must_be_possible(shell: InteractiveShell, run: Run) -> None:
    """Raises ResumeError, with what to do, when this kernel cannot resume the run as things are."""
    if run.record.source is not None:
        again.source_of(shell, run)
    else:
        root_call(run)


def _in_one_line(error: BaseException) -> str:
    kind = "" if isinstance(error, FlyteNotebookError) else f"{type(error).__name__}: "
    return clip(f"{kind}{error}", _LONGEST_ERROR)


def _loop(shell: InteractiveShell) -> asyncio.AbstractEventLoop:
    """The loop that the cells of this kernel run on."""
    loop = getattr(getattr(getattr(shell, "kernel", None), "io_loop", None), "asyncio_loop", None)
    return loop if isinstance(loop, asyncio.AbstractEventLoop) else get_asyncio_loop()

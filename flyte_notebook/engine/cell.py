"""A cell (or one `flyte.run`) as the place where a run lives: opened, awaited, ended in order."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

from flyte_notebook import errors
from flyte_notebook.engine import bridge, failures, forks, interrupt, output
from flyte_notebook.engine.context import Call, Frame, Node, current_action, enter, leave
from flyte_notebook.engine.runs import LiveRun
from flyte_notebook.engine.settings import Origin, Settings
from flyte_notebook.engine.strays import Ended
from flyte_notebook.engine.submit import sealed
from flyte_notebook.record.codec import Draft, Encoded, converter
from flyte_notebook.record.model import ErrorRecord, Phase
from flyte_notebook.record.whole import whole

if TYPE_CHECKING:
    from flyte_notebook.engine.interface import Interface
    from flyte_notebook.engine.recovery import Recovery


class Cell:
    """What an open cell offers to whoever runs its code."""

    def __init__(
        self, settings: Settings, origin: Origin, recovery: Recovery | None = None, within: str | None = None
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.run: LiveRun | None = None
        """The run, once a task was called."""
        self.interrupted = False
        self.outputs: Encoded | Draft | None = None
        self._settings = settings
        self._origin = origin
        self.recovery = recovery
        self._within = within
        self._owner = asyncio.current_task()
        self.raises = interrupt.may_raise(self._owner)
        """An interrupt ends this cell with a KeyboardInterrupt; elsewhere, as in a `gather`, with a CancelledError."""
        self._generation = forks.generation
        self._lock = threading.Lock()
        self._ending = False
        self._closed = False
        self._owner_cancelled = False

    @property
    def forked(self) -> bool:
        """See `context.Opener`."""
        return self._generation != forks.generation

    def open(self, first_name: str) -> Node:
        """The root of this cell's run; see `context.Opener`."""
        with self._lock:  # a trace may be the first to ask, in any thread
            if self.run is None:
                if self._ending:
                    raise errors.ActionAbortedError(
                        f"{first_name} was called after its cell had ended: await it in the cell that makes it"
                    )
                self._begin(LiveRun(first_name, self._settings, self._origin, self.loop, self.recovery, self._within))
        assert self.run is not None
        return self.run.root

    def _begin(self, run: LiveRun) -> None:
        # Before it begins: whatever is raised meanwhile, the end of the cell ends it.
        self.run = run
        run.owner = self._owner
        try:
            run.begin()
        except errors.JournalError:
            if not run.begun:
                self.run = None
            raise

    def result(self, value: Any, interface: Interface | None = None) -> None:
        """Keep `value` as the outputs of the run; what cannot be pickled is kept as its preview only."""
        if self.run is None:
            return
        if interface is not None:
            self.outputs = interface.encode_output(value)[0]
            return
        try:
            self.outputs = converter(Any).encode(value)
        except Exception:  # noqa: BLE001 - a user's __reduce__ may raise anything
            # A cell may end in anything: a generator, a widget, a lock. Its run has no outputs then.
            self.outputs = None

    def stop(self) -> None:
        """Interrupt: end the run, or, before there is one, the cell."""
        if self._closed:
            return  # too late: the task now belongs to whoever runs the next cell
        self.interrupted = True
        if self.run is not None:
            # A body that has blocked the loop may just have ended: the cell must not go on with its result.
            self.run.cancel_now()
            self.run.ending.hurry()
        elif self._owner is not None and not self._ending and not self._owner_cancelled:
            self._owner_cancelled = True
            self._owner.cancel()

    def met(self) -> bool:
        """True, and interrupted, when SIGINT has met this cell's own code, between two awaits and not in a nested run."""
        mine = asyncio.current_task(self.loop) is self._owner and not bridge.nested()
        if self._ending or not self.raises or not mine:
            return False
        self.interrupted = True
        return True

    @property
    def root(self) -> Node | None:
        """See `context.Cancellable`."""
        return self.run.root if self.run is not None else None

    def cancel_children(self, insist: bool = False, reason: str | None = None) -> None:
        """See `context.Cancellable`: an action that started this run is being cancelled."""
        if self.run is not None:
            self.run.root.cancel_children(insist, reason)

    async def take_cancellation(self) -> BaseException | None:
        """Undo the cancellation that we caused ourselves, and return what to raise in its place; None: there is none.

        The owner may have been cancelled while it ran nested code, in a blocking call: that is delivered at its next
        await, and must not reach what it does after this cell.
        """
        self._ending = True
        if self.run is not None:
            self.run.owner = None  # nobody insists from here on
        if not self.interrupted and not (self.run is not None and self.run.cancelled):
            return None
        if self._owner is not None:
            for _ in range(self._owner_cancelled + (self.run.owner_cancelled if self.run is not None else 0)):
                self._owner.uncancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        if self.interrupted:
            return self.interrupt()
        assert self.run is not None
        return errors.ActionAbortedError(f"{self.run.name} was cancelled")

    @property
    def cut_short(self) -> bool:
        """True when its run was to end before its code had come to its end, whatever that has caught.

        Not where an interrupt has only met the cell's own code, which may go on.
        """
        stop = self.run.cancelled if self.run is not None else None
        return stop is not None and (stop.cuts_short or not self.interrupted)

    def interrupt(self) -> BaseException:
        """What this cell raises when it was interrupted."""
        return KeyboardInterrupt() if self.raises else asyncio.CancelledError("interrupted")


@contextlib.asynccontextmanager
@whole
async def open_cell(
    origin: Origin | None = None, *, settings: Settings | None = None, recovery: Recovery | None = None
) -> AsyncIterator[Cell]:
    """Inside this block a task call is an action; the first one creates the run, which resumes that of `recovery`.

    At the end of the block its unfinished actions are cancelled, awaited and recorded, and everything is committed.

    Raises:
        KeyboardInterrupt: SIGINT arrived.
        ActionAbortedError: the run was cancelled.
        JournalError: the record could not be written.
    """
    __tracebackhide__ = True
    caller = current_action()
    within = caller.run.name if caller is not None else None
    cell = Cell(settings or Settings(), origin or Origin(), recovery, within)
    token = enter(Frame(None, cell, custom_context=dict(cell._settings.custom_context)))
    with output.capturing(), _interruptible(cell, caller), _adopted(cell, caller), forks.guarded(cell.loop):
        try:
            with forks.Confined():
                yield cell
        except (asyncio.CancelledError, Ended) as error:
            instead = await cell.take_cancellation()
            await _finish(cell, *_outcome(cell, error))
            raise (instead or error) from None
        except GeneratorExit:
            # Nothing can be awaited any more.
            raise
        except BaseException as error:
            await cell.take_cancellation()
            await _finish(cell, *_outcome(cell, error))
            raise
        else:
            instead = await cell.take_cancellation()
            if instead is not None and cell.cut_short:
                # It has caught that. Succeeded, its run would be one that nothing is left to do in.
                await _finish(cell, Phase.ABORTED, _cancelled_record(cell))
                raise instead
            was_interrupted = cell.interrupted
            await _finish(cell, Phase.SUCCEEDED, None)
            if cell.interrupted and not was_interrupted:
                # While forgotten actions were being ended: the result stands, and the notebook stops here.
                raise cell.interrupt()
        finally:
            cell._closed = True
            if cell.run is not None:
                cell.run.give_up(_cancelled_record(cell))
            with contextlib.suppress(ValueError):  # closed from another context, as when a loop is torn down
                leave(token)


def _interruptible(cell: Cell, call: Call | None) -> contextlib.AbstractContextManager[object]:
    """Stop at SIGINT; a run started inside an action is stopped with that one."""
    if call is not None:
        return contextlib.nullcontext()
    return interrupt.catching(cell.loop, cell.stop, cell.met, cell.raises)


@contextlib.contextmanager
def _adopted(cell: Cell, call: Call | None) -> Iterator[None]:
    """A run started inside an action ends with it: its owner counts among the action's children."""
    task = cell._owner
    if call is None or task is None or call.run.loop is not cell.loop or task is call.runner:
        yield
        return
    call.children[task] = cell
    try:
        yield
    finally:
        call.children.pop(task, None)


async def _finish(cell: Cell, phase: Phase, error: ErrorRecord | None) -> None:
    if cell.run is None:
        return
    if phase is Phase.ABORTED:
        cell.run.ending.hurry()
    outputs = cell.outputs if phase is Phase.SUCCEEDED else None
    if isinstance(outputs, Draft):
        try:
            outputs = await sealed(outputs, cell.run.store.blobs, f"The result of {cell.run.name}")
        except BaseException as lost:
            phase, error = _outcome(cell, lost)
            await cell.run.finish(phase, None, error)
            raise
    try:
        await cell.run.finish(phase, outputs, error)
    except errors.JournalError as lost:
        if _consequence(lost.__context__):
            # One error, and not what it has cut short as well.
            raise lost from lost.__cause__
        raise


def _consequence(error: BaseException | None) -> bool:
    """True for what becomes of a body when its journal fails."""
    return isinstance(error, asyncio.CancelledError | errors.JournalError) or (
        isinstance(error, errors.BaseRuntimeError) and isinstance(error.__cause__, errors.JournalError)
    )


def _outcome(cell: Cell, error: BaseException) -> tuple[Phase, ErrorRecord]:
    """How the run of a cell ends that ends in `error`."""
    if isinstance(error, asyncio.CancelledError | Ended | KeyboardInterrupt):
        # The one for the other where the cell blocks, and where somebody else handles the signal.
        return Phase.ABORTED, _cancelled_record(cell, interrupted=isinstance(error, KeyboardInterrupt))
    return Phase.FAILED, failures.recorded(error)


def _cancelled_record(cell: Cell, interrupted: bool = False) -> ErrorRecord:
    reason = "interrupted" if cell.interrupted or interrupted else "cancelled"
    return ErrorRecord(code="Aborted", message=reason, kind="user", traceback="")

"""The one path of a call: identify it, reuse what is on record, else run it, and record what came of it."""

from __future__ import annotations

import asyncio
import sys
import warnings
from typing import TYPE_CHECKING, Any, Protocol

from flyte_notebook import errors
from flyte_notebook.engine import bridge, failures, forks, policies, reuse
from flyte_notebook.engine.context import Call, Frame, current_frame, enter, leave
from flyte_notebook.engine.held import Held
from flyte_notebook.engine.inline import breach
from flyte_notebook.engine.recording import announce, ended, identified
from flyte_notebook.engine.reservations import Reservation
from flyte_notebook.engine.stopping import admitted, has_heard
from flyte_notebook.engine.strays import Ended
from flyte_notebook.record import events
from flyte_notebook.record.codec import Draft, Encoded
from flyte_notebook.record.model import Phase
from flyte_notebook.record.source import source_of
from flyte_notebook.record.whole import whole

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from flyte_notebook.api.behavior import Cache
    from flyte_notebook.api.options import TaskOptions
    from flyte_notebook.engine.context import Node
    from flyte_notebook.engine.interface import Interface
    from flyte_notebook.engine.runs import LiveRun
    from flyte_notebook.engine.stopping import Stop
    from flyte_notebook.record.blobs import BlobStore

REFUSAL_SECONDS = 0.01
"""How long it takes to refuse a call that comes too late."""


class Callee(Protocol):
    """What the engine needs to know of a task."""

    name: str
    short_name: str
    func: Callable[..., Any]
    is_async: bool
    options: TaskOptions

    @property
    def interface(self) -> Interface:
        """How its arguments are bound and its values checked."""

    def declarations(self) -> dict[str, Any]:
        """What was declared, JSON-able."""

    def caching(self, default: str | None) -> Cache | None:
        """How results are reused, or None when they are not; `default` is the run's wish for tasks that say nothing."""

    def version(self, cache: Cache, fingerprint: Callable[[], str]) -> str:
        """The version of the code that results are cached under."""


async def submit(task: Callee, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call `task` as an action of the run that the current context belongs to, and return a fresh copy of its result.

    Raises:
        ValueError: the arguments do not fit the signature.
        TypeError: an argument is not of the annotated type.
        InlineIOMaxBytesBreached: inputs or outputs are larger than the task's `max_inline_io_bytes`.
        BaseRuntimeError: the body failed; `code` is the class name of what it raised, `__cause__` the exception itself.
        ActionAbortedError: this action was cancelled by itself, or its run is over.
    """
    __tracebackhide__ = True
    frame = current_frame()
    assert frame is not None
    if asyncio.get_running_loop() is not frame.loop:
        return await bridge.from_foreign_loop(frame, submit, task, args, kwargs)
    if frame.traced:
        raise errors.TraceDoesNotAllowNestedTasksError(f"{task.name} was called inside a flyte.trace function")
    values = task.interface.bind(args, kwargs)
    inputs, immutable = task.interface.encode_inputs(values)
    parent = frame.parent(task.short_name)
    run = parent.run
    too_large = breach("Inputs", inputs, task.options.max_inline_io_bytes, task.name)
    if isinstance(inputs, Draft):
        inputs = await _sealed_in_turn(inputs, parent, task.name)
    if run.pace.late():
        await run.pace.turn()
    if parent.made_to_end is not None:
        await admitted(parent)
    if not parent.open:
        # Who catches this and calls again must not keep the loop from going round.
        await asyncio.sleep(REFUSAL_SECONDS)
        raise errors.ActionAbortedError(
            f"{task.name} was called after {call_site(parent)} had ended: await it where it is made"
        )
    call = identified(parent, task.name, task.short_name, frame.group, "task", inputs)
    if task.name not in run.seen:
        _introduce(run, task)
    announce(call)
    if too_large is not None:
        # With its inputs on record: resumed with a higher limit it finds them.
        ended(call, Phase.FAILED, error=failures.recorded(too_large))
        raise too_large

    if run.recovery is not None and (recovered := await reuse.recovered(call, task, run.recovery)) is not None:
        return recovered.value
    key = reuse.cache_key(call, task)
    if key is not None and (cached := await reuse.cached(call, task, key)) is not None:
        return cached.value
    act = _act_in_turn if key is not None and reuse.serializes(call, task) else _act
    acting = act(call, task, values if immutable else None, key, frame.custom_context)
    me = asyncio.current_task()
    if me is not None and getattr(me.get_coro(), "cr_frame", None) is sys._getframe():
        # Somebody (gather, create_task, flyte.map) made a task of exactly this call: it can be the action's own.
        return await _watched(call, parent, me, acting)
    runner = _started(run.loop, acting)
    return await _watched(call, parent, runner, runner)


@whole
def _started(loop: asyncio.AbstractEventLoop, acting: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """The task of an action. Once there is one, it gets into the hands of who ends it."""
    return loop.create_task(acting)


async def _sealed_in_turn(draft: Draft, parent: Node, task: str) -> Encoded:
    """Seal the inputs of a call. Calls with large inputs become actions in the order in which they were made."""
    before = parent.sealing
    mine = parent.sealing = parent.run.loop.create_future()
    try:
        inputs = await sealed(draft, parent.run.store.blobs, f"An input of {task}")
        if before is not None:
            # Not awaited itself: a caller that is cancelled here would cancel it for all others.
            await asyncio.wait((before,))
        return inputs
    finally:
        mine.set_result(None)


async def _watched(call: Call, parent: Node, runner: asyncio.Task[Any], acting: Awaitable[Any]) -> Any:
    """Wait for an action in its `runner` task; whatever happens, its end is on record and its parent forgets it."""
    __tracebackhide__ = True
    run = parent.run
    call.runner = runner
    run.calls[call.id or ""] = call
    parent.children[runner] = call
    # With bounded concurrency, whoever waits for a child makes room for it.
    lent: Held | None = None
    if run.settings.max_action_concurrency and isinstance(parent, Call):
        parent.wait_begins()
        lent = Held(call, parent.wait_ends)
    try:
        value = await acting
    except asyncio.CancelledError:
        if not call.phase.terminal:
            # Cancelled before its first step: the body never saw it.
            ended(call, Phase.ABORTED)
        if call.cancelled is not None and _only_this_one(call.cancelled, runner):
            raise errors.ActionAbortedError(f"{call.short_name} was cancelled") from None
        raise
    except Exception:
        if not _both_stopped(call, parent):
            raise
    else:
        if not _both_stopped(call, parent):
            return value
    finally:
        if lent is not None:
            lent.end()
        parent.children.pop(runner, None)
        run.calls.pop(call.id or "", None)
        if call.cancelled is not None:
            call.cancelled.end()
    # The body has caught its cancellation, and then asyncio tells its caller nothing.
    raise asyncio.CancelledError


def _both_stopped(call: Call, parent: Node) -> bool:
    return call.stopped and parent.stopped


def call_site(parent: Node) -> str:
    """What a call belongs to, in words."""
    return parent.short_name if isinstance(parent, Call) else f"the cell of {parent.run.name}"


def _only_this_one(cancelled: Stop, runner: asyncio.Task[Any]) -> bool:
    """True when the caller was not cancelled as well: then it is told, by an error, and goes on."""
    me = asyncio.current_task()
    if me is None:
        return True
    if me is runner:
        for _ in range(cancelled.asked):
            me.uncancel()
    return me.cancelling() == 0


async def _act(
    call: Call, task: Callee, values: dict[str, Any] | None, key: str | None, custom_context: Mapping[str, str]
) -> Any:
    """What happens in an action's own asyncio task: run, end the children, encode, record, decode for the caller."""
    __tracebackhide__ = True
    # Before the body runs: it may set what others, or its next call, refer to.
    fingerprint = call.run.fingerprint(task.func)
    token = enter(Frame(call, None, None, custom_context))
    try:
        with forks.Confined():
            value = await policies.perform(call, task, values)
        if call.stopped and has_heard(call, call.runner):
            # It has caught its cancellation: what it returned in place of a result must not be reused as one.
            raise asyncio.CancelledError
        result, immutable = task.interface.encode_output(value)
        too_large = breach("Outputs", result, task.options.max_inline_io_bytes, task.name)
        if too_large is not None:
            raise too_large
        if isinstance(result, Draft):
            result = await sealed(result, call.run.store.blobs, f"The result of {task.name}")
    except asyncio.CancelledError:
        await call.close()
        ended(call, Phase.ABORTED)
        raise
    except BaseException as caught:  # noqa: BLE001 - SystemExit and its like fail the action, not the kernel
        error = failures.unwrapped(caught)
        await call.close()
        if call.forced or isinstance(error, Ended):
            ended(call, Phase.ABORTED)
            raise asyncio.CancelledError from None
        ended(call, failures.phase_of(call), error=failures.recorded(error))
        if call.run.pace.behind():
            await call.run.pace.kept()
        raise failures.for_caller(error)  # noqa: B904 - it carries its cause already
    finally:
        leave(token)
    if call.children:
        await call.close()
    call.open = False
    # Cancelled by its caller, as in `asyncio.wait_for`, it has caught that: what it returned stands for no other call.
    deaf = call.runner is not None and call.runner.cancelling()
    ended(
        call,
        Phase.SUCCEEDED,
        output=result,
        fingerprint=None if deaf else fingerprint,
        cache_key=None if deaf else key,
    )
    if call.run.pace.behind():
        # Nobody builds on what a crash would take back for longer than is promised.
        await call.run.pace.kept()
    return value if immutable else await decoded(task, result, call.run.store.blobs)


async def _act_in_turn(
    call: Call, task: Callee, values: dict[str, Any] | None, key: str | None, custom_context: Mapping[str, str]
) -> Any:
    """As `_act`, after an equal call that runs now, in whatever process, and not at all when that leaves a result."""
    __tracebackhide__ = True
    assert key is not None
    reservation = await Reservation.of(call.run.store, key)
    with Held(call, reservation.leave):
        if (cached := await reuse.cached(call, task, key)) is not None:
            return cached.value
        return await _act(call, task, values, key, custom_context)


def _introduce(run: LiveRun, task: Callee) -> None:
    """Put a task on record the first time a run calls it."""
    run.seen.add(task.name)
    run.publish(
        events.TaskSeen(
            run.name,
            task.name,
            run.fingerprint(task.func),
            source_of(task.func),
            task.declarations(),
            run.fingerprint_parts(task.func),
        )
    )


async def sealed(draft: Draft, blobs: BlobStore, what: str) -> Encoded:
    """Hash and store a large value without blocking the loop. `what` it is, for the warning that it has changed."""
    encoded = await asyncio.to_thread(draft.seal, blobs)
    if draft.changed:
        warnings.warn(
            f"{what} was changed while it was being stored: on record, and with whoever received it, is a mixture of "
            "before and after. Pass a copy, or change it once the call has begun.",
            stacklevel=2,
        )
    return encoded


async def decoded(task: Callee, result: Encoded, blobs: BlobStore) -> Any:
    """A fresh copy of a recorded result; large ones are read in a thread."""
    if result.is_slow(blobs):
        return await asyncio.to_thread(task.interface.decode_output, result, blobs)
    return task.interface.decode_output(result, blobs)

"""How often and how long a body may run: retries and timeouts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from flyte_notebook import errors
from flyte_notebook.engine import failures, output
from flyte_notebook.engine.executors import Executor, InThread, OnLoop
from flyte_notebook.engine.timeouts import Bound
from flyte_notebook.record import events

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from flyte_notebook.engine.context import Call
    from flyte_notebook.engine.submit import Callee
    from flyte_notebook.record.codec import Encoded

_ON_LOOP: Executor = OnLoop()
_IN_THREAD: Executor = InThread()


def perform(call: Call, task: Callee, values: dict[str, Any] | None) -> Awaitable[Any]:
    """Run the body until it succeeds or may not be tried again; await it for what the body returned.

    `values` are handed to the body as they are; None means that each attempt decodes its own copy of the inputs.

    Raises:
        BaseException: whatever the last attempt raised; a `TaskTimeoutError` when it ran out of time.
    """
    # Plain functions that pass an awaitable on: most actions have no policy at all, and every coroutine between costs.
    options = task.options
    if options.deadline_seconds is not None:
        return _bounded(call, task, values)
    if options.retries.count or values is None:
        return _attempts(call, task, values)
    call.attempt = 1
    return _attempt(_ON_LOOP if task.is_async else _IN_THREAD, call, task, values)


async def _bounded(call: Call, task: Callee, values: dict[str, Any] | None) -> Any:
    seconds = task.options.deadline_seconds
    async with Bound(call, seconds, errors.DeadlineExceededError, "missed its deadline of") as deadline:
        deadline.start()
        return await _attempts(call, task, values)


async def _attempts(call: Call, task: Callee, values: dict[str, Any] | None) -> Any:
    executor = _ON_LOOP if task.is_async else _IN_THREAD
    strategy = task.options.retries
    while True:
        call.attempt += 1
        call.timed_out = False
        try:
            fresh = values if values is not None else await _decoded(call, task)
            return await _attempt(executor, call, task, fresh)
        except asyncio.CancelledError:
            raise
        except BaseException as caught:
            error = failures.unwrapped(caught)
            if call.attempt > strategy.count or not _retryable(error) or _unwanted(call):
                raise
            # The exception itself is not kept while waiting: its frames hold the inputs.
            wait = _put_aside(call, error, strategy.wait(call.attempt))
        await _between_attempts(call, wait)


def _put_aside(call: Call, error: BaseException, wait: float) -> float:
    """Put a failed attempt on record, and return how many seconds the next one waits."""
    output.flush(call)
    call.run.publish(
        events.AttemptFailed(
            call.run.name,
            call.id or "",
            call.attempt,
            failures.phase_of(call),
            failures.recorded(error),
            wait,
            events.now(),
        )
    )
    return wait


async def _between_attempts(call: Call, wait: float) -> None:
    """Let nothing of the failed attempt run beside the next one, and wait as its strategy says."""
    await call.close()
    while call.thread_alive:  # noqa: ASYNC110 - see below
        # A sync body cannot be stopped: the next attempt starts once its thread has ended.
        await asyncio.sleep(0.01)
    # The loop goes round at least once, which ends what the failed attempt has left behind.
    await asyncio.sleep(wait)
    call.stopped = call.told = False
    call.made_to_end = None
    call.open = True


def _retryable(error: BaseException) -> bool:
    if isinstance(error, errors.NonRecoverableError | errors.RuntimeDataValidationError):
        return False
    return isinstance(error, Exception)


def _unwanted(call: Call) -> bool:
    """True when the action is to end, and not only its attempt."""
    return call.cancelled is not None or call.parent.stopped or call.run.forked


async def _decoded(call: Call, task: Callee) -> dict[str, Any]:
    inputs: Encoded = call.inputs
    if inputs.is_slow(call.run.store.blobs):
        return await asyncio.to_thread(task.interface.decode_inputs, inputs, call.run.store.blobs)
    return task.interface.decode_inputs(inputs, call.run.store.blobs)


def _attempt(executor: Executor, call: Call, task: Callee, values: dict[str, Any]) -> Awaitable[Any]:
    def started() -> None:
        call.run.publish(events.AttemptStarted(call.run.name, call.id or "", call.attempt, events.now()))

    timeout = task.options.timeout
    if timeout.max_runtime is None and timeout.max_queued_time is None:
        return executor.execute(call, task.func, values, started)
    return _timed(executor, call, task, values, started)


async def _timed(
    executor: Executor, call: Call, task: Callee, values: dict[str, Any], started: Callable[[], None]
) -> Any:
    timeout = task.options.timeout
    queued = Bound(
        call, timeout.seconds("max_queued_time"), errors.MaxQueuedTimeExceededError, "was queued longer than"
    )
    running = Bound(
        call, task.options.timeout_seconds, errors.MaxRuntimeExceededError, "ran longer than its timeout of"
    )

    def started_in_time() -> None:
        queued.stop()
        running.start()
        started()

    async with queued, running:
        queued.start()
        return await executor.execute(call, task.func, values, started_in_time)

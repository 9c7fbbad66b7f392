"""`flyte.trace`: a plain function recorded as a light action. No copy, no retry, the original exception."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

from flyte_notebook import errors
from flyte_notebook.engine import failures
from flyte_notebook.engine.context import Call, Frame, current_frame, enter, leave
from flyte_notebook.engine.recording import announce, ended, identified
from flyte_notebook.engine.reuse import Reused
from flyte_notebook.engine.stopping import has_heard
from flyte_notebook.engine.strays import Ended
from flyte_notebook.record import events
from flyte_notebook.record.codec import Draft, Encoded, converter
from flyte_notebook.record.model import Phase

F = TypeVar("F", bound=Callable[..., Any])


def trace(func: F) -> F:
    """Record each call of `func` made inside a run as an action of kind `trace`; outside a run it is a plain call.

    Works for functions, coroutine functions, generators and async generators (recorded as the list of their items).
    Calling a task inside raises `TraceDoesNotAllowNestedTasksError`.
    """
    if inspect.isasyncgenfunction(func):
        wrapper: Any = _async_generator(func)
    elif inspect.iscoroutinefunction(func):
        wrapper = _coroutine(func)
    elif inspect.isgeneratorfunction(func):
        wrapper = _generator(func)
    else:
        wrapper = _function(func)
    functools.update_wrapper(wrapper, func)
    return cast(F, wrapper)


class _Traced:
    """One recorded call: its action, the frame its code runs in, and how it ended."""

    def __init__(self, func: Callable[..., Any], frame: Frame, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        parent = frame.parent(func.__name__)
        if not parent.open:
            raise errors.ActionAbortedError(f"{func.__name__} was called after {parent.run.name} had ended")
        arguments = inspect.signature(func).bind(*args, **kwargs).arguments
        self.call: Call = identified(
            parent, func.__qualname__, func.__name__, frame.group, "trace", _encoded(arguments)
        )
        self.frame = frame._replace(node=self.call, group=None, traced=True)
        self._func = func
        self._asked_before = parent.stopped
        self._items: list[Any] = []
        self._runner: asyncio.Task[Any] | None = None
        announce(self.call)
        self.recovered = self._recover(by_place=not arguments)
        """What it returned in the run that is being resumed, if it did."""
        if self.recovered is None:
            self._begin()

    def _recover(self, by_place: bool) -> Reused | None:
        """A recorded result. Without arguments a call is known by its place alone: what time it is, say."""
        run = self.call.run
        # Inputs that could not be encoded cannot be compared.
        if run.recovery is None or self.call.inputs is None:
            return None
        found = run.recovery.take(self.call, run.fingerprint(self._func), by_place=by_place)
        if found is None or found.past.output is None:
            return None
        try:
            value = converter(Any).decode(found.past.output, run.store.blobs)
        except Exception:  # noqa: BLE001 - whatever is wrong with the recorded value, the call makes it anew
            return None
        for event in run.recovery.subtree(found, self.call.id or ""):
            run.publish(event._replace(run=run.name))
        self._end(
            Phase.SUCCEEDED,
            output=found.past.output,
            recovered=True,
            source_run=found.run,
            source_id=found.past.id,
            fingerprint=found.past.fingerprint,
        )
        return Reused(value)

    def _begin(self) -> None:
        self.call.attempt = 1
        self._runner = self.call.parent.adopt(self.call)
        run = self.call.run
        run.publish(events.AttemptStarted(run.name, self.call.id or "", 1, events.now()))

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """The user's code runs in this block; an exception that leaves it ends the action."""
        token = enter(self.frame)
        try:
            yield
        except (asyncio.CancelledError, GeneratorExit, Ended):
            self._end(Phase.ABORTED)
            raise
        except (StopIteration, StopAsyncIteration):
            raise
        except BaseException as error:
            self._end(Phase.FAILED, error=failures.recorded(error))
            raise
        finally:
            leave(token)

    def item(self, value: Any) -> Any:
        """Keep an item that a generator yields."""
        self._items.append(value)
        return value

    def result(self, value: Any) -> Any:
        """The call returned `value`. In a thread, waits as `returned` does; a loop must not wait here."""
        self._succeeded(value)
        self._leave()
        if self.call.run.pace.behind() and asyncio.events._get_running_loop() is None:
            self.call.run.store.journal.flush().exception()
        return value

    async def returned(self, value: Any) -> Any:
        """The coroutine returned `value`: handed back once a crash would not take it back for longer than is promised."""
        self._succeeded(value)
        pace = self.call.run.pace
        try:
            if pace.behind() and asyncio.get_running_loop() is self.frame.loop:
                await pace.kept()
        finally:
            self._leave()
        return value

    def exhausted(self) -> None:
        """The generator came to its end."""
        self._succeeded(self._items)
        self._leave()

    def abandoned(self) -> None:
        """The generator was left before its end; harmless after the end."""
        self._end(Phase.ABORTED)

    def _end(self, phase: Phase, **what: Any) -> None:
        if not self.call.phase.terminal:
            ended(self.call, phase, **what)
        self._leave()

    def _succeeded(self, value: Any) -> None:
        if self._has_caught_a_stop():
            # The caller gets what it returned, as of any function; but that is no result to recover.
            self._end(Phase.ABORTED)
        elif not self.call.phase.terminal:
            fingerprint = self.call.run.fingerprint(self._func)
            ended(self.call, Phase.SUCCEEDED, output=_encoded(value), fingerprint=fingerprint)

    def _has_caught_a_stop(self) -> bool:
        stopped = (self.call.stopped or self.call.parent.stopped) and not self._asked_before
        # In a thread, or on a loop of its own, nothing is cancelled.
        if not stopped or asyncio.events._get_running_loop() is not self.frame.loop:
            return False
        return has_heard(self.call, asyncio.current_task())

    def _leave(self) -> None:
        if self._runner is not None:
            self.call.parent.children.pop(self._runner, None)


def _encoded(value: Any) -> Encoded | None:
    """What goes on record of a traced value: None when it cannot be pickled or is large; tracing never fails a call."""
    try:
        encoded = converter(Any).encode(dict(value) if isinstance(value, dict) else value)
    except Exception:  # noqa: BLE001 - a user's __reduce__ may raise anything
        return None
    return None if isinstance(encoded, Draft) else encoded


def _function(func: Callable[..., Any]) -> Callable[..., Any]:
    def traced(*args: Any, **kwargs: Any) -> Any:
        frame = current_frame()
        if frame is None:
            return func(*args, **kwargs)
        record = _Traced(func, frame, args, kwargs)
        if record.recovered is not None:
            return record.recovered.value
        with record.inside():
            value = func(*args, **kwargs)
        return record.result(value)

    return traced


def _coroutine(func: Callable[..., Any]) -> Callable[..., Any]:
    async def traced(*args: Any, **kwargs: Any) -> Any:
        frame = current_frame()
        if frame is None:
            return await func(*args, **kwargs)
        record = _Traced(func, frame, args, kwargs)
        if record.recovered is not None:
            return record.recovered.value
        with record.inside():
            value = await func(*args, **kwargs)
        return await record.returned(value)

    return traced


def _generator(func: Callable[..., Any]) -> Callable[..., Any]:
    def traced(*args: Any, **kwargs: Any) -> Any:
        frame = current_frame()
        if frame is None:
            yield from func(*args, **kwargs)
            return
        record = _Traced(func, frame, args, kwargs)
        if record.recovered is not None:
            yield from record.recovered.value
            return
        source = func(*args, **kwargs)
        try:
            while True:
                with record.inside():
                    item = next(source)
                yield record.item(item)
        except StopIteration:
            record.exhausted()
        finally:
            source.close()
            record.abandoned()

    return traced


def _async_generator(func: Callable[..., Any]) -> Callable[..., Any]:
    async def traced(*args: Any, **kwargs: Any) -> Any:
        frame = current_frame()
        if frame is None:
            async for item in func(*args, **kwargs):
                yield item
            return
        record = _Traced(func, frame, args, kwargs)
        if record.recovered is not None:
            for item in record.recovered.value:
                yield item
            return
        source = func(*args, **kwargs)
        try:
            while True:
                with record.inside():
                    item = await anext(source)
                yield record.item(item)
        except StopAsyncIteration:
            record.exhausted()
        finally:
            await source.aclose()
            record.abandoned()

    return traced

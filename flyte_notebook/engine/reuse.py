"""Whether a body has to run at all: a recorded success may stand for it, recovered from the run being resumed, or cached."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from flyte_notebook.engine import failures
from flyte_notebook.engine.recording import ended
from flyte_notebook.record import events
from flyte_notebook.record.model import Phase

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from flyte_notebook.api.behavior import Cache
    from flyte_notebook.engine.context import Call
    from flyte_notebook.engine.recovery import Recovery
    from flyte_notebook.engine.submit import Callee
    from flyte_notebook.record.codec import Encoded

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Reused(NamedTuple):
    """A fresh copy of a recorded result; None may be one."""

    value: Any


async def recovered(call: Call, task: Callee, recovery: Recovery) -> Reused | None:
    """End the action with a success of the run that is being resumed, and bring the actions below it along.

    None when there is none that can be read: the body has to run.
    """
    if recovery.hold_is_long():
        await _for(call, asyncio.sleep(0))
    fingerprint = call.run.fingerprint(task.func)
    while (found := recovery.take(call, fingerprint)) is not None:
        output = found.past.output
        assert output is not None
        reused = await _read(call, task, output, same_code=found.past.fingerprint == fingerprint)
        if reused is None:
            continue
        for event in recovery.subtree(found, call.id or ""):
            call.run.publish(event._replace(run=call.run.name))
            if recovery.hold_is_long():
                await _for(call, asyncio.sleep(0))
        ended(
            call,
            Phase.SUCCEEDED,
            output=output,
            recovered=True,
            source_run=found.run,
            source_id=found.past.id,
            # Of the code that made it, which with `--keep` need not be today's.
            fingerprint=found.past.fingerprint,
        )
        return reused
    return None


async def cached(call: Call, task: Callee, key: str) -> Reused | None:
    """End the action with a recorded success under this key; None when there is none that can be read."""
    cache = _reusing(call, task)
    if cache is None:
        return None
    age = cache.max_age_seconds
    found = call.run.store.journal.cached(key, 0.0 if age is None else events.now() - age)
    if found is None:
        return None
    source_run, _, output = found
    if not output.is_whole(call.run.store.blobs):
        return None
    reused = await _read(call, task, output, same_code=cache.version_override is None and cache.policies is None)
    if reused is not None:
        ended(
            call,
            Phase.SUCCEEDED,
            output=output,
            cached=True,
            source_run=source_run,
            fingerprint=call.run.fingerprint(task.func),
        )
    return reused


def serializes(call: Call, task: Callee) -> bool:
    """True when the call waits for an equal one that runs now, instead of running beside it."""
    cache = _reusing(call, task)
    return cache is not None and cache.serialize


def _reusing(call: Call, task: Callee) -> Cache | None:
    """What the call's task says of its cache; None when the call may reuse nothing, as it is to replace what is there."""
    settings = call.run.settings
    cache = task.caching(settings.cache)
    return None if settings.overwrite_cache or cache is None or cache.behavior == "override" else cache


def cache_key(call: Call, task: Callee) -> str | None:
    """The key under which this call's success may be reused, or None when it is not cached.

    Made of the task's name, its version (the transitive fingerprint unless another is declared) and the inputs,
    without those the declaration ignores.

    Raises what a cache policy raises, and the action has failed then.
    """
    try:
        return _cache_key(call, task)
    except Exception as error:
        ended(call, Phase.FAILED, error=failures.recorded(error))
        raise


def _cache_key(call: Call, task: Callee) -> str | None:
    settings = call.run.settings
    cache = None if settings.disable_run_cache else task.caching(settings.cache)
    if cache is None:
        return None
    inputs = task.interface.digest_without(call.inputs, cache.get_ignored_inputs(), call.run.store.blobs)
    key = blake2b(inputs, digest_size=20)
    for part in (task.name, task.version(cache, partial(call.run.fingerprint, task.func))):
        key.update(part.encode() + b"\0")
    return key.hexdigest()


async def _read(call: Call, task: Callee, output: Encoded, *, same_code: bool) -> Reused | None:
    """The value again, as the type that is annotated now; None when that fails, for whatever reason."""
    blobs = call.run.store.blobs

    def read() -> Reused:
        value = task.interface.decode_output(output, blobs)
        if not same_code:
            # It was checked against the annotation of then.
            task.interface.encode_output(value)
        return Reused(value)

    try:
        return await _for(call, asyncio.to_thread(read)) if output.is_slow(blobs) else read()
    except Exception as error:  # noqa: BLE001 - damaged data, a class that has changed: running the body mends both
        _log.warning("the recorded result of %s cannot be read and is made anew: %s", call.short_name, error)
        return None


async def _for(call: Call, work: Awaitable[T]) -> T:
    """Await something for an action whose body does not run: when its parent ends, or is cancelled, so does this."""
    task = call.parent.adopt(call)
    try:
        return await work
    except asyncio.CancelledError:
        ended(call, Phase.ABORTED)
        raise
    finally:
        if task is not None:
            call.parent.children.pop(task, None)

"""Time that stays put: what a task was told once, it is told again when its run is resumed.

Each call is an action of kind `trace`, so the record knows the answer. Outside a run these are the plain functions.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import time as clock

from flyte_notebook.api.dual import Dual
from flyte_notebook.api.trace import trace
from flyte_notebook.engine import waits

__all__ = ["now", "sleep", "time"]

# The names of these functions are on record, and a resumed run finds the answers by them: they cannot be changed.


@trace
def durable_time() -> float:
    """Seconds since the epoch, as `time.time()`; the same when the run is resumed."""
    return clock.time()


@trace
def durable_now() -> dt.datetime:
    """Local date and time, as `datetime.now()`; the same when the run is resumed."""
    return dt.datetime.now()  # noqa: DTZ005  what it stands for is naive, and so is the SDK's


@trace
def sleep_start() -> float:
    """When a sleep began, in seconds since the epoch."""
    return clock.time()


def _rest(seconds: float) -> float:
    rest = sleep_start() + seconds - clock.time()
    # Never longer than asked for: the clock may have been set back since.
    return min(max(0.0, rest), seconds)


async def _sleep(seconds: float) -> None:
    await asyncio.sleep(_rest(seconds))


async def _asleep(seconds: float) -> None:
    await waits.asleep(_rest(seconds))


def _sleep_blocking(seconds: float) -> None:
    """Sleep `seconds`, counted from the first time that this call was made, also across a resume."""
    # On the loop's own thread everything else goes on meanwhile.
    waits.blocking(_asleep, seconds)


time = Dual(durable_time)
now = Dual(durable_now)
sleep = Dual(_sleep_blocking, _sleep)

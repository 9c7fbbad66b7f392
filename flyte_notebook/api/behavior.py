"""Declarations that mean something in a kernel: cache, retries, timeouts. The engine puts them into practice.

Validation, defaults and messages follow Flyte's SDK, so that what is accepted here is accepted by a cluster.
"""

# The kind of exception is part of what follows the SDK.
# ruff: noqa: TRY004
from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal, NamedTuple, TypeAlias, cast, get_args

CacheBehavior: TypeAlias = Literal["auto", "override", "disable"]
_BEHAVIORS = get_args(CacheBehavior)
_BEHAVIOR_ALIASES = {
    **dict.fromkeys(("enable", "enabled", "on", "true", "yes"), "auto"),
    **dict.fromkeys(("off", "false", "no", "none"), "disable"),
}


class VersionParameters(NamedTuple):
    """What a cache policy gets to make a version from."""

    func: Callable[..., Any] | None
    image: Any = None
    code_bundle: Any = None


@dataclass
class Cache:
    """When a recorded result may stand for a new call.

    `"auto"`: same task, same inputs, same code. `"override"`: run, and replace what is cached. `"disable"`: never.
    """

    behavior: CacheBehavior
    version_override: str | None = None
    """Stands for the code's own version: the cache is good until this changes."""
    serialize: bool = False
    ignored_inputs: tuple[str, ...] | str = ()
    salt: str = ""
    policies: Any = None
    """One object, or a list of them, with `get_version(salt, params) -> str`; None: the task's fingerprint."""
    max_age: dt.timedelta | int | None = None
    """Seconds or a timedelta; 0 and None: results do not age."""

    def __post_init__(self) -> None:
        _must_be_text("salt", self.salt)
        if self.version_override is not None:
            _must_be_text("version_override", self.version_override)
        if isinstance(self.max_age, bool) or not isinstance(self.max_age, int | dt.timedelta | None):
            raise TypeError("max_age must be an int (seconds), timedelta, or None")
        if isinstance(self.max_age, int):
            self.max_age = dt.timedelta(seconds=self.max_age)
        if self.max_age is not None and self.max_age < dt.timedelta(0):
            raise ValueError("max_age must be nonnegative")
        if self.behavior not in _BEHAVIORS:
            self.behavior = cast(CacheBehavior, _BEHAVIOR_ALIASES.get(str(self.behavior).lower(), self.behavior))
        if self.behavior not in _BEHAVIORS:
            raise ValueError(
                f"Invalid cache behavior: {self.behavior!r}. Must be one of {list(_BEHAVIORS)} "
                f"(aliases accepted: {sorted(_BEHAVIOR_ALIASES)})."
            )
        if isinstance(self.ignored_inputs, str):
            self.ignored_inputs = (self.ignored_inputs,)
        self.ignored_inputs = tuple(self.ignored_inputs)
        if self.policies is not None and not isinstance(self.policies, list | tuple):
            self.policies = [self.policies]
        if self.is_enabled() and self.version_override is None and self.policies is not None and not self.policies:
            raise ValueError("If version is not defined then at least one cache policy needs to be set")

    def is_enabled(self) -> bool:
        """True unless the behaviour is `"disable"`."""
        return self.behavior != "disable"

    @property
    def max_age_seconds(self) -> float | None:
        """The age from which on a result is not reused; None: results do not age."""
        return cast(dt.timedelta, self.max_age).total_seconds() if self.max_age else None

    def get_ignored_inputs(self) -> tuple[str, ...]:
        """Names of the inputs that do not count."""
        return cast(tuple[str, ...], self.ignored_inputs)

    def version(self, params: VersionParameters, fingerprint: Callable[[], str]) -> str:
        """The version of the code that results are cached under; `fingerprint` is asked only when it is needed.

        Raises:
            ValueError: a cache policy failed.
        """
        if self.version_override is not None:
            return self.version_override
        if self.policies is None:
            return fingerprint() + self.salt
        parts = []
        for policy in self.policies:
            try:
                parts.append(policy.get_version(self.salt, params))
            except Exception as error:
                raise ValueError(f"Failed to generate version for cache policy {policy}.") from error
        return sha256("".join(parts).encode()).hexdigest()


def _must_be_text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, got {value!r}")


CacheRequest: TypeAlias = CacheBehavior | Cache


def cache_of(request: CacheRequest | None) -> Cache:
    """What was asked for as a `Cache`; None asks for no caching."""
    if isinstance(request, Cache):
        return request
    return Cache("disable" if request is None else request)


@dataclass(frozen=True)
class Backoff:
    """Waits of `base * factor**n` before retry `n` (from 0), never more than `cap`."""

    base: dt.timedelta
    factor: float = 1.0
    cap: dt.timedelta | None = None

    def __post_init__(self) -> None:
        if self.base < dt.timedelta(0):
            raise ValueError(f"Backoff.base must be >= 0, got {self.base}")
        factor: object = self.factor
        if not isinstance(factor, int | float) or not math.isfinite(factor):
            raise ValueError(f"Backoff.factor must be a finite number, got {self.factor!r}")
        if self.factor < 1.0:
            raise ValueError(f"Backoff.factor must be >= 1.0, got {self.factor}")
        if self.cap is not None and self.cap < dt.timedelta(0):
            raise ValueError(f"Backoff.cap must be >= 0, got {self.cap}")
        if self.factor > 1.0 and self.cap is None:
            raise ValueError("Backoff.cap is required when factor > 1.0 to prevent unbounded growth")

    def compute_delay(self, n: int) -> dt.timedelta:
        """The wait before retry `n`, from 0."""
        if n < 0:
            raise ValueError(f"Retry index n must be >= 0, got {n}")
        try:
            delay = self.base * (self.factor**n)
        except OverflowError:
            # Only a growing delay overflows, and a growing delay has a cap, which it passed long before.
            if self.cap is None:
                raise
            return self.cap
        return delay if self.cap is None else min(delay, self.cap)


_FIRST_WAIT = 0.5
_LONGEST_WAIT = 3600.0


@dataclass
class RetryStrategy:
    """How often a failed body is tried again, and how long to wait in between."""

    count: int
    backoff: Backoff | None = None
    """None: 0.5 s, 1 s, 2 s, and so on."""

    def __post_init__(self) -> None:
        if not isinstance(self.count, int):
            raise ValueError(f"RetryStrategy.count must be an int (a retry count), got {self.count!r}")
        if self.count < 0:
            raise ValueError(f"RetryStrategy.count must be greater than or equal to 0, got {self.count}")

    def wait(self, attempt: int) -> float:
        """Seconds to wait after `attempt` (from 1) failed."""
        if self.backoff is not None:
            return self.backoff.compute_delay(attempt - 1).total_seconds()
        # Bounded before it is computed: a float overflows at attempt 1,025.
        return min(_FIRST_WAIT * 2.0 ** min(attempt - 1, 32), _LONGEST_WAIT)


def retries_of(request: int | RetryStrategy | None) -> RetryStrategy:
    """What was asked for as a `RetryStrategy`; None asks for no retries."""
    if isinstance(request, RetryStrategy):
        return request
    if request is None:
        return RetryStrategy(0)
    if not isinstance(request, int):
        raise ValueError(f"retries must be an int (a retry count) or a flyte.RetryStrategy, got {request!r}")
    return RetryStrategy(request)


@dataclass
class Timeout:
    """Bounds on a task's time, each in seconds or as a timedelta; None and 0 mean no bound."""

    max_runtime: dt.timedelta | int | None = None
    """Of one attempt, from the moment its body starts."""
    max_queued_time: dt.timedelta | int | None = None
    """Before an attempt starts."""
    deadline: dt.timedelta | int | None = None
    """Of all attempts together, waits included, from the call."""

    def __post_init__(self) -> None:
        for name in ("max_runtime", "max_queued_time", "deadline"):
            value = getattr(self, name)
            if not isinstance(value, int | dt.timedelta | None):
                raise ValueError(f"Timeout.{name} must be an int (seconds) or a timedelta, got {value!r}")

    def seconds(self, name: Literal["max_runtime", "max_queued_time", "deadline"]) -> float | None:
        """The bound of that name in seconds, or None when there is none."""
        value = getattr(self, name)
        if isinstance(value, dt.timedelta):
            return value.total_seconds() or None
        return float(value) if value else None


TimeoutType: TypeAlias = Timeout | int | dt.timedelta


def timeout_of(request: TimeoutType | None) -> Timeout:
    """What was asked for as a `Timeout`: a bare number of seconds or timedelta bounds each attempt's runtime."""
    if request is None or request == 0:
        return Timeout()
    if isinstance(request, Timeout):
        return request
    if isinstance(request, int | dt.timedelta):
        return Timeout(max_runtime=request)
    raise ValueError("Timeout must be an instance of Timeout, int, or timedelta.")

"""What a task or an environment may declare; all declarations are found here.

Caches, retries and timeouts (`behavior`), images and resources have rooms of their own. What stands here has no meaning
in a kernel: it is checked as Flyte's SDK checks it, kept, shown, and used when the task goes to a cluster.
"""

# The kind of exception is part of what follows the SDK.
# ruff: noqa: TRY004
from __future__ import annotations

import datetime as dt
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

from flyte_notebook.api.behavior import Backoff, Cache, CacheRequest, RetryStrategy, Timeout, TimeoutType
from flyte_notebook.api.image import Image
from flyte_notebook.api.resources import Resources

__all__ = [
    "Backoff",
    "Cache",
    "CacheRequest",
    "Image",
    "PodTemplate",
    "Resources",
    "RetryStrategy",
    "ReusePolicy",
    "Secret",
    "SecretRequest",
    "Timeout",
    "TimeoutType",
]

_logger = logging.getLogger("flyte_notebook")

_SECRETS_FOLDER = "/etc/flyte/secrets"
_VARIABLE = r"^[A-Z_][A-Z0-9_]*$"


@dataclass(unsafe_hash=True)
class Secret:
    """A cluster's secret, given to the task as an environment variable or a file."""

    key: str
    group: str | None = None
    mount: Path | None = None
    as_env_var: str | None = None

    def __post_init__(self) -> None:
        if not self.mount and not self.as_env_var:
            name = f"{self.group}_{self.key}" if self.group else self.key
            self.as_env_var = name.replace("-", "_").upper()
        if self.mount and str(self.mount) != _SECRETS_FOLDER:
            raise ValueError(f"Only {_SECRETS_FOLDER} is supported as secret mount path today.")
        if self.as_env_var is not None and not re.match(_VARIABLE, self.as_env_var):
            raise ValueError(f"Invalid environment variable name: {self.as_env_var}, must match {_VARIABLE}")


SecretRequest: TypeAlias = str | Secret | Sequence[str | Secret]


@dataclass
class ReusePolicy:
    """How many containers a cluster keeps warm for an environment, and for how long."""

    replicas: int | tuple[int, int] = 2
    idle_ttl: int | dt.timedelta = 30
    concurrency: int = 1
    scaledown_ttl: int | dt.timedelta = 30
    scope: Literal["global", "run"] = "global"

    def __post_init__(self) -> None:
        if self.scope not in ("global", "run"):
            raise ValueError('scope must be "global" or "run"')
        self.replicas = _replicas(self.replicas)
        if not isinstance(self.concurrency, int):
            raise ValueError(f"concurrency must be an int, got {self.concurrency!r}")
        if self.concurrency < 1:
            raise ValueError(f"concurrency must be at least 1, got {self.concurrency}")
        self.idle_ttl = _ttl("idle_ttl", self.idle_ttl)
        self.scaledown_ttl = _ttl("scaledown_ttl", self.scaledown_ttl)
        if self.max_replicas == 1 and self.concurrency == 1:
            _logger.warning(
                "It is recommended to use a minimum of 2 replicas, to avoid starvation. Starvation can occur if a task "
                "is running and no other replicas are available to handle new tasks. Options, increase concurrency, "
                "increase replicas or turn-off reuse for the parent task, that runs child tasks."
            )

    @property
    def min_replicas(self) -> int:
        """The fewest containers kept."""
        return cast(tuple[int, int], self.replicas)[0]

    @property
    def max_replicas(self) -> int:
        """The most containers kept."""
        return cast(tuple[int, int], self.replicas)[1]


def _replicas(value: Any) -> tuple[int, int]:
    if value is None:
        raise ValueError("replicas cannot be None")
    if isinstance(value, int):
        value = (value, value)
    if not isinstance(value, tuple) or len(value) != 2:
        raise ValueError("replicas must be an int or a tuple of two ints")
    for label, bound in zip(("min", "max"), value, strict=True):
        if not isinstance(bound, int):
            raise ValueError(f"replicas {label} must be an int, got {bound!r}")
        if bound < 0:
            raise ValueError(f"replicas {label} must be greater than or equal to 0, got {bound}")
    low, high = value
    if low > high:
        raise ValueError(f"replicas min ({low}) must be less than or equal to max ({high})")
    return low, high


def _ttl(name: str, value: Any) -> dt.timedelta:
    if isinstance(value, int):
        value = dt.timedelta(seconds=value)
    if not isinstance(value, dt.timedelta):
        raise ValueError(f"{name} must be an int (seconds) or a timedelta")
    if value.total_seconds() < 30:
        raise ValueError(f"{name} must be at least 30 seconds")
    return value


@dataclass
class PodTemplate:
    """A cluster's pod for the task; `pod_spec` is a `kubernetes.client.V1PodSpec`."""

    pod_spec: Any = None
    primary_container_name: str = "primary"
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None

"""`TaskOptions`: everything a task declares beside its function, and what `override` may change of it."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from flyte_notebook.api.behavior import Cache, RetryStrategy, Timeout, cache_of, retries_of, timeout_of
from flyte_notebook.api.describe import describe_fields

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flyte_notebook.api.declare import PodTemplate, ReusePolicy, SecretRequest
    from flyte_notebook.api.image import Image
    from flyte_notebook.api.resources import Resources

MAX_INLINE_IO_BYTES = 10 * 1024 * 1024

_FIXED = ("name", "image", "docs", "interface")
_HELD_BY_REUSE = {
    "resources": "resources",
    "env_vars": "env",
    "secrets": "secrets",
    "service_account": "service_account",
}


@dataclass(frozen=True, kw_only=True)
class TaskOptions:
    """Declarations of one task, checked and normalised: `cache`, `retries` and `timeout` may be given in short form.

    Raises:
        TypeError, ValueError: a declaration that Flyte's SDK would reject.
    """

    short_name: str
    cache: Cache = field(default_factory=lambda: Cache("disable"))
    retries: RetryStrategy = field(default_factory=lambda: RetryStrategy(0))
    timeout: Timeout = field(default_factory=Timeout)
    docs: Any = None
    """Text, or an object with a `description`; None: the function's docstring."""
    report: bool = False
    interruptible: bool = False
    max_inline_io_bytes: int = MAX_INLINE_IO_BYTES
    """The most bytes that inputs, and outputs, may take together; DataFrames, files and folders do not count."""
    queue: str | None = None
    service_account: str | None = None
    pod_template: str | PodTemplate | None = None
    triggers: tuple[Any, ...] = ()
    links: tuple[Any, ...] = ()
    task_resolver: Any = None
    entrypoint: bool = False
    produces_artifacts: bool = False
    resources: Resources | None = None
    reusable: ReusePolicy | None = None
    env_vars: Mapping[str, str] | None = None
    secrets: SecretRequest | None = None
    plugin_config: Any = None
    image: str | Image | None = "auto"
    declares_cache: bool = False
    """True when a cache behaviour was declared for this task or its environment."""
    timeout_seconds: float | None = field(init=False, default=None)
    """The bound on each attempt, `timeout.max_runtime`; None: no bound."""
    deadline_seconds: float | None = field(init=False, default=None)
    """The bound on all attempts together, `timeout.deadline`; None: no bound."""

    def __post_init__(self) -> None:
        if self.service_account is not None and not isinstance(self.service_account, str):
            raise TypeError(f"Expected service_account to be of type str, got {type(self.service_account)}")
        timeout = timeout_of(self.timeout)
        normal = {
            "cache": cache_of(self.cache),
            "retries": retries_of(self.retries),
            "timeout": timeout,
            "triggers": _several(self.triggers),
            "links": _several(self.links),
            "timeout_seconds": timeout.seconds("max_runtime"),
            "deadline_seconds": timeout.seconds("deadline"),
        }
        for name, value in normal.items():
            object.__setattr__(self, name, value)

    def override(
        self,
        *,
        short_name: str | None = None,
        reusable: ReusePolicy | Literal["off"] | None = None,
        plugin_config: Any = None,
        **changes: Any,
    ) -> TaskOptions:
        """These options with `changes`; None leaves a thing as it is, and `reusable="off"` clears the reuse policy.

        Raises:
            ValueError: the thing cannot be overridden, or not while the environment is reusable.
            TypeError: there is no such thing.
        """
        for name in changes:
            if name in _FIXED:
                raise ValueError(f"{name.capitalize()} cannot be overridden")
            if name not in _OVERRIDABLE:
                raise TypeError(f"override() got an unexpected keyword argument '{name}'")
        kept = {name: value for name, value in changes.items() if value is not None}
        policy = None if reusable == "off" else reusable or self.reusable
        if policy is not None:
            for name, word in _HELD_BY_REUSE.items():
                if name in kept:
                    raise ValueError(
                        f"Cannot override {word} when reusable is set. Reusable tasks will use the parent env's {word}. "
                        f"You can disable reusability and override {word} if needed. (set reusable='off')"
                    )
        if plugin_config is not None:
            check_plugin(plugin_config)
        if "cache" in kept:
            kept["declares_cache"] = True
        kept.update(short_name=short_name or self.short_name, reusable=policy)
        if kept.keys() <= _TAKEN_AS_THEY_ARE:
            # `replace` checks and normalises everything again: five times the price, at each call of a renamed task.
            changed = copy.copy(self)
            changed.__dict__.update(kept)
            return changed
        return dataclasses.replace(self, **kept)

    def declarations(self) -> dict[str, Any]:
        """What was declared, JSON-able and bounded; defaults are left out, and so are values of `env_vars`."""
        described = describe_fields(self, leave_out=_NOT_DECLARED)
        described.update({name: value for name, value in self._in_short().items() if name in described})
        return described

    def _in_short(self) -> dict[str, Any]:
        """Declarations that read better in the short form they can be typed in."""
        short: dict[str, Any] = {"docs": getattr(self.docs, "description", None) or self.docs}
        if self.cache == Cache(self.cache.behavior):
            short["cache"] = self.cache.behavior
        if self.retries.backoff is None:
            short["retries"] = self.retries.count
        if self.timeout == Timeout(max_runtime=self.timeout.max_runtime):
            short["timeout"] = f"{self.timeout_seconds or 0:g} s"
        return short


_NOT_DECLARED = frozenset({"declares_cache", "timeout_seconds", "deadline_seconds"})
_TAKEN_AS_THEY_ARE = frozenset({"short_name", "reusable", "resources", "env_vars", "secrets", "queue", "interruptible"})
_OVERRIDABLE = frozenset(
    f.name for f in dataclasses.fields(TaskOptions) if f.init and f.name not in {*_NOT_DECLARED, *_FIXED}
)


def check_plugin(config: Any) -> None:
    """Reject `config`: the plugins that give it a meaning register with Flyte's SDK and run on a cluster.

    Raises:
        ValueError: always.
    """
    raise ValueError(
        f"No task plugin found for config type {type(config)}. Task plugins run on a Flyte cluster, not in a kernel."
    )


def _several(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)

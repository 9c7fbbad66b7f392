"""`TaskEnvironment`: names a set of tasks and declares what they share; `env.task` makes a task of a function."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar, overload

from flyte_notebook.api.behavior import Cache, CacheRequest, RetryStrategy, TimeoutType
from flyte_notebook.api.declare import Image, PodTemplate, Resources, ReusePolicy, Secret, SecretRequest
from flyte_notebook.api.options import MAX_INLINE_IO_BYTES, TaskOptions, check_plugin
from flyte_notebook.api.task import Task

P = ParamSpec("P")
R = TypeVar("R")

_NAME = r"[a-z0-9]+([_-][a-z0-9]+)*"
_LONGEST_DESCRIPTION = 255
_CUT = "...(tr.)"


@dataclass
class TaskEnvironment:
    """Where tasks run on a cluster, and the first half of their names.

    In a kernel the image, resources, secrets and so on change nothing: they are shown with each action, and used when a
    task goes to a cluster. `cache` and what `env.task` takes (retries, timeout, ...) work everywhere.

    Raises:
        ValueError: the name is neither snake_case nor kebab-case.
        TypeError: a declaration of the wrong type, naming it.
    """

    name: str
    depends_on: list[TaskEnvironment] = field(default_factory=list)
    pod_template: str | PodTemplate | None = None
    description: str | None = None
    secrets: SecretRequest | None = None
    env_vars: dict[str, str] | None = None
    resources: Resources | None = None
    interruptible: bool = False
    image: str | Image | None = "auto"
    include: tuple[str, ...] = ()
    service_account: str | None = None
    cache: CacheRequest = "disable"
    reusable: ReusePolicy | None = None
    plugin_config: Any = None
    queue: str | None = None

    def __post_init__(self) -> None:
        self._tasks: dict[str, Task[..., Any]] = {}
        name: object = self.name
        if not isinstance(name, str):
            raise TypeError(f"Expected name to be of type str, got {type(name)}")
        if re.fullmatch(_NAME, name) is None:
            raise ValueError(f"Environment name '{self.name}' must be in snake_case or kebab-case format.")
        for declared, types, expected in _EXPECTED:
            value = getattr(self, declared)
            if value is not None and not isinstance(value, types):
                raise TypeError(f"Expected {declared} to be of type {expected}, got {type(value)}")
        for environment in self.depends_on:
            if not isinstance(environment, TaskEnvironment):
                raise TypeError(f"Expected depends_on to be of type List[Environment], got {type(environment)}")
        if self.reusable is not None and self.plugin_config is not None:
            raise ValueError("Cannot set plugin_config when environment is reusable.")
        self.include = _included(self.include)
        if self.description is not None and len(self.description) > _LONGEST_DESCRIPTION:
            self.description = self.description[: _LONGEST_DESCRIPTION - len(_CUT)] + _CUT

    @overload
    def task(self, func: Callable[P, R], /) -> Task[P, R]: ...

    @overload
    def task(
        self,
        func: None = None,
        /,
        *,
        short_name: str | None = None,
        cache: CacheRequest | None = None,
        retries: int | RetryStrategy = 0,
        timeout: TimeoutType = 0,
        docs: Any = None,
        pod_template: str | PodTemplate | None = None,
        report: bool = False,
        interruptible: bool | None = None,
        max_inline_io_bytes: int = MAX_INLINE_IO_BYTES,
        queue: str | None = None,
        service_account: str | None = None,
        triggers: Any = (),
        links: Any = (),
        task_resolver: Any = None,
        entrypoint: bool = False,
        produces_artifacts: bool = False,
    ) -> Callable[[Callable[P, R]], Task[P, R]]: ...

    def task(
        self,
        func: Callable[..., Any] | None = None,
        /,
        *,
        short_name: str | None = None,
        cache: CacheRequest | None = None,
        retries: int | RetryStrategy = 0,
        timeout: TimeoutType = 0,
        docs: Any = None,
        pod_template: str | PodTemplate | None = None,
        report: bool = False,
        interruptible: bool | None = None,
        max_inline_io_bytes: int = MAX_INLINE_IO_BYTES,
        queue: str | None = None,
        service_account: str | None = None,
        triggers: Any = (),
        links: Any = (),
        task_resolver: Any = None,
        entrypoint: bool = False,
        produces_artifacts: bool = False,
    ) -> Any:
        """Make a task of a function: `@env.task`, or `@env.task(short_name=..., cache=..., retries=..., ...)`.

        A task of the same name in this environment is replaced. What is not declared here comes from the environment.

        Raises:
            TypeError: an unknown declaration, something that is not a function, or a return annotation that is a tuple
                of one element or of variable length.
            ValueError: a declaration out of range, or a function with `*args` or `**kwargs`.
            NameError: an annotation that cannot be resolved.
        """
        declared = {name: value for name, value in locals().items() if name not in ("self", "func")}
        self._check_reuse(declared)
        if func is None:
            return lambda function: self._define(function, declared)
        return self._define(func, declared)

    @property
    def tasks(self) -> dict[str, Task[..., Any]]:
        """The tasks of this environment by full name, `env.function`."""
        return self._tasks

    def add_dependency(self, *env: TaskEnvironment) -> None:
        """Declare that these environments are deployed with this one; those already declared are left as they are.

        Raises:
            TypeError: something that is not an environment.
            ValueError: this environment itself.
        """
        for other in env:
            if not isinstance(other, TaskEnvironment):
                raise TypeError(f"Expected Environment, got {type(other)}")
            if other.name == self.name:
                raise ValueError("Cannot add self as a dependency")
        self.depends_on.extend(other for other in env if all(other is not known for known in self.depends_on))

    def clone_with(self, name: str, **changes: Any) -> TaskEnvironment:
        """A new environment with this one's declarations, except for `changes`, and with no tasks.

        None leaves a declaration as it is, but for `reusable=None`, which clears it.

        Raises:
            TypeError: there is no such declaration.
        """
        unknown = [change for change in changes if change not in _CLONED]
        if unknown:
            raise TypeError(f"Unexpected keyword arguments: {unknown}")
        kept = {key: value for key, value in changes.items() if value is not None or key == "reusable"}
        # A list of its own: `add_dependency` on the clone must not reach this environment.
        kept["depends_on"] = list(kept.get("depends_on", self.depends_on))
        return dataclasses.replace(self, name=name, **kept)

    def _check_reuse(self, declared: dict[str, Any]) -> None:
        if self.reusable is None:
            return
        if declared.get("pod_template") is not None:
            raise ValueError("Cannot set pod_template when environment is reusable.")
        account = declared.get("service_account")
        if account is not None and account != self.service_account:
            raise ValueError("Cannot override service_account when environment is reusable.")

    def _define(self, func: Callable[..., Any], declared: dict[str, Any]) -> Task[..., Any]:
        if isinstance(func, type | Task) or not hasattr(func, "__name__"):
            raise TypeError(f"env.task makes a task of a function, got {func!r}")
        if self.reusable is not None and self.reusable.concurrency > 1 and not inspect.iscoroutinefunction(func):
            raise ValueError(
                "Reusable environments with concurrency greater than 1 are only supported for async tasks. "
                "Please use an async function or set concurrency to 1."
            )
        if self.plugin_config is not None:
            check_plugin(self.plugin_config)
        task = Task(func, env=self, name=f"{self.name}.{func.__name__}", options=self._options(func, declared))
        self._tasks[task.name] = task
        return task

    def _options(self, func: Callable[..., Any], declared: dict[str, Any]) -> TaskOptions:
        """The task's own declarations, completed by those of the environment."""
        own = {name: value for name, value in declared.items() if value is not None}
        shared = {name: getattr(self, name) for name in _INHERITED}
        cache = declared.get("cache") or self.cache
        return TaskOptions(
            **{
                **shared,
                **own,
                "short_name": own.get("short_name") or func.__name__,
                "cache": cache,
                "declares_cache": bool(declared.get("cache")) or self.cache != "disable",
            }
        )


def _included(include: Any) -> tuple[str, ...]:
    if isinstance(include, str):
        raise TypeError(f"Expected include to be a sequence of str paths, got a bare str ({include!r}).")
    try:
        paths = tuple(include)
    except TypeError as error:
        raise TypeError(f"Expected include to be a sequence of str paths, got {type(include)}") from error
    for path in paths:
        if not isinstance(path, str):
            raise TypeError(f"include entries must be str, got {type(path)}")
    return paths


_EXPECTED: tuple[tuple[str, tuple[type, ...], str], ...] = (
    ("image", (str, Image), "str or Image"),
    ("secrets", (str, Secret, list), "SecretRequest"),
    ("service_account", (str,), "str"),
    ("resources", (Resources,), "Resources"),
    ("env_vars", (dict,), "Dict[str, str]"),
    ("pod_template", (str, PodTemplate), "str or PodTemplate"),
    ("reusable", (ReusePolicy,), "ReusePolicy"),
    ("cache", (str, Cache), "str or Cache"),
)
_INHERITED = (
    "image",
    "resources",
    "reusable",
    "env_vars",
    "secrets",
    "service_account",
    "pod_template",
    "plugin_config",
    "queue",
    "interruptible",
)
_CLONED = frozenset(
    {
        "image",
        "resources",
        "env_vars",
        "secrets",
        "depends_on",
        "description",
        "interruptible",
        "include",
        "service_account",
        "cache",
        "reusable",
    }
)

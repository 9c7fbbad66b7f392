"""A task: called, it is a durable action of the current run; forwarded, it is the plain function."""

from __future__ import annotations

import inspect
import warnings
import weakref
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast

from flyte_notebook.api.behavior import VersionParameters, cache_of
from flyte_notebook.engine import bridge
from flyte_notebook.engine.context import current_action, current_frame
from flyte_notebook.engine.interface import Interface
from flyte_notebook.engine.submit import submit
from flyte_notebook.record.fingerprint import fingerprint

if TYPE_CHECKING:
    from flyte_notebook.api.behavior import Cache, CacheBehavior, RetryStrategy
    from flyte_notebook.api.environment import TaskEnvironment
    from flyte_notebook.api.options import TaskOptions

P = ParamSpec("P")
R = TypeVar("R")

_defined: dict[str, weakref.ref[Task[..., Any]]] = {}
"""The newest definition of each task name in this process."""

_warned: set[str] = set()
"""Names of tasks whose bare sync call on the loop was remarked on."""


class Task(Generic[P, R]):
    """A function of a `TaskEnvironment`, made by `env.task`.

    Inside a run, calling it makes an action: on record, with inputs and result passed through the store. Outside a run
    it is the plain function. Every task, also a sync one, has `.aio` for async callers and `.forward` for a direct call
    without an action.
    """

    def __init__(
        self,
        func: Callable[P, R],
        *,
        env: TaskEnvironment | None,
        name: str,
        options: TaskOptions,
        interface: Interface | None = None,
    ) -> None:
        """Describe `func`; `name` is `env.function`.

        Raises:
            ValueError: the function takes `*args` or `**kwargs`.
            TypeError: the return annotation is a tuple of one element or of variable length.
            NameError: an annotation cannot be resolved.
        """
        self.func = func
        self.name = name
        self.options = options
        self.short_name = options.short_name or func.__name__
        self.is_async = inspect.iscoroutinefunction(func) or inspect.iscoroutinefunction(
            getattr(func, "__call__", None)  # noqa: B004 - the question is whether calling it gives a coroutine
        )
        self.interface = interface or Interface.of(func, name)
        self.parent_env_name = env.name if env is not None else name.rpartition(".")[0]
        self._env = weakref.ref(env) if env is not None else None
        # The weak reference is the SDK's attribute; this one keeps an environment that only its tasks know.
        self._kept_env = env
        for attribute in ("__module__", "__name__", "__qualname__", "__doc__"):
            if hasattr(func, attribute):
                setattr(self, attribute, getattr(func, attribute))
        self.__wrapped__ = func
        if interface is None:
            _defined[name] = weakref.ref(self)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the task: an action inside a run, the plain function outside.

        An async task gives a coroutine. A sync task blocks; on the event loop's own thread the loop goes on, nested.

        Raises:
            SyncTaskCallInAsyncContextError: a sync task called on the loop while too many such calls are nested.
        """
        __tracebackhide__ = True
        frame = current_frame()
        if frame is None:
            return self.func(*args, **kwargs)
        if self.is_async:
            return submit(self, args, kwargs)  # type: ignore[return-value]  # R is the coroutine's type here
        self._remark_blocking()
        return cast(R, bridge.run_sync(submit, self, args, kwargs))

    def aio(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, Any]:
        """Call the task from async code, also a sync one; await the coroutine for its result."""
        if current_frame() is not None:
            return submit(self, args, kwargs)
        return _plain(self.func, args, kwargs)

    def forward(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function itself, in this interpreter: no action, no record, errors unchanged."""
        return self.func(*args, **kwargs)

    def override(self, **changes: Any) -> Task[P, R]:
        """A copy with other options, such as `short_name`, `retries`, `timeout` or `cache`; this task stays as it is.

        Raises:
            ValueError: the option cannot be overridden (`name`, `image`, `docs`, `interface`).
            TypeError: there is no such option.
        """
        return Task(
            self.func,
            env=self.parent_env(),
            name=self.name,
            options=self.options.override(**changes),
            interface=self.interface,
        )

    @property
    def parent_env(self) -> Callable[[], TaskEnvironment | None]:
        """Weak reference to the environment: call it."""
        return self._env if self._env is not None else _no_env

    @property
    def native_interface(self) -> Interface:
        """The interface; Flyte's name for the one in Python types."""
        return self.interface

    @property
    def retries(self) -> RetryStrategy:
        """How often and when a failed attempt is repeated."""
        return self.options.retries

    @property
    def cache(self) -> Cache:
        """Whether and by what a recorded success is reused."""
        return self.options.cache

    @property
    def source_file(self) -> str | None:
        """File of the function, or None."""
        code = getattr(inspect.unwrap(self.func), "__code__", None)
        return code.co_filename if code is not None else None

    @property
    def json_schema(self) -> dict[str, Any]:
        """JSON schema of the inputs."""
        return self.interface.json_schema

    def declarations(self) -> dict[str, Any]:
        """Everything declared for this task, JSON-able, for the record and the view."""
        return self.options.declarations()

    def caching(self, default: str | None) -> Cache | None:
        """How results are reused, or None when they are not; `default` is the run's wish for tasks that say nothing."""
        cache = self.options.cache
        if default is not None and not self.options.declares_cache:
            cache = cache_of(cast("CacheBehavior", default))
        return cache if cache.is_enabled() else None

    def version(self, cache: Cache, fingerprint: Callable[[], str]) -> str:
        """The version of the code that results are cached under."""
        return cache.version(VersionParameters(self.func, self.options.image), fingerprint)

    def __getattr__(self, name: str) -> Any:
        # Only reached for what the class does not have: the declared options are attributes too, as in the SDK.
        if not name.startswith("_") and name in type(self.__dict__["options"]).__dataclass_fields__:
            return getattr(self.options, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __repr__(self) -> str:
        return f"<Task {self.name}{inspect.signature(self.func)}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.name, fingerprint(self.func), self.func, self.options)

    def _remark_blocking(self) -> None:
        # At the top of a cell there is nothing to change: a cell is not what goes to a cluster.
        if self.name not in _warned and bridge.on_the_loop() and current_action() is not None:
            _warned.add(self.name)
            warnings.warn(
                f"{self.name} is a sync task called from async code. It works here; on a Flyte cluster "
                f"it must be `await {self.func.__name__}.aio(...)`.",
                stacklevel=3,
            )


async def _plain(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Outside a run: the function itself."""
    result = func(*args, **kwargs)
    return await result if inspect.isawaitable(result) else result


def _no_env() -> None:
    return None


def _restored(name: str, known_as: str, func: Callable[..., Any], options: TaskOptions) -> Task[..., Any]:
    """Unpickle a task: this process's own definition when it is the same code, else the one that travelled."""
    reference = _defined.get(name)
    here = reference() if reference is not None else None
    if here is not None and fingerprint(here.func) == known_as:
        func, interface, env = here.func, here.interface, here.parent_env()
        if options == here.options:
            return here
        return Task(func, env=env, name=name, options=options, interface=interface)
    return Task(func, env=None, name=name, options=options, interface=Interface.of(func, name))


def defined(name: str) -> Task[..., Any] | None:
    """The newest definition of the task of that name in this process, or None."""
    reference = _defined.get(name)
    return reference() if reference is not None else None

"""Tasks of the real SDK, met in a run of ours: called there they would run without a trace, so they say so instead.

A helper module that does `import flyte` on its own gets the real SDK, where that is installed. Its tasks know nothing of
a run in a kernel.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from flyte_notebook.engine.context import current_frame

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

SDK = "flyte"


def is_sdk_task(value: Any) -> bool:
    """True for a task that was made by the real SDK."""
    return any(cls.__name__ == "TaskTemplate" and cls.__module__.split(".")[0] == SDK for cls in type(value).__mro__)


def explained(task: Any) -> str:
    """What the error says for a task of the SDK."""
    module = getattr(getattr(task, "func", None), "__module__", None) or "its module"
    return (
        f"{getattr(task, 'name', task)!r} is a task of the Flyte SDK, because {module} imports the SDK as `flyte`; it "
        f"cannot run here. Write `import flyte_notebook as flyte` in {module}, or call "
        f"flyte_notebook.install_as_flyte() before {module} is imported."
    )


class guarded:  # noqa: N801 - it reads as what it does: `with guarded():`
    """Inside this block, calling a task of the SDK from a run raises; also if the SDK is imported only then."""

    def __enter__(self) -> None:
        self._finder = _Finder()
        sys.meta_path.insert(0, self._finder)
        _guard(sys.modules.get(SDK))

    def __exit__(self, *_: object) -> None:
        sys.meta_path.remove(self._finder)
        _unguard(sys.modules.get(SDK))


def _template(module: ModuleType | None) -> type[Any] | None:
    """The SDK's class of tasks; None for no module, and for this package under the SDK's name."""
    template = getattr(module, "TaskTemplate", None) if module is not None else None
    return template if isinstance(template, type) and template.__module__.split(".")[0] == SDK else None


def _guard(module: ModuleType | None) -> None:
    template = _template(module)
    if template is not None:
        for name in ("__call__", "aio"):
            method = getattr(template, name)
            if not hasattr(method, "_unguarded"):
                setattr(template, name, _refusing(method))


def _unguard(module: ModuleType | None) -> None:
    template = _template(module)
    if template is not None:
        for name in ("__call__", "aio"):
            method = getattr(template, name)
            setattr(template, name, getattr(method, "_unguarded", method))


def _refusing(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(task: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        if current_frame() is not None:
            raise TypeError(explained(task))
        return method(task, *args, **kwargs)

    call._unguarded = method  # type: ignore[attr-defined]  # for `_unguard`
    return call


class _Finder:
    """Sees the SDK being imported, and guards it as soon as it is."""

    def __init__(self) -> None:
        self._looking = False

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != SDK or self._looking:
            return None
        self._looking = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._looking = False
        if spec is not None and spec.loader is not None:
            _after(spec.loader)
        return spec


def _after(loader: Any) -> None:
    """Make the loader guard the module it has executed."""
    execute = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        execute(module)
        _guard(module)

    loader.exec_module = exec_module

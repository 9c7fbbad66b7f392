"""`flyte.run` and `flyte.with_runcontext`: starting a run, from wherever the code runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from flyte_notebook import errors
from flyte_notebook.api.run import Run
from flyte_notebook.api.sdk import explained, is_sdk_task
from flyte_notebook.api.task import Task
from flyte_notebook.engine import bridge, failures
from flyte_notebook.engine import runs as engine_runs
from flyte_notebook.engine.cell import open_cell
from flyte_notebook.engine.context import current_action, current_frame
from flyte_notebook.engine.recovery import Recovery
from flyte_notebook.engine.settings import Settings
from flyte_notebook.engine.stopping import admitted
from flyte_notebook.engine.submit import submit


class _RunCall:
    """`flyte.run(task, ...)`, and `await flyte.run.aio(task, ...)`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __call__(self, task: Any, *args: Any, **kwargs: Any) -> Run:
        """Run `task` as the one root action of a new run, wait for it, and return the run.

        Works wherever it is called: in a script, a cell, a thread, and nested on a running loop.

        Raises:
            TypeError: `task` is not a task, or an argument is not of the annotated type.
            ValueError: the arguments do not fit the signature.
            BaseRuntimeError: the task failed.
            KeyboardInterrupt: it was interrupted.
        """
        __tracebackhide__ = True
        try:
            return bridge.run_sync(_run, self._settings, _checked(task), args, kwargs)
        except errors.BaseRuntimeError as error:
            # What a script prints is the user's code only; everything between is this package and asyncio.
            raise error.with_traceback(failures.user_frames(error.__traceback__)) from error.__cause__

    async def aio(self, task: Any, *args: Any, **kwargs: Any) -> Run:
        """The same, awaited."""
        __tracebackhide__ = True
        return await _run(self._settings, _checked(task), args, kwargs)


class Runner:
    """Runs tasks with settings of their own; see `with_runcontext`."""

    def __init__(self, settings: Settings) -> None:
        self.run = _RunCall(settings)


def with_runcontext(
    mode: str | None = None,
    *,
    name: str | None = None,
    overwrite_cache: bool = False,
    disable_run_cache: bool = False,
    max_action_concurrency: int | None = None,
    custom_context: Mapping[str, str] | None = None,
    raw_data_path: str | None = None,
    **declared: Any,
) -> Runner:
    """How the next run behaves: `flyte.with_runcontext(overwrite_cache=True).run(task, …)`.

    The other options of the SDK (project, domain, labels, env_vars, queue, …) are accepted and put on record; they have
    no meaning in a kernel, whose process all runs share.

    Raises:
        ValueError: `mode` is not one that runs here, `name` is no plain name, or `max_action_concurrency` is not
            positive.
        TypeError: an option that the SDK does not have.
    """
    unknown = set(declared) - _DECLARED
    if unknown:
        raise TypeError(f"with_runcontext() got an unexpected keyword argument '{min(unknown)}'")
    if mode not in (None, "local"):
        raise ValueError(f"mode={mode!r} needs a Flyte cluster; in a kernel runs are mode='local'")
    if name is not None and not _NAME.fullmatch(name):
        raise ValueError(
            f"A run's name is made of letters, digits, '_', '-' and '.', and begins with a letter or digit, not {name!r}"
        )
    if max_action_concurrency is not None and max_action_concurrency < 1:
        raise ValueError(f"max_action_concurrency must be positive, got {max_action_concurrency}")
    return Runner(
        Settings(
            name=name,
            overwrite_cache=overwrite_cache,
            disable_run_cache=disable_run_cache,
            max_action_concurrency=max_action_concurrency or 0,
            custom_context=dict(custom_context or {}),
            raw_data_path=raw_data_path,
            declared={key: value if _plain(value) else str(value) for key, value in declared.items()},
        )
    )


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")

_DECLARED = frozenset(
    (
        "annotations",
        "cache_lookup_scope",
        "copy_bundle_to",
        "copy_style",
        "debug",
        "domain",
        "dry_run",
        "env_vars",
        "interactive_mode",
        "interruptible",
        "labels",
        "log_format",
        "log_level",
        "notifications",
        "preserve_original_types",
        "project",
        "queue",
        "reset_root_logger",
        "run_base_dir",
        "run_start_time",
        "service_account",
        "tracked",
        "tracked_strict",
        "user_log_level",
        "version",
    )
)


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool | list | dict)


def _checked(task: Any) -> Task[..., Any]:
    if is_sdk_task(task):
        raise TypeError(explained(task))
    if not isinstance(task, Task):
        raise TypeError(f"On Flyte tasks can be run, not generic functions or methods '{type(task)}'.")
    return task


async def again(
    task: Task[..., Any], inputs: dict[str, Any], options: Mapping[str, Any], recovery: Recovery | None
) -> Run:
    """A run of `task` with the options of a recorded one, which it resumes unless `recovery` is None."""
    __tracebackhide__ = True
    return await _run(Settings.of_record(options), task, (), inputs, recovery)


async def _run(
    settings: Settings,
    task: Task[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    recovery: Recovery | None = None,
) -> Run:
    __tracebackhide__ = True
    await admitted(current_action())
    origin = replace(engine_runs.current_origin(), source=None)
    async with open_cell(origin, settings=settings, recovery=recovery or _inherited()) as cell:
        value = await submit(task, args, kwargs)
        cell.result(value, task.interface)
    assert cell.run is not None
    return Run(cell.run.name, cell.run.store, value, task.interface)


def _inherited() -> Recovery | None:
    """What the cell or the run that this code belongs to recovers: it holds for the runs started there as well."""
    frame = current_frame()
    if frame is None:
        return None
    if frame.node is not None:
        return frame.node.run.recovery
    return frame.opener.recovery if frame.opener is not None else None


run = Runner(Settings()).run

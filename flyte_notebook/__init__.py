"""Flyte 2 tasks in a notebook: run in the kernel, on record, under a live tree.

Say `%load_ext flyte_notebook` in a notebook, or `import flyte_notebook as flyte` in any Python.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from flyte_notebook import errors
from flyte_notebook.api.alias import install_as_flyte
from flyte_notebook.api.declare import Backoff, Cache, Image, Resources, RetryStrategy, ReusePolicy, Secret, Timeout
from flyte_notebook.api.environment import TaskEnvironment
from flyte_notebook.api.initialize import init, init_from_config, logger
from flyte_notebook.api.launch import run, with_runcontext
from flyte_notebook.api.mapping import map  # noqa: A004 - the SDK's name
from flyte_notebook.api.run import Run, runs
from flyte_notebook.api.scopes import ctx, custom_context, get_custom_context, group
from flyte_notebook.api.task import Task as TaskTemplate
from flyte_notebook.api.trace import trace

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from flyte_notebook import durable, io, report

__version__ = "0.1.0"

__all__ = [
    "Backoff",
    "Cache",
    "Image",
    "Resources",
    "RetryStrategy",
    "ReusePolicy",
    "Run",
    "Secret",
    "TaskEnvironment",
    "TaskTemplate",
    "Timeout",
    "ctx",
    "custom_context",
    "durable",
    "errors",
    "get_custom_context",
    "group",
    "init",
    "init_from_config",
    "install_as_flyte",
    "io",
    "logger",
    "map",
    "report",
    "run",
    "runs",
    "trace",
    "with_runcontext",
]

_SUBMODULES = ("durable", "io", "report")


def load_ipython_extension(ipython: InteractiveShell) -> None:
    """`%load_ext flyte_notebook`."""
    from flyte_notebook.notebook.magic import load

    load(ipython)


def unload_ipython_extension(ipython: InteractiveShell) -> None:
    """`%unload_ext flyte_notebook`."""
    from flyte_notebook.notebook.magic import unload

    unload(ipython)


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    from flyte_notebook.api.alias import missing

    raise AttributeError(missing(name))

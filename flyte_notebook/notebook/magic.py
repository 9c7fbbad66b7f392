"""`%load_ext flyte_notebook`: puts `%%flyte` and `%flyte` into a shell, and takes them out again without a trace."""

from __future__ import annotations

import atexit
import contextlib
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

from IPython.core.async_helpers import get_asyncio_loop

from flyte_notebook.api import resume as api_resume
from flyte_notebook.api import sdk
from flyte_notebook.engine import bridge, interrupt, runs
from flyte_notebook.notebook import cell, commands, frontend, replies, tracebacks
from flyte_notebook.notebook.again import run_again
from flyte_notebook.notebook.channel import Conversations
from flyte_notebook.notebook.completion import matcher
from flyte_notebook.notebook.options import CELL
from flyte_notebook.notebook.rewrite import CellText, CellTree
from flyte_notebook.notebook.screen import screen
from flyte_notebook.notebook.view import Views

if TYPE_CHECKING:
    from collections.abc import Callable

    from IPython.core.interactiveshell import InteractiveShell

NAME = "flyte"

_loaded: dict[InteractiveShell, contextlib.ExitStack] = {}

_executing: ContextVar[int] = ContextVar("flyte_notebook_executing", default=0)
"""How many cells are being executed around here: above 0, what is transformed is run by code that cannot await."""


def load(shell: InteractiveShell) -> None:
    """Put the magics into `shell`; again is harmless."""
    if shell in _loaded:
        return
    # In a terminal no loop runs yet; this is the one that IPython will run its cells on.
    bridge.patch_loop(get_asyncio_loop())
    undo = _loaded[shell] = contextlib.ExitStack()
    _add_transformers(shell, undo)
    _add_magics(shell, undo)
    _add_hooks(shell, undo)
    tracebacks.install(shell, undo)
    replies.secure(shell, undo)
    undo.enter_context(sdk.guarded())
    undo.callback(setattr, runs, "current_origin", runs.current_origin)
    runs.current_origin = partial(cell.origin, shell)
    undo.callback(setattr, api_resume, "resume_cell", api_resume.resume_cell)
    api_resume.resume_cell = partial(run_again, shell)
    views = Views(shell)
    views.open()
    undo.callback(views.close)
    Conversations(shell).open(undo)


def unload(shell: InteractiveShell) -> None:
    """Take out whatever `load` has put in; again is harmless. The names `flyte` and `env` stay the notebook's."""
    undo = _loaded.pop(shell, None)
    if undo is not None:
        undo.close()


@atexit.register
def _unload_all() -> None:
    # Most sessions end without `%unload_ext`; what is undone needs modules that the interpreter is about to clear.
    for shell in list(_loaded):
        unload(shell)


def _add_transformers(shell: InteractiveShell, undo: contextlib.ExitStack) -> None:
    text, tree = CellText(lambda: _can_await(shell)), CellTree(lambda: shell.ast_node_interactivity)
    # First of all, to see the cell as it was typed, with its empty lines.
    shell.input_transformers_cleanup.insert(0, text)
    shell.ast_transformers.append(tree)
    undo.callback(_discard, shell.input_transformers_cleanup, text)
    undo.callback(_discard, shell.ast_transformers, tree)
    completer = shell.Completer
    if completer is not None:
        completer.custom_matchers.append(matcher)
        undo.callback(_discard, completer.custom_matchers, matcher)


def _add_magics(shell: InteractiveShell, undo: contextlib.ExitStack) -> None:
    def line_magic(line: str) -> Any:
        return commands.execute(shell, line)

    def cell_magic(line: str, body: str) -> Any:
        __tracebackhide__ = True
        return cell.run_nested(shell, line, body)

    line_magic.__doc__ = line_help()
    cell_magic.__doc__ = cell_help()
    for kind, function in (("line", line_magic), ("cell", cell_magic)):
        function.__name__ = function.__qualname__ = NAME
        shell.magics_manager.register_function(function, kind, NAME)
        undo.callback(shell.magics_manager.magics[kind].pop, NAME, None)


def _add_hooks(shell: InteractiveShell, undo: contextlib.ExitStack) -> None:
    def begins() -> None:
        _executing.set(_executing.get() + 1)
        interrupt.cell_begins()

    def ended() -> None:
        # Awaited cells begin in a context of their own, and end outside it.
        _executing.set(max(_executing.get() - 1, 0))

    _register(shell, undo, "pre_execute", begins)
    _register(shell, undo, "post_execute", ended)
    undo.callback(interrupt.no_more_cells)
    if frontend.is_terminal(shell):
        _register(shell, undo, "pre_execute", screen.begin_cell)
        _register(shell, undo, "post_execute", screen.end_cell)
        undo.callback(screen.end_cell)


def _register(shell: InteractiveShell, undo: contextlib.ExitStack, event: str, function: Callable[[], None]) -> None:
    shell.events.register(event, function)
    undo.callback(shell.events.unregister, event, function)


def _can_await(shell: InteractiveShell) -> bool:
    """True where the cell about to run may be awaited on an asyncio loop."""
    # `%autoawait trio` sets a runner that no asyncio code runs under.
    on_asyncio = getattr(shell.loop_runner, "__name__", "") not in (
        "_trio_runner",
        "_curio_runner",
        "_pseudo_sync_runner",
    )
    return bool(shell.autoawait) and on_asyncio and shell.trio_runner is None and _executing.get() == 0


def _discard(items: list[Any], item: Any) -> None:
    """Remove that very object, if it is still there."""
    items[:] = [other for other in items if other is not item]


def line_help() -> str:
    """What `%flyte?` shows."""
    return (
        "Runs on record, and what can be done with them.\n\n"
        f"{commands.overview()}\n\n"
        "RUN is any unique beginning of a run's name (Tab completes it), by default the last run."
    )


def cell_help() -> str:
    """What `%%flyte?` shows."""
    width = max(len(option.usage) for option in CELL.options)
    options = "\n".join(f"  {option.usage.strip('[]'):<{width}}  {option.help}" for option in CELL.options)
    return (
        f"{CELL.usage}\n\n"
        "Run the cell as a run: every task called in it becomes an action, on record, shown as a live tree.\n"
        "`flyte` and `env` are bound; ENV names the environment, by default the one used last, or `notebook`.\n"
        "`await` works at the top; the last expression is the cell's result.\n\n"
        f"{options}\n\n"
        "    %%flyte my-env\n"
        "    @env.task\n"
        "    async def double(x: int) -> int:\n"
        "        return 2 * x\n\n"
        "    await double(21)"
    )

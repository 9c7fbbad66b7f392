"""Runs a `%%flyte` cell: binds `flyte` and `env`, opens the engine's cell around the body, and keeps its last value.

`open_here`, `last` and `result` are called by the code that `rewrite` makes of a cell.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import linecache
import os
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, Self

from IPython.core.error import UsageError
from IPython.core.getipython import get_ipython

import flyte_notebook
from flyte_notebook.api.environment import TaskEnvironment
from flyte_notebook.api.resume import needs, undefined
from flyte_notebook.api.run import Run
from flyte_notebook.engine import bridge
from flyte_notebook.engine import cell as engine_cell
from flyte_notebook.engine.settings import Origin, Settings
from flyte_notebook.notebook import frontend, resume, sources
from flyte_notebook.notebook.options import CELL, Words
from flyte_notebook.notebook.rewrite import MARKER, cell_lines
from flyte_notebook.notebook.tracebacks import brief, prune
from flyte_notebook.record.store import open_store

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from IPython.core.interactiveshell import InteractiveShell

    from flyte_notebook.engine.recovery import Recovery

DEFAULT_ENVIRONMENT = "notebook"

_PACKAGE_FILES = os.path.dirname(os.path.abspath(flyte_notebook.__file__)) + os.sep

environments: dict[str, TaskEnvironment] = {}
"""What `%%flyte` has bound in this process, by name, the last one last: tasks only refer to theirs weakly."""

_current: ContextVar[CellBlock] = ContextVar("flyte_notebook_cell_block")

_instead: ContextVar[Origin | None] = ContextVar("flyte_notebook_cell_origin", default=None)
"""Where a cell belongs that is run again from elsewhere."""


class CellBlock:
    """The `async with` around the body of one cell."""

    def __init__(self, shell: InteractiveShell, line: str, source: str) -> None:
        self.shell = shell
        self.line = line
        self.where = origin(shell, source)
        self.value: Any = None
        self._engine: engine_cell.Cell
        self._opened: AbstractAsyncContextManager[engine_cell.Cell]
        self._task: asyncio.Task[Any] | None = None

    async def __aenter__(self) -> Self:
        """Bind the names and open the cell.

        Raises:
            UsageError: the options after `%%flyte` are wrong, or there is nothing to resume.
        """
        __tracebackhide__ = True
        words = CELL.parse(self.line)
        bind_names(self.shell.user_ns, words)
        image = words.values.get("--image")
        self._opened = engine_cell.open_cell(
            self.where,
            settings=Settings(
                hide="--hide" in words.switches,
                cache=words.values.get("--cache"),
                declared={"image": image} if image else {},
            ),
            recovery=await self._recovery(words),
        )
        self._engine = await self._opened.__aenter__()
        self._task = asyncio.current_task()
        if self._task is not None:
            self._task.add_done_callback(self._left)
        _current.set(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> bool:
        """End the run; exceptions of the body keep only the frames of the user's code."""
        __tracebackhide__ = True
        if self._task is not None:
            self._task.remove_done_callback(self._left)
        failed = True
        try:
            try:
                sources.remember(self.shell, self.where)
            finally:
                await self._opened.__aexit__(kind, error, tb)
            failed = error is not None
        except BaseException as raised:  # noqa: BLE001 - whatever it is, only the way it is shown changes
            raise brief(raised) from None
        finally:
            resume.cell_ended(self.where, failed=failed)
        if error is not None:
            prune(error)
        return False

    def _left(self, task: asyncio.Task[Any]) -> None:
        """The cell is over, and its block was not: between its last statement and the block's end Python may raise, too."""
        closing = self.__aexit__(KeyboardInterrupt, KeyboardInterrupt(), None)
        self._closing = asyncio.ensure_future(closing)
        self._closing.add_done_callback(lambda closed: closed.cancelled() or closed.exception())

    async def _recovery(self, words: Words) -> Recovery | None:
        wanted, keep = words.values.get("--resume"), "--keep" in words.switches
        if wanted is None:
            if keep:
                raise UsageError("--keep says what to recover: type it with --resume, as in %%flyte --resume --keep")
            return None
        run = resume.resumable(self.shell, wanted, self.where)
        missing = undefined(open_store(), run.name, sources.missed_names(self.shell, self.where.source or ""))
        if missing:
            raise UsageError(needs(run.name, missing))
        return await resume.recovery(run, keep)

    @property
    def run(self) -> Run | None:
        """The run, once a task was called."""
        run = self._engine.run
        return None if run is None else Run(run.name, run.store)

    async def keep(self, value: Any) -> None:
        """Take the cell's last expression as its result; what was called and not awaited is awaited here."""
        __tracebackhide__ = True
        if inspect.iscoroutine(value) and value.cr_code.co_filename.startswith(_PACKAGE_FILES):
            value = await value
        if isinstance(value, Run):
            await value.wait.aio()
        self.value = value
        self._engine.result(value)


def origin(shell: InteractiveShell, source: str | None = None) -> Origin:
    """Where the running code belongs: its cell, or the one that it stands in for."""
    return _instead.get() or frontend.origin(shell, source)


@contextlib.contextmanager
def standing_in(where: Origin) -> Iterator[None]:
    """Code in this block belongs there, wherever it runs."""
    token = _instead.set(where)
    try:
        yield
    finally:
        _instead.reset(token)


def open_here(line: str, source: str) -> CellBlock:
    """The block around the body of the running cell; see `rewrite`."""
    shell = get_ipython()
    if shell is None:
        raise UsageError("a %%flyte cell runs in IPython or Jupyter only")
    _show_first_line(sys._getframe(1).f_code.co_filename, line)
    return CellBlock(shell, line, source)


def _show_first_line(filename: str, line: str) -> None:
    """Tracebacks show the lines around an error: make the one that became the marker look as it was typed."""
    entry = linecache.cache.get(filename)
    if entry is not None and len(entry) == 4:
        lines = entry[2]
        first = next((number for number, text in enumerate(lines) if f"await {MARKER}(" in text), None)
        if first is not None:
            # A comment, because whoever reads these lines expects Python.
            lines[first] = f"# %%flyte {line}".rstrip() + "\n"


async def last(value: Any) -> None:
    """Keep the value of the cell's last expression; see `rewrite`."""
    __tracebackhide__ = True
    await _current.get().keep(value)


def result() -> Any:
    """The value kept for the cell that just ended; see `rewrite`."""
    block = _current.get()
    value, block.value = block.value, None
    return value


def run_nested(shell: InteractiveShell, line: str, body: str) -> Any:
    """Run a `%%flyte` cell from code that cannot await: the cell magic. Returns the cell's result.

    Raises:
        UsageError: the options are wrong.
        SyntaxError: the body is not Python.
    """
    __tracebackhide__ = True
    return bridge.run_sync(_run_text, shell, line, body)


async def run_again(shell: InteractiveShell, line: str, body: str, where: Origin) -> Run | None:
    """Run the cell at `where` once more; its new run, or None when it has called no task. Raises as `run_nested`."""
    __tracebackhide__ = True
    around = _current.get(None)
    with standing_in(where):
        try:
            await _run_text(shell, line, body)
            return _current.get().run
        finally:
            if around is not None:
                # Whoever awaits this is a cell itself, and goes on.
                _current.set(around)


async def _run_text(shell: InteractiveShell, line: str, body: str) -> Any:
    __tracebackhide__ = True
    source = f"%%flyte {line}\n{body}"
    marker, *rest = cell_lines(source.splitlines(keepends=True))
    text = marker + _transformed(shell, "".join(rest))
    filename = shell.compile.cache(text, shell.execution_count, raw_code=source)
    tree = shell.transform_ast(shell.compile.ast_parse(text, filename=filename))
    # All but the last statement, which is the call of `result` that IPython would display.
    module = ast.Module(tree.body[:-1], tree.type_ignores)
    with shell.compile.extra_flags(ast.PyCF_ALLOW_TOP_LEVEL_AWAIT):
        code = shell.compile(module, filename, "exec")  # type: ignore[arg-type]  # it takes a tree as well as text
    await eval(code, shell.user_global_ns, shell.user_ns)  # noqa: S307 - running the cell is the point
    value = result()
    return None if shell.displayhook.semicolon_at_end_of_expression(body) else value


def _transformed(shell: InteractiveShell, body: str) -> str:
    """`body` with its magics as Python, every line where it was."""
    blank = len(body) - len(body.lstrip("\n"))
    return "\n" * blank + shell.transform_cell(body[blank:]) if body.strip() else body


def bind_names(user_ns: dict[str, Any], words: Words) -> None:
    """Bind `flyte` and `env` for the body, as the words after `%%flyte` ask.

    Raises:
        UsageError: the environment's name is not one.
    """
    present = user_ns.get("flyte")
    if isinstance(present, ModuleType) and present.__name__ == "flyte":
        frontend.remark(
            "`flyte` was the Flyte SDK here; in %%flyte cells, and from here on, it is flyte_notebook "
            "(`import flyte` in a plain cell brings the SDK back)."
        )
    user_ns["flyte"] = flyte_notebook
    env = _bound(words.positional(), user_ns)
    # The last one last.
    environments.pop(env.name, None)
    environments[env.name] = user_ns["env"] = env
    image = words.values.get("--image")
    if image is not None:
        env.image = image


def _bound(name: str | None, user_ns: dict[str, Any]) -> TaskEnvironment:
    """The environment that is asked for by name, that `env` is, or that it was before it became something else."""
    if name is not None:
        return _environment(name, user_ns)
    env = user_ns.get("env")
    if isinstance(env, TaskEnvironment):
        return env
    if "env" not in user_ns:
        return _environment(DEFAULT_ENVIRONMENT, user_ns)
    again = _environment(next(reversed(environments), DEFAULT_ENVIRONMENT), user_ns)
    kind = type(env)
    was = "an environment of the Flyte SDK" if kind.__module__.startswith("flyte.") else f"of type {kind.__name__}"
    frontend.remark(
        f"`env` was {was} here; in %%flyte cells, and from here on, it is the environment "
        f"{again.name!r} (keep the other under another name)."
    )
    return again


def _environment(name: str, user_ns: dict[str, Any]) -> TaskEnvironment:
    """The environment of that name that this notebook has already, else a new one."""
    for known in (user_ns.get("env"), environments.get(name), *user_ns.values()):
        if isinstance(known, TaskEnvironment) and known.name == name:
            return known
    try:
        return TaskEnvironment(name)
    except ValueError as error:
        raise UsageError(f"{error} As in: %%flyte my-env") from None

"""What a reader sees of an exception: the frames of the cell and of the tasks, none of the engine's."""

from __future__ import annotations

import contextlib
import os
from types import TracebackType
from typing import TYPE_CHECKING, Any

import flyte_notebook
from flyte_notebook.engine.failures import user_frames

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_PACKAGE_FILES = os.path.dirname(os.path.abspath(flyte_notebook.__file__)) + os.sep


def install(shell: InteractiveShell, undo: contextlib.ExitStack) -> None:
    """Make `shell` leave the engine's frames out of tracebacks, also of plain cells that call `flyte.run`.

    `__tracebackhide__` does not do: IPython counts hidden frames in the middle, and always shows the last frame.
    """
    formatter = shell.InteractiveTB
    original = formatter.structured_traceback

    def without_engine(
        etype: Any = None,
        evalue: BaseException | None = None,
        etb: TracebackType | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        if evalue is not None and _ours(etb):
            prune(evalue)
            if isinstance(evalue, KeyboardInterrupt):
                # Its context is how the interrupt travelled, through cancelled tasks.
                evalue.__suppress_context__ = True
            etb = user_frames(etb) or etb
        return original(etype, evalue, etb, *args, **kwargs)

    formatter.structured_traceback = without_engine  # type: ignore[method-assign]  # taken back by `undo`
    undo.callback(formatter.__dict__.pop, "structured_traceback", None)


def _ours(tb: TracebackType | None) -> bool:
    """True when the exception has passed through this package."""
    while tb is not None:
        if tb.tb_frame.f_code.co_filename.startswith(_PACKAGE_FILES):
            return True
        tb = tb.tb_next
    return False


def prune(error: BaseException) -> None:
    """Keep only the user's frames, in `error` and in every exception that it is chained to or made of."""
    seen: set[int] = set()
    stack: list[BaseException | None] = [error]
    while stack:
        each = stack.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        each.__traceback__ = user_frames(each.__traceback__)
        stack += [each.__cause__, each.__context__]
        if isinstance(each, BaseExceptionGroup):
            stack += each.exceptions


def brief(error: BaseException) -> BaseException:
    """Make IPython show `error` as one line: it is about the run as a whole, and no line of code explains it."""

    def lines() -> list[str]:
        message = str(error)
        return [f"{type(error).__name__}: {message}" if message else type(error).__name__]

    error._render_traceback_ = lines  # type: ignore[attr-defined]  # IPython asks exceptions for this
    return error

"""What a caller, the record and the reader see of an exception raised in a task's body.

The caller catches `RuntimeUserError` with the user's class name as its code, as on a Flyte cluster, and finds the
user's own exception as its `__cause__`, with the frames of the user's code and none of the engine's.
"""

from __future__ import annotations

import asyncio
import os
import traceback
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from flyte_notebook import errors
from flyte_notebook.record.model import ErrorRecord, Phase

if TYPE_CHECKING:
    from flyte_notebook.engine.context import Call
from flyte_notebook.record.origin import is_users_file

_PACKAGE = str(Path(__file__).resolve().parent.parent) + os.sep
_PLUMBING = (_PACKAGE, str(Path(asyncio.__file__).parent) + os.sep)
_PLUMBING_FILES = ("nest_asyncio2.py", "nest_asyncio.py", "contextlib.py")

MESSAGE, LINE, TRACEBACK = 65_536, 2_000, 131_072
"""Characters on record at most of a message, of one line of a traceback, of a whole traceback."""


def is_plumbing(filename: str) -> bool:
    """True for code of this package and of asyncio, which is between the user's own."""
    return filename.startswith(_PLUMBING) or filename.endswith(_PLUMBING_FILES)


def is_package(filename: str) -> bool:
    """True for code of this package."""
    return filename.startswith(_PACKAGE)


def user_frames(tb: TracebackType | None) -> TracebackType | None:
    """The traceback without frames of this package and of asyncio; None when only such frames are in it."""
    kept = []
    while tb is not None:
        if not is_plumbing(tb.tb_frame.f_code.co_filename):
            kept.append(tb)
        tb = tb.tb_next
    chain: TracebackType | None = None
    for entry in reversed(kept):
        chain = TracebackType(chain, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return chain


def unwrapped(error: BaseException) -> BaseException:
    """The exception the user raised: Python turns a StopIteration that leaves a coroutine into a RuntimeError."""
    cause = error.__cause__
    if isinstance(error, RuntimeError) and isinstance(cause, StopIteration | StopAsyncIteration):
        return cause
    return error


def for_caller(error: BaseException) -> errors.BaseRuntimeError:
    """What the caller of a failed action catches; an error that came up from a child stays the same object."""
    error.__traceback__ = user_frames(error.__traceback__)
    if isinstance(error, errors.BaseRuntimeError):
        return error
    seen = errors.to_user_error(error)
    seen.__cause__ = error
    return seen


def recorded(error: BaseException) -> ErrorRecord:
    """The failure as it goes on record: code, message, user frames as text, the line where it was raised."""
    root = error.__cause__ if isinstance(error, errors.BaseRuntimeError) and error.__cause__ else error
    tb = user_frames(root.__traceback__)
    # Where a library raised is of no use to the reader: the line is that of the user's own code which called it.
    lines = [frame.lineno for frame in traceback.extract_tb(tb) if is_users_file(frame.filename)]
    # Only ours: a SystemExit and an HTTPError have a `code` too, which is a number.
    ours = error if isinstance(error, errors.BaseRuntimeError) else None
    return ErrorRecord(
        code=getattr(ours, "code", None) or type(error).__name__,
        message=_shortened(message_of(error), MESSAGE),
        kind=getattr(ours, "kind", None) or "user",
        traceback=_text(root, tb),
        line=lines[-1] if lines else None,
    )


def message_of(error: BaseException) -> str:
    """`str(error)`, whatever the exception class does in its `__str__`."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - a user's __str__ may raise anything
        return f"<{type(error).__name__} whose str() raises>"


def _text(error: BaseException, tb: TracebackType | None) -> str:
    try:
        pieces = traceback.format_exception(type(error), error, tb, limit=-50)
    except Exception:  # noqa: BLE001 - a user's __str__, __repr__ or __notes__ may raise anything
        pieces = [f"{type(error).__name__}: {message_of(error)}\n"]
    # Line by line first: one that is too long must not cost the frames around it.
    lines = (_shortened(line, LINE) for piece in pieces for line in piece.splitlines(keepends=True))
    return _shortened("".join(lines), TRACEBACK)


def _shortened(text: str, limit: int) -> str:
    """`text`, or its two ends with a remark between them, in `limit` characters."""
    if len(text) <= limit:
        return text
    remark = f" … {len(text) - limit:,} characters are left out … "
    room = limit - len(remark)
    return text[: room - room // 2] + remark + text[len(text) - room // 2 :]


def phase_of(call: Call) -> Phase:
    """TIMED_OUT when the engine ended the attempt for its time; FAILED otherwise, also when a child timed out."""
    return Phase.TIMED_OUT if call.timed_out else Phase.FAILED

"""From the exception that ended a body to the class of Flyte's that its caller catches."""

from __future__ import annotations

import re

from flyte_notebook.errors.base import (
    BaseRuntimeError,
    ErrorKind,
    FlyteNotebookError,
    RuntimeSystemError,
    RuntimeUnknownError,
    RuntimeUserError,
)
from flyte_notebook.errors.mirrored import (
    DeadlineExceededError,
    ImagePullBackOffError,
    InvalidImageNameError,
    MaxQueuedTimeExceededError,
    MaxRuntimeExceededError,
    NonRecoverableError,
    OOMError,
    PrimaryContainerNotFoundError,
    RetriesExhaustedError,
    TaskInterruptedError,
    TaskTimeoutError,
)

# Compiled by `re` at the first failure: importing the package pays for none of them.
_PATTERNS: tuple[tuple[str, type[RuntimeUserError]], ...] = (
    # "OOM" as a word of the name: an exception called `Boom` or `RoomFull` has nothing to do with memory.
    (r"(?<![A-Z])OOM|Oom(?![a-z])|OutOfMemory|^MemoryError$", OOMError),
    ("Interrupted", TaskInterruptedError),
    ("PrimaryContainerNotFound", PrimaryContainerNotFoundError),
    ("RetriesExhausted", RetriesExhaustedError),
    ("InvalidImageName", InvalidImageNameError),
    ("ImagePullBackOff", ImagePullBackOffError),
)

_NAMED: dict[str, type[TaskTimeoutError | NonRecoverableError]] = {
    cls.__name__: cls
    for cls in (
        TaskTimeoutError,
        MaxQueuedTimeExceededError,
        MaxRuntimeExceededError,
        DeadlineExceededError,
        NonRecoverableError,
    )
}


def user_error(code: str, message: str) -> RuntimeUserError:
    """The error a caller sees for a failure on record: the class that Flyte gives to `code`, never a bare guess."""
    named = _NAMED.get(code)
    if named is not None:
        return named(message)
    for pattern, cls in _PATTERNS:
        if re.search(pattern, code):
            return cls(code, message)
    return RuntimeUserError(code, message)


def to_user_error(exc: BaseException) -> BaseRuntimeError:
    """What a caller sees when a body ends with `exc`: Flyte's class for it, with `exc` as its `__cause__`.

    An error that is Flyte's already (a child's failure that nobody caught, say) passes unchanged, so its cause stays
    the exception that the user's code raised first. A failure of this package itself is a `RuntimeSystemError`.
    """
    if isinstance(exc, BaseRuntimeError):
        # The classes offered here name this package as their module; a user's subclass names another.
        if type(exc).__module__ == __package__:
            return exc
        error: BaseRuntimeError = (
            user_error(exc.code, str(exc)) if exc.kind == "user" else _of_kind(exc.kind, exc.code, str(exc))
        )
    elif isinstance(exc, FlyteNotebookError):
        error = RuntimeSystemError(type(exc).__name__, str(exc))
    else:
        error = user_error(type(exc).__name__, message_of(exc))
    error.__cause__ = exc
    return error


def _of_kind(kind: ErrorKind, code: str, message: str) -> BaseRuntimeError:
    return RuntimeSystemError(code, message) if kind == "system" else RuntimeUnknownError(code, message)


def message_of(exc: BaseException) -> str:
    """`str(exc)`, or a remark when the exception's own `__str__` fails."""
    try:
        return str(exc)
    except Exception as failure:  # noqa: BLE001  a user's __str__ may raise anything, and must not hide the failure
        return f"<{type(exc).__name__} whose message cannot be shown: {type(failure).__name__}>"

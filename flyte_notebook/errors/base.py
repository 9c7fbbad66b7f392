"""What every exception here derives from: one base for them all, and Flyte's classes for the three kinds of failure."""

from __future__ import annotations

from typing import Any, Literal, NoReturn, TypeAlias

ErrorKind: TypeAlias = Literal["system", "unknown", "user"]


class FlyteNotebookError(Exception):
    """Base of every exception that this package raises on its own account."""

    def __reduce__(self) -> tuple[Any, ...]:
        # The default rebuilds with `cls(*args)`, which fails for every constructor that takes more than its message.
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(cls: type[FlyteNotebookError], args: tuple[Any, ...], state: dict[str, Any]) -> FlyteNotebookError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class BaseRuntimeError(FlyteNotebookError, RuntimeError):
    """A task failed. `code` names the failure (the user's exception class), `kind` says whose fault it is."""

    def __init__(self, code: str, kind: ErrorKind, root_cause_message: str, worker: str | None = None) -> None:
        super().__init__(root_cause_message)
        self.code = code
        self.kind = kind
        self.worker = worker

    def _reraise(self, *_: object) -> NoReturn:
        # `sum(flyte.map(...))` meets failures as values: the failure itself says more than a TypeError about `+`.
        raise self

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _reraise
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = _reraise


class RuntimeSystemError(BaseRuntimeError):
    """The platform failed, not the user's code."""

    def __init__(self, code: str, message: str, worker: str | None = None) -> None:
        super().__init__(code, "system", message, worker)


class RuntimeUserError(BaseRuntimeError):
    """The user's code failed; `__cause__` is the user's exception when it happened in this process."""

    def __init__(self, code: str, message: str, worker: str | None = None) -> None:
        super().__init__(code, "user", message, worker)


class RuntimeUnknownError(BaseRuntimeError):
    """A task failed and nobody knows whose fault it is."""

    def __init__(self, code: str, message: str, worker: str | None = None) -> None:
        super().__init__(code, "unknown", message, worker)

"""Every exception of the package: Flyte's public classes, and our own, under one base.

The first part mirrors `flyte.errors`: same names, constructors, codes and kinds, so that `except` clauses written for a
cluster work here unchanged. The second part is what can go wrong with the notebook, the store and the record.
All of them survive pickling, whatever their constructors.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NoReturn, TypeAlias

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


# --- Flyte's own classes ----------------------------------------------------------------------------------------------


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


class InitializationError(BaseRuntimeError):
    """A cluster was needed and `flyte.init` was not called."""


class RuntimeSystemError(BaseRuntimeError):
    """The platform failed, not the user's code."""

    def __init__(self, code: str, message: str, worker: str | None = None) -> None:
        super().__init__(code, "system", message, worker)


class UnionRpcError(RuntimeSystemError):
    """Talking to a cluster failed."""


class RuntimeUserError(BaseRuntimeError):
    """The user's code failed; `__cause__` is the user's exception when it happened in this process."""

    def __init__(self, code: str, message: str, worker: str | None = None) -> None:
        super().__init__(code, "user", message, worker)


class RuntimeUnknownError(BaseRuntimeError):
    """A task failed and nobody knows whose fault it is."""

    def __init__(self, code: str, message: str, worker: str | None = None) -> None:
        super().__init__(code, "unknown", message, worker)


class OOMError(RuntimeUserError):
    """A task ran out of memory."""


class GPUFaultError(BaseRuntimeError):
    """A GPU fault ended the task (clusters only); the attributes describe it and may each be None."""

    fault_kind: str | None = None
    fault_code: int | None = None
    fault_name: str | None = None
    severity: str | None = None
    gpu_uuid: str | None = None
    gpu_index: int | None = None
    node: str | None = None
    pci_bus_id: str | None = None
    process: str | None = None

    def __init__(self, code: str, kind: ErrorKind, message: str, worker: str | None = None, **fault: Any) -> None:
        # By name: in the two classes below super() is RuntimeUserError or RuntimeSystemError, which fix the kind.
        BaseRuntimeError.__init__(self, code, kind, message, worker)
        unknown = fault.keys() - GPUFaultError.__annotations__.keys()
        if unknown:
            raise TypeError(f"Unexpected keyword arguments: {sorted(unknown)}")
        self.__dict__.update(fault)

    @property
    def xid(self) -> int | None:
        """The fault's Xid number, None for other kinds of fault."""
        return self.fault_code if self.fault_kind == "xid" else None

    @property
    def sxid(self) -> int | None:
        """The fault's SXid number, None for other kinds of fault."""
        return self.fault_code if self.fault_kind == "sxid" else None


class GPUFaultUserError(GPUFaultError, RuntimeUserError):
    """A GPU fault that the task's own code caused."""

    def __init__(self, code: str, message: str, worker: str | None = None, **fault: Any) -> None:
        GPUFaultError.__init__(self, code, "user", message, worker, **fault)


class GPUFaultSystemError(GPUFaultError, RuntimeSystemError):
    """A GPU fault of the hardware."""

    def __init__(self, code: str, message: str, worker: str | None = None, **fault: Any) -> None:
        GPUFaultError.__init__(self, code, "system", message, worker, **fault)


class TaskInterruptedError(RuntimeUserError):
    """A task was interrupted."""


class PrimaryContainerNotFoundError(RuntimeUserError):
    """The pod of a task has no primary container."""


class TaskTimeoutError(RuntimeUserError):
    """A task exceeded one of its `Timeout` bounds; the subclasses say which."""

    def __init__(self, message: str, code: str = "TaskTimeoutError") -> None:
        super().__init__(code, message)


class MaxQueuedTimeExceededError(TaskTimeoutError):
    """A task waited longer than `Timeout.max_queued_time` before it started."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="MaxQueuedTimeExceededError")


class MaxRuntimeExceededError(TaskTimeoutError):
    """An attempt ran longer than `Timeout.max_runtime`."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="MaxRuntimeExceededError")


class DeadlineExceededError(TaskTimeoutError):
    """A task did not end within `Timeout.deadline`, all attempts together."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="DeadlineExceededError")


class RetriesExhaustedError(RuntimeUserError):
    """A task failed and had no retries left."""


class InvalidImageNameError(RuntimeUserError):
    """The name of a task's image is invalid."""


class ImagePullBackOffError(RuntimeUserError):
    """A task's image cannot be pulled."""


class CustomError(RuntimeUserError):
    """An error with a code of the user's choosing."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)

    @classmethod
    def from_exception(cls, e: Exception) -> CustomError:
        """The error with `e`'s class name as its code, `e`'s message, and `e` as its cause."""
        error = cls(type(e).__name__, str(e))
        error.__cause__ = e
        return error


class NotInTaskContextError(RuntimeUserError):
    """Something that only makes sense inside a task was used outside."""


class NonRecoverableError(RuntimeUserError):
    """Raised by a task to say that retrying is useless."""

    def __init__(self, message: str, code: str = "NonRecoverableError") -> None:
        super().__init__(code, message)


class ActionNotFoundError(RuntimeError):
    """An action that does not exist was asked for."""


class LogsNotYetAvailableError(BaseRuntimeError):
    """A task's logs are not there yet."""

    def __init__(self, message: str) -> None:
        super().__init__("LogsNotYetAvailable", "system", message)


class RuntimeDataValidationError(RuntimeUserError):
    """A value does not fit the declared type of an input or output."""

    def __init__(self, var: str, e: Exception | str, task_name: str = "") -> None:
        super().__init__(
            "DataValidationError", f"In task {task_name} variable {var}, failed to serialize/deserialize because of {e}"
        )


class InvalidPackageError(RuntimeUserError):
    """An image asks for a system package that does not exist."""

    def __init__(self, package_name: str, original_error: str) -> None:
        super().__init__(
            "InvalidPackageError",
            f"Invalid system package detected: '{package_name}'. "
            f"This package does not exist in apt repositories. Error: {original_error}",
        )
        self.package_name = package_name
        self.original_error = original_error


class _CodedError(RuntimeUserError):
    """Built from a message alone; the code is the name of the class below this one, or what it says."""

    CODE: ClassVar[str]

    def __init_subclass__(cls, code: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if _CodedError in cls.__bases__:
            cls.CODE = code or cls.__name__

    def __init__(self, message: str) -> None:
        super().__init__(self.CODE, message)


class ConditionTimedoutError(_CodedError):
    """A condition was not signalled in time."""


class ConditionAlreadyExistsError(_CodedError):
    """A condition of that name exists in the action."""


class ConditionFailedError(_CodedError):
    """A condition failed."""


class ConditionNotFoundError(_CodedError):
    """No such condition."""


class RemoteTaskNotFoundError(_CodedError):
    """No such task on the cluster."""


class RemoteTaskUsageError(_CodedError):
    """A cluster's task was used in a way that it does not allow."""


class DeploymentError(_CodedError):
    """Deploying failed."""


class ImageBuildError(_CodedError):
    """Building an image failed."""


class ModuleLoadError(_CodedError):
    """A module does not exist or has a syntax error."""


class InlineIOMaxBytesBreached(_CodedError):
    """Inputs or outputs passed by value are larger than the task's `max_inline_io_bytes`."""


class ActionAbortedError(_CodedError):
    """An action was aborted from outside; its caller sees this."""


class SlowDownError(_CodedError):
    """The platform asks for fewer requests."""


class ResourceExhaustedError(SlowDownError):
    """The platform is out of some resource."""


class OnlyAsyncIOSupportedError(_CodedError):
    """Sync IO was used where only async IO is allowed."""


class ParameterMaterializationError(_CodedError):
    """An app's parameter could not be produced."""


class RestrictedTypeError(_CodedError, code="RestrictedTypeUsage"):
    """A type that cannot be an input or output was used as one."""


class CodeBundleError(_CodedError):
    """The code to send to a cluster cannot be bundled."""


class SyncTaskCallInAsyncContextError(_CodedError):
    """A sync task was called, blocking, from async code where `await task.aio(...)` is needed."""


class TraceDoesNotAllowNestedTasksError(_CodedError):
    """A task was called inside a `flyte.trace`."""


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
        if type(exc).__module__ == __name__:
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


# --- our own ----------------------------------------------------------------------------------------------------------


class StoreError(FlyteNotebookError):
    """The store cannot be opened or used; the message names the file and says what to do."""


class JournalError(StoreError):
    """The journal cannot be read, written or understood."""


class BlobCorruptError(StoreError):
    """A stored value is missing, or its content does not match its name."""


class RunNotFoundError(FlyteNotebookError, LookupError):
    """No run, or more than one, is meant by a name; `candidates` are the names that come closest."""

    def __init__(self, message: str, candidates: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.candidates = tuple(candidates)


class ResumeError(FlyteNotebookError):
    """A run cannot be resumed as asked."""


class UsageError(FlyteNotebookError):
    """A magic was typed wrongly; the message is one line that says what to type."""


class CellError(FlyteNotebookError):
    """A `%%flyte` cell cannot be run as it stands."""

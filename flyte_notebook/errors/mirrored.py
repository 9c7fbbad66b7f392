"""Flyte's own exceptions, as in `flyte.errors`: the same names, constructors, codes and kinds."""

from __future__ import annotations

from typing import Any, ClassVar

from flyte_notebook.errors.base import BaseRuntimeError, ErrorKind, RuntimeSystemError, RuntimeUserError


class InitializationError(BaseRuntimeError):
    """A cluster was needed and `flyte.init` was not called."""


class UnionRpcError(RuntimeSystemError):
    """Talking to a cluster failed."""


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

"""The exception classes: codes, kinds, pickling, and what a caller sees for a body's exception."""

from __future__ import annotations

import inspect
import pickle

import pytest

from flyte_notebook import errors

FLYTE_CLASSES = [
    cls
    for _, cls in inspect.getmembers(errors, inspect.isclass)
    if issubclass(cls, errors.BaseRuntimeError) and not cls.__name__.startswith("_")
]


def build(cls: type[Exception]) -> Exception:
    required = [
        name
        for name, parameter in inspect.signature(cls).parameters.items()
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
    ]
    return cls(**{name: "user" if name == "kind" else f"the {name}" for name in required})


@pytest.mark.parametrize("cls", FLYTE_CLASSES)
def test_every_error_survives_pickling_with_its_attributes(cls: type[Exception]) -> None:
    error = build(cls)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is cls
    assert str(copy) == str(error) != ""
    assert copy.__dict__ == error.__dict__


def test_a_users_subclass_with_its_own_constructor_survives_pickling() -> None:
    copy = pickle.loads(pickle.dumps(Picky(1, 2)))
    assert (copy.left, copy.right, copy.code, str(copy)) == (1, 2, "PICKY", "1 and 2")


class Picky(errors.RuntimeUserError):
    def __init__(self, left: int, right: int) -> None:
        super().__init__("PICKY", f"{left} and {right}")
        self.left, self.right = left, right


def test_candidates_of_a_run_that_is_not_found_survive_pickling() -> None:
    copy = pickle.loads(pickle.dumps(errors.RunNotFoundError("no run 'x'", ["main-abc", "main-abd"])))
    assert copy.candidates == ("main-abc", "main-abd")
    assert str(copy) == "no run 'x'"
    assert isinstance(copy, LookupError)


@pytest.mark.parametrize(
    ("error", "code", "kind"),
    [
        (errors.RuntimeUserError("X", "m"), "X", "user"),
        (errors.RuntimeSystemError("X", "m"), "X", "system"),
        (errors.RuntimeUnknownError("X", "m"), "X", "unknown"),
        (errors.TaskTimeoutError("m"), "TaskTimeoutError", "user"),
        (errors.MaxRuntimeExceededError("m"), "MaxRuntimeExceededError", "user"),
        (errors.RestrictedTypeError("m"), "RestrictedTypeUsage", "user"),
        (errors.ResourceExhaustedError("m"), "SlowDownError", "user"),
        (errors.NonRecoverableError("m", code="GIVE_UP"), "GIVE_UP", "user"),
        (errors.LogsNotYetAvailableError("m"), "LogsNotYetAvailable", "system"),
        (errors.RuntimeDataValidationError("o0", "m", "env.t"), "DataValidationError", "user"),
        (errors.GPUFaultSystemError("GpuXidError", "m", fault_kind="xid", fault_code=79), "GpuXidError", "system"),
    ],
)
def test_codes_and_kinds_are_those_of_flyte(error: errors.BaseRuntimeError, code: str, kind: str) -> None:
    assert (error.code, error.kind) == (code, kind)


def test_adding_up_failures_raises_the_failure() -> None:
    failure = errors.RuntimeUserError("ValueError", "bad row 7")
    with pytest.raises(errors.RuntimeUserError, match="bad row 7"):
        sum([1, failure, 3])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ValueError", errors.RuntimeUserError),
        ("OOM", errors.OOMError),
        ("OOMKilled", errors.OOMError),
        ("WorkerOOMError", errors.OOMError),
        ("OutOfMemoryError", errors.OOMError),
        ("MemoryError", errors.OOMError),
        ("Boom", errors.RuntimeUserError),
        ("BOOM", errors.RuntimeUserError),
        ("InterruptedError", errors.TaskInterruptedError),
        ("RetriesExhausted", errors.RetriesExhaustedError),
        ("DeadlineExceededError", errors.DeadlineExceededError),
        ("NonRecoverableError", errors.NonRecoverableError),
    ],
)
def test_the_class_a_caller_catches_follows_from_the_code(name: str, expected: type[Exception]) -> None:
    error = errors.to_user_error(type(name, (Exception,), {})("bad"))
    assert type(error) is expected
    assert (error.code, str(error)) == (name, "bad")


def test_the_cause_is_the_users_own_exception() -> None:
    original = KeyError("k")
    error = errors.to_user_error(original)
    assert error.__cause__ is original
    assert str(error) == "'k'"


def test_a_childs_failure_that_passes_through_its_parent_stays_itself() -> None:
    child = errors.to_user_error(ValueError("deep"))
    assert errors.to_user_error(child) is child


def test_a_users_subclass_of_an_error_is_seen_as_flytes_class_with_its_code() -> None:
    error = errors.to_user_error(Picky(1, 2))
    assert type(error) is errors.RuntimeUserError
    assert (error.code, str(error)) == ("PICKY", "1 and 2")
    assert isinstance(error.__cause__, Picky)


def test_our_own_failures_are_system_errors() -> None:
    error = errors.to_user_error(errors.JournalError("disk full"))
    assert isinstance(error, errors.RuntimeSystemError)
    assert (error.code, error.kind) == ("JournalError", "system")


def test_an_exception_that_cannot_be_shown_is_still_reported() -> None:
    class Unprintable(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    error = errors.to_user_error(Unprintable())
    assert error.code == "Unprintable"
    assert "cannot be shown" in str(error)


@pytest.mark.parametrize("cls", FLYTE_CLASSES)
def test_one_base_catches_everything(cls: type[Exception]) -> None:
    assert issubclass(cls, errors.FlyteNotebookError)
    assert issubclass(cls, RuntimeError)

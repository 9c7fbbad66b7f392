"""Functions and other callables as values: they arrive as working copies."""

from __future__ import annotations

import collections
import functools
import operator
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

import flyte_notebook as flyte
from flyte_notebook.record.codec import converter, describe, preview
from tests.record.codec_cases import Plain, encoded, round_trip

env = flyte.TaskEnvironment("udfs")


@env.task
async def add_one(x: int) -> int:
    return x + 1


@env.task
def double(x: int) -> int:
    return 2 * x


def closure(step: int) -> Callable[[int], int]:
    def add(x: int) -> int:
        return x + step

    return add


class Adder:
    def __init__(self, step: int) -> None:
        self.step = step

    def __call__(self, x: int) -> int:
        return x + self.step

    def add(self, x: int) -> int:
        return x + self.step


@functools.lru_cache
def remembered(x: int) -> int:
    return x + 1


@pytest.mark.parametrize(
    "function",
    [
        closure(1),
        lambda x: x + 1,
        functools.partial(operator.add, 1),
        functools.partial(closure, 1)(),
        Adder(1),
        Adder(1).add,
        (1).__add__,
        remembered,
        functools.partial(Adder(0).add, 1).func.__self__.__class__(1),
        add_one.forward,
        double.override(short_name="d").func,
    ],
)
@pytest.mark.parametrize("annotation", [Callable, Callable[[int], int], Any, list[Callable]])
async def test_a_callable_arrives_and_works(annotation, function):
    value = [function] if annotation == list[Callable] else function
    arrived = round_trip(annotation, value)
    result = (arrived[0] if isinstance(arrived, list) else arrived)(1)
    assert (await result if hasattr(result, "__await__") else result) == 2


def test_builtins_and_classes_arrive_as_themselves():
    for value in (len, print, int, dict, Plain, operator.itemgetter):
        assert round_trip(Callable, value) is value


def test_bound_methods_of_builtins_arrive():
    assert round_trip(Callable, "a-b".split)("-") == ["a", "b"]


async def test_tasks_arrive_as_tasks():
    for task in (add_one, add_one.override(short_name="bump"), double):
        arrived = round_trip(Callable, task)
        assert arrived.name == task.name
        assert arrived.short_name == task.short_name
    assert await round_trip(Callable, add_one)(1) == 2
    assert round_trip(Callable, double)(2) == 4


async def test_the_async_form_of_a_task_arrives():
    assert await round_trip(Callable, double.aio)(2) == 4


def test_what_a_closure_captured_is_copied_with_it():
    log: list[int] = []

    def note(x: int) -> int:
        log.append(x)
        return len(log)

    arrived = round_trip(Callable, note)
    assert [arrived(1), arrived(1)] == [1, 2]
    assert log == []


def holds_lock():
    lock = threading.Lock()
    return lambda: lock


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ((i for i in [1]), "cannot pickle 'generator' object"),
        (holds_lock(), "cannot pickle '_thread.lock' object"),
        (threading.Lock(), "cannot pickle '_thread.lock' object"),
        ([threading.Lock()], "cannot pickle '_thread.lock' object"),
        (closure(1).__code__.co_positions(), "cannot pickle"),
    ],
)
@pytest.mark.parametrize("annotation", [Callable, Any, list])
def test_what_cannot_be_pickled_is_refused(annotation, value, reason):
    with pytest.raises(TypeError, match=reason):
        converter(annotation).encode(value)


def test_an_open_socket_is_refused():
    with socket.socket() as connection, pytest.raises(TypeError, match="cannot pickle 'socket' object"):
        converter(Any).encode(connection)


def test_whatever_pickling_raises_is_said_as_a_type_error():
    class Stubborn:
        def __reduce__(self):
            raise RuntimeError("not today")

    with pytest.raises(TypeError, match="cannot pickle 'Stubborn' object: not today"):
        converter(Any).encode(Stubborn())


def test_a_function_is_shown_by_its_signature_and_source():
    encoding = encoded(Callable, closure(3))
    assert preview(encoding) == "add(x: 'int') -> 'int'"
    shown = describe(encoding)
    assert shown["type"] == "function"
    assert shown["text"] == "def add(x: int) -> int:\n    return x + step\n"


def test_tasks_and_callable_objects_are_shown_without_addresses():
    assert preview(encoded(Callable, add_one)) == "task udfs.add_one"
    assert " at 0x" not in preview(encoded(Callable, Adder(1)))
    assert " at 0x" not in preview(encoded(Callable, functools.partial(closure(1), 2)))


def test_functions_with_equal_code_and_captures_have_equal_digests():
    assert encoded(Callable, closure(1)).digest == encoded(Callable, closure(1)).digest
    assert encoded(Callable, closure(1)).digest != encoded(Callable, closure(2)).digest
    assert encoded(Callable, Adder(1)).digest == encoded(Callable, Adder(1)).digest
    assert encoded(Callable, Adder(1).add).digest != encoded(Callable, Adder(2).add).digest
    assert encoded(Callable, functools.partial(max, 1)).digest != encoded(Callable, functools.partial(max, 2)).digest
    assert encoded(Callable, add_one).digest != encoded(Callable, double).digest


def test_other_objects_arrive_as_they_were():
    for value in (collections.deque([1, 2], maxlen=3), collections.Counter("aab"), slice(1, 2), ValueError("x", 1)):
        arrived = round_trip(Any, value)
        assert type(arrived) is type(value)
        assert repr(arrived) == repr(value)

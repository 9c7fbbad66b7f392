"""Which functions can be tasks, and how their annotations are found."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, Literal

import pytest

from flyte_notebook.engine.interface import Interface

EMPTY = inspect.Parameter.empty


def defined(source: str, **names: Any) -> Any:
    """The function `f` of some source, run as a cell."""
    space: dict[str, Any] = {"__name__": "cell", **names}
    exec(compile(source, "<cell>", "exec", dont_inherit=True), space)
    return space["f"]


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("def f(*a): ...", ValueError, "Function f cannot have variable positional or keyword arguments."),
        ("def f(**k): ...", ValueError, "Function f cannot have variable positional or keyword arguments."),
        ("def f() -> tuple[int]: ...", TypeError, "found only one return variable"),
        ("def f() -> tuple[int, ...]: ...", TypeError, "Variable length tuples are not supported as return types."),
        ("def f() -> (int,): ...", TypeError, "Please don't use a tuple if you're just returning one thing."),
        ("def f(x: 'Undefined'): ...", NameError, "name 'Undefined' is not defined"),
        ("def f() -> 'Undefined': ...", NameError, "name 'Undefined' is not defined"),
        ("def f(x: 'list[Undefined]'): ...", NameError, "name 'Undefined' is not defined"),
        ("from __future__ import annotations\ndef f(x: Undefined): ...", NameError, "name 'Undefined' is not defined"),
    ],
)
def test_some_functions_cannot_be_tasks(source, error, message):
    with pytest.raises(error, match=message):
        Interface.of(defined(source))


@pytest.mark.parametrize(
    ("source", "inputs", "outputs"),
    [
        ("def f(): ...", {}, {}),
        ("def f(x, y=5): ...", {"x": (EMPTY, EMPTY), "y": (EMPTY, 5)}, {}),
        ("def f(x: int) -> None: ...", {"x": (int, EMPTY)}, {}),
        ("def f(x: 'int') -> 'str': ...", {"x": (int, EMPTY)}, {"o0": str}),
        ("def f() -> (int, str): ...", {}, {"o0": int, "o1": str}),
        ("def f() -> tuple[int, str]: ...", {}, {"o0": int, "o1": str}),
        ("def f() -> tuple: ...", {}, {"o0": tuple}),
        ("from typing import Tuple\ndef f() -> Tuple: ...", {}, None),
        ("f = lambda x: x", {"x": (EMPTY, EMPTY)}, {}),
        ("async def f(x: int, *, y: bool = True): ...", {"x": (int, EMPTY), "y": (bool, True)}, {}),
        (
            "from __future__ import annotations\ndef f(x: list[int]) -> dict[str, int]: ...",
            None,
            {"o0": dict[str, int]},
        ),
    ],
)
def test_annotations_become_inputs_and_outputs(source, inputs, outputs):
    interface = Interface.of(defined(source))
    if inputs is not None:
        assert interface.inputs == inputs
    if outputs is not None:
        assert interface.outputs == outputs


def test_annotations_kept_as_text_find_what_is_local_to_the_defining_function():
    @dataclasses.dataclass
    class Local:
        x: int

    def interface_of(function: Callable[..., Any]) -> Interface:
        return Interface.of(function)

    @interface_of
    def task(a: Local, b: list[Local]) -> Local: ...

    assert task.inputs["a"] == (Local, EMPTY)
    assert task.inputs["b"] == (list[Local], EMPTY)
    assert task.outputs == {"o0": Local}


def test_annotations_kept_as_text_find_what_the_function_captured():
    def make() -> Callable[..., Any]:
        class Local: ...

        def task(a: Local) -> None:
            return Local()

        return task

    assert Interface.of(make()).inputs["a"][0].__name__ == "Local"


def test_annotations_may_carry_remarks():
    def task(a: Annotated[int, "with a remark"], b: Literal["x", "y"] = "x"): ...

    interface = Interface.of(task)
    assert interface.bind((1,), {}) == {"a": 1, "b": "x"}
    with pytest.raises(TypeError, match="Value z is not one of 'x', 'y'"):
        interface.encode_inputs({"a": 1, "b": "z"})


def test_decorated_functions_partials_methods_and_callable_objects_have_interfaces():
    def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any) -> Any:
            return function(*args)

        return wrapper

    @decorated
    def task(x: int) -> str: ...

    class Caller:
        def __call__(self, x: int) -> str: ...

        def method(self, x: int) -> str: ...

    def two(x: int, y: float) -> str: ...

    for function in (task, Caller(), Caller().method):
        assert Interface.of(function).inputs == {"x": (int, EMPTY)}
        assert Interface.of(function).outputs == {"o0": str}
    assert Interface.of(functools.partial(two, y=1.0)).inputs == {"x": (int, EMPTY), "y": (float, 1.0)}

"""What a task takes and gives: binding, checking, encoding, and what is said when something does not fit."""

# ruff: noqa: RUF013, UP045 - annotations come in every spelling
from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any, NamedTuple, Optional

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyte_notebook.engine.interface import Interface
from flyte_notebook.errors import RuntimeDataValidationError
from flyte_notebook.record.blobs import BlobStore
from flyte_notebook.record.codec import Draft, Encoded, converter
from tests.record.codec_cases import Color, Model, Plain, Point, Rude


class Pair(NamedTuple):
    a: int
    b: str


def one(x: int) -> int: ...


def many(a: int, b: str = "b", c: Optional[float] = None, *, d: bool = False) -> tuple[int, str]: ...


def silent(x: int): ...


def nothing() -> None: ...


ONE, MANY = Interface.of(one, "env.one"), Interface.of(many, "env.many")


def given_to(interface: Interface, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """What the body gets."""
    encoded, _ = interface.encode_inputs(interface.bind(args, kwargs))
    assert isinstance(encoded, Encoded)
    return interface.decode_inputs(encoded)


def returned(annotation: Any, value: Any) -> Any:
    """What the caller gets of a task with this return annotation."""

    def task(): ...

    task.__annotations__["return"] = annotation
    interface = Interface.of(task, "env.task")
    encoded, immutable = interface.encode_output(value)
    assert isinstance(encoded, Encoded)
    result = interface.decode_output(encoded)
    if immutable:
        assert result == value
        assert type(result) is type(value)
    return result


# --- binding ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "kwargs", "bound"),
    [
        ((1,), {}, {"a": 1, "b": "b", "c": None, "d": False}),
        ((1, "x"), {"d": True}, {"a": 1, "b": "x", "c": None, "d": True}),
        ((), {"d": True, "a": 1}, {"a": 1, "b": "b", "c": None, "d": True}),
        ((1, "x", 2.0, True), {}, {"a": 1, "b": "x", "c": 2.0, "d": True}),
    ],
)
def test_arguments_are_bound_by_name_in_the_order_of_the_signature(args, kwargs, bound):
    assert list(MANY.bind(args, kwargs).items()) == list(bound.items())


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "^Missing required inputs: a$"),
        ((), {"z": 1}, r"^Missing required inputs: a \(unexpected: z\)$"),
        (
            (1, "x", 2.0, True, 5),
            {},
            r"Too many positional arguments provided, expected inputs dict_keys\(.*\), args 5$",
        ),
        ((1,), {"z": 1}, r"Too many keyword arguments provided, expected inputs .* \(unexpected: z\)$"),
        ((1,), {"a": 2}, r"env\.many got multiple values for input 'a'"),
    ],
)
def test_arguments_that_do_not_fit_the_signature_are_refused(args, kwargs, message):
    with pytest.raises(ValueError, match=message):
        MANY.bind(args, kwargs)


def test_all_missing_inputs_are_named():
    def task(a: int, b: int): ...

    with pytest.raises(ValueError, match="^Missing required inputs: a, b$"):
        Interface.of(task).bind((), {})


def test_a_default_that_is_changed_is_fresh_in_the_next_call():
    def task(x: list[int] = [1]): ...  # noqa: B006 - that is the point

    interface = Interface.of(task)
    given_to(interface)["x"].append(2)
    assert given_to(interface) == {"x": [1]}


def test_a_default_of_another_type_is_refused_when_it_is_used():
    def task(x: int = None): ...  # type: ignore[assignment]

    interface = Interface.of(task)
    with pytest.raises(TypeError, match="Type conversion failed for variable 'x'"):
        interface.encode_inputs(interface.bind((), {}))
    assert given_to(interface, 1) == {"x": 1}


# --- inputs -----------------------------------------------------------------------------------------------------------


def test_an_input_of_another_type_is_refused_in_flytes_words():
    with pytest.raises(TypeError) as caught:
        ONE.encode_inputs(ONE.bind(("a",), {}))
    assert str(caught.value) == (
        "Type conversion failed for variable 'x'.\n"
        "Expected type: <class 'int'>\n"
        "Actual type: <class 'str'>\n"
        "Value received: 'a'\n"
        "Reason: Expected value of type <class 'int'> but got 'a' of type <class 'str'>"
    )


def test_a_number_out_of_range_is_refused_by_name():
    with pytest.raises(ValueError, match="(?s)variable 'x'.*Value out of range: 9223372036854775808"):
        ONE.encode_inputs({"x": 2**63})


def test_a_value_whose_repr_raises_is_refused_in_words_too():
    with pytest.raises(TypeError, match="(?s)variable 'x'.*<Rude whose repr raised RuntimeError>"):
        ONE.encode_inputs({"x": Rude()})


def test_a_huge_rejected_value_is_quoted_in_part():
    with pytest.raises(TypeError) as caught:
        ONE.encode_inputs({"x": "y" * 1_000_000})
    assert len(str(caught.value)) < 1_000


def test_what_cannot_be_pickled_is_refused_by_name():
    def run(x: int, udf: Callable[[int], int]): ...

    lock = threading.Lock()
    interface = Interface.of(run, "env.run")
    for udf in ((i for i in [1]), lambda: lock):
        with pytest.raises(TypeError, match="(?s)Type conversion failed for variable 'udf'.*cannot pickle '"):
            interface.encode_inputs(interface.bind((5, udf), {}))


def test_inputs_without_annotation_arrive_whatever_they_are():
    def task(x): ...

    for value in (1, None, (1, {2}), Plain(3), [Plain(4)]):
        assert given_to(Interface.of(task), value) == {"x": value}


def test_inputs_of_all_kinds_arrive():
    def task(p: Point, m: Model, c: Color, f: pd.DataFrame, o: Optional[list[int]], u: Callable): ...

    frame = pd.DataFrame({"a": [1]})
    got = given_to(Interface.of(task), {"x": 1}, Model(a=1), "RED", frame, None, lambda: 5)
    assert (got["p"], got["m"], got["c"], got["o"], got["u"]()) == (Point(1), Model(a=1), Color.RED, None, 5)
    pd.testing.assert_frame_equal(got["f"], frame)


def test_values_go_to_the_body_as_they_are_only_when_nobody_can_change_them():
    def task(a: int, b: Any): ...

    interface = Interface.of(task)
    assert interface.encode_inputs({"a": 1, "b": "x"})[1]
    assert not interface.encode_inputs({"a": 1, "b": [1]})[1]
    assert ONE.encode_inputs({"x": 1})[1]
    assert Interface.of(nothing).encode_inputs({})[1]


def test_subclasses_of_scalars_are_not_handed_on():
    class Odd(int): ...

    encoded, immutable = ONE.encode_inputs({"x": Odd(5)})
    assert not immutable
    assert type(ONE.decode_inputs(encoded)["x"]) is int


def test_a_value_that_cannot_be_rebuilt_is_refused_by_name():
    class Broken:
        def __reduce__(self):
            return (int, ("not a number",))

    def task(x: Any): ...

    interface = Interface.of(task)
    encoded, _ = interface.encode_inputs({"x": Broken()})
    with pytest.raises(TypeError, match="(?s)Error converting input 'x'.*ValueError: invalid literal"):
        interface.decode_inputs(encoded)


def test_large_inputs_arrive_from_the_store(tmp_path):
    def task(data: np.ndarray, i: int): ...

    blobs, interface = BlobStore(tmp_path), Interface.of(task)
    draft, immutable = interface.encode_inputs({"data": np.arange(100_000), "i": 1})
    assert isinstance(draft, Draft)
    assert not immutable
    got = interface.decode_inputs(draft.seal(blobs), blobs)
    assert got["data"].sum() == sum(range(100_000))
    assert got["i"] == 1


def test_ignored_inputs_do_not_count_in_a_digest(tmp_path):
    def task(x: int, data: Any, tag: str): ...

    blobs, interface = BlobStore(tmp_path), Interface.of(task)

    def digests(**values: Any) -> list[bytes]:
        encoded, _ = interface.encode_inputs(values)
        sealed = encoded.seal(blobs) if isinstance(encoded, Draft) else encoded
        return [interface.digest_without(sealed, ignored, blobs) for ignored in ((), ("tag",), ("tag", "data"))]

    for data in ([1], np.arange(20_000)):
        whole, untagged, bare = digests(x=1, data=data, tag="a")
        assert digests(x=1, data=data, tag="b") == [digests(x=1, data=data, tag="b")[0], untagged, bare]
        assert digests(x=1, data=data, tag="b")[0] != whole
        assert digests(x=1, data="other", tag="a")[2] == bare
        assert digests(x=2, data=data, tag="a")[2] != bare


def test_inputs_are_described_from_the_record_alone():
    def task(x: int, f: pd.DataFrame, u: Callable): ...

    encoded, _ = Interface.of(task).encode_inputs({"x": 1, "f": pd.DataFrame({"a": [1]}), "u": len})
    described = Interface.describe_inputs(encoded)
    assert [(item["name"], item["type"]) for item in described] == [
        ("x", "int"),
        ("f", "DataFrame"),
        ("u", "builtin_function_or_method"),
    ]
    assert described[0] == {"name": "x", "type": "int", "text": "1", "html": None, "size": 1}
    assert "<td>1</td>" in described[1]["html"]
    assert described[1]["size"] > 100


def test_damaged_inputs_are_described_as_such():
    assert len(Interface.describe_inputs(Encoded(b"zzz", None, b"", 3, None))) == 1


# --- the short way and the long way -----------------------------------------------------------------------------------


def numbers(z: int, a: float, s: str, b: bool, n: None) -> float: ...


NUMBERS = Interface.of(numbers, "env.numbers")


@settings(deadline=None)
@given(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text(st.characters(), max_size=30),
    st.booleans(),
)
def test_scalars_are_encoded_as_the_general_way_would(z, a, s, b):
    values = {"z": z, "a": a, "s": s, "b": b, "n": None}
    short, immutable = NUMBERS.encode_inputs(values)
    assert immutable
    tree = converter(dict[str, Any])
    assert short == tree.encode(values)
    assert repr(NUMBERS.decode_inputs(short)) == repr(values)
    assert NUMBERS.encode_output(a)[0] == converter(Any).encode(a)
    assert ONE.encode_inputs({"x": z})[0] == tree.encode({"x": z})
    assert ONE.encode_output(z)[0] == converter(Any).encode(z)


def test_long_text_takes_the_long_way():
    def task(s: str) -> str: ...

    interface = Interface.of(task)
    assert isinstance(interface.encode_inputs({"s": "x" * 10_000})[0], Draft)
    assert isinstance(interface.encode_output("x" * 10_000)[0], Draft)


# --- outputs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, 3),
        (float, math.inf),
        (str, "a"),
        (list[int], [1]),
        (dict, {"a": 1}),
        (tuple[int, str], (1, "a")),
        (tuple[list[int], Point], ([1], Point(1))),
        (tuple, (1, "a")),
        (tuple, ()),
        (Any, (1, 2)),
        (object, [1]),
        (Optional[tuple[int, str]], (1, "a")),
        (Point, Point(1)),
        (Pair, Pair(1, "a")),
        (Plain, Plain(1)),
        (Optional[int], None),
        (None, None),
    ],
)
def test_a_result_arrives_as_it_was(annotation, value):
    result = returned(annotation, value)
    assert result == value
    assert type(result) is type(value)


def test_a_named_tuple_may_be_returned_as_a_tuple():
    assert returned(Pair, (1, "a")) == Pair(1, "a")
    assert type(returned(Pair, (1, "a"))) is Pair


@pytest.mark.parametrize(
    ("annotation", "value", "variable", "reason"),
    [
        (int, "a", "o0", "Expected value of type <class 'int'> but got 'a' of type <class 'str'>"),
        (int, True, "o0", "Expected value of type <class 'int'>"),
        (int, 2**63, "o0", "Value out of range"),
        (float, 1, "o0", "Expected value of type <class 'float'>"),
        (int, None, "o0", "Expected value of type <class 'int'> but got 'None'"),
        (tuple[int, str], (1,), "o0", "Received 1 outputs but return annotation has 2 outputs specified"),
        (tuple[int, str], (1, 2), "o1", "Expected value of type <class 'str'> but got '2'"),
        (tuple[int, str], [1, "a"], "o0", "Received 1 outputs but return annotation has 2 outputs specified"),
        (tuple[int, str], None, "o0", "Received 1 outputs but return annotation has 2"),
        (Pair, Pair(1, 2), "b", "Expected value of type <class 'str'>"),
        (list, (1, 2), "o0", "Received 2 outputs but return annotation has 1 outputs specified"),
        (int, (1, 2), "o0", "Received 2 outputs but return annotation has 1 outputs specified"),
        (int, (5,), "o0", "Received a tuple of one element but return annotation is int"),
        (Callable, (i for i in [1]), "o0", "cannot pickle 'generator' object"),
        (pd.DataFrame, {"a": [1]}, "o0", "Expected value of type <class 'pandas.DataFrame'>"),
        (int, Rude(), "o0", "whose str raised RuntimeError"),
    ],
)
def test_a_result_that_does_not_fit_is_refused(annotation, value, variable, reason):
    with pytest.raises(RuntimeDataValidationError) as caught:
        returned(annotation, value)
    assert str(caught.value).startswith(
        f"In task env.task variable {variable}, failed to serialize/deserialize because of"
    )
    assert reason in str(caught.value)
    assert caught.value.code == "DataValidationError"


@pytest.mark.parametrize(("value", "shown"), [(5, r"\(5,\)"), ((1, 2), r"\(1, 2\)"), ([1], r"\(\[1\],\)")])
def test_a_result_without_annotation_is_refused(value, shown):
    for function in (silent, nothing):
        with pytest.raises(
            RuntimeDataValidationError,
            match=f"Expected no outputs but got {shown},did you miss a return type annotation?",
        ):
            Interface.of(function, "env.silent").encode_output(value)


def test_a_table_compared_with_nothing_is_refused_in_words():
    with pytest.raises(RuntimeDataValidationError, match="Expected no outputs"):
        Interface.of(silent).encode_output(pd.DataFrame({"a": [1, 2]}))


def test_no_result_is_none():
    for function in (silent, nothing):
        interface = Interface.of(function)
        encoded, immutable = interface.encode_output(None)
        assert immutable
        assert isinstance(encoded, Encoded)
        assert interface.decode_output(encoded) is None
        assert interface.split_outputs(None) == {}


def test_an_empty_tuple_is_no_result_either():
    encoded, immutable = Interface.of(silent).encode_output(())
    assert not immutable
    assert isinstance(encoded, Encoded)
    assert Interface.of(silent).decode_output(encoded) is None


def test_a_tuple_result_is_several_outputs():
    assert MANY.outputs == {"o0": int, "o1": str}
    assert MANY.split_outputs((1, "a")) == {"o0": 1, "o1": "a"}
    assert ONE.outputs == {"o0": int}
    assert ONE.split_outputs(5) == {"o0": 5}

    def named() -> Pair: ...

    interface = Interface.of(named)
    assert interface.outputs == {"a": int, "b": str}
    assert interface.split_outputs(Pair(1, "a")) == {"o0": 1, "o1": "a"}


def test_a_result_that_cannot_be_rebuilt_is_refused():
    class Broken:
        def __reduce__(self):
            return (int, ("not a number",))

    with pytest.raises(RuntimeDataValidationError, match="ValueError: invalid literal"):
        returned(Any, Broken())


# --- how it is said ---------------------------------------------------------------------------------------------------


def test_an_interface_reads_like_a_signature():
    assert repr(ONE) == "(x: int) -> o0: int"
    assert (
        repr(MANY) == "(a: int, b: str = 'b', c: typing.Optional[float] = None, d: bool = False) -> (o0: int, o1: str)"
    )
    assert repr(Interface.of(nothing)) == "()"


def test_inputs_have_a_json_schema():
    assert ONE.json_schema == {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}

    def task(p: Point, c: Color, m: Model, l: list[dict[str, float]], t: tuple[int, str], o: Optional[int] = None): ...  # noqa: E741

    schema = Interface.of(task).json_schema
    assert schema["required"] == ["p", "c", "m", "l", "t"]
    properties = schema["properties"]
    assert properties["p"]["properties"] == {"x": {"type": "integer"}, "y": {"type": "number", "format": "float"}}
    assert properties["p"]["required"] == ["x"]
    assert properties["c"] == {"type": "string", "enum": ["RED", "BLUE"]}
    assert properties["m"]["properties"]["a"]["type"] == "integer"
    assert properties["l"]["items"]["additionalProperties"] == {"type": "number", "format": "float"}
    assert properties["t"]["required"] == ["item_0", "item_1"]
    assert properties["o"] == {"type": "integer"}

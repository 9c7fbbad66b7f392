"""`max_inline_io_bytes`: what travels by value is bounded, what travels by reference is not."""

from __future__ import annotations

import asyncio

import numpy as np
import pandas as pd
import pytest

import flyte_notebook as flyte
from flyte_notebook import errors

env = flyte.TaskEnvironment("inline")

LIMIT = 50_000
"""Bytes; the default of 10 MB is tried where it matters."""


@env.task(max_inline_io_bytes=LIMIT)
async def takes(text: str) -> int:
    return len(text)


@env.task(max_inline_io_bytes=LIMIT)
async def gives(size: int) -> str:
    return "x" * size


@env.task(max_inline_io_bytes=LIMIT, retries=3)
def gives_numbers(size: int) -> list[int]:
    return list(range(size))


@env.task
async def caught(kind: str, size: int) -> str:
    try:
        await (takes("x" * size) if kind == "takes" else gives(size))
    except errors.InlineIOMaxBytesBreached as error:
        return f"{error.code}: {error}"
    return "no error"


def test_inputs_over_the_limit_fail_their_action_and_its_body_does_not_run():
    run = flyte.run(caught, "takes", LIMIT)
    message = run.outputs()[0]
    assert message.startswith("InlineIOMaxBytesBreached: Inputs exceed max_bytes limit of 0.0476")
    assert "max_inline_io_bytes=" in message
    assert "inline.takes" in message
    root, child = run.actions()
    assert (root.phase, child.phase) == ("SUCCEEDED", "FAILED")
    assert "Inputs exceed" in child.error
    assert child.attempts == 0


def test_outputs_over_the_limit_fail_their_action():
    run = flyte.run(caught, "gives", LIMIT)
    assert run.outputs()[0].startswith("InlineIOMaxBytesBreached: Outputs exceed max_bytes limit of")
    assert [action.phase for action in run.actions()] == ["SUCCEEDED", "FAILED"]


@pytest.mark.parametrize("kind", ["takes", "gives"])
def test_what_just_fits_passes(kind):
    assert flyte.run(caught, kind, LIMIT - 50).outputs()[0] == "no error"


def test_outputs_over_the_limit_are_not_tried_again():
    with pytest.raises(errors.InlineIOMaxBytesBreached):
        flyte.run(gives_numbers, LIMIT)
    (action,) = flyte.runs()[0].actions()
    assert (action.phase, action.attempts) == ("FAILED", 1)


def test_the_root_of_a_run_is_bounded_too():
    with pytest.raises(errors.InlineIOMaxBytesBreached, match="Inputs exceed"):
        flyte.run(takes, "x" * LIMIT)
    run = flyte.runs()[0]
    assert run.phase == "FAILED"
    assert [action.phase for action in run.actions()] == ["FAILED"]


def test_an_override_moves_the_limit_both_ways():
    with pytest.raises(errors.InlineIOMaxBytesBreached):
        flyte.run(takes.override(max_inline_io_bytes=100), "x" * 200)
    assert flyte.run(takes.override(max_inline_io_bytes=LIMIT * 10), "x" * LIMIT * 2).outputs() == (LIMIT * 2,)
    assert flyte.run(takes.override(max_inline_io_bytes=-1), "x" * LIMIT * 2).outputs() == (LIMIT * 2,)


def test_the_default_is_ten_megabytes():
    @env.task
    async def size(text: str) -> int:
        return len(text)

    ten = 10 * 1024 * 1024
    assert flyte.run(size, "x" * (ten - 4000)).outputs() == (ten - 4000,)
    with pytest.raises(errors.InlineIOMaxBytesBreached, match=r"limit of 10\.0 MB, actual size: 10\.0"):
        flyte.run(size, "x" * ten)


BY_REFERENCE = {
    "array": (np.ndarray, lambda: np.zeros(LIMIT)),
    "table": (pd.DataFrame, lambda: pd.DataFrame({"a": np.zeros(LIMIT)})),
    "bytes": (bytes, lambda: b"x" * 2 * LIMIT),
    "pickle": (object, lambda: (np.zeros(LIMIT, dtype=object),)),
}


@pytest.mark.parametrize("name", BY_REFERENCE)
def test_what_travels_by_reference_does_not_count(name):
    annotation, make = BY_REFERENCE[name]

    async def same(value): ...

    async def passes(value):
        return value

    passes.__annotations__ = {"value": annotation, "return": annotation}
    task = env.task(max_inline_io_bytes=LIMIT)(passes)
    assert flyte.run(task, make()).phase == "SUCCEEDED"


def test_the_siblings_of_a_call_over_the_limit_succeed():
    @env.task
    async def main() -> list[str]:
        sizes = (10, LIMIT, 20)
        results = await asyncio.gather(*(takes("x" * size) for size in sizes), return_exceptions=True)
        return [type(result).__name__ for result in results]

    run = flyte.run(main)
    assert run.outputs()[0] == ["int", "InlineIOMaxBytesBreached", "int"]
    assert sorted(action.phase for action in run.actions()) == ["FAILED", "SUCCEEDED", "SUCCEEDED", "SUCCEEDED"]


def test_a_run_over_the_limit_is_resumed_once_the_limit_is_raised():
    def defined(limit):
        async def length(text: str) -> int:
            return len(text)

        return env.task(max_inline_io_bytes=limit)(length)

    strict = defined(100)
    with pytest.raises(errors.InlineIOMaxBytesBreached):
        flyte.run(strict, "x" * 1000)
    with pytest.raises(errors.InlineIOMaxBytesBreached):
        flyte.runs()[0].resume()
    failed = flyte.runs()[0]
    generous = defined(10_000)
    assert failed.resume().outputs() == (1000,)
    assert generous is not strict


def test_outputs_over_the_limit_are_never_cached():
    task = gives.override(cache="auto")
    for _ in range(2):
        with pytest.raises(errors.InlineIOMaxBytesBreached):
            flyte.run(task, LIMIT)
        (action,) = flyte.runs()[0].actions()
        assert (action.cached, action.attempts) == (False, 1)

"""Groups, custom context, `flyte.ctx`, and traces."""

from __future__ import annotations

import pytest

import flyte_notebook as flyte
from flyte_notebook import errors
from tests.loops import run_async

env = flyte.TaskEnvironment("scopes")


@env.task
async def leaf(x: int) -> int:
    return x


@env.task
async def context() -> dict[str, str]:
    return flyte.get_custom_context()


@flyte.trace
async def traced(x: int) -> int:
    return x * 2


@flyte.trace
def sync_traced(x: int) -> int:
    if x < 0:
        raise KeyError("negative")
    return x * 3


@flyte.trace
async def streamed(n: int):
    for i in range(n):
        yield i


@flyte.trace
def sync_streamed(n: int):
    yield from range(n)


def test_actions_made_in_a_group_carry_its_name_and_their_children_do_not():
    @env.task
    async def parent(x: int) -> int:
        return await leaf(x)

    @env.task
    async def main() -> int:
        with flyte.group("first"):
            a = await parent(1)
            with flyte.group("second"):
                b = await leaf(2)
        return a + b + await leaf(3)

    run = flyte.run(main)
    assert [(a.short_name, a.group) for a in run.actions()] == [
        ("main", None),
        ("parent", "first"),
        ("leaf", None),
        ("leaf", "second"),
        ("leaf", None),
    ]


def test_custom_context_is_inherited_and_merged():
    @env.task
    async def main() -> list[dict[str, str]]:
        with flyte.custom_context(a="1"), flyte.custom_context(b="2"):
            inside = await context()
        return [inside, await context()]

    assert flyte.run(main).outputs() == ([{"a": "1", "b": "2"}, {}],)


def test_outside_a_run_groups_and_contexts_do_nothing():
    with flyte.group("g"), flyte.custom_context(a="b"):
        assert flyte.get_custom_context() == {}
        assert not flyte.ctx()
        assert flyte.ctx().action is None
    with pytest.raises(AttributeError, match="nonsense"):
        _ = flyte.ctx().nonsense


def test_the_context_names_the_action_and_its_run():
    @env.task
    async def main() -> list[str]:
        with flyte.group("g"):
            here = flyte.ctx()
        return [here.action.name, here.action.run_name, here.mode, here.group_data.name, str(here.attempt_number)]

    run = flyte.run(main)
    assert run.outputs() == ([run.action.id, run.name, "local", "g", "0"],)


def test_traces_are_light_actions_with_inputs_and_results():
    @env.task
    async def main() -> list[int]:
        items = [item async for item in streamed(2)]
        return [await traced(2), sync_traced(2), *items, *sync_streamed(2)]

    run = flyte.run(main)
    assert run.outputs() == ([4, 6, 0, 1, 0, 1],)
    root = run.action
    assert [(a.short_name, a.parent_id, a.phase) for a in run.actions()[1:]] == [
        (name, root.id, "SUCCEEDED") for name in ("streamed", "traced", "sync_traced", "sync_streamed")
    ]


def test_a_trace_keeps_the_original_exception():
    @env.task
    async def main() -> str:
        try:
            sync_traced(-1)
        except KeyError as error:
            return repr(error)
        return ""

    run = flyte.run(main)
    assert run.outputs() == ("KeyError('negative')",)
    assert [(a.short_name, a.phase) for a in run.actions()] == [("main", "SUCCEEDED"), ("sync_traced", "FAILED")]


def test_a_task_inside_a_trace_is_refused():
    @flyte.trace
    async def wrong() -> int:
        return await leaf(1)

    @env.task
    async def main() -> int:
        return await wrong()

    with pytest.raises(errors.RuntimeUserError) as caught:
        flyte.run(main)
    assert caught.value.code == "TraceDoesNotAllowNestedTasksError"


def test_outside_a_run_a_trace_is_a_plain_call():
    assert run_async(traced(2)) == 4
    assert sync_traced(2) == 6
    assert list(sync_streamed(2)) == [0, 1]
    assert flyte.runs() == []


def test_a_generator_left_early_is_recorded_as_aborted():
    @env.task
    async def main() -> int:
        for item in sync_streamed(5):
            return item
        return -1

    run = flyte.run(main)
    assert [(a.short_name, a.phase) for a in run.actions()] == [("main", "SUCCEEDED"), ("sync_streamed", "ABORTED")]

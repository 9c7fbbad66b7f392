"""The one path of a call: what is recorded, what the caller gets, and in which order."""

from __future__ import annotations

import asyncio

import pytest

import flyte_notebook as flyte
from flyte_notebook import errors
from tests.loops import begun

env = flyte.TaskEnvironment("engine")


@env.task
async def inner(x: int) -> int:
    return x + 1


@env.task
async def twice(x: int) -> int:
    return await inner(x) + await inner(x)


@env.task
def sync_inner(x: int) -> int:
    return x + 1


@env.task
async def fails(message: str) -> int:
    raise ValueError(message)


@env.task
async def calls_fails(message: str) -> int:
    return await fails(message)


def test_a_run_has_one_root_action_and_its_children_below_it():
    run = flyte.run(twice, x=1)
    root, *children = run.actions()
    assert (root.parent_id, root.task_name, root.short_name) == (None, "engine.twice", "twice")
    assert [child.parent_id for child in children] == [root.id, root.id]
    assert {action.phase for action in run.actions()} == {"SUCCEEDED"}
    assert {action.attempts for action in run.actions()} == {1}
    assert run.outputs() == (4,)


def test_action_ids_are_equal_from_run_to_run_and_differ_for_equal_calls():
    first, second = flyte.run(twice, x=1).actions(), flyte.run(twice, x=1).actions()
    assert [action.id for action in first] == [action.id for action in second]
    assert len({action.id for action in first}) == 3


def test_action_ids_depend_on_the_inputs():
    assert flyte.run(inner, x=1).action.id != flyte.run(inner, x=2).action.id


def test_a_run_is_named_after_its_first_short_name():
    name = flyte.run(inner.override(short_name="my step"), x=1).name
    assert name.startswith("my-step-")
    assert len(name) == len("my-step-") + 6


def test_the_caller_sees_the_users_class_name_and_the_users_own_exception():
    with pytest.raises(errors.RuntimeUserError) as caught:
        flyte.run(calls_fails, message="bad row 7")
    assert caught.value.code == "ValueError"
    assert str(caught.value) == "bad row 7"
    assert isinstance(caught.value.__cause__, ValueError)


def test_the_causes_traceback_holds_the_users_frames_only():
    with pytest.raises(errors.RuntimeUserError) as caught:
        flyte.run(calls_fails, message="x")
    names = []
    tb = caught.value.__cause__.__traceback__
    while tb is not None:
        names.append(tb.tb_frame.f_code.co_name)
        tb = tb.tb_next
    assert names == ["fails"]


def test_a_failure_is_on_record_with_its_message_at_every_level():
    with pytest.raises(errors.RuntimeUserError):
        flyte.run(calls_fails, message="bad row 7")
    run = flyte.runs()[0]
    assert run.phase == "FAILED"
    assert [(action.short_name, action.phase, action.error) for action in run.actions()] == [
        ("calls_fails", "FAILED", "ValueError: bad row 7"),
        ("fails", "FAILED", "ValueError: bad row 7"),
    ]


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, StopIteration, GeneratorExit, ZeroDivisionError])
@pytest.mark.parametrize("is_async", [True, False])
def test_whatever_a_body_raises_fails_its_action_and_nothing_else(kind, is_async):
    scratch = flyte.TaskEnvironment("raising")

    @scratch.task
    async def async_body() -> int:
        raise kind("x")

    @scratch.task
    def sync_body() -> int:
        raise kind("x")

    with pytest.raises(errors.RuntimeUserError) as caught:
        flyte.run(async_body if is_async else sync_body)
    assert caught.value.code == kind.__name__
    assert isinstance(caught.value.__cause__, kind)
    assert flyte.run(inner, x=1).outputs() == (2,)


def test_an_exception_whose_str_raises_is_recorded_all_the_same():
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    scratch = flyte.TaskEnvironment("mute")

    @scratch.task
    async def body() -> int:
        raise Mute

    with pytest.raises(errors.RuntimeUserError) as caught:
        flyte.run(body)
    assert caught.value.code == "Mute"
    assert flyte.runs()[0].actions()[0].error.startswith("Mute")


def test_a_child_cannot_change_what_its_caller_holds():
    scratch = flyte.TaskEnvironment("copies")

    @scratch.task
    async def grow(items: list[int]) -> list[int]:
        items.append(99)
        return items

    @scratch.task
    async def main() -> list[list[int]]:
        mine = [1]
        grown = await grow(mine)
        return [mine, grown]

    assert flyte.run(main).outputs() == ([[1], [1, 99]],)


def test_forward_makes_no_action_and_keeps_the_error():
    scratch = flyte.TaskEnvironment("forwarding")

    @scratch.task
    async def main(x: int) -> str:
        try:
            await fails.forward("plain")
        except ValueError as error:
            return f"{await inner.forward(x)} {sync_inner.forward(x)} {error}"
        return "no error"

    run = flyte.run(main, x=1)
    assert run.outputs() == ("2 2 plain",)
    assert [action.short_name for action in run.actions()] == ["main"]


def test_a_failed_gather_leaves_nothing_running_behind():
    scratch = flyte.TaskEnvironment("gathering")
    ended = []

    @scratch.task
    async def slow() -> int:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("slow")
        return 1

    @scratch.task
    async def main() -> list[int]:
        return await asyncio.gather(slow(), slow(), fails("now"))

    with pytest.raises(errors.RuntimeUserError, match="now"):
        flyte.run(main)
    assert ended == ["slow", "slow"]
    assert sorted(action.phase for action in flyte.runs()[0].actions()) == ["ABORTED", "ABORTED", "FAILED", "FAILED"]


def test_a_forgotten_child_is_aborted_when_its_parent_returns():
    scratch = flyte.TaskEnvironment("forgetting")

    @scratch.task
    async def slow() -> int:
        await asyncio.sleep(60)
        return 1

    @scratch.task
    async def main() -> str:
        main.forgotten = asyncio.ensure_future(slow())
        await begun("slow")
        return "done"

    run = flyte.run(main)
    assert run.outputs() == ("done",)
    assert [(action.short_name, action.phase) for action in run.actions()] == [
        ("main", "SUCCEEDED"),
        ("slow", "ABORTED"),
    ]


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "Missing required inputs: x"),
        ((1, 2), {}, "Too many positional arguments"),
        ((1,), {"y": 2}, "y"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_before_anything_is_recorded(args, kwargs, message):
    with pytest.raises(ValueError, match=message):
        flyte.run(inner, *args, **kwargs)
    assert flyte.runs() == []


def test_a_value_of_another_type_is_refused_with_the_variables_name():
    with pytest.raises(TypeError, match="Type conversion failed for variable 'x'"):
        flyte.run(inner, x="1")


def test_an_output_of_another_type_fails_the_action():
    scratch = flyte.TaskEnvironment("outputs")

    @scratch.task
    async def body() -> int:
        return "text"

    with pytest.raises(errors.RuntimeDataValidationError):
        flyte.run(body)
    assert flyte.runs()[0].phase == "FAILED"


def test_context_variables_set_by_a_child_do_not_reach_its_parent():
    from contextvars import ContextVar

    mark: ContextVar[str] = ContextVar("mark", default="clean")
    scratch = flyte.TaskEnvironment("contexts")

    @scratch.task
    async def child() -> int:
        mark.set("dirty")
        return 1

    @scratch.task
    async def main() -> str:
        await child()
        await asyncio.gather(child())
        return mark.get()

    assert flyte.run(main).outputs() == ("clean",)

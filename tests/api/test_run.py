"""`flyte.run`, `with_runcontext` and what a `Run` answers, alive and from the record."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
import textwrap
import time

import pytest

import flyte_notebook as flyte
from flyte_notebook import errors
from flyte_notebook.api.run import Run, find_run
from tests.loops import run_async

env = flyte.TaskEnvironment("running")


@env.task
async def plus(x: int, y: int = 1) -> int:
    return x + y


@env.task
async def pair(x: int) -> tuple[int, str]:
    return x, str(x)


@env.task
async def nothing() -> None:
    return None


@env.task
async def fails() -> int:
    raise ValueError("no")


def reopened(run: Run) -> Run:
    """The same run with nothing but its record."""
    return next(other for other in flyte.runs() if other.name == run.name)


def test_outputs_are_a_tuple_with_names():
    outputs = flyte.run(pair, x=3).outputs()
    assert outputs == (3, "3")
    assert (outputs.o0, outputs.o1, outputs[1]) == (3, "3", "3")
    assert outputs.named_outputs == {"o0": 3, "o1": "3"}
    assert repr(outputs) == "ActionOutputs(o0=3, o1='3')"


def test_a_task_without_output_gives_one_none():
    assert flyte.run(nothing).outputs() == (None,)


@pytest.mark.parametrize("task", [plus, pair])
def test_outputs_and_inputs_come_back_from_the_record(task):
    run = flyte.run(task, x=3)
    again = reopened(run)
    assert again.outputs() == run.outputs()
    assert again.inputs() == ({"x": 3, "y": 1} if task is plus else {"x": 3})


def test_every_answer_has_an_aio_twin():
    async def script() -> None:
        run = await flyte.run.aio(plus, 1, y=2)
        assert await run.outputs.aio() == (3,)
        assert await run.inputs.aio() == {"x": 1, "y": 2}
        assert await run.done.aio()
        await run.wait.aio()
        await run.abort.aio()

    run_async(script())


def test_a_finished_run_tells_what_happened():
    run = flyte.run(plus, x=1)
    run.wait()
    assert run.done()
    assert run.phase == "SUCCEEDED"
    assert run.error is None
    assert run.action.short_name == "plus"
    assert run.url.endswith(run.name)
    assert run.name in repr(run)
    action = run.actions()[0]
    assert action.started_at.tzinfo is dt.UTC
    assert action.started_at <= action.ended_at


def test_runs_are_listed_newest_first_and_found_by_prefix():
    first, second = flyte.run(plus, x=1), flyte.run(pair, x=1)
    assert flyte.runs() == [second, first]
    assert find_run() == second
    assert find_run("plus-") == first
    assert find_run(first.name) == first


def test_an_ambiguous_or_unknown_prefix_names_the_candidates():
    first, second = flyte.run(plus, x=1), flyte.run(plus, x=2)
    with pytest.raises(errors.RunNotFoundError) as caught:
        find_run("plus")
    assert first.name in str(caught.value)
    assert second.name in str(caught.value)
    with pytest.raises(errors.RunNotFoundError):
        find_run("nobody")


def test_only_tasks_can_be_run():
    with pytest.raises(TypeError, match="On Flyte tasks can be run, not generic functions or methods"):
        flyte.run(lambda: 3)


def test_a_run_can_be_named_once():
    named = flyte.with_runcontext(name="nightly").run(plus, x=1)
    again = flyte.with_runcontext(name="nightly").run(plus, x=1)
    assert named.name == "nightly"
    assert again.name.startswith("nightly-")


def test_custom_context_reaches_the_tasks():
    @env.task
    async def tells() -> dict[str, str]:
        return flyte.get_custom_context()

    assert flyte.with_runcontext(custom_context={"team": "a"}).run(tells).outputs() == ({"team": "a"},)


@pytest.mark.parametrize("mode", ["remote", "hybrid", "nowhere"])
def test_modes_that_need_a_cluster_are_refused(mode):
    with pytest.raises(ValueError, match=mode):
        flyte.with_runcontext(mode=mode)


def test_options_of_the_sdk_are_accepted_and_others_are_not():
    assert flyte.with_runcontext(project="p", labels={"a": "b"}, queue="q").run(plus, x=1).outputs() == (2,)
    with pytest.raises(TypeError, match="nonsense"):
        flyte.with_runcontext(nonsense=1)


def test_a_failed_run_is_on_record_with_its_error():
    with pytest.raises(errors.RuntimeUserError):
        flyte.run(fails)
    run = flyte.runs()[0]
    assert (run.phase, run.done()) == ("FAILED", True)
    assert "ValueError" in run.error


def test_a_run_of_another_process_says_where_it_can_be_stopped(home):
    program = """
        import asyncio, flyte_notebook as flyte
        env = flyte.TaskEnvironment("elsewhere")

        @env.task
        async def main() -> int:
            print("running", flush=True)
            await asyncio.sleep(60)
            return 1

        flyte.run(main)
    """
    environment = {**os.environ, "FLYTE_NOTEBOOK_HOME": str(home)}
    command = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "running\n"
            while not flyte.runs():
                time.sleep(0.01)
            (run,) = flyte.runs()
            with pytest.raises(
                RuntimeError, match=rf"goes on in another process \({other.pid} on .*: cancel it in that"
            ):
                run.abort()
        finally:
            other.kill()
    run.abort()

"""What is told of a result: which run it was reused from, or why its body ran although its task is cached."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest

import flyte_notebook as flyte
from flyte_notebook import errors
from flyte_notebook.record import why as reasons
from flyte_notebook.record.store import open_store
from flyte_notebook.record.why import why
from tests.engine.test_cache import grow_older

CELL = """
THRESHOLD = 10
CACHE = flyte.Cache("auto")

def clean(n):
    return min(n, THRESHOLD)

@env.task(cache=CACHE)
async def step(n: int, factor: int = 2, label: str = "") -> int:
    return clean(n) * factor
"""


@pytest.fixture
def cell(tmp_path):
    """Executes `source` as a cell does, with `edits` to it, and returns its names."""

    def execute(source: str, *edits: tuple[str, str]) -> dict[str, Any]:
        for old, new in edits:
            assert old in source
            source = source.replace(old, new)
        path = Path(tmp_path, f"cell_{abs(hash(source))}.py")
        path.write_text(source)
        scope = {"env": flyte.TaskEnvironment("told"), "flyte": flyte, "__name__": "__main__"}
        exec(compile(source, str(path), "exec", dont_inherit=True), scope)
        kept.append(scope)
        return scope

    kept = []
    return execute


@pytest.fixture
def step(cell):
    """Defines the task, with `edits` to its source."""
    return lambda *edits: cell(CELL, *edits)["step"]


def told(run: flyte.Run, index: int = 0) -> str | None:
    return why(open_store(), run.name, run.actions()[index].id)


def test_of_what_is_reused_the_run_is_told_that_made_it(step):
    first = flyte.run(step(), n=3)
    second, third = flyte.run(step(), n=3), flyte.run(step(), n=3)
    assert told(second) == told(third) == f"cached, from run {first.name}"


def test_of_what_is_recovered_the_run_is_told_too(step, monkeypatch):
    cached, env = step(), flyte.TaskEnvironment("callers")
    monkeypatch.setenv("BROKEN", "1")

    @env.task
    async def main() -> int:
        import os

        found = await cached.override(cache="disable")(3)
        if os.environ["BROKEN"] == "1":
            raise ValueError
        return found

    with pytest.raises(errors.RuntimeUserError):
        flyte.run(main)
    first = flyte.runs()[0]
    monkeypatch.setenv("BROKEN", "0")
    second = first.resume()
    assert told(second) == f"ran again: it had failed in run {first.name}"
    assert told(second, 1) == f"recovered, from run {first.name}"


RESUMED = """
import os

THRESHOLD = 10

def clean(n):
    return min(n, THRESHOLD)

@env.task
async def step(n: int) -> int:
    return clean(n)

@env.task
async def last(n: int, then: str) -> int:
    if then == "fails":
        raise ValueError
    return n

@env.task
async def main() -> int:
    then = os.environ["THEN"]
    return await last(await step(3), "fails" if then == "fails" else "is right")
"""


@pytest.fixture
def chain(cell, monkeypatch):
    """Defines the tasks of `source`, and runs `main` or resumes a run."""

    def go(
        then: str, before: flyte.Run | None = None, *edits: tuple[str, str], source: str = RESUMED, keep: bool = False
    ) -> flyte.Run:
        monkeypatch.setenv("THEN", then)
        main = cell(source, *edits)["main"]
        with contextlib.suppress(errors.BaseRuntimeError):
            flyte.run(main) if before is None else before.resume(keep=keep)
        return next(run for run in flyte.runs() if run.name.startswith("main"))

    return go


def all_told(run: flyte.Run) -> dict[str, str | None]:
    return {action.short_name: why(open_store(), run.name, action.id) for action in run.actions()}


def test_of_what_a_resumed_run_did_again_it_is_told_what_has_changed(chain):
    first = chain("fails")
    assert set(all_told(first).values()) == {None}
    second = chain("fails", first, ("THRESHOLD = 10", "THRESHOLD = 2"))
    assert all_told(second) == {
        "main": f"ran again: it had failed in run {first.name}",
        "step": f"ran again: captured THRESHOLD changed (since run {first.name})",
        "last": f"ran: run {first.name} has no such call with these inputs",
    }
    third = chain("goes on", second, ("THRESHOLD = 10", "THRESHOLD = 2"))
    assert all_told(third) == {
        "main": f"ran again: it had failed in run {second.name}",
        "step": f"recovered, from run {second.name}",
        "last": f"ran: run {second.name} has no such call with these inputs",
    }


def test_of_what_its_caller_had_cancelled_that_is_told(chain):
    edits = (
        ("return await last(await step(3)", "return await last(await first_of_all(3)"),
        (
            "@env.task\nasync def main",
            """
import asyncio
from tests.loops import begun

async def first_of_all(n):
    call = asyncio.ensure_future(step(n))
    if os.environ["THEN"] == "fails":
        await begun("step")
        call.cancel()
    return await call

@env.task
async def main""",
        ),
        (
            "    return clean(n)",
            """
    try:
        await asyncio.sleep(60 if os.environ["THEN"] == "fails" else 0)
    except asyncio.CancelledError:
        return -1
    return clean(n)
""",
        ),
    )
    first = chain("fails", None, *edits)
    second = chain("goes on", first, *edits)
    caught = f"it had been cancelled by its caller, and caught that, in run {first.name}"
    assert all_told(second)["step"] == f"ran again: {caught}"


def test_of_what_was_cut_off_or_is_on_record_no_more_that_is_told(chain):
    first = chain("fails", None, ("raise ValueError", "raise SystemExit"))
    with contextlib.suppress(errors.RuntimeUserError):
        first.resume()
    second = flyte.runs()[0]
    assert all_told(second)["last"] == f"ran again: it had failed in run {first.name}"
    with open_store().journal.reading(transaction=False) as connection:
        connection.execute("UPDATE actions SET phase = 'RUNNING' WHERE short_name = 'last'")
    assert all_told(second)["last"] == f"ran again: it had not ended in run {first.name}"
    assert open_store().journal.delete([first.name]) == [first.name]
    assert all_told(second)["last"] == f"ran: run {first.name} is not on record any more"


def test_a_call_that_has_moved_is_compared_with_what_it_was(chain):
    first = chain("fails")
    grouped = ("return await last(await step(3)", 'with flyte.group("g"):\n        return await last(await step(3)')
    second = chain("fails", first, grouped, ("THRESHOLD = 10", "THRESHOLD = 2"))
    assert all_told(second)["step"] == f"ran again: captured THRESHOLD changed (since run {first.name})"


def test_a_call_more_than_there_are_results_is_told_so(chain):
    first = chain("fails")
    second = chain("fails", first, ("await step(3)", "await step(3) + await step(3)"))
    recovered, ran = (why(open_store(), second.name, action.id) for action in second.actions()[1:3])
    assert recovered == f"recovered, from run {first.name}"
    assert ran == f"ran again: its result of run {first.name} stands for another call"


def test_code_is_not_named_where_every_success_is_kept(chain):
    first = chain("fails")
    # What is kept does not fit any more.
    second = chain("fails", first, ("step(n: int) -> int", "step(n: int) -> str"), keep=True)
    assert all_told(second)["step"] == f"ran again: its result of run {first.name} could not be used"


def test_of_runs_that_an_action_has_started_it_is_told_too(chain):
    started = ("await step(3)", "(await flyte.run.aio(step, n=3)).outputs()[0]")
    first = chain("fails", None, started)
    inner = flyte.runs()[0].name
    chain("fails", first, started, ("THRESHOLD = 10", "THRESHOLD = 2"))
    assert flyte.runs()[0].name != inner
    assert all_told(flyte.runs()[0]) == {"step": f"ran again: captured THRESHOLD changed (since run {inner})"}


TRACED = """
import os, threading

@flyte.trace
async def lock(n: int):
    if os.environ["THEN"] == "trace fails":
        raise ValueError
    return threading.Lock()

@env.task(max_inline_io_bytes=100)
async def refused(text: str) -> int:
    return 1

@env.task
async def main() -> int:
    await lock(3)
    return await refused("x" * 1_000)
"""


@pytest.mark.parametrize("then", ["trace fails", "goes on"])
def test_of_traces_no_change_is_made_up_and_of_what_never_ran_nothing_is_told(chain, then):
    first = chain("goes on", source=TRACED)
    told = all_told(chain(then, first, source=TRACED))
    assert told.pop("lock") == f"ran again: its result of run {first.name} could not be used"
    assert set(told.values()) <= {f"ran again: it had failed in run {first.name}", None}
    assert then == "trace fails" or told["refused"] is None


def test_nothing_is_told_of_tasks_that_are_not_cached_of_failures_and_of_what_is_not_on_record(step):
    flyte.run(step(), n=3)
    assert told(flyte.run(step(('CACHE = flyte.Cache("auto")', 'CACHE = "disable"')), n=3)) is None
    with pytest.raises(errors.RuntimeUserError):
        flyte.run(step(("return clean(n)", "return 1 // 0 * clean(n)")), n=3)
    assert told(flyte.runs()[0]) is None
    assert why(open_store(), flyte.runs()[0].name, "no such action") is None


@pytest.mark.parametrize(
    ("edits", "inputs", "changes"),
    [
        ([], {"n": 4}, "input n changed"),
        ([], {"n": 4, "label": "x"}, "input n changed, input label changed"),
        ([("return min(n, THRESHOLD)", "return min(n, THRESHOLD) + 1")], {}, "helper clean() changed"),
        ([("THRESHOLD = 10", "THRESHOLD = 20")], {}, "captured THRESHOLD changed"),
        ([("return clean(n) * factor", "return factor * clean(n)")], {}, "own code changed"),
        ([("factor: int = 2", "factor: int = 3")], {"factor": 2}, "default factor changed"),
        (
            [("return clean(n) * factor", "return n * factor")],
            {},
            "own code changed, helper clean() removed, captured THRESHOLD removed",
        ),
        ([('flyte.Cache("auto")', 'flyte.Cache("auto", salt="s")')], {}, "salt of the cache changed"),
        (
            [('flyte.Cache("auto")', 'flyte.Cache("auto", version_override="v2")'), ("= 10", "= 20")],
            {},
            "version changed from that of the code to v2",
        ),
        (
            [("return min(n, THRESHOLD)", "return min(n, THRESHOLD) + 1")],
            {"n": 4},
            "input n changed, helper clean() changed",
        ),
    ],
)
def test_what_has_changed_is_named(step, edits, inputs, changes):
    first = flyte.run(step(), n=3)
    second = flyte.run(step(*edits), **{"n": 3, **inputs})
    assert second.actions()[0].attempts == 1
    assert told(second) == f"ran again: {changes} (since run {first.name})"


def test_ignored_inputs_are_no_reason(step):
    ignoring = ('flyte.Cache("auto")', 'flyte.Cache("auto", ignored_inputs="label")')
    flyte.run(step(ignoring), n=3, label="a")
    assert told(flyte.run(step(ignoring), n=4, label="b")).startswith("ran again: input n changed (since")


def test_the_first_success_has_nothing_to_reuse(step):
    assert told(flyte.run(step(), n=3)) == "ran: no success of an earlier run is there to reuse (looked at 200 runs)"


def test_no_more_runs_are_looked_at_than_is_said(step, monkeypatch):
    monkeypatch.setattr(reasons, "RUNS", 2)
    flyte.run(step(), n=3)
    for _ in range(2):
        flyte.run(step(), n=3)
    assert told(flyte.run(step(), n=4)).startswith("ran: no success")


def test_each_item_of_a_map_is_compared_with_itself(step):
    def mapped(task):
        env = flyte.TaskEnvironment("callers")

        @env.task
        async def main() -> list[int]:
            return [found async for found in flyte.map.aio(task, range(5))]

        return flyte.run(main)

    first = mapped(step())
    assert {told(first, 1 + n) for n in range(5)} == {
        "ran: no success of an earlier run is there to reuse (looked at 200 runs)"
    }
    second = mapped(step(("n, THRESHOLD)", "n, THRESHOLD) + 1")))
    assert {told(second, 1 + n) for n in range(5)} == {f"ran again: helper clean() changed (since run {first.name})"}


def test_a_result_that_was_there_and_did_not_do(step):
    aging = ('flyte.Cache("auto")', 'flyte.Cache("auto", max_age=60)')
    first = flyte.run(step(aging), n=3)
    grow_older(100)
    second = flyte.run(step(aging), n=3)
    assert told(second) == f"ran again: the result of run {first.name} was older than max_age, 0:01:00"
    third = flyte.with_runcontext(overwrite_cache=True).run(step(aging), n=3)
    assert told(third) == f"ran again: it was asked to replace the result of run {second.name}"
    fourth = flyte.run(step(('flyte.Cache("auto")', '"override"')), n=3)
    assert told(fourth) == f"ran again: it was asked to replace the result of run {third.name}"


def test_an_equal_call_that_was_still_running(step):
    env = flyte.TaskEnvironment("callers")
    task = step(
        ("return clean(n)", "AT_WORK.append(n)\n    while len(AT_WORK) < 2: await sleep(0)\n    return clean(n)"),
        ("THRESHOLD = 10", "from asyncio import sleep\nTHRESHOLD = 10\nAT_WORK = []"),
    )

    @env.task
    async def main() -> int:
        return sum(await asyncio.gather(task(3), task(3)))

    run = flyte.run(main)
    assert told(run, 2) == (
        f"ran again: an equal call was still running in run {run.name} (Cache(serialize=True) waits for it)"
    )


def test_a_result_that_cannot_be_read(step):
    task = step(("-> int:", "-> bytes:"), ("return clean(n) * factor", "return bytes(5_000_000)"))
    first = flyte.run(task, n=3)
    for blob in open_store().blobs.scan():
        open_store().blobs.remove(blob[0])
    assert told(flyte.run(task, n=3)) == f"ran again: the result of run {first.name} could not be read"


def test_inputs_that_cannot_be_read_have_changed_all_the_same(step):
    env = flyte.TaskEnvironment("told")

    @env.task(cache="auto")
    async def size(data: dict[str, str]) -> int:
        return len(data)

    flyte.run(size, data={str(n): "old" for n in range(5_000)})
    for blob in open_store().blobs.scan():
        open_store().blobs.remove(blob[0])
    assert told(flyte.run(size, data={str(n): "new" for n in range(5_000)})).startswith(
        "ran again: inputs changed (since"
    )


def test_looking_for_reasons_reads_the_index_and_no_table_from_end_to_end():
    with open_store().journal.reading() as connection:
        for sql, parameters in ((reasons._EQUAL, ("k", 9)), (reasons._ALIKE, (0, 9, "t", b"", ""))):
            plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)]
            assert not [step for step in plan if step.startswith("SCAN") and "USING INDEX" not in step], plan

"""What is told of a result: which run it was reused from, or why its body ran although its task is cached."""

from __future__ import annotations

import asyncio
from pathlib import Path

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
def step(tmp_path):
    """Defines the task as a cell does, with `edits` to its source."""

    def define(*edits: tuple[str, str]) -> flyte.TaskTemplate:
        source = CELL
        for old, new in edits:
            assert old in source
            source = source.replace(old, new)
        path = Path(tmp_path, f"cell_{abs(hash(source))}.py")
        path.write_text(source)
        scope = {"env": flyte.TaskEnvironment("told"), "flyte": flyte, "__name__": "__main__"}
        exec(compile(source, str(path), "exec", dont_inherit=True), scope)
        kept.append(scope)
        return scope["step"]

    kept = []
    return define


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
    assert (told(second), told(second, 1)) == (None, f"recovered, from run {first.name}")


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

"""Resuming: what an earlier run has on record as done stands, as long as its task and inputs are what they were."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import time
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import flyte_notebook as flyte
from flyte_notebook import durable, errors
from flyte_notebook.api import launch
from flyte_notebook.engine.recovery import Recovery
from flyte_notebook.record import events
from flyte_notebook.record.model import Phase
from flyte_notebook.record.store import open_store
from tests.loops import run_async

ran: Counter[object] = Counter()
"""Which bodies ran; a counter is state, and so no part of a task's identity."""


@pytest.fixture(autouse=True)
def _fresh(monkeypatch):
    ran.clear()
    monkeypatch.setenv("BROKEN", "1")


def broken() -> bool:
    """What makes a task fail, and is mended from outside its code."""
    return os.environ["BROKEN"] == "1"


def mend() -> None:
    os.environ["BROKEN"] = "0"


def failed(task, **inputs):
    """A run of `task` that has failed."""
    with pytest.raises(errors.RuntimeUserError):
        flyte.run(task, **inputs)
    return flyte.runs()[0]


def marks(run) -> dict[str, tuple[str, bool, int]]:
    return {a.short_name: (a.phase, a.recovered, a.attempts) for a in run.actions()}


# --- what is reused ---------------------------------------------------------------------------------------------------


def program():
    """A fan-out of ten, of which the eighth item fails until it is mended."""
    env = flyte.TaskEnvironment("resumed")

    @env.task
    async def item(n: int) -> int:
        if n == 7 and broken():
            raise ValueError("bad item 7")
        ran[n] += 1
        return n * n

    @env.task
    async def main(n: int) -> int:
        ran["main"] += 1
        return sum([await item(i) for i in range(n)])

    return env, item, main


def test_only_what_failed_or_never_ran_runs_again():
    _, _, main = program()
    first = failed(main, n=10)
    assert ran == {"main": 1, **dict.fromkeys(range(7), 1)}
    mend()
    second = first.resume()
    assert second.outputs()[0] == sum(i * i for i in range(10))
    assert ran == {"main": 2, **dict.fromkeys(range(10), 1)}
    assert second.record.resumed_from == first.name
    recovered = [a for a in second.actions() if a.recovered]
    assert len(recovered) == 7
    assert {(a.phase, a.attempts, a.cached) for a in recovered} == {("SUCCEEDED", 0, False)}


def test_a_run_can_be_resumed_again_and_again():
    env = flyte.TaskEnvironment("again")

    @env.task
    async def item(n: int, budget: int) -> int:
        ran[n] += 1
        return n

    @env.task
    async def main(n: int) -> int:
        total = 0
        for i in range(n):
            if ran["allowed"] <= i:
                raise ValueError(f"not beyond {i}")
            total += await item(i, 0)
        return total

    ran["allowed"] = 2
    run = failed(main, n=8)
    for allowed in (4, 6):
        ran["allowed"] = allowed
        with pytest.raises(errors.RuntimeUserError):
            run.resume()
        run = flyte.runs()[0]
    ran["allowed"] = 8
    assert run.resume().outputs()[0] == sum(range(8))
    del ran["allowed"]
    assert ran == dict.fromkeys(range(8), 1)


def test_what_a_resumed_run_did_not_reach_is_still_recovered_from_the_run_before():
    """A resume that dies early must not lose what the first run had."""
    _, _, main = program()
    first = failed(main, n=10)

    @flyte.TaskEnvironment("resumed").task(short_name="main")
    async def main(n: int) -> int:
        raise RuntimeError("at once")

    with pytest.raises(errors.RuntimeUserError):
        first.resume()
    second = flyte.runs()[0]
    assert second.record.resumed_from == first.name
    _, _, main = program()
    ran.clear()
    mend()
    second.resume()
    assert ran == {"main": 1, **dict.fromkeys(range(7, 10), 1)}


def test_a_resumed_run_that_died_before_its_first_action_is_resumed_nevertheless():
    _, _, main = program()
    first = failed(main, n=10)
    journal = open_store().journal
    journal.append(events.RunStarted("died", events.now(), resumed_from=first.name))
    journal.append(events.RunEnded("died", Phase.ABORTED, events.now()))
    journal.flush().result(20)
    mend()
    second = flyte.runs()[0].resume()
    assert second.outputs()[0] == sum(i * i for i in range(10))
    assert second.record.resumed_from == "died"
    assert ran == {"main": 2, **dict.fromkeys(range(10), 1)}


def test_a_resumed_run_keeps_the_name_that_its_root_was_given():
    _, _, main = program()
    first = failed(main.override(short_name="chapter-1"), n=10)
    mend()
    second = first.resume()
    assert second.action.short_name == "chapter-1"
    assert second.name.startswith("chapter-1-")


def test_other_arguments_of_the_parent_lose_nothing():
    _, _, main = program()
    first = failed(main, n=10)
    mend()
    recovery = Recovery.load(open_store(), first.name)

    async def again():
        return await launch.again(main, {"n": 9}, {}, recovery)

    second = run_async(again())
    assert second.outputs()[0] == sum(i * i for i in range(9))
    assert ran == {"main": 2, **dict.fromkeys(range(9), 1)}


def test_a_group_around_a_call_loses_nothing():
    env = flyte.TaskEnvironment("grouped")

    def define(grouped: bool):
        @env.task
        async def item(n: int) -> int:
            ran[n] += 1
            return n

        if grouped:

            @env.task
            async def main() -> int:
                with flyte.group("all"):
                    return await item(1)

        else:

            @env.task
            async def main() -> int:
                await item(1)
                raise ValueError("not yet")

        return main

    first = failed(define(grouped=False))
    define(grouped=True)
    run = first.resume()
    assert ran == {1: 1}
    assert [(a.group, a.recovered) for a in run.actions() if a.short_name == "item"] == [("all", True)]


def test_equal_calls_are_recovered_as_often_as_they_succeeded():
    env = flyte.TaskEnvironment("equal")

    @env.task
    async def toss(seed: int) -> int:
        ran["toss"] += 1
        if ran["toss"] == 4:
            raise ValueError("the fourth")
        return ran["toss"]

    @env.task
    async def main() -> list[int]:
        return [await toss(0) for _ in range(6)]

    run = failed(main).resume()
    # Three successes stand, each once and in order; three calls ran in this one.
    assert run.outputs()[0] == [1, 2, 3, 5, 6, 7]
    assert [a.recovered for a in run.actions() if a.short_name == "toss"] == [True] * 3 + [False] * 3


def test_a_success_recovered_elsewhere_is_not_used_twice():
    """Recovered under another id, it is on record in two runs; it is one success all the same."""
    env = flyte.TaskEnvironment("once")

    @env.task
    async def toss() -> int:
        ran["toss"] += 1
        return ran["toss"]

    @env.task
    async def main() -> list[int]:
        await toss()
        raise ValueError("first")

    run = failed(main)

    @env.task
    async def main() -> list[int]:
        with flyte.group("moved"):
            await toss()
        raise ValueError("second")

    with pytest.raises(errors.RuntimeUserError):
        run.resume()
    run = flyte.runs()[0]
    assert ran["toss"] == 1

    @env.task
    async def main() -> list[int]:
        with flyte.group("moved"):
            return [await toss(), await toss()]

    assert run.resume().outputs()[0] == [1, 2]
    assert ran["toss"] == 2


def test_a_success_recovered_again_and_again_is_still_one():
    """Made in one place, recovered in another and then there once more: three copies, one success."""
    env = flyte.TaskEnvironment("thrice")

    @env.task
    async def toss() -> int:
        ran["toss"] += 1
        return ran["toss"]

    @env.task
    async def main() -> list[int]:
        await toss()
        raise ValueError("first")

    run = failed(main)

    @env.task
    async def main() -> list[int]:
        with flyte.group("moved"):
            await toss()
        raise ValueError("second, and third")

    for _ in range(2):
        with pytest.raises(errors.RuntimeUserError):
            run.resume()
        run = flyte.runs()[0]

    @env.task
    async def main() -> list[int]:
        with flyte.group("moved"):
            return [await toss(), await toss()]

    assert run.resume().outputs()[0] == [1, 2]


def test_a_success_that_came_along_below_another_as_well_is_not_used_twice():
    env = flyte.TaskEnvironment("along")
    more = 0

    @env.task
    async def toss() -> int:
        ran["toss"] += 1
        return ran["toss"]

    @env.task
    async def through() -> int:
        return more + await toss()

    @env.task
    async def main() -> list[int]:
        await through()
        raise ValueError("first")

    run = failed(main)

    @env.task
    async def main() -> list[int]:
        await toss()
        await through()
        raise ValueError("second")

    with pytest.raises(errors.RuntimeUserError):
        run.resume()
    run = flyte.runs()[0]
    assert ran["toss"] == 1

    more = 1

    @env.task
    async def main() -> list[int]:
        return [await toss(), await through()]

    assert run.resume().outputs()[0] == [1, 1 + 2]


def test_an_edit_that_is_undone_finds_what_was_done_before_it(tmp_path):
    first = failed(define(SOURCE, tmp_path)["main"])
    scope = define(SOURCE.replace("return n % LIMIT", "return 100"), tmp_path)
    with pytest.raises(errors.RuntimeUserError):
        first.resume()
    mend()
    scope = define(SOURCE, tmp_path)
    assert flyte.runs()[0].resume().outputs()[0] == 4 + 5
    assert ran == {"one": 2, "two": 1}
    del scope


def test_runs_that_resume_one_another_in_a_circle_are_read_once():
    """A name may be given again, once the run that had it was cleaned away."""
    _, _, main = program()
    first = failed(main, n=10)
    journal = open_store().journal
    for name, resumed in (("one", "other"), ("other", "one"), ("last", "one")):
        journal.append(events.RunStarted(name, events.now(), resumed_from=resumed))
        journal.append(events.RunEnded(name, Phase.ABORTED, events.now()))
    journal.flush().result(20)
    assert Recovery.load(open_store(), "last").available == 0
    with pytest.raises(errors.ResumeError, match="before its task was on record"):
        flyte.runs()[0].resume()
    assert Recovery.load(open_store(), first.name).available == 7


@pytest.mark.parametrize("seed", range(5))
def test_the_order_in_which_a_gather_ran_does_not_matter(seed):
    env = flyte.TaskEnvironment("shuffled")
    dice = random.Random(seed)

    @env.task
    async def item(n: int) -> int:
        await asyncio.sleep(dice.random() / 100)
        if broken() and n % 5 == 3:
            raise ValueError(n)
        ran[n] += 1
        return n

    @env.task
    async def main() -> int:
        numbers = list(range(20))
        dice.shuffle(numbers)
        results = await asyncio.gather(*(item(n) for n in numbers), return_exceptions=True)
        if any(isinstance(r, Exception) for r in results):
            raise ValueError("some failed")
        return sum(results)

    first = failed(main)
    mend()
    assert first.resume().outputs()[0] == sum(range(20))
    assert ran == dict.fromkeys(range(20), 1)


def test_items_of_a_map_and_groups_are_recovered():
    env = flyte.TaskEnvironment("mapped")

    @env.task
    def item(n: int) -> int:
        if broken() and n == 5:
            raise ValueError(n)
        ran[n] += 1
        return n

    @env.task
    async def main() -> int:
        return sum([r async for r in flyte.map.aio(item, range(8), concurrency=1, return_exceptions=False)])

    first = failed(main)
    assert ran == dict.fromkeys(range(5), 1)
    mend()
    second = first.resume()
    assert second.outputs()[0] == sum(range(8))
    assert ran == dict.fromkeys(range(8), 1)
    assert {a.group for a in second.actions() if a.recovered} == {"mapped.item_map"}


def test_tasks_of_one_name_in_two_environments_are_not_mixed_up():
    one, two = flyte.TaskEnvironment("one"), flyte.TaskEnvironment("two")

    def define(env, result):
        @env.task
        async def item() -> str:
            ran[result] += 1
            return result

        return item

    a, b = define(one, "a"), define(two, "b")

    @one.task
    async def main() -> str:
        text = await a() + await b()
        if broken():
            raise ValueError("not yet")
        return text

    first = failed(main)
    mend()
    assert first.resume().outputs()[0] == "ab"
    assert ran == {"a": 1, "b": 1}


# --- a recovered parent brings its subtree ----------------------------------------------------------------------------


def nested():
    env = flyte.TaskEnvironment("nested")

    @env.task
    async def leaf(n: int) -> int:
        ran["leaf", n] += 1
        return n

    @env.task
    async def maybe(n: int) -> int:
        raise ValueError("always")

    @env.task
    async def branch(n: int) -> int:
        ran["branch", n] += 1
        total = sum([await leaf(i) for i in range(n)])
        with contextlib.suppress(errors.RuntimeUserError):
            await maybe(n)
        return total

    return env, branch


def test_a_recovered_parent_brings_its_recorded_subtree():
    env, branch = nested()

    @env.task
    async def main() -> int:
        total = await branch(3)
        if broken():
            raise ValueError("later")
        return total

    first = failed(main)
    mend()
    second = first.resume()
    assert ran == {("branch", 3): 1, ("leaf", 0): 1, ("leaf", 1): 1, ("leaf", 2): 1}

    def shape(run):
        return [(a.id, a.parent_id, a.short_name, a.phase, a.error) for a in run.actions() if a.parent_id is not None]

    assert sorted(shape(second)) == sorted(shape(first))
    assert all(a.recovered and a.attempts == 0 for a in second.actions() if a.parent_id is not None)
    assert second.outputs()[0] == 3
    # And what was brought along can be looked at, and recovered from again.
    leaf = next(a for a in second.actions() if a.short_name == "leaf")
    assert open_store().journal.output(second.name, leaf.id) is not None


def test_a_parent_recovered_in_another_place_brings_its_subtree_under_new_ids():
    env, branch = nested()

    @env.task
    async def main() -> int:
        await branch(2)
        raise ValueError("not yet")

    first = failed(main)

    @env.task
    async def main() -> int:
        with flyte.group("moved"):
            total = await branch(2)
        return total + await branch(2)

    second = first.resume()
    assert ran == {("branch", 2): 2, ("leaf", 0): 2, ("leaf", 1): 2}
    ids = [a.id for a in second.actions()]
    assert len(set(ids)) == len(ids)
    branches = {a.id: a for a in second.actions() if a.short_name == "branch"}
    leaves = [a for a in second.actions() if a.short_name == "leaf"]
    assert Counter(branches[a.parent_id].recovered for a in leaves) == {True: 2, False: 2}


# --- unchanged means: the transitive fingerprint ----------------------------------------------------------------------

SOURCE = """
LIMIT = 10

def clean(n):
    return n % LIMIT

@env.task
async def one(n: int, step: int = 1) -> int:
    ran["one"] += 1
    return clean(n) + step

@env.task
async def two(n: int) -> int:
    ran["two"] += 1
    return n + 1

@env.task
async def main() -> int:
    total = await one(3) + await two(4)
    if broken():
        raise ValueError("not yet")
    return total
"""


def define(source: str, tmp_path: Path):
    """The tasks of a cell's `source`; each version in a file of its own, as each run of a cell has."""
    path = tmp_path / f"cell_{abs(hash(source))}.py"
    path.write_text(source)
    scope = {"env": flyte.TaskEnvironment("edited"), "ran": ran, "broken": broken, "__name__": "__main__"}
    exec(compile(source, str(path), "exec", dont_inherit=True), scope)
    return scope


@pytest.mark.parametrize(
    ("old", "new", "again"),
    [
        ("return n % LIMIT", "return n % LIMIT + 0", {"one": 2, "two": 1}),
        ("LIMIT = 10", "LIMIT = 11", {"one": 2, "two": 1}),
        ("step: int = 1", "step: int = 2", {"one": 2, "two": 1}),
        ("return n + 1", "return 1 + n", {"one": 1, "two": 2}),
        ("async def two(n: int) -> int:", "async def two(n: int) -> int:  # twice", {"one": 1, "two": 1}),
        ("@env.task\nasync def one", "@env.task(retries=3)\nasync def one", {"one": 1, "two": 1}),
        ("total = await one(3)", "total = 0 + await one(3)", {"one": 1, "two": 1}),
    ],
)
def test_an_edit_makes_what_used_it_run_again_and_nothing_else(old, new, again, tmp_path):
    assert old in SOURCE
    first = failed(define(SOURCE, tmp_path)["main"])
    mend()
    scope = define(SOURCE.replace(old, new), tmp_path)
    first.resume()
    assert ran == again
    del scope


def test_keep_recovers_every_success_also_where_the_code_has_changed(tmp_path):
    first = failed(define(SOURCE, tmp_path)["main"])
    mend()
    scope = define(SOURCE.replace("return n % LIMIT", "return 100"), tmp_path)
    second = first.resume(keep=True)
    assert second.outputs()[0] == 4 + 5
    assert ran == {"one": 1, "two": 1}
    assert second.record.options["keep"] is True
    # What was kept is known by the code that made it: without `keep` it is old.
    os.environ["BROKEN"] = "1"
    with pytest.raises(errors.RuntimeUserError):
        second_failed = first.resume(keep=True)
    second_failed = flyte.runs()[0]
    mend()
    second_failed.resume()
    assert ran == {"one": 2, "two": 1}
    del scope


def test_keep_recovers_no_result_that_is_not_of_the_type_annotated_now(tmp_path):
    first = failed(define(SOURCE, tmp_path)["main"])
    mend()
    returns_text = ('-> int:\n    ran["two"] += 1\n    return n + 1', '-> str:\n    ran["two"] += 1\n    return str(n)')
    summed = ("await two(4)", "int(await two(4))")
    source = SOURCE.replace(*returns_text).replace(*summed)
    scope = define(source, tmp_path)
    assert first.resume(keep=True).outputs() == (8,)
    assert ran == {"one": 1, "two": 2}
    del scope


def test_a_class_that_changed_shape_is_not_forced_upon_what_is_kept():
    env = flyte.TaskEnvironment("shapes")

    def define(more: bool):
        if more:

            @dataclass
            class Point:
                x: int
                y: int

        else:

            @dataclass
            class Point:
                x: int
                tags: list[str] = field(default_factory=list)

        @env.task
        async def make() -> Point:
            ran["make"] += 1
            return Point(1, 2) if more else Point(1)

        @env.task
        async def main() -> int:
            point = await make()
            if broken():
                raise ValueError("not yet")
            return point.x

        return main, make

    keep = define(more=False)
    first = failed(keep[0])
    mend()
    kept = define(more=True)
    assert first.resume(keep=True).outputs()[0] == 1
    assert ran["make"] == 2
    del kept


# --- traces and durable time ------------------------------------------------------------------------------------------


def test_traces_are_recovered():
    env = flyte.TaskEnvironment("traced")

    @flyte.trace
    def ask(prompt: str) -> str:
        ran[prompt] += 1
        return prompt.upper()

    @flyte.trace
    async def ask_later(prompt: str) -> list[str]:
        ran[prompt] += 1
        return [prompt]

    @flyte.trace
    def stream(n: int):
        for i in range(n):
            ran["stream"] += 1
            yield i

    @flyte.trace
    async def astream(n: int):
        for i in range(n):
            ran["astream"] += 1
            yield i

    @env.task
    async def main() -> list[object]:
        got = [ask("a"), await ask_later("b"), list(stream(2)), [i async for i in astream(3)]]
        if broken():
            raise ValueError("not yet")
        return got

    first = failed(main)
    mend()
    run = first.resume()
    assert run.outputs()[0] == ["A", ["b"], [0, 1], [0, 1, 2]]
    assert ran == {"a": 1, "b": 1, "stream": 2, "astream": 3}
    assert [(a.recovered, a.attempts) for a in run.actions() if a.kind == "trace"] == [(True, 0)] * 4


def test_a_recovered_trace_brings_those_inside_it_along():
    env = flyte.TaskEnvironment("inside")

    @flyte.trace
    def inner(n: int) -> int:
        ran["inner"] += 1
        return ran["inner"]

    @flyte.trace
    def outer(n: int) -> int:
        return inner(n)

    @env.task
    async def main() -> list[int]:
        got = [outer(1)]
        if broken():
            raise ValueError("not yet")
        return [*got, inner(1)]

    first = failed(main)
    mend()
    run = first.resume()
    # What is part of another success does not stand for a call of its own.
    assert run.outputs()[0] == [1, 2]
    names = {a.id: a.short_name for a in run.actions()}
    traces = [(a.short_name, names[a.parent_id], a.recovered) for a in run.actions() if a.kind == "trace"]
    assert sorted(traces) == [("inner", "main", False), ("inner", "outer", True), ("outer", "main", True)]


def test_durable_time_tells_again_what_it_told():
    env = flyte.TaskEnvironment("told")
    seen = []

    @env.task
    async def main() -> int:
        seen.append((durable.time(), durable.now(), await durable.time.aio()))
        if broken():
            raise ValueError("not yet")
        return 1

    first = failed(main)
    mend()
    time.sleep(0.01)
    first.resume()
    assert seen[0] == seen[1]


def test_a_durable_sleep_waits_only_the_rest():
    env = flyte.TaskEnvironment("asleep")
    waited = []

    @env.task
    async def main() -> int:
        began = time.monotonic()
        await durable.sleep.aio(0.5)
        waited.append(time.monotonic() - began)
        if broken():
            raise ValueError("not yet")
        return 1

    first = failed(main)
    mend()
    first.resume()
    # The sleep was over long before: what is left of it is nothing.
    assert waited[0] >= 0.5
    assert waited[1] < waited[0] / 2


def test_each_caller_of_durable_time_has_its_own():
    env = flyte.TaskEnvironment("apart")

    @env.task
    async def tell(n: int) -> float:
        at = await durable.time.aio()
        if broken() and n == 1:
            raise ValueError("not yet")
        return at

    @env.task
    async def main(names: list[int]) -> list[float]:
        return [await tell(n) for n in names]

    first = failed(main, names=[0, 1])
    mend()
    times = first.resume().outputs()[0]
    assert times[0] < times[1]


# --- what cannot be resumed -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sync", [False, True])
def test_runs_that_a_task_starts_are_recovered_with_its_own(sync):
    env = flyte.TaskEnvironment("starts")

    @env.task
    async def leaf(n: int) -> int:
        ran[n] += 1
        return n

    @env.task
    async def inner(n: int) -> int:
        total = sum([await leaf(i) for i in range(n)])
        if n == 5 and broken():
            raise ValueError("inner")
        ran["inner", n] += 1
        return total

    @env.task
    async def middle(n: int) -> int:
        return (await flyte.run.aio(inner, n)).outputs()[0]

    @env.task
    async def outer() -> list[int]:
        return [(await flyte.run.aio(inner, 3)).outputs()[0], await middle(5)]

    @env.task
    def outer_sync() -> list[int]:
        return [flyte.run(inner, 3).outputs()[0], flyte.run(middle, 5).outputs()[0]]

    failed(outer_sync if sync else outer)
    first = flyte.api.run.find_run()
    assert first.name.startswith("outer")
    assert ran == {0: 2, 1: 2, 2: 2, 3: 1, 4: 1, ("inner", 3): 1}
    mend()
    assert first.resume().outputs()[0] == [3, 10]
    assert ran == {0: 2, 1: 2, 2: 2, 3: 1, 4: 1, ("inner", 3): 1, ("inner", 5): 1}


def test_a_run_that_succeeded_starts_afresh_and_says_so():
    _, _, main = program()
    mend()
    first = flyte.run(main, n=3)
    with pytest.warns(UserWarning, match="had succeeded"):
        second = first.resume()
    assert ran == {"main": 2, 0: 2, 1: 2, 2: 2}
    assert second.record.resumed_from is None


def test_a_run_that_goes_on_cannot_be_resumed():
    env = flyte.TaskEnvironment("goes-on")

    @env.task
    async def main() -> int:
        while not flyte.runs():
            await asyncio.sleep(0.01)
        (run,) = flyte.runs()
        with pytest.raises(errors.ResumeError, match="still running"):
            await run.resume.aio()
        return 1

    assert flyte.run(main).outputs()[0] == 1


def test_tasks_that_are_not_defined_here_are_named_in_one_error():
    first = failed(program()[2], n=10)
    gc.collect()
    with pytest.raises(errors.ResumeError, match=r"needs resumed\.item, resumed\.main, not defined"):
        first.resume()


def test_options_of_the_run_are_taken_over():
    env = flyte.TaskEnvironment("optional")

    @env.task
    async def main() -> str:
        if broken():
            raise ValueError("not yet")
        return flyte.get_custom_context()["who"]

    with pytest.raises(errors.RuntimeUserError):
        flyte.with_runcontext(custom_context={"who": "me"}, labels={"a": "b"}).run(main)
    first = flyte.runs()[0]
    mend()
    second = first.resume()
    assert second.outputs()[0] == "me"
    assert second.record.options == first.record.options


def test_the_recorded_inputs_are_those_that_the_task_still_takes():
    env = flyte.TaskEnvironment("signatures")

    @env.task
    async def main(a: int, b: int) -> int:
        raise ValueError("not yet")

    first = failed(main, a=1, b=2)

    @env.task
    async def main(a: int, c: int = 3) -> int:
        return a + c

    assert first.resume().outputs()[0] == 1 + 3

    @env.task
    async def main(a: int, d: int) -> int:
        return a + d

    with pytest.raises(ValueError, match="Missing required inputs: d"):
        first.resume()


def test_a_lost_blob_is_made_anew():
    env = flyte.TaskEnvironment("lost")

    @env.task
    async def large() -> bytes:
        ran["large"] += 1
        return b"x" * 1_000_000

    @env.task
    async def main() -> int:
        size = len(await large())
        if broken():
            raise ValueError("not yet")
        return size

    first = failed(main)
    for blob in (open_store().home / "blobs").rglob("*"):
        if blob.is_file():
            blob.unlink()
    mend()
    assert first.resume().outputs()[0] == 1_000_000
    assert ran == {"large": 2}


def test_nothing_warns_when_a_run_is_resumed():
    _, _, main = program()
    first = failed(main, n=10)
    mend()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first.resume()

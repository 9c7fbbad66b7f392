"""What a body prints and logs belongs to its action."""

from __future__ import annotations

import asyncio
import logging
import sys

import flyte_notebook as flyte
from flyte_notebook.engine.cell import open_cell
from flyte_notebook.engine.settings import Settings
from tests.loops import run_async

env = flyte.TaskEnvironment("printing")


@env.task
async def says(word: str) -> int:
    print(f"{word} one")
    await asyncio.sleep(0)
    print(f"{word} two", end="")
    return 1


@env.task
def sync_says(word: str) -> int:
    print(word, file=sys.stderr)
    return 1


@env.task
async def both() -> int:
    print("parent")
    await asyncio.gather(says("a"), says("b"), sync_says.aio("c"))
    return 1


def logs(run: flyte.Run) -> dict[str, str]:
    """Everything written, by short name and input."""
    journal = run.store.journal
    return {action.id: "".join(line.text for line in journal.logs(run.name, action.id)) for action in run.actions()}


def test_concurrent_actions_keep_their_own_lines(capsys):
    run = flyte.run(both)
    assert sorted(logs(run).values()) == ["a one\na two", "b one\nb two", "c\n", "parent\n"]
    seen = capsys.readouterr()
    assert sorted((seen.out + seen.err).replace("two", "two\n").split("\n")) == sorted(
        ["parent", "a one", "b one", "a two", "b two", "c", ""]
    )


def test_hidden_output_is_recorded_and_not_shown(capsys):
    async def cell() -> None:
        async with open_cell(settings=Settings(hide=True)):
            await says("quiet")
            print("the cell's own words are shown")

    run_async(cell())
    assert capsys.readouterr().out == "the cell's own words are shown\n"
    assert list(logs(flyte.runs()[0]).values()) == ["quiet one\nquiet two"]


def test_log_records_reach_the_action(capsys):
    @env.task
    async def logs_words() -> int:
        logging.getLogger("mine").warning("careful")
        flyte.logger.info("for your information")
        return 1

    run = flyte.run(logs_words)
    (text,) = logs(run).values()
    assert "careful" in text
    assert "INFO for your information" in text
    assert text.count("careful") == 1


def test_the_streams_are_the_original_ones_afterwards():
    before = sys.stdout, sys.stderr, list(logging.getLogger().handlers)
    flyte.run(both)
    assert (sys.stdout, sys.stderr, list(logging.getLogger().handlers)) == before


@env.task
def counts(x: int) -> int:
    for _ in range(3):
        print(x, "of", x)
    return x


@env.task
async def count_many(n: int) -> int:
    return len([result async for result in flyte.map.aio(counts, range(n))])


def test_lines_of_tasks_in_many_threads_stay_whole(capsys):
    flyte.run(count_many, 40)
    assert sorted(capsys.readouterr().out.splitlines()) == sorted(f"{x} of {x}" for x in range(40) for _ in range(3))


def test_a_flush_shows_what_is_not_a_line_yet_once(capsys):
    seen = []

    @env.task
    async def progress() -> int:
        print("1", end="")
        seen.append(capsys.readouterr().out)
        print("2", end="", flush=True)
        seen.append(capsys.readouterr().out)
        print("3")
        seen.append(capsys.readouterr().out)
        return 1

    run = flyte.run(progress)
    assert seen == ["", "12", "3\n"]
    assert list(logs(run).values()) == ["123\n"]

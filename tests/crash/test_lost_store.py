"""The store taken away under a running kernel: said in one clear error, and the next run has a store again."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

import flyte_notebook as flyte
from flyte_notebook import errors
from flyte_notebook.engine.runs import live_runs
from flyte_notebook.record.store import Store, open_store

env = flyte.TaskEnvironment("lost")
GONE = "was deleted, moved or replaced while it was in use"


class Misfortune:
    """What a test wants to happen in the middle of a run; no part of a task's identity."""

    happen = None


misfortune = Misfortune()


@env.task
async def leaf(n: int) -> bytes:
    return bytes([n]) * (100_000 if n % 5 == 0 else 10)


@env.task
async def main(n: int) -> int:
    total = 0
    for i in range(n):
        total += len(await leaf(i))
        if i == n // 2:
            open_store().journal.flush().result(20)
            misfortune.happen()
    return total


def delete():
    shutil.rmtree(open_store().home)


def move():
    home = open_store().home
    home.rename(home.with_name(f"{home.name}-moved"))


def replace_by_a_new_store():
    """As when another kernel makes it again."""
    home = open_store().home
    shutil.rmtree(home)
    Store(home).journal.close()


def replace_by_an_older_copy():
    path = open_store().journal.path
    copy = path.with_name("copy.db")
    shutil.copy(path, copy)
    copy.rename(path)


def replace_by_something_else():
    path = open_store().journal.path
    path.with_name("other").write_bytes(b"no database at all" * 1000)
    path.with_name("other").rename(path)
    for rest in ("journal.db-wal", "journal.db-shm"):
        path.with_name(rest).unlink(missing_ok=True)


def rest():
    """Let the writer end its thread and close the file, as it does when nothing happens for a while."""
    thread = open_store().journal._writer._thread
    if thread is not None:
        thread.join(20)


def after_a_rest(happen):
    def happens():
        rest()
        happen()

    happens.__name__ = f"{happen.__name__}_after_a_rest"
    return happens


WAYS = [delete, move, replace_by_a_new_store, replace_by_an_older_copy, replace_by_something_else]


@pytest.mark.parametrize("way", [*WAYS, *map(after_a_rest, WAYS)], ids=lambda way: way.__name__)
def test_a_store_that_is_lost_in_mid_run_is_an_error_that_names_it(home, way):
    misfortune.happen = way
    with pytest.raises(errors.JournalError) as caught:
        flyte.run(main, n=20)
    assert GONE in str(caught.value)
    assert str(home) in str(caught.value)
    assert not live_runs
    misfortune.happen = lambda: None
    journal = home / "journal.db"
    if way.__name__.startswith("replace_by_something_else"):
        with pytest.raises(errors.JournalError, match="It is damaged: move it away"):
            flyte.run(main, n=20)
        journal.unlink()
    # The next run has a store, and a record in it, that others see.
    run = flyte.run(main, n=20)
    assert run.outputs()[0] == 4 * 100_000 + 160
    other = Store(home)
    assert len(other.journal.actions(run.name)) == 21
    assert other.journal.run(run.name).phase == "SUCCEEDED"
    other.close()


def test_a_store_that_is_deleted_between_two_runs_is_made_again(home):
    misfortune.happen = lambda: None
    flyte.run(main, n=4)
    for idle in (False, True):
        if idle:
            rest()
        shutil.rmtree(home)
        assert flyte.runs() == []
        shutil.rmtree(home)
        run = flyte.run(main, n=4)
        assert [found.name for found in flyte.runs()] == [run.name]
        assert run.outputs() == (100_030,)


def test_a_run_in_a_new_store_is_seen_to_be_alive_by_others(home):
    """Its life sign must not be in the file that was deleted."""

    @env.task
    async def waits() -> str:
        look = "import flyte_notebook as flyte; print(flyte.runs()[0].phase)"
        await asyncio.sleep(0.1)
        return subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True).stdout.strip()

    @env.task(short_name="outer")
    async def unlucky() -> None:
        shutil.rmtree(home)

    with pytest.raises(errors.JournalError, match=GONE):
        flyte.run(unlucky)
    assert flyte.run(waits).outputs()[0] == "RUNNING"


READ_ONLY = """
    import os, sys
    from pathlib import Path
    import flyte_notebook as flyte
    import concurrent.futures.thread
    import flyte_notebook.api.resume
    from flyte_notebook import errors
    from flyte_notebook.record.store import open_store
    env = flyte.TaskEnvironment("locked")
    journal = Path(os.environ["FLYTE_NOTEBOOK_HOME"]) / "journal.db"

    @env.task
    async def leaf(n: int) -> int:
        return n

    @env.task
    async def main(n: int) -> int:
        total = 0
        for i in range(n):
            total += await leaf(i)
            if i == 5 and "READ_ONLY" in os.environ:
                del os.environ["READ_ONLY"]
                open_store().journal.flush().result(20)
                open_store().journal._writer._thread.join(20)
                for path in (journal, journal.parent):
                    path.chmod(path.stat().st_mode & 0o555)
        return total

    # Once with all rights, so that all modules are loaded; then as somebody whom permissions concern.
    flyte.run(main, 3)
    open_store().close()
    if os.geteuid() == 0:
        for path in (journal.parent, *journal.parent.rglob("*")):
            os.chown(path, 65534, 65534)
        os.setgid(65534)
        os.setuid(65534)
    os.environ["READ_ONLY"] = "1"
    try:
        flyte.run(main, 20)
    except errors.JournalError as error:
        print(error)
    journal.parent.chmod(0o700)
    journal.chmod(0o600)
    again = flyte.runs()[0].resume()
    print(again.outputs()[0], sum(action.recovered for action in again.actions()))
"""


def test_a_journal_that_becomes_read_only_in_mid_run():
    # Not in pytest's own folder, which only its owner may enter.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        environment = {**os.environ, "FLYTE_NOTEBOOK_HOME": f"{folder}/home"}
        command = [sys.executable, "-c", textwrap.dedent(READ_ONLY)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.stderr == ""
    message, result = done.stdout.splitlines()
    assert f"{folder}/home" in message
    assert "It must be writable: check its permissions" in message
    assert result == "190 6"

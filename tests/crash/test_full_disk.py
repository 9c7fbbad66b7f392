"""No room, at any step of writing: one clear error, nothing torn, a kernel that goes on, and a run that is resumed."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from pathlib import Path

import pytest

import flyte_notebook as flyte
from flyte_notebook import errors
from flyte_notebook.engine.runs import live_runs
from flyte_notebook.record.blobs import BlobStore
from flyte_notebook.record.store import open_store

env = flyte.TaskEnvironment("full")
ran: Counter[int] = Counter()
before: Counter[int] = Counter()
"""What is to happen before a leaf returns: set by the tests, and no part of the tasks' identity."""
LARGE = 100_000


@pytest.fixture(autouse=True)
def _fresh():
    ran.clear()
    before.clear()


@env.task
async def leaf(n: int, size: int) -> bytes:
    ran[n] += 1
    await asyncio.sleep(0.002)
    return bytes([n % 256]) * size


@env.task
async def main(n: int, size: int) -> int:
    total = 0
    for first in range(0, n, 10):
        total += sum(map(len, await asyncio.gather(*(leaf(i, size) for i in range(first, first + 10)))))
        happens()
    return total


def happens() -> None:
    """Call what a test has put in place, once."""
    call, trigger.call = trigger.call, None
    if call is not None:
        call()


class Trigger(threading.local):
    call = None


trigger = Trigger()


def fill_the_journal():
    """Leave the journal no more than a page or two beyond what it has."""
    open_store().journal.flush().result(20)
    ledger = open_store().journal._writer._ledger
    with open_store().journal._writer._writing:
        connection = ledger.access.connection()
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count={pages + 1}")


def whole():
    """Every blob is what its name says, and nothing else lies in the store; the journal is in order."""
    store = open_store()
    with store.journal.reading() as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    for sha, _, _ in store.blobs.scan():
        assert hashlib.sha256(store.blobs.peek(sha)).hexdigest() == sha
    assert not list(store.blobs.root.glob(".*"))


def check_failed_and_resumed(task_runs, error, message):
    """The run fails with one such error; nothing is left of it but its record; with room again it is resumed."""
    with pytest.raises(error, match=message) as caught:
        task_runs()
    assert str(open_store().home) in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert not live_runs
    whole()
    run = flyte.runs()[0]
    assert run.phase in ("ABORTED", "FAILED")
    done = {action.id for action in run.actions() if action.phase == "SUCCEEDED"}
    again = run.resume()
    assert {action.id for action in again.actions() if action.recovered} == done
    whole()
    return again


def test_a_journal_without_room_fails_the_run_which_is_resumed():
    trigger.call = fill_the_journal
    again = check_failed_and_resumed(
        lambda: flyte.run(main, n=200, size=3000), errors.JournalError, r"disk is full: make room \(`%flyte clean`"
    )
    assert again.outputs()[0] == 200 * 3000
    assert max(ran.values()) <= 2
    assert 10 <= sum(action.recovered for action in again.actions()) < 200


def test_a_body_that_catches_everything_cannot_hide_it():
    @env.task
    async def stubborn(n: int) -> int:
        caught = 0
        for i in range(n):
            try:
                await leaf(i, 3000)
            except BaseException:
                caught += 1
            if i == 3:
                fill_the_journal()
        return caught

    with pytest.raises(errors.JournalError, match="disk is full"):
        flyte.run(stubborn, n=60)
    assert flyte.runs()[0].phase == "ABORTED"
    assert flyte.run(main, n=10, size=1).outputs() == (10,)


def test_a_body_that_waits_in_a_thread_is_not_waited_for_in_vain():
    @env.task
    def word(n: int) -> str:
        return f"{n} " * 1000

    @env.task
    def blocking(n: int) -> int:
        total = sum(len(word(i)) for i in range(n))
        fill_the_journal()
        return total + sum(len(word(i)) for i in range(n, 50 * n))

    with pytest.raises(errors.JournalError, match="disk is full"):
        flyte.run(blocking, n=5)
    assert not live_runs


# --- blobs --------------------------------------------------------------------------------------------------------------

STEPS = ("mkdir", "open", "write", "replace", "lstat", "close", "fstat")


class Faulty:
    """Lets the call number `fail_at` of the functions that write blobs fail, and all later ones while the disk is full."""

    def __init__(self, monkeypatch, root):
        self.root = root
        self.calls: list[str] = []
        self.fail_at: int | None = None
        self.lasting = False
        self.mine: set[int] = set()
        for name in STEPS:
            monkeypatch.setattr(os, name, self.watched(name, getattr(os, name)))

    def watched(self, name, function):
        def call(*args, **kwargs):
            if not self.concerns(args[0]):
                return function(*args, **kwargs)
            number = len(self.calls)
            self.calls.append(name)
            if name == "close":
                # The file is closed whatever close(2) says.
                self.mine.discard(args[0])
                function(*args, **kwargs)
            if self.fail_at is not None and (number == self.fail_at or (self.lasting and number > self.fail_at)):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(args[0]))
            if name == "close":
                return None
            if name == "write" and number % 2:
                # A short write, as signals and nearly full disks cause.
                return function(args[0], args[1][: max(len(args[1]) // 2, 1)])
            result = function(*args, **kwargs)
            if name == "open":
                self.mine.add(result)
            return result

        return call

    def concerns(self, what):
        if isinstance(what, int):
            return what in self.mine
        return isinstance(what, str | os.PathLike) and Path(what).is_relative_to(self.root)


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
def test_a_blob_that_cannot_be_written_at_some_step_leaves_nothing_torn(tmp_path, monkeypatch, lasting):
    content = [b"one " * 200_000, b"two " * 200_000]
    counting = Faulty(monkeypatch, tmp_path / "count")
    name = BlobStore(tmp_path / "count").put(content)
    steps = len(counting.calls)
    assert {"mkdir", "open", "write", "replace", "close"} <= set(counting.calls)
    for step in range(steps):
        root = tmp_path / f"at-{step}"
        faulty = Faulty(monkeypatch, root)
        faulty.fail_at, faulty.lasting = step, lasting
        store = BlobStore(root)
        said = f"{root} No space left on device Make room"
        try:
            assert store.put(content) == name
        except errors.StoreError as error:
            said = str(error)
        assert all(part in said for part in (str(root), "No space left on device", "Make room"))
        faulty.fail_at = None
        # Nobody is told of a blob that is not there, and what is there is whole.
        for reader in (store, BlobStore(root)):
            if reader.exists(name):
                assert bytes(reader.open(name)) == b"".join(content)
        assert not list(root.glob(".*"))
        assert store.put(content) == name
        assert bytes(BlobStore(root).open(name)) == b"".join(content)
        monkeypatch.undo()
        monkeypatch.setenv("FLYTE_NOTEBOOK_HOME", str(tmp_path))


@pytest.mark.parametrize("where", ["result", "input"])
def test_a_run_whose_values_find_no_room_fails_and_is_resumed(monkeypatch, where):
    root = open_store().blobs.root
    faulty = Faulty(monkeypatch, root)

    def fill():
        faulty.fail_at, faulty.lasting = len(faulty.calls), True

    @env.task
    async def takes(value: bytes) -> int:
        return len(value)

    @env.task(short_name="main")
    async def passes(n: int) -> int:
        total = 0
        for i in range(n):
            total += await takes(bytes([i]) * LARGE) if where == "input" else len(await leaf(i, LARGE))
            if i == 3:
                happens()
        return total

    trigger.call = fill

    def run():
        try:
            flyte.run(passes, n=8)
        finally:
            faulty.fail_at = None

    again = check_failed_and_resumed(run, errors.RuntimeSystemError, r"No space left on device.*Make room")
    assert again.outputs() == (8 * LARGE,)
    assert sum(action.recovered for action in again.actions()) == 4


# --- a limit of the operating system ------------------------------------------------------------------------------------

LIMITED = """
    import asyncio, os, resource, signal, sys
    import flyte_notebook as flyte
    from flyte_notebook import errors
    from flyte_notebook.record.store import open_store
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    env = flyte.TaskEnvironment("limited")
    kind, size = sys.argv[1], int(sys.argv[2])
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)

    @env.task
    async def leaf(n: int, size: int) -> bytes:
        return bytes([n % 256]) * size

    @env.task
    async def main(n: int, size: int) -> int:
        total = 0
        for i in range(n):
            total += len(await leaf(i, size))
            if i == 20:
                await asyncio.sleep(0.3)
                if os.environ.pop("LIMIT", None):
                    # No file may grow beyond this any more.
                    bytes_now = (open_store().home / "journal.db-wal").stat().st_size
                    limit = bytes_now + 4096 if size < 8000 else 2**20
                    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, unlimited[1]))
        return total

    os.environ["LIMIT"] = "1"
    try:
        flyte.run(main, 40, size)
        print("no error")
    except (errors.JournalError, errors.RuntimeSystemError) as error:
        print(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    run = flyte.runs()[0]
    print(run.phase)
    again = run.resume()
    print(again.outputs()[0], sum(action.recovered for action in again.actions()) >= 20)
    with open_store().journal.reading() as connection:
        print(connection.execute("PRAGMA integrity_check").fetchall())
"""


@pytest.mark.parametrize("size", [3000, 2 * 2**20], ids=["journal", "blobs"])
def test_a_file_that_may_not_grow_fails_the_run_which_is_resumed(home, size):
    command = [sys.executable, "-c", textwrap.dedent(LIMITED), "x", str(size)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    message, phase, result, integrity = done.stdout.splitlines()
    assert str(home) in message
    assert "make room" in message.lower()
    assert phase in ("ABORTED", "FAILED")
    assert result == f"{40 * size} True"
    assert integrity == "[('ok',)]"

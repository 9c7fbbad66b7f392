"""Cleaning while others are at work: no value goes that a run needs, whatever happens between the looks."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

import flyte_notebook as flyte
from flyte_notebook.errors import BlobCorruptError
from flyte_notebook.record.blobs import BlobStore
from flyte_notebook.record.codec import converter
from flyte_notebook.record.store import open_store
from tests.record.journal_cases import at_work, clean, ended, finished, large, put, started, submitted
from tests.record.test_store import age, record

NOW = dt.timedelta(0)

env = flyte.TaskEnvironment("cleaning")


@pytest.fixture
def store(home):
    store = open_store()
    yield store
    store.close()


def test_a_value_that_is_put_again_between_the_look_and_the_removal_stays(store, monkeypatch):
    sha = store.blobs.put([b"again" * 1000])
    age(store, sha)
    real_scan = store.blobs.scan

    def scan_and_put():
        found = list(real_scan())
        assert store.blobs.put([b"again" * 1000]) == sha
        return found

    monkeypatch.setattr(store.blobs, "scan", scan_and_put)
    assert clean(store, NOW).blobs == 0
    assert bytes(store.blobs.open(sha)) == b"again" * 1000


def test_a_value_that_is_put_while_it_is_being_removed_is_there_afterwards(store, monkeypatch):
    content = b"meanwhile" * 1000
    sha = store.blobs.put([content])
    age(store, sha)
    other = BlobStore(store.blobs.root)
    assert bytes(other.open(sha)) == content
    steps = []
    for name in ("lstat", "rename", "unlink"):
        real = getattr(type(store.home), name)

        def step(path, *args, real=real, **named):
            if threading.current_thread() is threading.main_thread() and store.blobs.root in path.parents and not steps:
                steps.append(path)
                # Another process, between two steps of the removal.
                assert other.put([content]) == sha
            return real(path, *args, **named)

        with monkeypatch.context() as patch:
            patch.setattr(type(store.home), name, step)
            steps.clear()
            store.blobs.remove(sha, unused_since=time.time() - 60)
        assert bytes(store.blobs.open(sha)) == content
        age(store, sha)


def test_a_value_that_is_read_while_cleaning_has_it_in_its_hands_is_found(store, monkeypatch):
    content = b"held" * 1000
    sha = store.blobs.put([content])
    path = store.blobs.path(sha)
    aside = path.with_name("aside")
    path.rename(aside)

    def put_back(seconds: float) -> None:
        """Instead of the last, longest wait for it."""
        if seconds > 0.01:
            aside.rename(path)

    monkeypatch.setattr(time, "sleep", put_back)
    assert bytes(store.blobs.open(sha)) == content


def test_only_what_was_planned_goes(store):
    record(store, "first-1", 1, days=0, blob=store.blobs.put([b"first" * 1000]))
    names = [sha for sha, _, _ in store.blobs.scan()]
    age(store, *names)
    planned = store.plan_cleaning(NOW)
    second = store.blobs.put([b"second" * 1000])
    record(store, "second-2", 2, days=0, blob=second)
    age(store, second)
    cleaned = store.clean(planned)
    assert cleaned == planned
    assert (cleaned.runs, list(cleaned.values)) == (["first-1"], names)
    assert [run.name for run in store.journal.runs()] == ["second-2"]
    assert store.blobs.exists(second)


def test_what_was_planned_stays_when_a_run_has_come_to_need_it(store):
    sha = store.blobs.put([b"shared" * 1000])
    record(store, "first-1", 1, days=1, blob=sha)
    age(store, sha)
    planned = store.plan_cleaning(NOW)
    record(store, "second-2", 2, days=0, blob=sha)
    age(store, sha)
    cleaned = store.clean(planned)
    assert (cleaned.runs, cleaned.blobs) == (["first-1"], 0)
    assert cleaned.bytes < planned.bytes
    assert bytes(store.blobs.open(sha)) == b"shared" * 1000


def test_what_was_planned_stays_when_a_run_that_may_use_it_has_begun(store):
    sha = store.blobs.put([b"recent" * 1000])
    os.utime(store.blobs.path(sha), (time.time() - 60,) * 2)
    planned = store.plan_cleaning(NOW)
    assert (planned.blobs, planned.busy) == (1, False)
    put(store.journal, started())
    assert store.clean(planned).blobs == 0
    later = store.plan_cleaning(NOW)
    assert (later.blobs, later.held, later.busy) == (0, 6000, True)
    put(store.journal, finished())
    assert clean(store, NOW).blobs == 1


def test_what_a_slow_cleaning_finds_does_not_grow_old_while_it_works(store, monkeypatch):
    store.blobs.put([b"fresh" * 1000])
    real_time, real_scan = time.time, store.blobs.scan
    later = 0.0

    def scan():
        nonlocal later
        yield from list(real_scan())
        later = 10_000.0

    monkeypatch.setattr(store.blobs, "scan", scan)
    monkeypatch.setattr(time, "time", lambda: real_time() + later)
    assert clean(store, NOW).blobs == 0


def test_a_result_that_is_reused_outlives_the_run_that_made_it(store):
    @env.task(cache="auto")
    async def makes(size: int) -> np.ndarray:
        return np.ones(size)

    first = flyte.run(makes, 100_000)
    names = [sha for sha, _, _ in store.blobs.scan()]
    age(store, *names)
    cleaned = []

    @env.task
    async def main() -> float:
        made = await makes(100_000)
        # Before what was reused is committed.
        cleaned.append(clean(store, NOW))
        return float(made.sum())

    second = flyte.run(main)
    assert first.name in cleaned[0].runs
    root, reused = second.actions()
    assert reused.cached
    output = store.journal.output(second.name, reused.id)
    assert converter(np.ndarray).decode(output, store.blobs).sum() == 100_000


def test_while_another_process_is_at_work_fresh_values_stay_though_its_run_is_not_on_record_yet(store):
    with at_work(store) as other:
        sha = store.blobs.put([b"its own" * 1000])
        os.utime(store.blobs.path(sha), (time.time() - 60,) * 2)
        planned = store.plan_cleaning(NOW)
        assert (planned.blobs, planned.held, planned.busy, planned.going) == (0, 7000, True, False)
        assert store.clean(planned).blobs == 0
        other.stdin.close()
    assert clean(store, NOW).blobs == 1


def test_a_value_in_memory_outlives_its_file_and_can_be_passed_on(store):
    array = np.random.default_rng(0).random(200_000)
    sealed = converter(np.ndarray).encode(array).seal(store.blobs)
    held = converter(np.ndarray).decode(sealed, store.blobs)
    names = [sha for sha, _, _ in store.blobs.scan()]
    age(store, *names)
    assert clean(store, NOW).blobs == len(names)
    np.testing.assert_array_equal(held, array)
    again = converter(np.ndarray).encode(held).seal(store.blobs)
    np.testing.assert_array_equal(converter(np.ndarray).decode(again, BlobStore(store.blobs.root)), array)


CLEANER = """
    import datetime as dt, sys
    from pathlib import Path
    from flyte_notebook.record import housekeeping
    from flyte_notebook.record.store import Store
    store = Store(Path(sys.argv[1]))
    for line in sys.stdin:
        cleaned = store.clean(store.plan_cleaning(dt.timedelta(days=float(line))))
        print(len(cleaned.runs), cleaned.blobs, flush=True)
    store.close()
"""


class Cleaner:
    """Another process that cleans the store when it is told to."""

    def __init__(self, store):
        command = [sys.executable, "-c", textwrap.dedent(CLEANER), str(store.home)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def clean(self, days: float) -> tuple[int, int]:
        self.process.stdin.write(f"{days}\n")
        self.process.stdin.flush()
        runs, blobs = self.process.stdout.readline().split()
        return int(runs), int(blobs)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with self.process:
            self.process.stdin.close()
        assert self.process.returncode == 0


class World:
    """What a store ought to hold: finished runs by name, each with its age and its blob; and one in progress."""

    def __init__(self, store, seed):
        self.store = store
        self.random = np.random.default_rng(seed)
        self.runs: dict[str, tuple[float, str]] = {}
        self.going: dict[str, str] = {}
        self.mapped: list[tuple[memoryview, bytes]] = []
        self.count = 0

    def content(self) -> bytes:
        """Of a few, so that runs share some."""
        return bytes([int(self.random.integers(0, 6))]) * int(self.random.choice([9_000, 1_200_000]))

    def finish_one(self):
        self.count += 1
        days = float(self.random.integers(0, 20))
        sha = self.store.blobs.put([self.content()])
        name = f"run-{self.count}"
        record(self.store, name, self.count, days=days, blob=sha)
        self.runs[name] = days, sha
        # Unless it has been put for a run in progress.
        if sha not in self.going.values() and self.random.random() < 0.7:
            age(self.store, sha)

    def begin_one(self):
        self.count += 1
        name = f"going-{self.count}"
        put(self.store.journal, started(name, at=time.time() - 30 * 86400))
        self.going[name] = self.store.blobs.put([self.content()])

    def end_one(self):
        if not self.going:
            return
        name, sha = self.going.popitem()
        put(
            self.store.journal,
            submitted(self.count, run=name),
            ended(self.count, run=name, output=large(sha)),
            finished(name, at=time.time()),
        )
        self.runs[name] = 0.0, sha

    def map_one(self):
        if self.runs:
            _, sha = self.runs[str(self.random.choice(list(self.runs)))]
            content = self.store.blobs.open(sha)
            self.mapped.append((content, bytes(content[:100])))

    def cleaned(self, days: float):
        self.runs = {name: run for name, run in self.runs.items() if run[0] < days}

    def check(self):
        assert {run.name for run in self.store.journal.runs()} == {*self.runs, *self.going}
        for sha in [sha for _, sha in self.runs.values()] + list(self.going.values()):
            assert self.store.blobs.exists(sha)
            BlobStore(self.store.blobs.root).open(sha)
        for content, beginning in self.mapped:
            assert bytes(content[:100]) == beginning


@pytest.mark.parametrize("seed", range(4))
def test_nothing_that_is_needed_goes_whatever_happens_in_two_processes(store, seed):
    world = World(store, seed)
    removed = 0
    with Cleaner(store) as cleaner:
        for step in world.random.integers(0, 10, 60):
            if step < 4:
                world.finish_one()
            elif step < 6:
                world.begin_one()
            elif step < 7:
                world.end_one()
            elif step < 8:
                world.map_one()
            else:
                days = float(world.random.integers(1, 15)) - 0.5
                removed += cleaner.clean(days)[1] if step == 8 else clean(store, dt.timedelta(days=days)).blobs
                world.cleaned(days)
                world.check()
    world.check()
    assert removed > 0


def test_a_kernel_at_work_loses_nothing_to_another_that_cleans_all_the_time(store):
    @env.task(cache="auto")
    async def makes(number: int) -> np.ndarray:
        return np.full(150_000, number)

    @env.task
    async def main(start: int) -> list[int]:
        sums = []
        for number in range(start, start + 5):
            data = await makes(number % 4)
            sums.append(int((await makes(int(data[0]) + 100)).max()))
        return sums

    stop = threading.Event()
    counts = []

    def clean(cleaner):
        while not stop.is_set():
            counts.append(cleaner.clean(1e-9))

    with Cleaner(store) as cleaner:
        thread = threading.Thread(target=clean, args=(cleaner,))
        thread.start()
        try:
            for start in range(12):
                run = flyte.run(main, start)
                assert run.outputs()[0] == [number % 4 + 100 for number in range(start, start + 5)]
        finally:
            stop.set()
            thread.join()
    assert sum(runs for runs, _ in counts) > 0


def test_a_value_that_was_cleaned_away_is_missing_by_name(store):
    sha = store.blobs.put([b"x" * 9000])
    assert store.blobs.remove(sha, unused_since=time.time() + 1)
    assert not store.blobs.remove(sha, unused_since=time.time() + 1)
    with pytest.raises(BlobCorruptError, match="missing from the store"):
        store.blobs.open(sha)

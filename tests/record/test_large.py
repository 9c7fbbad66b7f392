"""Large values of every kind: exact, stored once, beside the pickle and not in it, and private to whoever reads them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flyte_notebook.record.blobs import BlobStore
from flyte_notebook.record.codec import converter, references
from tests.record.codec_cases import Plain, drafted
from tests.record.large_cases import CASES, COUNT, numbers, sealed

BESIDE = [name for name, case in CASES.items() if case.beside]


@pytest.fixture
def blobs(tmp_path):
    return BlobStore(tmp_path / "blobs")


def contents(blobs: BlobStore) -> dict[str, bytes]:
    return {name: blobs.path(name).read_bytes() for name, _, _ in blobs.scan()}


@pytest.mark.parametrize("annotation", [None, Any], ids=["typed", "untyped"])
@pytest.mark.parametrize("name", CASES)
def test_it_arrives_as_it_was_and_is_written_once(name, annotation, blobs):
    make, same, *_ = CASES[name]
    value = make()
    annotation = annotation or CASES[name].annotated
    first = sealed(annotation, value, blobs)
    arrived = converter(annotation).decode(first, blobs)
    same(arrived, value)
    written = sum(map(len, contents(blobs).values()))
    # The same again, an equal one, and the one that has arrived.
    for equal in (value, make(), arrived):
        assert sealed(annotation, equal, blobs).digest == first.digest
    if CASES[name].beside:
        assert sum(map(len, contents(blobs).values())) < 1.1 * written


@pytest.mark.parametrize("name", CASES)
def test_whoever_reads_it_may_write_and_nobody_else_sees_that(name, blobs):
    make, same, memory, *_ = CASES[name]
    value = make()
    record = sealed(CASES[name].annotated, value, blobs)
    before = contents(blobs)
    decode = converter(CASES[name].annotated).decode
    mine, yours = decode(record, blobs), decode(record, blobs)
    for part in memory(mine):
        if not part.flags.writeable:
            # Pandas hands its memory out for reading.
            part.flags.writeable = True
        part[...] = part[::-1].copy()
        part[:1] = part[-1:]
    same(yours, value)
    same(value, make())
    same(decode(record, blobs), value)
    assert contents(blobs) == before


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.memory(case.make())])
def test_reading_it_copies_nothing(name, blobs):
    record = sealed(CASES[name].annotated, CASES[name].make(), blobs)
    opened = []
    real_open = blobs.open
    blobs.open = lambda sha: opened.append(real_open(sha)) or opened[-1]
    arrived = converter(CASES[name].annotated).decode(record, blobs)
    maps = [np.frombuffer(content, "u1") for content in opened]
    for part in CASES[name].memory(arrived):
        assert any(np.shares_memory(part, content) for content in maps)


@pytest.mark.parametrize("name", BESIDE)
def test_its_memory_lies_beside_the_envelope(name, blobs):
    record = sealed(CASES[name].annotated, CASES[name].make(), blobs)
    envelope = record.data if record.data is not None else bytes(blobs.peek(record.blob))
    assert references(envelope)
    assert len(envelope) < 70_000


def test_digests_are_equal_in_another_process(tmp_path, blobs):
    here = {name: sealed(case.annotated, case.make(), blobs).digest.hex() for name, case in CASES.items()}
    command = [sys.executable, "-m", "tests.record.large_cases", str(tmp_path / "elsewhere")]
    done = subprocess.run(
        command,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert dict(line.split("\t") for line in done.stdout.splitlines()) == here


def test_a_mapped_array_arrives(tmp_path, blobs):
    np.save(tmp_path / "a.npy", numbers())
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    arrived = converter(np.ndarray).decode(sealed(np.ndarray, mapped, blobs), blobs)
    np.testing.assert_array_equal(arrived, numbers())


# --- one reading for all who asked before it began --------------------------------------------------------------------


@pytest.fixture
def readings(blobs, monkeypatch):
    """How often large memory was read, to be stored."""
    counted = []
    real_put = blobs.put

    def put(parts):
        if sum(map(len, parts)) > COUNT:
            counted.append(parts)
        return real_put(parts)

    monkeypatch.setattr(blobs, "put", put)
    return counted


def test_many_calls_with_one_table_read_it_once(blobs, readings):
    table = pd.DataFrame({"a": numbers()})
    drafts = [drafted(dict[str, Any], {"table": table, "i": i}) for i in range(20)]
    records = [draft.seal(blobs) for draft in drafts]
    assert len(readings) == 1
    assert len({record.digest for record in records}) == 20
    for i, record in enumerate(records):
        assert converter(dict[str, Any]).decode(record, blobs)["i"] == i


def test_a_call_made_after_a_reading_began_reads_again(blobs, readings):
    array = numbers()
    first, second = drafted(np.ndarray, array), drafted(np.ndarray, array)
    one = first.seal(blobs)
    array[:] = 7
    third = drafted(np.ndarray, array)
    other = third.seal(blobs)
    assert len(readings) == 2
    assert one.digest != other.digest
    assert converter(np.ndarray).decode(one, blobs)[0] != 7
    assert set(converter(np.ndarray).decode(other, blobs)) == {7}
    # What was there when it was asked for is gone, and what was read since is as good.
    assert second.seal(blobs).digest == other.digest
    assert len(readings) == 2


def test_one_reading_in_one_store_counts_for_no_other(tmp_path, blobs):
    array = numbers()
    other = BlobStore(tmp_path / "other")
    drafts = [drafted(np.ndarray, array) for _ in range(2)]
    for draft, store in zip(drafts, (blobs, other), strict=True):
        np.testing.assert_array_equal(converter(np.ndarray).decode(draft.seal(store), store), array)


def test_threads_that_store_changing_memory_get_what_was_there_no_earlier_than_they_asked(blobs):
    array = np.zeros(COUNT)
    failures: list[str] = []

    def work(seed: int) -> None:
        for step in np.random.default_rng(seed).integers(0, 3, 30):
            with counting:
                if step == 0:
                    # One after another, so that "no earlier" can be told by comparing.
                    array[:] += 1
                asked = array[0]
                draft = drafted(np.ndarray, array)
            seen = converter(np.ndarray).decode(draft.seal(blobs), blobs)
            if seen.min() < asked:
                failures.append(f"{seed}: {seen.min()} is from before {asked}")

    counting = threading.Lock()
    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


# --- changed by its owner meanwhile -----------------------------------------------------------------------------------


CHANGED = {
    "array": (numbers, lambda value: value.fill(7)),
    "a little": (numbers, lambda value: np.add(value, 1e-12, out=value)),
    "table": (lambda: pd.DataFrame(numbers().reshape(-1, 1), copy=False), lambda value: owner(value).fill(7)),
    "series": (lambda: pd.Series(numbers(), copy=False), lambda value: owner(value).fill(7)),
    "array in a list": (lambda: [numbers(), "x"], lambda value: value[0].fill(7)),
    "array in an object": (lambda: Plain(numbers()), lambda value: value.x.fill(7)),
}


def owner(value: Any) -> np.ndarray:
    """The memory of a table, writable."""
    array = value.to_numpy()
    while isinstance(array.base, np.ndarray):
        array = array.base
    array.flags.writeable = True
    return array


@pytest.mark.parametrize("name", CHANGED)
def test_what_changes_before_it_is_sealed_is_noticed_and_known_by_what_is_stored(name, blobs):
    make, change = CHANGED[name]
    value = make()
    draft = drafted(type(value), value)
    change(value)
    record = draft.seal(blobs)
    assert draft.changed
    stored = converter(type(value)).decode(record, blobs)
    assert sealed(type(value), stored, blobs).digest == record.digest


@pytest.mark.parametrize("name", CHANGED)
def test_what_changes_while_it_is_stored_is_noticed_and_known_by_what_is_stored(name, blobs, monkeypatch):
    make, change = CHANGED[name]
    value = make()
    draft = drafted(type(value), value)
    real_write = os.write
    written = []

    def write_and_change(descriptor, piece):
        count = real_write(descriptor, piece)
        if not written:
            change(value)
        written.append(count)
        return count

    monkeypatch.setattr(os, "write", write_and_change)
    record = draft.seal(blobs)
    assert draft.changed
    stored = converter(type(value)).decode(record, blobs)
    assert sealed(type(value), stored, blobs).digest == record.digest


@pytest.mark.parametrize("name", CASES)
def test_what_does_not_change_is_not_said_to(name, blobs):
    value = CASES[name].make()
    draft = drafted(CASES[name].annotated, value)
    draft.seal(blobs)
    assert not draft.changed


def test_bytes_that_change_are_recorded_as_they_were(blobs):
    value = bytearray(COUNT)
    draft = drafted(bytearray, value)
    value[:] = b"x" * COUNT
    assert converter(bytearray).decode(draft.seal(blobs), blobs) == bytes(COUNT)
    assert not draft.changed

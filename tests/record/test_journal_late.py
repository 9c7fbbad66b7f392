"""When the journal says that what is appended would wait for the disk for longer than is promised."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time

import pytest

from flyte_notebook.record import access, writer
from flyte_notebook.record.gate import gate
from flyte_notebook.record.journal import Journal
from tests.record.journal_cases import RUN, put, started, submitted


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.db"


@pytest.fixture
def locked(path):
    """Holds the journal's lock, so that nothing can be committed, until it is called."""
    Journal(path).close()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:

        def lock():
            connection.execute("BEGIN IMMEDIATE")
            return lambda: connection.execute("ROLLBACK")

        yield lock


def rest(journal, monkeypatch):
    monkeypatch.setattr(writer, "_IDLE", 0.01)
    put(journal, started())
    while journal._writer.busy:
        time.sleep(0.001)


def fork(journal, monkeypatch):
    put(journal, started())
    gate.before_fork()
    gate.after_in_parent()


@pytest.mark.parametrize("before", [None, rest, fork])
def test_from_the_first_append_to_a_file_that_has_to_be_opened(path, locked, monkeypatch, before):
    journal = Journal(path)
    if before is not None:
        before(journal, monkeypatch)
    assert before is fork or not journal.late()
    release = locked()
    journal.append(started("next-run"))
    # At once: no time has passed.
    assert journal.late()
    flush = journal.flush()
    release()
    flush.result(20)
    journal.append(submitted(1, run="next-run"))
    while journal.late():
        time.sleep(0.001)
    journal.close()
    assert not journal.late()


def test_when_a_commit_takes_long_and_until_it_is_through(path, locked):
    journal = Journal(path)
    put(journal, started())
    release = locked()
    journal.append(submitted(1))
    while not journal.late():
        assert not journal.flush().done()
        time.sleep(0.001)
    assert journal.late()
    release()
    journal.flush().result(20)
    while journal.late():
        time.sleep(0.001)
    journal.close()


def test_while_the_log_is_folded_in(path, monkeypatch):
    journal = Journal(path)
    put(journal, started())
    seen = []
    checkpoint = access.Access.checkpoint

    def watched(self):
        seen.append(journal.late())
        checkpoint(self)
        seen.append(journal.late())

    monkeypatch.setattr(access.Access, "checkpoint", watched)
    monkeypatch.setattr(access, "_CHECKPOINT_BYTES", 100_000)
    journal._writer._ledger.access._tolerated = 100_000
    put(journal, *(submitted(number) for number in range(1_000)))
    put(journal, submitted(2_000))
    assert seen == [True, True]
    assert (path.with_name("journal.db-wal")).stat().st_size < 100_000
    journal.close()


def test_a_log_that_a_reader_needs_is_not_folded_in_after_every_commit(path, monkeypatch):
    monkeypatch.setattr(access, "_CHECKPOINT_BYTES", 100_000)
    log = path.with_name("journal.db-wal")
    journal = Journal(path)
    checkpoints = []
    checkpoint = access.Access.checkpoint
    monkeypatch.setattr(access.Access, "checkpoint", lambda self: (checkpoints.append(1), checkpoint(self)))
    put(journal, started())
    with journal.reading() as connection:
        connection.execute("SELECT count(*) FROM runs").fetchone()
        for number in range(0, 8_000, 50):
            put(journal, *(submitted(each) for each in range(number, number + 50)))
        assert 0 < len(checkpoints) <= log.stat().st_size / 100_000
    for number in range(8_000, 12_000, 50):
        put(journal, *(submitted(each) for each in range(number, number + 50)))
    assert log.stat().st_size < 200_000
    assert journal.run(RUN).actions == 12_000
    journal.close()


def test_whoever_waits_for_a_journal_that_is_closed_meanwhile_is_told(path, locked):
    journal = Journal(path)
    put(journal, started())
    release = locked()
    journal.append(submitted(1))
    waits = journal.flush()
    closing = threading.Thread(target=journal.close)
    closing.start()
    while journal.usable:
        time.sleep(0.001)
    release()
    # Also who comes only now.
    journal.flush().result(20)
    waits.result(20)
    closing.join(20)
    assert not journal.late()
    journal.flush().result(0)
    assert journal.run(RUN).actions == 1

"""Two processes and more on one store at once."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import textwrap
import threading

import pytest

from flyte_notebook.errors import JournalError
from flyte_notebook.record import schema
from flyte_notebook.record.journal import Journal
from flyte_notebook.record.model import Phase
from tests.record.journal_cases import RUN, action_id, ended, put, started, submitted

KERNEL = """
    import sys
    from pathlib import Path
    from flyte_notebook.record.journal import Journal
    from tests.record.journal_cases import *
    journal, name = Journal(Path(sys.argv[1])), sys.argv[2]
    for run in (f"{name}-1", f"{name}-2"):
        journal.append(started(run))
        for number in range(400):
            journal.append(submitted(number, run=run, short_name=run, inputs=value(str(number))))
            journal.append(attempted(number, run=run))
            journal.append(ended(number, run=run, output=value(run)))
            if number % 20 == 0:
                journal.flush().result(30)
                assert len(journal.actions(run)) >= number + 1
        put(journal, finished(run))
"""


def test_kernels_that_write_at_once_lose_and_mix_nothing(tmp_path):
    path = tmp_path / "journal.db"
    names = ("one", "two", "three")
    kernels = [
        subprocess.Popen([sys.executable, "-c", textwrap.dedent(KERNEL), str(path), name], stderr=subprocess.PIPE)
        for name in names
    ]
    assert [kernel.communicate()[1].decode() for kernel in kernels] == [""] * 3
    journal = Journal(path)
    runs = journal.runs()
    assert {run.name for run in runs} == {f"{name}-{number}" for name in names for number in (1, 2)}
    for run in runs:
        actions = journal.actions(run.name)
        assert [action.id for action in actions] == [action_id(number) for number in range(400)]
        assert {(action.short_name, action.phase) for action in actions} == {(run.name, Phase.SUCCEEDED)}
    with journal.reading() as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    journal.close()


@pytest.fixture
def blocker(tmp_path):
    """A connection of somebody else, which may hold the journal's lock."""
    Journal(tmp_path / "journal.db").close()
    connection = sqlite3.connect(tmp_path / "journal.db", isolation_level=None, check_same_thread=False)
    with contextlib.closing(connection):
        yield connection


@pytest.mark.parametrize("wal", [True, False], ids=["wal", "without wal"])
def test_a_commit_waits_for_the_lock_of_another_process(tmp_path, blocker, monkeypatch, wal):
    monkeypatch.setattr(schema, "BUSY_SECONDS", 0.02)
    monkeypatch.setattr(schema, "TRIES", 1000)
    blocker.execute(f"PRAGMA journal_mode={'wal' if wal else 'delete'}")
    journal = Journal(tmp_path / "journal.db", wal=wal)
    put(journal, started())
    blocker.execute("BEGIN IMMEDIATE")
    journal.append(submitted(1))
    journal.append(ended(1))
    flush = journal.flush()
    threading.Event().wait(0.3)
    # Longer than SQLite itself waits; meanwhile appending and reading go on.
    assert not flush.done()
    journal.append(submitted(2))
    assert journal.actions(RUN) == []
    blocker.execute("COMMIT")
    flush.result(20)
    journal.flush().result(20)
    assert journal.run(RUN).actions == 2
    journal.close()


def test_a_lock_that_is_never_released_fails_the_journal_and_is_named(tmp_path, blocker, monkeypatch):
    monkeypatch.setattr(schema, "BUSY_SECONDS", 0.02)
    monkeypatch.setattr(schema, "TRIES", 3)
    journal = Journal(tmp_path / "journal.db")
    put(journal, started())
    blocker.execute("BEGIN IMMEDIATE")
    journal.append(submitted(1))
    with pytest.raises(JournalError, match=r"Another process has kept .*journal\.db locked"):
        journal.flush().result(20)
    blocker.execute("ROLLBACK")
    assert not journal.usable
    assert journal.run(RUN).actions == 0


def test_a_long_look_at_the_journal_blocks_nobody(tmp_path):
    journal = Journal(tmp_path / "journal.db")
    put(journal, started(), submitted(1))
    other = Journal(tmp_path / "journal.db")
    with other.reading() as connection:
        assert connection.execute("SELECT count(*) FROM actions").fetchone() == (1,)
        put(journal, submitted(2), submitted(3))
        # One look sees one state.
        assert connection.execute("SELECT count(*) FROM actions").fetchone() == (1,)
    assert other.run(RUN).actions == 3
    other.close()
    journal.close()


def test_the_log_is_folded_in_while_the_run_goes_on(tmp_path, monkeypatch):
    from flyte_notebook.record import access

    monkeypatch.setattr(access, "_CHECKPOINT_BYTES", 100_000)
    journal = Journal(tmp_path / "journal.db")
    put(journal, started())
    log = tmp_path / "journal.db-wal"
    sizes = []
    for first in range(0, 20_000, 500):
        put(journal, *(submitted(number) for number in range(first, first + 500)))
        sizes.append(log.stat().st_size)
    assert max(sizes) < 1_000_000 < (tmp_path / "journal.db").stat().st_size
    assert journal.run(RUN).actions == 20_000
    journal.close()

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import stat
import tempfile
import threading
from pathlib import Path

import pytest

from flyte_notebook.errors import JournalError, StoreError
from flyte_notebook.record import events, schema
from flyte_notebook.record.journal import Journal
from flyte_notebook.record.model import TaskRecord
from flyte_notebook.record.store import Store
from tests.record.journal_cases import RUN, put, started, submitted


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.db"


def pragma(path, name):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(f"PRAGMA {name}").fetchone()[0]


def test_a_new_journal_is_marked_versioned_and_logged_ahead(path):
    Journal(path).close()
    assert pragma(path, "user_version") == len(schema.MIGRATIONS)
    assert pragma(path, "application_id") == schema.APPLICATION_ID
    assert pragma(path, "journal_mode") == "wal"
    assert pragma(path, "auto_vacuum") == 2
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_on_a_network_file_system_the_journal_does_without_a_write_ahead_log(path):
    journal = Journal(path, wal=False)
    assert pragma(path, "journal_mode") == "delete"
    put(journal, started(), submitted(1))
    assert journal.run(RUN).actions == 1
    assert list(path.parent.glob("journal.db-*")) == []
    journal.close()


def test_opening_again_keeps_what_is_there(path):
    journal = Journal(path)
    put(journal, started())
    journal.close()
    assert [run.name for run in Journal(path).runs()] == [RUN]


def test_a_journal_is_brought_up_to_date_step_by_step(path, monkeypatch):
    journal = Journal(path)
    put(journal, started())
    journal.close()
    steps = ("ALTER TABLE runs ADD COLUMN mood TEXT; UPDATE runs SET mood = 'good'", "CREATE TABLE moods (name TEXT)")
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, *steps))
    Journal(path).close()
    assert pragma(path, "user_version") == len(schema.MIGRATIONS)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name, mood FROM runs").fetchall() == [(RUN, "good")]
        assert connection.execute("SELECT count(*) FROM moods").fetchone() == (0,)


RELEASED = ["7a76b067", "2360a70d"]
"""How the scripts begin that are in use, as hashes."""


def test_scripts_that_are_in_use_stay_as_they_are():
    assert [hashlib.sha256(script.encode()).hexdigest()[:8] for script in schema.MIGRATIONS] == RELEASED


OLD_ROWS = (
    """INSERT INTO runs (name, phase, started, ended, host, pid, kernel, hide, options)
       VALUES ('old-1', 'SUCCEEDED', 100, 104, 'here', 1, 1, 0, '{}')""",
    """INSERT INTO tasks VALUES (1, 'env.work', 'f1', '{"retries": 3}', 'async def work(): ...')""",
    """INSERT INTO actions VALUES (4294967296, '00', '', 'env.work', 'work', '', 'task', 'SUCCEEDED', 0, 0, 1,
       101, 102, 103, '=', 'k', '', x'', x'')""",
)


def test_a_journal_of_the_first_version_is_brought_up_to_date_and_readable(path, monkeypatch):
    with monkeypatch.context() as before:
        before.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
        schema.prepare(path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for row in OLD_ROWS:
            connection.execute(row)
    assert pragma(path, "user_version") == 1
    journal = Journal(path)
    assert pragma(path, "user_version") == len(schema.MIGRATIONS)
    assert journal.run("old-1").actions == 1
    assert journal.task("old-1", "env.work") == TaskRecord(
        "env.work", "f1", "async def work(): ...", {"retries": 3}, {}
    )
    (seen,) = [event for event in journal.replay("old-1") if isinstance(event, events.TaskSeen)]
    assert seen.parts == {}
    assert [past.fingerprint for past in journal.past("old-1")] == ["f1"]
    new = seen._replace(run=RUN, parts={"own code": "1"})
    put(journal, started(), new)
    assert journal.task(RUN, "env.work").parts == {"own code": "1"}
    journal.close()


def test_a_migration_that_fails_changes_nothing(path, monkeypatch):
    Journal(path).close()
    broken = "CREATE TABLE moods (name TEXT); INSERT INTO nowhere VALUES (1)"
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, broken))
    with pytest.raises(JournalError, match="nowhere"):
        Journal(path)
    monkeypatch.undo()
    assert pragma(path, "user_version") == len(schema.MIGRATIONS)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master WHERE name = 'moods'").fetchall() == []
    Journal(path).close()


def test_a_journal_of_a_newer_version_is_left_alone(path):
    Journal(path).close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version=7")
    before = path.read_bytes()
    with pytest.raises(JournalError) as caught:
        Journal(path)
    message = str(caught.value)
    assert str(path) in message
    assert "newer flyte_notebook (journal version 7; this one knows versions up to 2)" in message
    assert "pip install -U flyte-notebook" in message
    assert "FLYTE_NOTEBOOK_HOME" in message
    assert path.read_bytes() == before


def test_another_programs_database_is_left_alone(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    with pytest.raises(JournalError, match=r"journal\.db is another program's database\. Move it away"):
        Journal(path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("recipes",)]


def test_a_file_that_is_no_database_is_named_and_left_alone(path):
    path.write_bytes(b"shopping list\n" * 400)
    with pytest.raises(JournalError, match=r"journal\.db cannot be used.*It is damaged: move it away"):
        Journal(path)
    assert path.read_bytes() == b"shopping list\n" * 400


def test_a_journal_that_was_deleted_meanwhile_does_not_come_back_empty(path):
    journal = Journal(path)
    put(journal, started())
    journal.close()
    path.unlink()
    with pytest.raises(JournalError, match="cannot be opened: check that its folder is there"):
        journal.runs()
    assert not path.exists()


def test_many_may_make_a_journal_at_once(path):
    failures = []
    gate = threading.Barrier(8)

    def make():
        gate.wait()
        try:
            Journal(path).close()
        except JournalError as error:
            failures.append(error)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert pragma(path, "user_version") == len(schema.MIGRATIONS)


def test_a_lock_that_is_never_released_is_an_error_that_says_what_to_do(path, monkeypatch):
    Journal(path).close()
    monkeypatch.setattr(schema, "BUSY_SECONDS", 0.05)
    monkeypatch.setattr(schema, "TRIES", 2)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        # What is to be brought to the current version has to be written.
        connection.execute("PRAGMA user_version=0")
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalError, match=r"Another process has kept .*journal\.db locked"):
            Journal(path)


# --- without the right to write ---------------------------------------------------------------------------------------


def complaint(home):
    """What opening the store says to a user whom permissions bind: root, who may write everything, becomes another."""
    root = os.geteuid() == 0
    if root:
        for path in (home, *home.rglob("*")):
            os.chown(path, 65534, 65534)
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            if root:
                os.setgid(65534)
                os.setuid(65534)
            Store(home)
        except StoreError as error:
            os.write(writer, f"{type(error).__name__} {error}".encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as said:
        return said.read()


@pytest.fixture
def readable_home():
    # pytest's own folders are closed to other users.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        home = Path(folder) / "home"
        yield home
        if home.exists():
            home.chmod(0o700)


def test_a_read_only_journal_is_named_with_what_to_do(readable_home):
    store = Store(readable_home)
    put(store.journal, started())
    store.close()
    (readable_home / "journal.db").chmod(0o400)
    said = complaint(readable_home)
    assert said.startswith(f"JournalError The journal {readable_home / 'journal.db'} cannot be used")
    assert "It must be writable" in said
    assert "FLYTE_NOTEBOOK_HOME" in said


def test_a_folder_that_cannot_be_written_is_named_with_what_to_do(readable_home):
    readable_home.mkdir()
    readable_home.chmod(0o500)
    said = complaint(readable_home)
    assert str(readable_home) in said
    assert "writable" in said
    assert "FLYTE_NOTEBOOK_HOME" in said


def test_a_store_that_cannot_be_made_is_named_with_what_to_do(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"The store .*file/home cannot be used.*set FLYTE_NOTEBOOK_HOME"):
        Store(tmp_path / "file" / "home")

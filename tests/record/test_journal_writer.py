from __future__ import annotations

import contextlib
import logging
import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from concurrent.futures import wait
from pathlib import Path

import pytest

from flyte_notebook.errors import JournalError
from flyte_notebook.record import events, schema, writer
from flyte_notebook.record.journal import Journal
from flyte_notebook.record.ledger import Ledger
from flyte_notebook.record.model import Phase
from tests.record.journal_cases import (
    RUN,
    action_id,
    attempted,
    ended,
    finished,
    put,
    started,
    submitted,
    value,
)


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path / "journal.db")
    yield journal
    journal.close()


@pytest.fixture
def committed():
    """What `events.committed` has published."""
    seen = []
    unsubscribe = events.committed.subscribe(seen.append)
    yield seen
    unsubscribe()


def has_rested(journal):
    """Wait until the thread ends by itself; true when no other one is there instead."""
    thread = journal._writer._thread
    if thread is not None:
        thread.join(20)
    return journal._writer._thread is None


# --- durability -------------------------------------------------------------------------------------------------------


def test_what_a_flush_confirms_is_in_the_file_for_others(journal):
    put(journal, started(), *(submitted(number) for number in range(3000)))
    other = Journal(journal.path)
    assert len(other.actions(RUN)) == 3000
    other.close()


def test_events_are_committed_without_anybody_asking(journal, committed):
    journal.append(started())
    journal.append(submitted(1))
    done = threading.Event()
    unsubscribe = events.committed.subscribe(lambda event: done.set() if event == ended(1) else None)
    journal.append(ended(1))
    assert done.wait(20)
    assert journal.actions(RUN)[0].phase is Phase.SUCCEEDED
    assert committed == [started(), submitted(1), ended(1)]
    unsubscribe()


def test_a_view_sees_an_event_only_once_it_is_on_disk(journal):
    found = []

    def look(event):
        if isinstance(event, events.ActionEnded):
            found.append(Journal(journal.path).actions(RUN)[-1].phase)

    unsubscribe = events.committed.subscribe(look)
    put(journal, started())
    for number in range(20):
        journal.append(submitted(number))
        journal.append(ended(number))
    journal.flush().result(20)
    journal.close()
    unsubscribe()
    assert found == [Phase.SUCCEEDED] * 20


def test_a_view_that_fails_stops_neither_the_journal_nor_itself(journal, committed, caplog):
    unsubscribe = events.committed.subscribe(lambda event: 1 / 0)
    put(journal, started(), submitted(1))
    put(journal, ended(1))
    journal.close()
    unsubscribe()
    assert committed == [started(), submitted(1), ended(1)]
    assert [record.exc_info[0] for record in caplog.records] == [ZeroDivisionError] * 3


def test_flushes_of_many_threads_each_cover_what_their_thread_appended(journal):
    put(journal, started())
    missing = []

    def work(first):
        for number in range(first, first + 20):
            journal.append(submitted(number))
            journal.append(ended(number))
            journal.flush().result(20)
            if not any(action.id == action_id(number) for action in journal.actions(RUN)):
                missing.append(number)

    threads = [threading.Thread(target=work, args=(100 * index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert missing == []
    assert journal.run(RUN).actions == 80


def test_a_flush_of_nothing_is_done_at_once(journal):
    assert journal.flush().done()
    put(journal, started())
    assert has_rested(journal)
    assert journal.flush().done()
    assert has_rested(journal)


def test_a_flush_that_is_cancelled_harms_nobody(journal):
    journal.append(started())
    flushes = [journal.flush() for _ in range(20)]
    for flush in flushes[::2]:
        flush.cancel()
    wait(flushes, 20)
    put(journal, submitted(1))
    assert journal.run(RUN).actions == 1


def test_events_of_several_runs_at_once_stay_apart(journal):
    runs = [f"run-{number}" for number in range(5)]
    put(journal, *(started(run) for run in runs))
    for number in range(200):
        journal.append(submitted(number // 5, run=runs[number % 5], short_name=f"{number % 5}"))
    journal.flush().result(20)
    for index, run in enumerate(runs):
        assert [action.short_name for action in journal.actions(run)] == [str(index)] * 40


@pytest.mark.parametrize(
    "ending", ["", "raise SystemExit(3)", "raise RuntimeError('boom')", "import os; os.kill(os.getpid(), 2)"]
)
def test_leaving_the_interpreter_commits_what_was_appended(tmp_path, ending):
    program = f"""
        from pathlib import Path
        from flyte_notebook.record.journal import Journal
        from tests.record.journal_cases import *
        journal = Journal(Path({str(tmp_path / "journal.db")!r}))
        journal.append(started())
        for number in range(5000):
            journal.append(submitted(number))
            journal.append(ended(number))
        journal.append(finished())
        {ending}
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=False, capture_output=True)
    journal = Journal(tmp_path / "journal.db")
    assert [(run.phase, run.actions) for run in journal.runs()] == [(Phase.SUCCEEDED, 5000)]
    assert {action.phase for action in journal.actions(RUN)} == {Phase.SUCCEEDED}
    journal.close()


# --- cost -------------------------------------------------------------------------------------------------------------


def test_an_action_within_one_batch_is_one_row_write(tmp_path):
    schema.prepare(tmp_path / "journal.db")
    ledger = Ledger(tmp_path / "journal.db")
    ledger.take(started())
    before = ledger.access.connection().total_changes
    for number in range(5):
        for event in (submitted(number, inputs=value()), attempted(number), ended(number, output=value())):
            ledger.take(event)
    ledger.commit()
    assert ledger.access.connection().total_changes - before == 5
    ledger.rest()


def test_a_batch_of_actions_is_one_statement(tmp_path):
    schema.prepare(tmp_path / "journal.db")
    ledger = Ledger(tmp_path / "journal.db")
    ledger.take(started())
    statements = []
    ledger.access.connection().set_trace_callback(statements.append)
    for number in range(300):
        ledger.take(submitted(number))
    ledger.commit()
    assert len(statements) == 1
    ledger.rest()


@pytest.mark.parametrize("count", [1, 7, 9, 511, 512, 513, 1500])
def test_every_batch_size_is_written_whole(journal, count):
    put(journal, started(), *(submitted(number) for number in range(count)))
    assert [action.id for action in journal.actions(RUN)] == [action_id(number) for number in range(count)]


@pytest.mark.parametrize("survives", range(8))
def test_an_action_is_on_record_as_ended_only_with_all_that_it_has_called(journal, monkeypatch, survives):
    ledger = Ledger(journal.path)
    # Action 0 calls some, and each of these the 299 that follow; callers end after what they have called.
    callers = [0, *(n for n in range(1, 1800) if n % 300 == 1)]
    put(journal, started())
    happened = [started("other"), submitted(0, run="other")]
    for number in range(1, 1800):
        parent = 0 if number in callers else max(caller for caller in callers if caller < number)
        happened.append(submitted(number, run="other", parent=parent))
    ends = [n for n in range(1, 1800) if n not in callers] + callers[:0:-1] + [0]
    happened += [ended(n, run="other", output=value(), cache_key=f"k{n}") for n in ends]
    for event in happened:
        ledger.take(event)
    left = iter(range(survives))

    def killed(path, step):
        if next(left, None) is None:
            raise sqlite3.OperationalError("killed")
        return step()

    monkeypatch.setattr(schema, "patiently", killed)
    with contextlib.suppress(sqlite3.OperationalError):
        ledger.commit()
    monkeypatch.undo()
    ledger.abandon()
    past = {action.id: action for action in journal.past("other")}
    assert bool(past) == (survives > 0)
    counts = Counter(action.parent_id for action in past.values())
    for caller in callers:
        action = past.get(action_id(caller))
        if action is not None and action.phase == "SUCCEEDED":
            assert counts[action.id] == (len(callers) - 1 if caller == 0 else min(299, 1799 - caller))
            assert journal.cached(f"k{caller}") is not None
    assert (past.get(action_id(0)) is not None and past[action_id(0)].phase == "SUCCEEDED") == (survives > 4)


def test_looking_into_the_cache_is_one_statement_on_a_connection_that_is_kept(tmp_path, monkeypatch):
    statements = []
    connect = schema.connect

    def watched(path):
        connection = connect(path)
        statements.append("CONNECT")
        connection.set_trace_callback(statements.append)
        return connection

    journal = Journal(tmp_path / "journal.db")
    put(journal, started(), submitted(1), ended(1, output=value("1"), cache_key="k"))
    assert journal._writer.busy
    monkeypatch.setattr(schema, "connect", watched)
    for _ in range(3):
        assert journal.cached("k") == (RUN, action_id(1), value("1"))
    assert [statement.split()[0] for statement in statements] == ["CONNECT", "SELECT", "SELECT", "SELECT"]
    journal.close()


def test_successes_are_kept_for_the_cache_until_they_are_committed(journal):
    put(journal, started())
    with journal._writer._writing:
        for number, text in ((1, "1"), (2, "2")):
            journal.append(submitted(number))
            journal.append(ended(number, output=value(text), cache_key="k"))
        assert journal.cached("k") == (RUN, action_id(2), value("2"))
    journal.flush().result(20)
    assert journal._writer.reusable("k") is None
    assert journal.cached("k") == (RUN, action_id(2), value("2"))


def test_a_success_that_could_not_be_committed_is_not_reused(journal):
    put(journal, started())
    with journal._writer._writing:
        journal.append(submitted(1))
        journal.append(ended(1, output=value("1"), cache_key="k"))
        journal.append(started())
        flushed = journal.flush()
    with pytest.raises(JournalError):
        flushed.result(20)
    assert journal.cached("k") is None


def test_nothing_of_an_ended_action_stays_in_memory(tmp_path):
    schema.prepare(tmp_path / "journal.db")
    ledger = Ledger(tmp_path / "journal.db")
    for event in (started(), submitted(1), attempted(1, 2), submitted(2), ended(1)):
        ledger.take(event)
    ledger.commit()
    (run,) = ledger._runs.values()
    assert list(run.open) == [action_id(2)]
    assert run.attempts == {}
    for event in (ended(2), finished()):
        ledger.take(event)
    ledger.commit()
    assert ledger._runs == {}
    ledger.rest()


# --- thread hygiene ---------------------------------------------------------------------------------------------------


def open_files():
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        # The one that lists them is gone by now.
        with contextlib.suppress(FileNotFoundError):
            found.append(str(descriptor.readlink()))
    return found


def test_an_idle_journal_has_no_thread_and_no_open_file(journal):
    put(journal, started(), submitted(1))
    assert journal.runs()
    assert journal._writer._thread.daemon
    put(journal, ended(1), finished())
    assert has_rested(journal)
    assert not [path for path in open_files() if path.startswith(str(journal.path.parent))]
    put(journal, started("again-1"))
    assert [run.name for run in journal.runs()] == ["again-1", RUN]


def test_a_run_that_pauses_goes_on_with_a_new_thread(journal):
    put(journal, started(), submitted(1), attempted(1))
    assert has_rested(journal)
    assert journal.actions(RUN)[0].phase is Phase.RUNNING
    put(journal, ended(1, output=value("9")))
    assert journal.output(RUN, action_id(1)) == value("9")
    assert journal.actions(RUN)[0].attempts == 1


def test_no_append_is_lost_while_the_thread_comes_and_goes(journal, monkeypatch):
    monkeypatch.setattr(writer, "_IDLE", 0.0)
    monkeypatch.setattr(writer, "_WINDOW", 0.0)
    put(journal, started())
    done = threading.Semaphore(0)
    unsubscribe = events.committed.subscribe(lambda event: done.release())
    for number in range(300):
        journal.append(submitted(number))
        # Nobody flushes: only the thread itself may notice, whatever it is doing just now.
        assert done.acquire(timeout=20), f"event {number} was never committed"
    unsubscribe()
    assert journal.run(RUN).actions == 300


def test_closing_twice_is_harmless_and_appending_after_it_is_an_error(journal):
    put(journal, started())
    journal.append(submitted(1))
    journal.close()
    journal.close()
    assert journal.run(RUN).actions == 1
    with pytest.raises(JournalError, match="is closed"):
        journal.append(submitted(2))
    assert not journal._writer._thread.is_alive()


def test_a_subscriber_may_close_the_journal(journal):
    put(journal, started())
    unsubscribe = events.committed.subscribe(lambda event: journal.close())
    journal.append(submitted(1))
    journal._writer._thread.join(20)
    unsubscribe()
    assert journal.run(RUN).actions == 1


# --- trouble ----------------------------------------------------------------------------------------------------------


def test_events_of_runs_that_are_not_recorded_here_are_dropped_and_reported(journal, committed, caplog):
    put(journal, started(), submitted(1), submitted(1, run="other-run"), ended(2))
    assert [run.name for run in journal.runs()] == [RUN]
    first, second = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert first == "ActionSubmitted dropped: this process does not record run 'other-run'"
    assert second.startswith(f"ActionEnded dropped: this process does not record action {action_id(2)} of run {RUN!r}")
    put(journal, ended(1))
    journal.close()
    assert committed == [started(), submitted(1), ended(1)]


def test_once_a_commit_has_failed_everybody_hears_of_it(journal):
    put(journal, started())
    journal.append(submitted(1, at=None))
    flushes = [journal.flush() for _ in range(3)]
    for flush in flushes:
        with pytest.raises(JournalError, match=r"journal\.db cannot be used.*NOT NULL"):
            flush.result(20)
    with pytest.raises(JournalError, match="NOT NULL"):
        journal.append(submitted(2))
    with pytest.raises(JournalError, match="NOT NULL"):
        journal.flush().result(20)
    assert not journal.usable
    # For whoever looks at it, as if its kernel had died.
    assert journal.run(RUN).phase is Phase.ABORTED


def test_a_full_disk_is_named_as_such(journal):
    put(journal, started())
    with journal.reading() as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
    assert has_rested(journal)
    journal._writer._ledger.access.connection().execute(f"PRAGMA max_page_count={pages + 1}")
    journal.append(submitted(1, inputs=value("x" * 8000)))
    journal.append(submitted(2, inputs=value("y" * 8000)))
    with pytest.raises(JournalError, match=r"The disk is full: make room"):
        journal.flush().result(20)


def test_a_malformed_event_fails_the_flush_instead_of_hanging_it(journal):
    put(journal, started())
    journal.append(object())
    with pytest.raises(JournalError, match="stopped.*KeyError"):
        journal.flush().result(20)

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flyte_notebook.record import events, replay
from flyte_notebook.record.journal import Journal
from flyte_notebook.record.model import Phase
from tests.record.journal_cases import RUN, attempted, ended, finished, fold, histories, put, started, submitted


@given(history=histories(), cuts=st.sets(st.integers(0, 30)))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_history_comes_back_as_the_same_states_however_it_was_batched(history, cuts):
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "journal.db")
        for index, event in enumerate(history):
            journal.append(event)
            if index in cuts:
                journal.flush().result(10)
        journal.flush().result(10)
        assert fold(list(journal.replay(history[0].run))) == fold(history)
        journal.close()
        # And from the file alone, as another process would read it, but for what its death would change.
        again = Journal(Path(folder) / "journal.db")
        assert fold(list(again.replay(history[0].run))) == fold(history)
        again.close()


def test_replay_keeps_parents_before_children_and_ends_after_what_they_end(tmp_path):
    journal = Journal(tmp_path / "journal.db")
    put(journal, started(), submitted(1, at=101.0), attempted(1, at=101.5), submitted(2, parent=1, at=102.0))
    put(journal, attempted(2, at=102.0), ended(2, at=103.0), ended(1, at=103.0), finished(at=103.0))
    kinds = [(type(event).__name__, getattr(event, "id", "")[-1:]) for event in journal.replay(RUN)]
    assert kinds[0] == ("RunStarted", "")
    assert kinds[1:4] == [("ActionSubmitted", "1"), ("AttemptStarted", "1"), ("ActionSubmitted", "2")]
    assert kinds.index(("AttemptStarted", "2")) < kinds.index(("ActionEnded", "2"))
    assert kinds[-1] == ("RunEnded", "")
    journal.close()


def test_replay_reads_long_runs_in_pages(tmp_path, monkeypatch):
    monkeypatch.setattr(replay, "_PAGE", 7)
    journal = Journal(tmp_path / "journal.db")
    happened = [started()]
    for number in range(40):
        happened += [submitted(number, at=101.0 + number), attempted(number, at=101.0 + number)]
        happened += [events.OutputWritten(RUN, f"{number:020x}", "stdout", f"{number}\n", 102.0)]
        happened += [ended(number, at=200.0 - number)]
    put(journal, *happened, finished(at=300.0))
    assert fold(list(journal.replay(RUN))) == fold([*happened, finished(at=300.0)])
    journal.close()


def test_a_replay_that_is_abandoned_keeps_nothing_open(tmp_path):
    journal = Journal(tmp_path / "journal.db")
    put(journal, started(), *(submitted(number) for number in range(10)))
    events_left = journal.replay(RUN)
    assert isinstance(next(events_left), events.RunStarted)
    assert isinstance(next(events_left), events.ActionSubmitted)
    # A reader that had kept its transaction open would keep the log from being folded in and removed.
    journal.close()
    assert [path.name for path in tmp_path.glob("journal.db-*")] == []


def test_replaying_a_run_in_progress_has_no_end(tmp_path):
    journal = Journal(tmp_path / "journal.db")
    put(journal, started(), submitted(1), attempted(1), submitted(2))
    assert [type(event) for event in journal.replay(RUN)] == [
        events.RunStarted,
        events.ActionSubmitted,
        events.ActionSubmitted,
        events.AttemptStarted,
    ]
    put(journal, finished(phase=Phase.ABORTED))
    assert [event.phase for event in journal.replay(RUN) if hasattr(event, "phase")] == [Phase.ABORTED] * 3
    journal.close()

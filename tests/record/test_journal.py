from __future__ import annotations

import datetime as dt
import os
import socket

import pytest

from flyte_notebook.errors import JournalError, RunNotFoundError
from flyte_notebook.record import events
from flyte_notebook.record.journal import Journal
from flyte_notebook.record.model import ErrorRecord, LogLine, Phase, TaskRecord
from tests.record.journal_cases import (
    RUN,
    action_id,
    attempted,
    ended,
    finished,
    large,
    put,
    started,
    submitted,
    value,
)

BAD_ROW = ErrorRecord("ValueError", "bad row 7\nof 9", "user", "Traceback …", 12)


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path / "journal.db")
    yield journal
    journal.close()


def when(seconds):
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


# --- runs -------------------------------------------------------------------------------------------------------------


def test_a_run_is_on_record_with_all_that_is_known_of_it(journal):
    put(journal, started(notebook="/a/b.ipynb", cell_id="c1", source="await main()", resumed_from="main-old000"))
    put(journal, submitted(1), submitted(2), finished(phase=Phase.FAILED, error=BAD_ROW))
    (run,) = journal.runs()
    assert (run.name, run.phase, run.error) == (RUN, Phase.FAILED, "ValueError: bad row 7")
    assert (run.started_at, run.ended_at) == (when(100), when(104))
    assert (run.notebook, run.cell_id, run.source) == ("/a/b.ipynb", "c1", "await main()")
    assert (run.host, run.pid, run.resumed_from, run.actions) == (socket.gethostname(), os.getpid(), "main-old000", 2)
    assert journal.run(RUN) == journal.find("main-a") == run


def test_runs_come_newest_first_and_as_many_as_asked_for(journal):
    # In the order in which they were put on record: the clock may have been set back between them.
    for number, at in ((1, 102.0), (2, 101.0), (3, 103.0)):
        put(journal, started(f"run-{number}", at=at))
    assert [run.name for run in journal.runs()] == ["run-3", "run-2", "run-1"]
    assert [run.name for run in journal.runs(2)] == ["run-3", "run-2"]


def test_the_last_run_is_none_that_an_action_started_whatever_its_options(journal):
    put(journal, started("run-1", options={"loss": float("nan")}), started("inner", within="run-1"))
    assert journal.find("").name == "run-1"


def test_what_a_run_in_progress_recovers_from_stays(journal):
    others = [
        started("a-1", execution="first"),
        started("b-1", execution="first"),
        started("inner", within="b-1"),
        started("a-2", execution="second", resumed_from="a-1", options={"cell": True}),
        started("old"),
    ]
    put(journal, *others, *(events.RunEnded(event.run, Phase.FAILED, 104.0) for event in others))
    put(journal, started("a-3", resumed_from="a-2"))
    assert journal.delete([event.run for event in others]) == ["old"]


def test_a_run_in_progress_is_running_and_has_no_end(journal):
    put(journal, started())
    run = journal.run(RUN)
    assert (run.phase, run.ended_at, run.error, run.actions) == (Phase.RUNNING, None, None, 0)


def test_a_prefix_means_the_one_run_it_fits(journal):
    put(journal, started("prep-aa1111"), started("main-bb2222"), started("main-bc3333"))
    assert journal.find("p").name == "prep-aa1111"
    assert journal.find("main-bc").name == "main-bc3333"
    with pytest.raises(RunNotFoundError, match=r"'main-b' could be any of main-b.*Type more") as caught:
        journal.find("main-b")
    assert set(caught.value.candidates) == {"main-bb2222", "main-bc3333"}


def test_a_whole_name_wins_over_longer_ones(journal):
    put(journal, started("train", at=1.0), *(started(f"train-{number}") for number in range(20)))
    assert journal.find("train").name == "train"
    with pytest.raises(RunNotFoundError, match=r"could be any of train-\d+(, train-\d+){7}, …\. Type more") as caught:
        journal.find("train-")
    assert len(caught.value.candidates) == 8


def test_an_empty_prefix_means_the_newest_run(journal):
    put(journal, started("a-1", at=1.0), started("b-2", at=2.0))
    assert journal.find("").name == "b-2"


def test_an_unknown_run_is_an_error_that_lists_the_latest(journal):
    with pytest.raises(RunNotFoundError, match=r"No run 'x' is on record. None is on record yet"):
        journal.find("x")
    put(journal, started())
    for ask in (journal.find, journal.run, journal.actions, journal.outputs, journal.logs, journal.replay):
        with pytest.raises(RunNotFoundError, match=f"No run 'x' is on record. The latest are {RUN}"):
            ask("x")


def test_wildcards_in_a_prefix_stand_for_themselves(journal):
    put(journal, started("main-abc123"))
    for prefix in ("m%", "main_", "MAIN"):
        with pytest.raises(RunNotFoundError):
            journal.find(prefix)


def test_the_outputs_of_a_run_are_those_it_ended_with(journal):
    put(journal, started())
    assert journal.outputs(RUN) is None
    put(journal, finished(outputs=value("[1]")))
    assert journal.outputs(RUN) == value("[1]")


def test_a_taken_name_fails_the_journal_and_says_so(journal):
    put(journal, started())
    journal.append(started())
    with pytest.raises(JournalError, match=r"journal\.db cannot be used.*A run's name is unique"):
        journal.flush().result(10)
    assert not journal.usable


# --- actions ----------------------------------------------------------------------------------------------------------


def test_an_action_goes_through_its_phases(journal):
    put(journal, started(), submitted(1, parent=None, at=101.0, group="g"))
    (action,) = journal.actions(RUN)
    assert (action.phase, action.attempts, action.started_at, action.ended_at) == (Phase.QUEUED, 0, when(101), None)
    put(journal, attempted(1, at=102.0))
    (action,) = journal.actions(RUN)
    assert (action.phase, action.attempts, action.started_at) == (Phase.RUNNING, 1, when(102))
    put(journal, ended(1, at=103.5))
    (action,) = journal.actions(RUN)
    assert (action.phase, action.ended_at, action.error) == (Phase.SUCCEEDED, when(103.5), None)
    assert (action.run, action.id, action.parent_id, action.group) == (RUN, action_id(1), None, "g")
    assert (action.task_name, action.short_name, action.kind) == ("env.work", "work", "task")
    assert (action.cached, action.recovered) == (False, False)


def test_actions_come_in_order_of_start_then_of_submission(journal):
    put(journal, started(), *(submitted(number, at=101.0) for number in (1, 2, 3, 4)))
    put(journal, attempted(1, at=105.0), attempted(2, at=104.0), attempted(3, at=104.0))
    assert [action.id for action in journal.actions(RUN)] == [action_id(number) for number in (4, 2, 3, 1)]


def test_reuse_is_marked_and_counts_no_attempt(journal):
    put(journal, started(), submitted(1), ended(1, cached=True, output=value()))
    put(journal, submitted(2), ended(2, recovered=True, output=value(), source_run="old"))
    first, second = journal.actions(RUN)
    assert (first.cached, first.recovered, first.attempts) == (True, False, 0)
    assert (second.cached, second.recovered, second.attempts) == (False, True, 0)


def test_a_failure_shows_in_one_line_and_whole(journal):
    put(journal, started(), submitted(1), attempted(1), ended(1, Phase.FAILED, error=BAD_ROW))
    assert journal.actions(RUN)[0].error == "ValueError: bad row 7"
    assert journal.error(RUN, action_id(1)) == BAD_ROW
    assert journal.error(RUN) is None


def test_attempts_are_listed_with_what_became_of_each(journal):
    timeout = ErrorRecord("MaxRuntimeExceededError", "too long", "user", "")
    put(journal, started(), submitted(1), attempted(1, 1, at=102.0))
    put(journal, events.AttemptFailed(RUN, action_id(1), 1, Phase.TIMED_OUT, timeout, 0.5, 103.0))
    put(journal, attempted(1, 2, at=104.0))
    put(journal, events.AttemptFailed(RUN, action_id(1), 2, Phase.FAILED, BAD_ROW, 1.0, 105.0))
    put(journal, attempted(1, 3, at=106.0))
    assert [attempt.phase for attempt in journal.attempts(RUN, action_id(1))][2:] == [Phase.RUNNING]
    put(journal, ended(1, at=107.0, output=value("7")))
    first, second, third = journal.attempts(RUN, action_id(1))
    assert (first.number, first.phase, first.error) == (1, Phase.TIMED_OUT, timeout.summary)
    assert (first.started_at, first.ended_at) == (when(102), when(103))
    assert (second.number, second.phase, second.error) == (2, Phase.FAILED, BAD_ROW.summary)
    assert (second.started_at, second.ended_at) == (when(104), when(105))
    assert (third.number, third.phase, third.error) == (3, Phase.SUCCEEDED, None)
    assert (third.started_at, third.ended_at) == (when(106), when(107))
    (action,) = journal.actions(RUN)
    assert (action.attempts, action.started_at) == (3, when(102))


def test_an_action_that_needed_one_attempt_has_one(journal):
    put(journal, started(), submitted(1), attempted(1), ended(1, Phase.FAILED, error=BAD_ROW), submitted(2))
    (attempt,) = journal.attempts(RUN, action_id(1))
    assert (attempt.number, attempt.phase, attempt.error) == (1, Phase.FAILED, BAD_ROW.summary)
    assert journal.attempts(RUN, action_id(2)) == []


def test_an_attempt_that_failed_before_its_body_started_is_listed(journal):
    put(journal, started(), submitted(1))
    put(journal, events.AttemptFailed(RUN, action_id(1), 1, Phase.FAILED, BAD_ROW, 0.0, 103.0))
    put(journal, attempted(1, 2, at=104.0), ended(1))
    first, second = journal.attempts(RUN, action_id(1))
    assert (first.phase, first.started_at, first.ended_at) == (Phase.FAILED, when(103), when(103))
    assert (second.phase, second.started_at) == (Phase.SUCCEEDED, when(104))


@pytest.mark.parametrize(
    "kept",
    [value(), value("é", preview="e acute"), large("ab" * 32), value("", size=0)],
    ids=["inline", "with preview", "blob", "empty"],
)
def test_values_come_back_as_they_went_in(journal, kept):
    put(journal, started(), submitted(1, inputs=kept), attempted(1), ended(1, output=kept))
    assert journal.inputs(RUN, action_id(1)) == kept
    assert journal.output(RUN, action_id(1)) == kept


def test_what_is_not_there_is_none_or_empty(journal):
    put(journal, started(), submitted(1))
    for missing in (action_id(1), action_id(2)):
        assert journal.inputs(RUN, missing) is None
        assert journal.output(RUN, missing) is None
        assert journal.error(RUN, missing) is None
        assert journal.attempts(RUN, missing) == []
        assert journal.notes(RUN, missing) == []
    assert journal.task(RUN, "env.other") is None


def test_equal_ids_in_two_runs_are_two_actions(journal):
    put(journal, started("a-1"), started("b-2"))
    for run in ("a-1", "b-2"):
        put(journal, submitted(1, run=run, inputs=value(f'"{run}"')))
    assert journal.inputs("a-1", action_id(1)) == value('"a-1"')
    assert journal.inputs("b-2", action_id(1)) == value('"b-2"')


# --- around actions ---------------------------------------------------------------------------------------------------


def test_output_is_kept_in_order_and_told_apart(journal):
    def wrote(number, text, stream="stdout"):
        return events.OutputWritten(RUN, number and action_id(number), stream, text, 102.0)

    put(journal, started(), submitted(1), submitted(2))
    put(journal, wrote(1, "a"), wrote(2, "b"), wrote(None, "top"), wrote(1, "c"), wrote(1, "!", "WARNING"))
    assert [line.text for line in journal.logs(RUN)] == ["a", "b", "top", "c", "!"]
    assert [line.text for line in journal.logs(RUN, action_id(1))] == ["a", "c", "!"]
    assert journal.logs(RUN, None) == [LogLine(None, "stdout", "top", when(102))]
    assert journal.logs(RUN, action_id(1))[-1].stream == "WARNING"


def test_pieces_of_output_that_follow_one_another_become_one_row(journal):
    pieces = [events.OutputWritten(RUN, None, "stdout", text, 102.0) for text in ("a", "\n", "b", "\n")]
    put(journal, started(), *pieces)
    assert "".join(line.text for line in journal.logs(RUN)) == "a\nb\n"
    assert len(journal.logs(RUN)) == 1


def test_text_that_no_encoding_can_hold_is_escaped(journal):
    text = "\ud800 lone, \x00 null, 漢字, 😀"
    escaped = text.replace("\ud800", "\\ud800")
    put(journal, started(source=text), submitted(1, short_name=text, group=text, task_name=text))
    put(journal, events.OutputWritten(RUN, None, "stdout", text, 102.0))
    put(journal, events.Noted(RUN, action_id(1), "report", text, 103.0))
    put(journal, ended(1, Phase.FAILED, error=ErrorRecord("E", text, "user", text)))
    (action,) = journal.actions(RUN)
    assert (action.short_name, action.group, action.task_name) == (escaped, escaped, escaped)
    assert journal.logs(RUN)[0].text == journal.run(RUN).source == journal.notes(RUN, action.id)[0].text == escaped
    assert journal.error(RUN, action.id).message == text


@pytest.mark.parametrize(
    ("message", "line"),
    [("", "E"), ("\nno", "E"), ("no\r\nmore", "E: no"), ("x" * 900, "E: " + "x" * 496 + "…"), ("x\n" * 900, "E: x")],
)
def test_a_failure_is_summed_up_in_one_bounded_line(message, line):
    assert ErrorRecord("E", message, "user", "").summary == line


def test_the_last_note_of_each_kind_stands(journal):
    put(journal, started(), submitted(1))
    for kind, text in (("thread", "still running"), ("report", "<p>1"), ("report", "<p>2"), ("thread", "")):
        put(journal, events.Noted(RUN, action_id(1), kind, text, 103.0))
    assert [(note.kind, note.text) for note in journal.notes(RUN, action_id(1))] == [("report", "<p>2"), ("thread", "")]


def test_notes_and_output_that_come_after_the_run_are_kept(journal):
    put(journal, started(), submitted(1), attempted(1), ended(1, Phase.ABORTED))
    put(journal, events.OutputWritten(RUN, action_id(1), "stdout", "one ", 103.0), finished())
    put(journal, events.Noted(RUN, action_id(1), "late", "7", 105.0))
    put(journal, events.OutputWritten(RUN, action_id(1), "stdout", "two", 106.0))
    assert journal.notes(RUN, action_id(1))[0].text == "7"
    assert [line.text for line in journal.logs(RUN)] == ["one ", "two"]
    assert journal.run(RUN).phase is Phase.SUCCEEDED


def test_a_task_is_on_record_as_it_was_first_seen(journal):
    seen = events.TaskSeen(RUN, "env.work", "f1", "async def work(): ...", {"retries": 3, "image": {"name": "i"}})
    put(journal, started(), seen, seen._replace(fingerprint="f2"))
    expected = TaskRecord("env.work", "f1", "async def work(): ...", {"retries": 3, "image": {"name": "i"}})
    assert journal.task(RUN, "env.work") == expected


# --- reuse ------------------------------------------------------------------------------------------------------------


def test_a_success_is_found_by_its_cache_key_newest_first(journal):
    assert journal.cached("k") is None
    for run, text in (("a-1", "1"), ("b-2", "2")):
        put(journal, started(run), submitted(1, run=run), ended(1, run=run, output=value(text), cache_key="k"))
    assert journal.cached("k") == ("b-2", action_id(1), value("2"))
    assert journal.cached("") is None


def test_a_success_is_found_by_its_cache_key_before_it_is_committed(journal):
    put(journal, started())
    for number in range(50):
        journal.append(submitted(number))
        journal.append(ended(number, output=value(str(number)), cache_key=f"k{number}"))
        assert journal.cached(f"k{number}") == (RUN, action_id(number), value(str(number)))


def test_what_has_ended_is_listed_for_resuming(journal):
    put(journal, started(), events.TaskSeen(RUN, "env.work", "f1", None, {}))
    put(journal, submitted(1, inputs=value("1"), group="g"), attempted(1), submitted(2, parent=1), attempted(2))
    put(journal, ended(2, fingerprint="f1", output=value("2")), ended(1, Phase.FAILED, error=BAD_ROW))
    put(journal, submitted(3, inputs=value("3")), ended(3, fingerprint="other", output=large("cd" * 32)), submitted(4))
    put(journal, ended(4, output=None, recovered=True, source_run="old-run", source_id="7"), submitted(5))
    first, second, third, fourth = journal.past(RUN)
    assert first[1:] == (action_id(1), None, "env.work", "task", Phase.FAILED, None, value("1").digest, None, None)
    assert second[1:] == (
        action_id(2), action_id(1), "env.work", "task", Phase.SUCCEEDED, "f1", b"", value("2"), None
    )  # fmt: skip
    assert (third.fingerprint, third.output) == ("other", large("cd" * 32))
    assert (fourth.fingerprint, fourth.output, fourth.origin) == (None, None, ("old-run", "7"))
    contents = journal.contents([first.key, third.key])
    assert [(c.key, c.short_name, c.group, c.inputs, c.error) for c in contents] == [
        (first.key, "work", "g", value("1"), BAD_ROW),
        (third.key, "work", None, value("3"), None),
    ]

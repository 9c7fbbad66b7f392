from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from flyte_notebook.record import events, kernels
from flyte_notebook.record.journal import Journal
from flyte_notebook.record.model import Phase
from tests.record.journal_cases import RUN, action_id, attempted, ended, finished, fold, put, started, submitted

SESSION = """
    import os, sys, time
    from pathlib import Path
    from flyte_notebook.record.journal import Journal
    from tests.record.journal_cases import *
    journal = Journal(Path(sys.argv[1]))
    put(journal, started(), submitted(1, at=101.0), attempted(1, at=102.0), submitted(2, at=103.0), submitted(3))
    put(journal, ended(3, at=104.5))
    print("ready", flush=True)
    for command in sys.stdin:
        exec(command)
"""


class Session:
    """Another kernel, with a run in progress, that does as it is told."""

    def __init__(self, path):
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(SESSION), str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout.readline() == "ready\n"

    def tell(self, command):
        self.process.stdin.write(f"{command}; print('done', flush=True)\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().removesuffix("done\n")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.end()

    def end(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def session(tmp_path):
    session = Session(tmp_path / "journal.db")
    yield session
    if session.process.poll() is None:
        session.kill()


@pytest.fixture
def journal(tmp_path, session):
    journal = Journal(tmp_path / "journal.db")
    yield journal
    journal.close()


def test_a_run_of_a_living_kernel_is_running_for_everybody(journal, session):
    assert journal.run(RUN).phase is Phase.RUNNING
    assert [action.phase for action in journal.actions(RUN)].count(Phase.QUEUED) == 1
    session.tell("put(journal, finished())")
    assert journal.run(RUN).phase is Phase.SUCCEEDED


def test_a_run_stays_running_while_its_kernel_waits_without_a_word(journal, session):
    session.tell("[t.join() for t in __import__('threading').enumerate() if t.name == 'flyte-notebook-journal']")
    assert journal.run(RUN).phase is Phase.RUNNING
    session.process.send_signal(signal.SIGSTOP)
    assert journal.run(RUN).phase is Phase.RUNNING
    session.process.send_signal(signal.SIGCONT)


def test_when_a_kernel_dies_its_run_is_shown_as_aborted(journal, session):
    session.kill()
    run = journal.run(RUN)
    assert run.phase is Phase.ABORTED
    assert run.error == f"KernelDied: the kernel died (process {session.process.pid} on {run.host})"
    # Its last sign of life.
    assert run.ended_at.timestamp() == 104.5
    by_id = {action.id: action for action in journal.actions(RUN)}
    assert [by_id[action_id(number)].phase for number in (1, 2, 3)] == [Phase.ABORTED, Phase.ABORTED, Phase.SUCCEEDED]
    assert by_id[action_id(1)].error == run.error
    assert by_id[action_id(1)].ended_at == run.ended_at
    assert journal.error(RUN).kind == "system"
    assert journal.error(RUN, action_id(1)).code == "KernelDied"
    assert journal.error(RUN, action_id(3)) is None
    (attempt,) = journal.attempts(RUN, action_id(1))
    assert (attempt.phase, attempt.error, attempt.ended_at) == (Phase.ABORTED, run.error, run.ended_at)


def test_the_replay_of_a_dead_kernels_run_ends_all_that_was_going_on(journal, session):
    session.kill()
    known = fold(list(journal.replay(RUN)))
    assert known["run"][-1].phase is Phase.ABORTED
    assert known["run"][-1].error.code == "KernelDied"
    last = {action: happened[-1] for action, happened in known["actions"].items()}
    assert [last[action_id(number)].phase for number in (1, 2, 3)] == [Phase.ABORTED, Phase.ABORTED, Phase.SUCCEEDED]


def test_finding_a_kernel_dead_rewrites_nothing(journal, session):
    session.kill()
    journal.runs()
    list(journal.replay(RUN))
    with journal.reading() as connection:
        assert connection.execute("SELECT phase, ended FROM runs").fetchall() == [("RUNNING", None)]


def test_a_run_that_ended_before_its_kernel_died_stays_as_it_was(journal, session):
    session.tell("put(journal, finished())")
    session.kill()
    assert journal.run(RUN).phase is Phase.SUCCEEDED


def test_a_kernel_that_was_replaced_by_another_process_with_its_id_is_dead(journal, session):
    # What a container sees after its restart: the same host name, the same process ids.
    session.kill()
    with journal.reading() as connection:
        connection.execute("UPDATE runs SET pid = ?", (os.getpid(),))
    assert journal.run(RUN).phase is Phase.ABORTED


def test_a_forked_child_keeps_no_dead_kernel_alive(journal, session):
    child = int(session.tell("child = os.fork(); child or time.sleep(600); print(child, end=' ')"))
    assert journal.run(RUN).phase is Phase.RUNNING
    session.kill()
    assert journal.run(RUN).phase is Phase.ABORTED
    os.kill(child, signal.SIGKILL)


def test_a_kernel_may_die_in_a_child_without_hurting_its_own_run(journal, session):
    session.tell("child = os.fork(); child or os._exit(0); os.waitpid(child, 0)")
    assert journal.run(RUN).phase is Phase.RUNNING
    session.tell("put(journal, attempted(2), ended(2))")
    assert journal.run(RUN).phase is Phase.RUNNING


def test_looking_at_others_does_not_give_up_ones_own_life_sign(tmp_path, journal, session):
    put(journal, started("own-1"))
    session.tell("put(journal, started('second-1'))")
    assert {run.phase for run in journal.runs()} == {Phase.RUNNING}
    again = Journal(tmp_path / "journal.db")
    put(again, started("own-2"))
    again.runs()
    again.close()
    seen = session.tell("print([r.phase.value for r in journal.runs() if r.name == 'own-1'], end='')")
    assert seen == "['RUNNING']"


def test_the_life_sign_is_given_up_only_when_nothing_is_held(tmp_path):
    path = tmp_path / "kernels"
    byte = kernels.draw()
    program = "import sys, pathlib; from flyte_notebook.record import kernels; "
    program += "print(kernels.alive(pathlib.Path(sys.argv[1]), int(sys.argv[2]), 0))"

    def seen():
        command = [sys.executable, "-c", program, str(path), str(byte)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    kernels.hold(path, byte)
    kernels.hold(path, byte)
    kernels.release(path, byte)
    assert seen() == "True"
    kernels.release(path, byte)
    assert seen() == "False"
    kernels.release(path, byte)


def test_unfinished_actions_of_a_finished_run_are_aborted(journal, session):
    session.tell("put(journal, finished(at=110.0))")
    by_id = {action.id: action for action in journal.actions(RUN)}
    assert [by_id[action_id(number)].phase for number in (1, 2)] == [Phase.ABORTED, Phase.ABORTED]
    assert by_id[action_id(1)].ended_at.timestamp() == 110.0
    assert by_id[action_id(1)].error is None
    ends = [event for event in journal.replay(RUN) if isinstance(event, events.ActionEnded)]
    assert len(ends) == 3


# --- forks ------------------------------------------------------------------------------------------------------------


def in_child(work):
    """Run `work` in a forked child; true when it returned without raising."""
    child = os.fork()
    if not child:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1] == 0


@pytest.fixture
def own(tmp_path):
    journal = Journal(tmp_path / "own.db")
    yield journal
    journal.close()


def test_a_child_reads_and_writes_the_journal_as_a_process_of_its_own(own):
    put(own, started(), submitted(1))

    def work():
        assert own.run(RUN).phase is Phase.RUNNING
        put(own, started("child-1"), submitted(1, run="child-1"), ended(1, run="child-1"))
        put(own, finished("child-1"))
        assert own.run("child-1").pid == os.getpid()

    assert in_child(work)
    put(own, ended(1), finished())
    assert {(run.name, run.phase) for run in own.runs()} == {(RUN, Phase.SUCCEEDED), ("child-1", Phase.SUCCEEDED)}


def test_a_child_cannot_write_its_parents_history(own, caplog):
    put(own, started(), submitted(1), attempted(1))

    def work():
        put(own, submitted(2), ended(1, Phase.FAILED), finished(phase=Phase.FAILED))

    assert in_child(work)
    put(own, ended(1))
    assert [(action.id, action.phase) for action in own.actions(RUN)] == [(action_id(1), Phase.SUCCEEDED)]


def test_what_the_parent_has_not_committed_yet_is_committed_once_by_the_parent(own):
    put(own, started())
    for number in range(200):
        own.append(submitted(number))
    assert in_child(lambda: own.flush().result(10))
    own.flush().result(10)
    assert own.run(RUN).actions == 200


def test_forks_amid_reading_and_writing_neither_hang_nor_lose_anything(own):
    put(own, started())
    for number in range(100):
        own.append(submitted(number))
        if number % 10 == 0:
            assert in_child(lambda: own.runs())
        own.append(ended(number))
    own.flush().result(10)
    assert [action.phase for action in own.actions(RUN)] == [Phase.SUCCEEDED] * 100
    with own.reading() as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]

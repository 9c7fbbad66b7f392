"""kill -9 of kernels amid runs of 1,000 actions: the record is whole, and resuming does what is missing and no more.

Eight kills by default, 200 with FLYTE_NOTEBOOK_SOAK=1; how much work each cost is printed, not judged: it depends on what
else the machine does.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

import pytest
from jupyter_client.manager import KernelManager

from flyte_notebook.record.model import Phase
from flyte_notebook.record.store import Store
from tests.crash import workload

KILLS = 200 if os.environ.get("FLYTE_NOTEBOOK_SOAK") else 8
PATIENCE = 60.0
"""Seconds after which something hangs."""


# --- processes that run the workload, to be killed ----------------------------------------------------------------------


class Script:
    """A Python process."""

    def __init__(self, environment, *command):
        arguments = [str(word) for word in command]
        program = [sys.executable, "-W", "ignore", "-m", "tests.crash.workload", *arguments]
        self.process = subprocess.Popen(program, env=environment)

    @property
    def ended(self):
        return self.process.poll() is not None

    def kill(self):
        self.process.kill()

    def wait(self):
        return self.process.wait(PATIENCE)


class Kernel:
    """An ipykernel, told to do the same in a cell."""

    def __init__(self, environment, name, *arguments):
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(env=environment)
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE)
        self.process = self.manager.provisioner.process
        call = f"workload.{name}({', '.join(map(repr, arguments))})"
        self.asked = self.client.execute(f"%load_ext flyte_notebook\nfrom tests.crash import workload\n{call}")

        self.replied = False

    @property
    def ended(self):
        with contextlib.suppress(queue.Empty):
            while not self.replied:
                reply = self.client.get_shell_msg(timeout=0)
                self.replied = reply["parent_header"]["msg_id"] == self.asked
        return self.replied

    def kill(self):
        os.kill(self.process.pid, signal.SIGKILL)

    def wait(self):
        self.process.wait()
        self.client.stop_channels()
        self.manager.cleanup_resources()


# --- what they left behind ------------------------------------------------------------------------------------------------


@dataclass
class Marks:
    """What the bodies of one process have said."""

    began: bool = False
    ran: Counter = field(default_factory=Counter)
    """How often each body started."""
    got: dict[str, float] = field(default_factory=dict)
    """When the result of each action was handed back."""
    last: float = 0.0


def marks_of(file):
    marks = Marks()
    with contextlib.suppress(FileNotFoundError):
        for line in file.read_text().splitlines():
            what, key, at = line.split()
            marks.last = float(at)
            match what:
                case "began":
                    marks.began = True
                case "ran":
                    marks.ran[key] += 1
                case "got":
                    marks.got[key] = marks.last
    return marks


def recorded_successes(home):
    """The short names of all actions of all runs that are on record as succeeded, after looking at every bit of them."""
    store = Store(home)
    journal, blobs = store.journal, store.blobs
    with journal.reading() as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    names = set()
    for run in journal.runs():
        past = journal.past(run.name)
        contents = {content.key: content for content in journal.contents([action.key for action in past])}
        for action in past:
            name = contents[action.key].short_name
            if action.phase is Phase.SUCCEEDED:
                task = getattr(workload, name.partition("-")[0])
                assert task.interface.decode_output(action.output, blobs) == workload.expected(name)
                names.add(name)
        if run.phase is Phase.ABORTED:
            assert run.error.startswith("KernelDied")
    for sha, _, _ in blobs.scan():
        assert hashlib.sha256(blobs.peek(sha)).hexdigest() == sha
    store.close()
    return names


def killed(running, file, dice):
    """Kill a process at a random moment of its run; returns when that was, or None if it had finished."""
    limit = time.monotonic() + PATIENCE
    while not marks_of(file).began:
        assert time.monotonic() < limit
        assert not running.ended
        time.sleep(0.002)
    moment = time.monotonic() + dice.uniform(0.0, 1.0) * dice.choice([0.2, 1.0])
    while time.monotonic() < moment and not running.ended:
        time.sleep(0.001)
    finished = running.ended
    died = time.monotonic()
    running.kill()
    running.wait()
    return None if finished else died


@dataclass
class Figures:
    """What the kills have cost."""

    lost: list[float] = field(default_factory=list)
    """Per kill: milliseconds from when the first of the results that were lost was handed back, to the last sign of work."""
    waited: list[float] = field(default_factory=list)
    """Per kill: milliseconds from then to the death; the difference is time in which the process got nothing done."""
    results: int = 0
    """How many results were lost, after they had been handed back."""
    ran: int = 0
    twice: int = 0
    """Bodies that ran, and those of them that ran in an earlier process already."""

    def add(self, marks, lost, died):
        """One more kill, at the moment `died`, by which the results named `lost` were lost."""
        first = min((marks.got[name] for name in lost), default=None)
        self.results += len(lost)
        self.lost.append((marks.last - first) * 1000 if lost else 0.0)
        self.waited.append((max(died, marks.last) - first) * 1000 if lost else 0.0)

    def __str__(self):
        return (
            f"kill -9 amid runs of {workload.ACTIONS:,} actions: {len(self.lost)} kills; finished work lost: "
            f"{spread(self.lost)}; its first result was handed back before the kill: {spread(self.waited)}; "
            f"{self.results} results in all; {self.ran:,} bodies ran, {self.twice:,} of them again, being unfinished or "
            f"not yet on record, 0 of committed results"
        )


def spread(milliseconds):
    ordered = sorted(milliseconds)
    return (
        f"median {ordered[len(ordered) // 2]:.0f} ms, 95 % {ordered[int(len(ordered) * 0.95)]:.0f} ms, most "
        f"{ordered[-1]:.0f} ms, above 50 ms in {sum(each > 50 for each in ordered)}"
    )


@pytest.fixture(scope="module")
def cost(figures):
    seen = Figures()
    yield seen
    figures.append(str(seen))


@pytest.mark.parametrize("seed", range(KILLS))
@pytest.mark.timeout(4 * PATIENCE)
def test_a_killed_run_is_whole_on_record_and_resumed_to_its_end(tmp_path, seed, cost):
    dice = random.Random(seed)
    home = tmp_path / "home"
    ran: set[str] = set()
    kept: set[str] = set()
    """Succeeded and on record, whatever becomes of the processes."""
    # The run is killed, the one that resumes it is as well, sometimes, and the last one goes to its end.
    words = ["start", "resume"][: dice.choice([1, 1, 2])]
    for number, word in enumerate([*words, None]):
        file = tmp_path / f"marks-{number}"
        environment = {**os.environ, "FLYTE_NOTEBOOK_HOME": str(home), workload.MARKS: str(file)}
        if word is None:
            assert Script(environment, "resume", seed).wait() == 0
        else:
            running = (Kernel if seed % 2 == 0 else Script)(environment, word, seed)
            died = killed(running, file, dice)
        marks = marks_of(file)
        assert not kept & marks.ran.keys(), "a result that was on record was made again"
        cost.ran += len(marks.ran)
        cost.twice += len(ran & marks.ran.keys())
        ran |= marks.ran.keys()
        before, kept = kept, recorded_successes(home)
        assert before <= kept
        lost = marks.got.keys() - kept
        if word is None:
            assert not lost
            check_whole(home, before, marks)
            break
        if died is not None:
            cost.add(marks, lost, died)
        if died is None or "main-0" in kept:
            # It was quicker: a run that has succeeded is not resumed.
            break


def check_whole(home, kept, marks):
    """The last run has come to its right end, with what was `kept` before and all that the bodies have done now."""
    store = Store(home)
    run = store.journal.runs(1)[0]
    actions = store.journal.actions(run.name)
    assert run.phase is Phase.SUCCEEDED
    result = workload.main.interface.decode_output(store.journal.outputs(run.name), store.blobs)
    assert result == workload.expected("main-0")
    assert len(actions) == len({action.short_name for action in actions}) == workload.ACTIONS
    assert {action.phase for action in actions} == {Phase.SUCCEEDED}
    assert {action.short_name for action in actions if not action.recovered} == marks.ran.keys()
    assert {action.short_name for action in actions if action.recovered} == kept
    store.close()

"""kill -9 at any moment: what a flush has confirmed is on record, whole, and nothing is half there."""

from __future__ import annotations

import os
import random
import select
import subprocess
import sys
import textwrap
import time

import pytest

from flyte_notebook.record.model import Phase
from flyte_notebook.record.store import Store
from tests.record.journal_cases import action_id

KERNEL = """
    import hashlib, os, random, sys
    from pathlib import Path
    from flyte_notebook.record.codec import Encoded
    from flyte_notebook.record.store import Store
    from tests.record.journal_cases import *
    store, run, dice = Store(Path(sys.argv[1])), sys.argv[2], random.Random(sys.argv[2])
    journal = store.journal

    def result(number):
        if number % 50 == 7:
            content = f"{run} {number} ".encode() * 5000
            return Encoded(None, store.blobs.put([content]), hashlib.md5(content).digest(), len(content), "large")
        return value(f'"{run} {number}' + "x" * dice.choice([0, 0, 0, 3000]) + '"')

    os.write(1, b"go\\n")
    journal.append(started(run))
    for number in range(10**9):
        journal.append(submitted(number, run=run, inputs=value(str(number))))
        journal.append(attempted(number, run=run))
        if dice.random() < 0.3:
            journal.append(events.OutputWritten(run, action_id(number), "stdout", f"line {number}\\n", 102.0))
        journal.append(ended(number, run=run, output=result(number), cache_key=f"{run} {number}"))
        if dice.random() < 0.02:
            journal.flush().result(30)
            os.write(1, f"{number}\\n".encode())
"""


def confirmed_before_death(home, run, delay):
    """Start a kernel, kill it `delay` seconds after it began, and return the last action it knew to be committed."""
    reader, writer = os.pipe()
    kernel = subprocess.Popen([sys.executable, "-c", textwrap.dedent(KERNEL), str(home), run], stdout=writer)
    os.close(writer)
    select.select([reader], [], [], 30)
    time.sleep(delay)
    kernel.kill()
    kernel.wait()
    with os.fdopen(reader) as said:
        words = said.read().split()
    assert words[0] == "go"
    return int(words[-1]) if len(words) > 1 else -1


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.timeout(120)
def test_nothing_confirmed_is_lost_when_the_kernel_is_killed(tmp_path, seed):
    dice = random.Random(seed)
    confirmed = {}
    for number in range(6):
        run = f"run-{number}"
        confirmed[run] = confirmed_before_death(tmp_path / "home", run, dice.uniform(0.0, 0.35))
        check(tmp_path / "home", confirmed)
    # The kills did hit kernels at work.
    assert max(confirmed.values()) > 0


def check(home, confirmed):
    store = Store(home)
    journal = store.journal
    with journal.reading() as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    recorded = {run.name: run for run in journal.runs()}
    assert recorded.keys() >= {run for run, last in confirmed.items() if last >= 0}
    for run, known in recorded.items():
        assert known.phase is Phase.ABORTED
        actions = journal.actions(run)
        # In order and without gaps, up to some action beyond the confirmed ones.
        assert [action.id for action in actions] == [action_id(number) for number in range(len(actions))]
        assert len(actions) > confirmed[run]
        assert {action.phase for action in actions[: confirmed[run] + 1]} <= {Phase.SUCCEEDED}
        for number, success in enumerate(past for past in journal.past(run) if past.phase is Phase.SUCCEEDED):
            assert success.id == action_id(number)
            content = success.output.data if success.output.blob is None else store.blobs.open(success.output.blob)
            assert f"{run} {number}".encode() in bytes(content)[:100]
        if actions and actions[0].phase is Phase.SUCCEEDED:
            assert journal.cached(f"{run} 0")[:2] == (run, action_id(0))
    store.close()

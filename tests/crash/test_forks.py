"""Forks in a task: the record, the loop and the sockets stay the parent's, and the parent goes on as if nothing was."""

from __future__ import annotations

import asyncio
import multiprocessing
import subprocess
import sys
import textwrap
import threading

import pytest

import flyte_notebook as flyte
from flyte_notebook.record.gate import Gate
from flyte_notebook.record.store import Store
from tests.notebook.kernels import Kernel, kernel

PROGRAM = """
    import asyncio, multiprocessing, os, sys, time, warnings
    import flyte_notebook as flyte
    warnings.simplefilter("ignore")
    env = flyte.TaskEnvironment("forks")
    where, end = sys.argv[1:]

    @env.task
    async def leaf(n: int) -> int:
        return n

    @env.task
    def sync(n: int) -> int:
        return n + 1

    def work(n):
        # In an event loop of its own as well.
        assert asyncio.run(leaf(n)) == n
        return sync(n)

    def child(n):
        # A task called in the child is a plain function.
        assert sync(n) == n + 1
        if end == "sys.exit":
            sys.exit(3)
        if end == "raise":
            raise ValueError("in the child")
        if end == "os._exit":
            os._exit(3)
        if end == "run":
            inner = flyte.run(sync, n=n)
            os._exit(inner.outputs()[0])
        return n

    def status(pid):
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def forks(n):
        with flyte.group("forks"):
            pid = os.fork()
        return child(n) if pid == 0 else status(pid)

    @env.task(retries=2)
    async def on_loop(n: int) -> int:
        pid = os.fork()
        if pid == 0:
            assert await leaf(n) == await leaf.aio(n) == n
            if end == "await":
                await asyncio.sleep(0)
            return child(n)
        return status(pid)

    @env.task(retries=2)
    def in_thread(n: int) -> int:
        return forks(n)

    @env.task(retries=2)
    async def in_a_task_of_its_own(n: int) -> int:
        async def helper():
            return forks(n)
        return sum(await asyncio.gather(helper(), asyncio.sleep(0, 0)))

    @env.task(retries=2)
    async def in_nested_code(n: int) -> int:
        return in_thread(n)

    def pools(n):
        with multiprocessing.get_context("fork").Pool(2) as pool:
            return sum(pool.map(work, range(n)))

    @env.task
    def pool_in_thread(n: int) -> int:
        return pools(n)

    @env.task
    async def pool_on_loop(n: int) -> int:
        return pools(n)

    @env.task
    def pool_in_nested_code(n: int) -> int:
        return asyncio.run(inner_pool(n))

    async def inner_pool(n):
        return pools(n)

    @env.task
    def program(n: int) -> int:
        return subprocess_of(n)

    def subprocess_of(n):
        import subprocess
        # With a function to call in the child, Python forks as os.fork does.
        code = f"print({n})"
        done = subprocess.run([sys.executable, "-c", code], preexec_fn=os.getpid, capture_output=True, check=True)
        return int(done.stdout)

    @env.task
    async def main(n: int) -> int:
        forking = globals()[where]
        total = 0
        for k in range(3):
            got = await asyncio.gather(*(leaf(i) for i in range(n)), forking.aio(4), *(leaf(i) for i in range(n)))
            total += got[n]
        return total

    run = flyte.run(main, n=30)
    print("result", run.outputs()[0], os.getpid(), flush=True)
"""
AWAITS = "went back to the event loop, which is its parent's"


def played(where, end):
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM), where, end]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)


def checked(home, done, status, actions_each):
    """The run on record is the parent's, whole, and only one process came to the end; the other runs on record."""
    assert done.returncode == 0, done.stderr
    results = [line.split() for line in done.stdout.splitlines() if line.startswith("result")]
    assert [int(words[1]) for words in results] == [3 * status]
    store = Store(home)
    # A child's own run may be on record before its parent's.
    runs = store.journal.runs()
    (run,) = (each for each in runs if each.pid == int(results[0][2]))
    others = [each for each in runs if each is not run]
    assert run.phase == "SUCCEEDED"
    actions = store.journal.actions(run.name)
    assert len(actions) == 1 + 3 * (60 + actions_each)
    assert {(action.phase, action.attempts) for action in actions} == {("SUCCEEDED", 1)}
    with store.journal.reading() as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    store.close()
    return [(other.pid, other.phase) for other in others]


@pytest.mark.parametrize("where", ["on_loop", "in_thread", "in_nested_code"])
@pytest.mark.parametrize(("end", "status"), [("return", 0), ("sys.exit", 3), ("raise", 1), ("os._exit", 3)])
def test_a_child_ends_with_the_body_that_forked_it_and_is_not_on_record(home, where, end, status):
    done = played(where, end)
    assert checked(home, done, status, actions_each=2 if where == "in_nested_code" else 1) == []
    assert done.stderr.count("ValueError: in the child") == (3 if end == "raise" else 0)


@pytest.mark.parametrize(("where", "end"), [("on_loop", "await"), ("in_a_task_of_its_own", "return")])
def test_a_child_ends_with_one_error_before_it_runs_the_loop_of_its_parent(home, where, end):
    done = played(where, end)
    assert checked(home, done, 1, actions_each=1) == []
    assert done.stderr.count(AWAITS) == 3
    assert done.stderr.count("Error") == 3


@pytest.mark.parametrize("where", ["pool_in_thread", "pool_on_loop", "pool_in_nested_code"])
def test_a_pool_of_forked_processes_works_in_every_kind_of_body(home, where):
    done = played(where, "")
    assert checked(home, done, 10, actions_each=1) == []
    assert done.stderr == ""


def test_a_program_that_is_forked_with_a_function_to_call_is_no_child_of_ours(home):
    assert checked(home, played("program", ""), 4, actions_each=1) == []


@pytest.mark.parametrize("where", ["on_loop", "in_thread", "in_a_task_of_its_own"])
def test_a_child_may_make_a_run_of_its_own(home, where):
    done = played(where, "run")
    own = checked(home, done, 5, actions_each=1)
    assert {phase for _, phase in own} == {"SUCCEEDED"}
    assert len({pid for pid, _ in own}) == 3


# --- in this process ----------------------------------------------------------------------------------------------------

env = flyte.TaskEnvironment("forks")


@env.task
async def leaf(n: int) -> int:
    return n


def double(n: int) -> int:
    return 2 * n


def test_pools_amid_a_busy_run_neither_hang_nor_lose_anything():
    @env.task
    def pools(n: int) -> int:
        with multiprocessing.get_context("fork").Pool(2) as pool:
            return sum(pool.map(double, range(n)))

    @env.task
    async def main(n: int) -> int:
        forking = asyncio.gather(*(pools.aio(10) for _ in range(4)))
        total = 0
        while not forking.done():
            total += sum(await asyncio.gather(*(leaf(i) for i in range(n)))) > 0
        assert total
        return sum(await forking)

    run = flyte.run(main, n=50)
    assert run.outputs()[0] == 4 * 90
    assert {action.phase for action in run.actions()} == {"SUCCEEDED"}


def test_the_gate_stays_closed_until_the_last_of_two_forks_is_over():
    gate, inside = Gate(), threading.Event()

    def enter():
        with gate:
            inside.set()

    gate.before_fork()
    gate.before_fork()
    gate.after_in_parent()
    thread = threading.Thread(target=enter)
    thread.start()
    assert not inside.wait(0.1)
    gate.after_in_parent()
    assert inside.wait(30)
    thread.join()


# --- in a kernel --------------------------------------------------------------------------------------------------------

CELLS = """%%flyte my-env
import asyncio, multiprocessing, os

@env.task
async def leaf(n: int) -> int:
    return n

def status(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

@env.task
async def on_loop(n: int) -> int:
    pid = os.fork()
    return n if pid == 0 else status(pid)

@env.task
async def awaits(n: int) -> int:
    pid = os.fork()
    if pid == 0:
        await asyncio.sleep(0)
    return status(pid)

@env.task
def in_thread(n: int) -> int:
    pid = os.fork()
    return n if pid == 0 else status(pid)

def work(n):
    return asyncio.run(leaf(n))

@env.task
async def pools(n: int) -> int:
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return sum(pool.map(work, range(n)))
"""
TOP = """%%flyte
await leaf(1)
with flyte.group("top"):
    pid = os.fork()
    assert 2 == (work(2) if pid == 0 else await leaf(2))
None if pid == 0 else status(pid)
"""


@pytest.fixture(scope="module")
def forking_kernel(tmp_path_factory):
    home = tmp_path_factory.mktemp("kernel-home")
    with kernel(FLYTE_NOTEBOOK_HOME=str(home)) as started:
        assert started.run(CELLS).status == "ok"
        yield started


@pytest.mark.parametrize(
    ("code", "result"),
    [
        ("%%flyte\nawait on_loop(1)", "0"),
        ("%%flyte\nawait awaits(1)", "1"),
        ("%%flyte\nawait in_thread.aio(1)", "0"),
        ("%%flyte\nin_thread(1)", "0"),
        ("%%flyte\nawait pools(5)", "10"),
        ("flyte.run(on_loop, n=1).outputs()[0]", "0"),
        ("flyte.run(pools, n=5).outputs()[0]", "10"),
        (TOP, "0"),
    ],
)
def test_a_kernel_goes_on_as_one_whatever_forks_in_it(forking_kernel: Kernel, code, result):
    done = forking_kernel.run(code)
    assert (done.status, done.result) == ("ok", result), done.traceback
    # Nobody else answers, or takes what is for the kernel.
    pid = forking_kernel.run("import os\nos.getpid()").result
    again = [forking_kernel.run("%%flyte\nprint('here')\n(await leaf(7), os.getpid())") for _ in range(3)]
    assert [cell.result for cell in again] == [f"(7, {pid})"] * 3
    assert [cell.printed for cell in again] == ["here\n"] * 3
    assert forking_kernel.run("__import__('psutil').Process().children()").result == "[]"
    runs = "[(run.record.pid, str(run.phase)) for run in __import__('flyte_notebook').runs()]"
    assert forking_kernel.run(f"set({runs}) == {{({pid}, 'SUCCEEDED')}}").result == "True"

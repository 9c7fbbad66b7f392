"""What is stopped, in the tests of cancelling: programs by how their bodies behave, and the cells that run them.

Every program has a `main` that calls `before`, which is done at once, and `body`, which prints `ready` and then stays
until `slow()` says no. `slow` asks the environment, which is no part of a fingerprint: resumed, the same code is quick.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

SETUP = '''
import nest_asyncio
nest_asyncio.apply()
from datetime import timedelta
import anyio, asyncio, contextlib, ipykernel, os, signal, threading, time
import flyte_notebook as flyte
from flyte_notebook.engine import bridge
from flyte_notebook.engine.runs import live_runs

def slow():
    return os.environ["PACE"] == "slow"

async def pause():
    """Wait as one call of asyncio, not by looking again and again."""
    if slow():
        await asyncio.sleep(60)

def spin(seconds):
    until = time.monotonic() + seconds
    while slow() and time.monotonic() < until:
        pass

def newest():
    return next(run for run in flyte.runs() if run.name.startswith("main-"))

def notes(run):
    return {action.short_name: [note.text for note in run.store.journal.notes(run.name, action.id)]
            for action in run.actions()}

def state():
    """What is on record of the last run, and what is left of it in this kernel."""
    run = newest()
    return {
        "run": run.name, "phase": str(run.phase), "resumed_from": run.record.resumed_from,
        "actions": [(a.short_name, str(a.phase), a.recovered) for a in run.actions()],
        "notes": notes(run),
        "live": list(live_runs), "nested": getattr(bridge._nesting, "depth", 0),
        "tasks": [repr(task) for task in asyncio.all_tasks() if not theirs(task)],
        "views": [t.name for t in threading.enumerate() if t.name == "flyte-notebook-view"],
        "handler": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
    }

def working():
    """Threads that a body sits in."""
    return [t.name for t in threading.enumerate() if getattr(t, "job", None) is not None]

def theirs(task):
    """The kernel's own, and that of this very cell."""
    return task in before_any or task.get_coro().cr_code.co_filename.startswith(os.path.dirname(ipykernel.__file__))

before_any = set(asyncio.all_tasks())
'''

_BEFORE = """%%flyte matrix
@env.task
async def before(x: int) -> int:
    return x

"""

_MAIN = """
@env.task
async def main() -> int:
    return await before(1) + await body.aio()
"""

_SYNC_MAIN = """
@env.task
def main() -> int:
    return asyncio.run(before.aio(1)) + body()
"""

FAILED = {"FAILED"}


@dataclass(frozen=True)
class Program:
    """One way for a body to be when it is stopped."""

    body: str
    main: str = _MAIN
    ready: int = 1
    """How many bodies say so."""
    thread: bool = False
    """The body sits in a thread that cannot be stopped."""
    blocks: bool = False
    """The body keeps the loop for itself for a while; a second interrupt ends that."""
    ends: dict[str, set[str]] = field(default_factory=dict)
    """Phases of the actions where they are not ABORTED, by short name."""

    @property
    def source(self) -> str:
        return _BEFORE + self.body.strip("\n") + "\n" + self.main


def _async(*lines: str, before: str = "") -> str:
    body = "\n".join("    " + line for line in lines)
    return f'{before}\n@env.task\nasync def body() -> int:\n    print("ready")\n{body}\n    return 1\n'


def _sync(*lines: str, before: str = "") -> str:
    return _async(*lines, before=before).replace("async def body", "def body")


_LEAF = """
@env.task
async def leaf(x: int) -> int:
    print("ready")
    await pause()
    return x
"""

_PATIENT = "flyte.RetryStrategy(count=2, backoff=flyte.Backoff(base=timedelta(seconds=60), factor=1))"
_IN_THREAD = "while slow(): time.sleep(0.01)"

_QUIET_PARENT = """
@env.task
{kind}def body() -> int:
    return {value}
"""


def _parent(value: str, kind: str = "async ") -> str:
    return _LEAF + _QUIET_PARENT.format(kind=kind, value=value)


_STUBBORN_PARENT = """
@env.task
async def body() -> int:
    while slow():
        with contextlib.suppress({caught}): await leaf(1)
    return 1
"""

PROGRAMS: dict[str, Program] = {
    "waits": Program(_async("await pause()")),
    "computes between awaits": Program(_async("while slow():", "    spin(0.02); await asyncio.sleep(0)")),
    "blocks the loop": Program(_async("spin(1.5)", "await pause()"), blocks=True),
    "sits in a thread": Program(_sync("while slow(): time.sleep(0.01)"), thread=True),
    "computes in a thread": Program(_sync("while slow(): pass"), thread=True),
    "holds a task group of anyio": Program(
        _async("async with anyio.create_task_group() as group:", "    group.start_soon(pause); await pause()")
    ),
    "holds a shielded scope of anyio": Program(_async("with anyio.CancelScope(shield=True):", "    await pause()")),
    "waits for a thread of anyio": Program(
        _async("await anyio.to_thread.run_sync(work)", before="def work():\n    while slow(): time.sleep(0.01)\n")
    ),
    "holds a TaskGroup": Program(
        _async("async with asyncio.TaskGroup() as group:", "    group.create_task(pause()); await pause()")
    ),
    "tidies up": Program(_async("try: await pause()", "finally: await asyncio.sleep(0.1)")),
    "catches once and returns": Program(_async("try: await pause()", "except asyncio.CancelledError: pass")),
    "fails when cancelled": Program(
        _async("try: await pause()", 'except asyncio.CancelledError: raise ValueError("no")').replace(
            "@env.task", "@env.task(retries=3)"
        ),
        ends={"body": FAILED},
    ),
    "catches once and goes on": Program(
        _async("try: await pause()", "except asyncio.CancelledError: pass", "await pause()")
    ),
    "catches every time": Program(
        _async("while slow():", "    with contextlib.suppress(asyncio.CancelledError): await pause()")
    ),
    "catches everything": Program(_async("while slow():", "    try: await pause()", "    except BaseException: pass")),
    "catches every time and calls": Program(_LEAF + _STUBBORN_PARENT.format(caught="asyncio.CancelledError")),
    "catches everything and calls": Program(_LEAF + _STUBBORN_PARENT.format(caught="BaseException")),
    "shields a child": Program(_parent("await asyncio.shield(leaf(1))")),
    "shields a future": Program(_async("await asyncio.shield(pause())")),
    "runs asyncio.run": Program(_async("asyncio.run(pause())")),
    "runs asyncio.run with a child": Program(_parent("asyncio.run(leaf.aio(1))")),
    "runs asyncio.run in a thread": Program(_parent("asyncio.run(leaf.aio(1))", kind="")),
    "runs run_until_complete": Program(_async("asyncio.get_event_loop().run_until_complete(pause())")),
    "calls a child": Program(_parent("await leaf(1)")),
    "gathers": Program(_parent("sum(await asyncio.gather(*(leaf(x) for x in range(5))))"), ready=5),
    "maps": Program(_parent("sum([x async for x in flyte.map.aio(leaf, range(5))])"), ready=5),
    "maps, blocking": Program(_parent("sum(flyte.map(leaf, range(5)))"), ready=5),
    "maps in a thread": Program(_parent("sum(flyte.map(leaf, range(5)))", kind=""), ready=5),
    "sync calls sync": Program(
        _parent("leaf(1)", kind="").replace("async def leaf", "def leaf").replace("await pause()", _IN_THREAD),
        main=_SYNC_MAIN,
        thread=True,
    ),
    "async calls sync, nested": Program(
        _parent("leaf(1)").replace("async def leaf", "def leaf").replace("await pause()", _IN_THREAD), thread=True
    ),
    "runs another run": Program(_parent("flyte.run(leaf, x=1).outputs()[0]")),
    "runs another run in a thread": Program(_parent("flyte.run(leaf, x=1).outputs()[0]", kind="")),
    "waits for a retry": Program(
        _async('if slow(): raise ValueError("not yet")').replace("@env.task", f"@env.task(retries={_PATIENT})")
    ),
}

STOPS = ("widget", "widget, one action", "abort", "magic", "interrupt", "interrupt twice")

CELLS = {
    "awaited": "%%flyte\nawait main.aio()",
    "magic": "get_ipython().run_cell_magic('flyte', '', 'await main.aio()')",
    "run in a cell": "%%flyte\nflyte.run(main)",
    "run": "flyte.run(main)",
    "run.aio": "await flyte.run.aio(main)",
    "gathered": "await asyncio.gather(flyte.run.aio(main), asyncio.sleep(0))",
    "gathered in a cell": "%%flyte\nawait asyncio.gather(flyte.run.aio(main), asyncio.sleep(0))",
}

RESUMED = {
    "awaited": "%%flyte --resume\nawait main.aio()",
    "magic": "get_ipython().run_cell_magic('flyte', '--resume', 'await main.aio()')",
    "run in a cell": "%flyte resume {run}",
}
"""How a cell is resumed; the others by `run.resume()`."""


@dataclass(frozen=True)
class Case:
    """One cell of the matrix."""

    program: str
    stop: str
    cell: str

    def __str__(self) -> str:
        return f"{self.program}-{self.stop}-{self.cell}"


def every_case() -> list[Case]:
    return [Case(program, stop, cell) for program in PROGRAMS for stop in STOPS for cell in CELLS]


def some_cases(seed: int) -> list[Case]:
    """Each way to stop with each kind of cell, and with each program two ways to stop, drawn by `seed`."""
    draw = random.Random(seed)
    cases = [Case("calls a child", stop, cell) for stop in STOPS for cell in CELLS]
    for program in PROGRAMS:
        cases += [Case(program, stop, draw.choice(list(CELLS))) for stop in draw.sample(STOPS, 2)]
    return list(dict.fromkeys(cases))

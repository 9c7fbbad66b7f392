"""Where the running code stands: which run, which action, which group. One context variable holds it all.

A `Frame` is immutable and travels with the context, so tasks, threads and groups inherit it for free and a child can
never change what its parent sees. A `Node` is the mutable bookkeeping of one place that can have children: the root of
a run, or one action.
"""

from __future__ import annotations

import asyncio
from contextvars import Context, ContextVar, Token
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from flyte_notebook.engine import forks
from flyte_notebook.record import events
from flyte_notebook.record.model import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flyte_notebook.engine.held import Held
    from flyte_notebook.engine.recovery import Recovery
    from flyte_notebook.engine.runs import LiveRun
    from flyte_notebook.engine.stopping import Stop


class Cancellable(Protocol):
    """Something with actions below it: a node, or a run that was started inside an action."""

    @property
    def root(self) -> Node | None:
        """The node itself, or the root of the run once there is one."""

    def cancel_children(self, insist: bool = False, reason: str | None = None) -> None:
        """Cancel all that runs below, deepest first; `insist`: also what was asked before and has not ended."""


class Node:
    """The root of a run (`id` None) or one action: the parent of other actions while it is open."""

    __slots__ = ("children", "counts", "depth", "id", "made_to_end", "open", "run", "sealing", "stopped")

    def __init__(self, run: LiveRun, id: str | None, depth: int) -> None:
        self.run = run
        self.id = id
        self.depth = depth
        self.open = True
        self.stopped = False
        """Set when it was asked to end, whether or not the code there has heard of it."""
        self.made_to_end: Stop | None = None
        """What refuses its calls, once its code has gone on for too long."""
        self.children: dict[asyncio.Task[Any], Cancellable] = {}
        """What runs below this node: each asyncio task and what it works for."""
        self.counts: dict[str, int] = {}
        """How often each base id was used by children so far: the call sequence among equals."""
        self.sealing: asyncio.Future[None] | None = None
        """Done once the last call made here whose inputs are large has become an action."""

    @property
    def root(self) -> Node:
        """See `Cancellable`."""
        return self

    def cancel_children(self, insist: bool = False, reason: str | None = None) -> None:
        """Cancel the whole subtree, deepest first; `insist`: also what was asked before and has not ended.

        Each task is asked itself: a task whose body waits in a nested `run_until_complete` passes no cancellation on.
        """
        self.stopped = True
        for task, node in tuple(self.children.items()):
            node.cancel_children(insist, reason)
            if not task.done() and (insist or not task.cancelling()):
                task.cancel(reason)

    def adopt(self, child: Cancellable) -> asyncio.Task[Any] | None:
        """Where the running code has an asyncio task of its own, end that before this node ends: it works for `child`.

        Whoever is adopted leaves `children` when it is done. None: it is the node's own task, or here already.
        """
        task = asyncio.current_task() if asyncio.events._get_running_loop() is self.run.loop else None
        if task is None or task is self.own_task or task in self.children:
            return None
        self.children[task] = child
        return task

    @property
    def own_task(self) -> asyncio.Task[Any] | None:
        """The task that this node's code runs in, if there is one."""
        return self.run.owner

    @property
    def acting(self) -> Node:
        """What is stopped when the code here is: not a trace, which is part of the code that calls it."""
        return self

    async def close(self) -> None:
        """Cancel the children still running, wait until each is recorded, and accept no more.

        A cancellation that arrives meanwhile is kept and raised afterwards, so that nothing is left behind.
        """
        self.open = False
        pending: asyncio.CancelledError | None = None
        while self.children:
            self.cancel_children(reason="its cell, or the task that made it, has ended without awaiting it")
            try:
                await asyncio.wait(tuple(self.children))
                # A finished task leaves `children` when the one who waits for it resumes, or here if nobody does.
                await asyncio.sleep(0)
            except asyncio.CancelledError as error:
                pending = error
            for task in [task for task in self.children if task.done()]:
                del self.children[task]
        if pending is not None:
            raise pending


class Reporting(Protocol):
    """A report that belongs to one attempt of an action."""

    attempt: int

    def conclude(self, call: Call) -> None:
        """The attempt is over: put on record what is not there yet."""


class Call(Node):
    """One action while it is alive: what was called, with what, and how far it is."""

    __slots__ = (
        "attempt",
        "blocking",
        "cancelled",
        "forced",
        "group",
        "held",
        "inputs",
        "kind",
        "lend_slot",
        "parent",
        "phase",
        "report",
        "runner",
        "short_name",
        "take_slot",
        "task_name",
        "thread_alive",
        "timed_out",
        "told",
        "waiting",
    )

    def __init__(self, parent: Node, id: str, task_name: str, short_name: str, group: str | None, kind: str) -> None:
        super().__init__(parent.run, id, parent.depth + 1)
        self.parent = parent
        self.task_name = task_name
        self.short_name = short_name
        self.group = group
        self.kind = kind
        self.inputs: Any = None
        self.attempt = 0
        self.report: Reporting | None = None
        """What the body writes about itself, once it does."""
        self.phase = Phase.QUEUED
        self.cancelled: Stop | None = None
        """Set when this action was asked to stop by name, so that its caller is told and not cancelled with it."""
        self.forced = False
        """Set once its body was made to end: what it raises then means nothing."""
        self.runner: asyncio.Task[Any] | None = None
        self.thread_alive = False
        self.timed_out = False
        """Set when the engine ended the attempt because its time had run out."""
        self.told = False
        """Set once a blocking call in the body was cancelled by a stop: its own task has not heard of that yet."""
        self.blocking = False
        """Set once it was remarked that the body blocks the loop."""
        self.held: tuple[Held, ...] = ()
        """What it gives back when its code ends, or is abandoned."""
        self.lend_slot: Callable[[], Callable[[], None]] | None = None
        """While a body sits in a thread: gives its slot back and returns the function that takes it again."""
        self.waiting = 0
        """How many child calls the body's thread, or threads of its own, wait for."""
        self.take_slot: Callable[[], None] | None = None

    @property
    def own_task(self) -> asyncio.Task[Any] | None:
        return self.runner

    @property
    def acting(self) -> Node:
        return self.parent.acting if self.kind == "trace" else self

    def wait_begins(self) -> None:
        """The body's thread is about to wait for a child action: its slot is free for others. On the loop only."""
        self.waiting += 1
        if self.waiting == 1 and self.lend_slot is not None:
            self.take_slot = self.lend_slot()

    def wait_ends(self) -> None:
        """The child action has ended and the body's thread goes on. On the loop only."""
        self.waiting -= 1
        if self.waiting == 0 and self.take_slot is not None:
            self.take_slot()
            self.take_slot = None

    def note(self, kind: str, text: str) -> None:
        """Put a remark about this action on record."""
        assert self.id is not None
        self.run.publish(events.Noted(self.run.name, self.id, kind, text, events.now()))

    def write(self, stream: str, text: str) -> None:
        """Put output of this action on record."""
        self.run.publish(events.OutputWritten(self.run.name, self.id, stream, text, events.now()))


class Opener(Protocol):
    """Something that becomes a run when its first task is called: a cell."""

    loop: asyncio.AbstractEventLoop
    recovery: Recovery | None
    """What runs started here can recover."""

    @property
    def forked(self) -> bool:
        """True in a child that was forked since it began: it is not its own."""

    @property
    def root(self) -> Node | None:
        """The root of the run, once there is one."""

    def open(self, first_name: str) -> Node:
        """The root of the run; created at the first call and named after `first_name`."""


class Frame(NamedTuple):
    """What the code that runs here belongs to. A tuple, because one is made for every action."""

    node: Node | None
    """None at the top of a cell."""
    opener: Opener | None = None
    """At the top of a cell: what creates its run."""
    group: str | None = None
    custom_context: Mapping[str, str] = MappingProxyType({})
    traced: bool = False
    """Inside a `flyte.trace` function, where calling a task is an error."""

    def parent(self, first_name: str) -> Node:
        """The node that a call made here becomes a child of; creates the cell's run when there is none yet."""
        if self.node is not None:
            return self.node
        assert self.opener is not None
        return self.opener.open(first_name)

    @property
    def forked(self) -> bool:
        """True in a child that was forked where this was current, by whatever way it comes back to it."""
        if self.node is not None:
            return self.node.run.forked
        return self.opener is not None and self.opener.forked

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that everything of this run happens on."""
        if self.node is not None:
            return self.node.run.loop
        assert self.opener is not None
        return self.opener.loop


background: ContextVar[bool] = ContextVar("flyte_notebook_background", default=False)
"""True in code that no cell waits for: an interrupt, which is meant for cells, does not concern the runs started there, and
what their actions print goes to their logs only."""

_frame: ContextVar[Frame | None] = ContextVar("flyte_notebook_frame", default=None)


def current_frame() -> Frame | None:
    """What the running code belongs to; None outside a run, where tasks are plain functions, as in a forked child."""
    frame = _frame.get()
    return None if frame is None or (forks.generation and frame.forked) else frame


def enter(frame: Frame | None) -> Token[Frame | None]:
    """Make `frame` the current one; undo with `leave`."""
    return _frame.set(frame)


def leave(token: Token[Frame | None]) -> None:
    """Undo `enter`."""
    _frame.reset(token)


def narrowed(**changes: Any) -> Frame | None:
    """The current frame with `changes`, or None outside a run."""
    frame = current_frame()
    return None if frame is None else frame._replace(**changes)


def call_in(context: Context) -> Call | None:
    """The action that code in `context` belongs to."""
    frame = context.get(_frame)
    node = frame.node if frame is not None else None
    return node if isinstance(node, Call) else None


def current_action() -> Call | None:
    """The action whose body runs here, or None outside any action."""
    frame = current_frame()
    node = frame.node if frame is not None else None
    return node if isinstance(node, Call) else None

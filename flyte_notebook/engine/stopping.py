"""Sees to it that what was asked to stop does stop, also where a body catches its cancellation or waits in a nested loop.

asyncio delivers a cancellation once, to whatever waits innermost, and whoever catches it goes on. So after some time
for tidying up a body is asked again, and again; then an exception is thrown in that no `except CancelledError` catches;
and code that catches everything is not resumed any more. What it calls meanwhile does not begin: that would be one more
thing to wait for, each time. A thread cannot be stopped: its action does not wait for it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from flyte_notebook.engine.context import Call, Node
from flyte_notebook.engine.failures import recorded
from flyte_notebook.engine.held import give_back_all
from flyte_notebook.engine.recording import ended
from flyte_notebook.engine.strays import Ended, call_of, detach, left_by, nested_in, throw
from flyte_notebook.record.model import Phase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flyte_notebook.engine.context import Cancellable

GRACE = 0.4
"""Seconds that a body has for tidying up before it is asked again."""
AGAIN = 0.1
"""Seconds between askings from then on."""
ASKINGS = 2
"""How often it is asked again; then it is ended by force."""
THROWS = 2
"""How often an exception is thrown into one task; then it is abandoned."""
LETTINGS_GO = 5
"""How often a body that waits in nested loops is freed from what it waits for there; then it is abandoned, too."""
AT_ONCE = 1000
"""How many calls of a cell are refused without waiting. A cell cannot be abandoned: its task is the kernel's."""

FORCED = "went on when it was cancelled: ended by force"


class Stop:
    """The wish that a run, or one action, should end, and the insisting on it. On the run's loop only."""

    def __init__(self, node: Node, error: BaseException | None = None, phase: Phase = Phase.ABORTED) -> None:
        """`error` is what the caller of an action gets when its body has to be abandoned, `phase` how that ends."""
        self._node = node
        self._error = error
        self._phase = phase
        self._rounds = 0
        self._timer: asyncio.TimerHandle | None = None
        self._thrown: Counter[asyncio.Task[Any]] = Counter()
        self._refused = 0
        self._waiting: dict[Node, asyncio.Future[None]] = {}
        """By caller: what its calls wait for that may not begin."""
        self.asked = 0
        """How often the action's own task was cancelled: whoever catches that takes as many back."""
        self.cuts_short = False
        """Set once it has found anything under way below the node, or called there afterwards."""

    def ask(self, *, insist: bool = False) -> None:
        """Ask all that runs below the node, and then itself; and from now on again and again.

        `insist`: also what was asked before, by whomever, and has not ended.
        """
        self.cuts_short |= bool(self._node.children)
        self._cancel(insist)
        if self._timer is None:
            self._timer = self._node.run.loop.call_later(GRACE, self._again)

    def end(self) -> None:
        """Insist no more: it has ended. What an action has left behind is asked, too; its run does more, at its end."""
        if self._timer is not None:
            self._timer.cancel()
        self._node.run.stopped_some = True
        loop = self._node.run.loop
        ended = _ended.setdefault(loop, set())
        if not ended:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nothing runs any more
                loop.call_soon(_cancel_left, loop)
        ended.add(self._node)

    def _again(self) -> None:
        if _over(self._node):
            return
        # First of all: if one cannot be stopped, whatever the reason, the others are insisted on nevertheless.
        self._timer = self._node.run.loop.call_later(AGAIN, self._again)
        self._rounds += 1
        self.cuts_short |= bool(self._node.children)
        if self._rounds > ASKINGS:
            # Not cancelled as well: that would replace what is thrown.
            self._force(self._node)
        else:
            self._cancel(insist=True)

    def _cancel(self, insist: bool) -> None:
        node = self._node
        node.cancel_children(insist)
        for task in nested_in(node.run.loop, set(_subtree(node))):
            if insist or not task.cancelling():
                task.cancel()
                told(call_of(task))
        if not isinstance(node, Call):
            node.run.cancel_owner(insist)
        elif node.runner is not None and (insist or not self.asked):
            self.asked += 1
            node.runner.cancel()

    def _force(self, node: Node) -> None:
        """Throw into what waits for nothing of ours any more: the deepest first, the others in the next rounds."""
        node.made_to_end = self
        for task, child in tuple(node.children.items()):
            below = _node(child)
            if below is not None and below.children:
                self._force(below)
            elif isinstance(child, Call):
                child.made_to_end = self
                self._throw(task, child)
        if isinstance(node, Call) and node is self._node and node.runner is not None and not node.children:
            self._throw(node.runner, node)
        if node is self._node:
            for task in nested_in(node.run.loop, set(_subtree(node))):
                throw(task)
            if not isinstance(node, Call) and node.run.owner is not None and not node.children:
                throw(node.run.owner)

    def _throw(self, task: asyncio.Task[Any], call: Call) -> None:
        if self._once_more(task, call):
            throw(task)
        else:
            self._let_go(task, call)

    def _let_go(self, task: asyncio.Task[Any], call: Call) -> None:
        """Never resume the body, or, where it waits in a nested loop, on the stack of this very callback, what runs there."""
        nested = nested_in(call.run.loop, {call})
        if not nested or self._thrown[task] > THROWS + LETTINGS_GO:
            self._abandon(call, task)
        for each in nested:
            detach(each)

    def _once_more(self, task: asyncio.Task[Any], call: Call) -> bool:
        """True while an exception may still end the body, which is now said to be ended by force."""
        if not call.forced:
            call.forced = True
            call.note("forced", FORCED)
        self._thrown[task] += 1
        return self._thrown[task] <= THROWS

    async def refuse(self, node: Node) -> None:
        """Raise `Ended` in code of `node` that calls something after all, or, when that helps no more, never return.

        In a later round of the loop: who catches that and calls again must not keep the loop from going round.
        """
        waiting = self._waiting.get(node)
        if waiting is None or waiting.done():
            loop = node.run.loop
            waiting = self._waiting[node] = loop.create_future()
            self._refused += 1
            loop.call_later(0 if self._refused <= AT_ONCE else AGAIN, self._end_waiting, node, waiting)
        await waiting

    def _end_waiting(self, node: Node, waiting: asyncio.Future[None]) -> None:
        runner = node.runner if isinstance(node, Call) else None
        if waiting.done() or _over(node):
            waiting.cancel()
        elif runner is None or not isinstance(node, Call) or self._once_more(runner, node):
            waiting.set_exception(Ended())
        else:
            self._let_go(runner, node)
            waiting.cancel()

    def _abandon(self, call: Call, task: asyncio.Task[Any]) -> None:
        error = self._error if call is self._node else None
        detach(task, error)
        give_back_all(call)
        if not call.phase.terminal:
            phase = self._phase if call is self._node else Phase.ABORTED
            ended(call, phase, error=recorded(error) if error is not None and phase is not Phase.ABORTED else None)
        call.open = False
        call.parent.children.pop(task, None)
        call.run.calls.pop(call.id or "", None)


async def admitted(node: Node | None) -> None:
    """Return at once, unless the code of `node` is being made to end: then it may call nothing; see `Stop.refuse`."""
    if node is not None and node.made_to_end is not None and node.open:
        await node.made_to_end.refuse(node)


_ended: WeakKeyDictionary[asyncio.AbstractEventLoop, set[Node]] = WeakKeyDictionary()
"""What was stopped and has ended in this round of a loop: one look at all its tasks does for all of them."""


def _cancel_left(loop: asyncio.AbstractEventLoop) -> None:
    for task in left_by(loop, _ended.pop(loop)):
        task.cancel()


def told(call: Call | None) -> None:
    """A blocking call in the body of `call` is cancelled; if by a stop, then that has reached the body."""
    if call is None or not call.acting.stopped:
        return
    call.told = True
    if isinstance(call.acting, Call):
        call.acting.told = True


def has_heard(call: Call, task: asyncio.Task[Any] | None) -> bool:
    """True when what runs in `task` for `call`, and was asked to stop, has heard of it: what it returns means nothing.

    What its own code has cancelled is no stop. And a body that has blocked the loop meanwhile was asked, but the
    cancellation still waits for its next await.
    """
    return call.told or not getattr(task, "_must_cancel", False)


async def end_strays(node: Node) -> None:
    """End what stopped bodies below `node` have left behind, as `asyncio.shield` does."""
    left = set(left_by(node.run.loop, (node,)))
    for attempt in range(1 + THROWS):
        for task in left:
            if attempt:
                throw(task)
            else:
                task.cancel()
        if left:
            _, left = await asyncio.wait(left, timeout=AGAIN)
    for task in left:
        detach(task)


def _over(node: Node) -> bool:
    if isinstance(node, Call):
        return node.phase.terminal
    return node.run.phase.terminal or (not node.children and node.run.owner is None)


def _node(child: Cancellable) -> Node | None:
    return child if isinstance(child, Node) else child.root


def _subtree(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children.values():
        below = _node(child)
        if below is not None:
            yield from _subtree(below)

"""What goes on record of a call: that it was made, under which id, and how it ended."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from flyte_notebook.engine import output
from flyte_notebook.engine.context import Call
from flyte_notebook.record import events

if TYPE_CHECKING:
    from flyte_notebook.engine.context import Node
    from flyte_notebook.record.codec import Encoded
    from flyte_notebook.record.model import Phase

_ROOT = "flyte"
"""What stands for the missing parent of a root action in its id: ids are equal from run to run, so resume finds them."""


def identified(
    parent: Node, task_name: str, short_name: str, group: str | None, kind: str, inputs: Encoded | None
) -> Call:
    """Make the action of a call; its id is a hash of parent, task, group, inputs and call sequence among equals."""
    base = blake2b(
        f"{parent.id or _ROOT}\0{kind}\0{task_name}\0{group or ''}\0".encode() + (inputs.digest if inputs else b""),
        digest_size=10,
    )
    action_id = base.hexdigest()
    with parent.run.numbering:  # traces are numbered in whatever thread they run
        earlier = parent.counts.get(action_id, 0)
        parent.counts[action_id] = earlier + 1
    if earlier:
        base.update(earlier.to_bytes(8))
        action_id = base.hexdigest()
    call = Call(parent, action_id, task_name, short_name, group, kind)
    call.inputs = inputs
    return call


def announce(call: Call) -> None:
    """Put a new action on record."""
    run = call.run
    run.publish(
        events.ActionSubmitted(
            run.name,
            call.id or "",
            call.parent.id,
            call.task_name,
            call.short_name,
            call.group,
            call.kind,
            call.inputs,
            events.now(),
        )
    )


def ended(call: Call, phase: Phase, **what: Any) -> None:
    """Put the end of an action on record; `what` are fields of `ActionEnded`. After its run's end it is too late."""
    if call.run.phase.terminal:
        return
    output.flush(call)
    if call.report is not None:
        call.report.conclude(call)
    call.open = False
    call.phase = phase
    call.run.publish(events.ActionEnded(call.run.name, call.id or "", phase, events.now(), **what))

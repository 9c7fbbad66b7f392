"""Hypothesis strategies: any valid sequence of events of one run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from flyte_notebook.record import events
from flyte_notebook.record.model import ErrorRecord, Phase

RUN = "main-abc123"
NASTY = (
    "",
    "a",
    "two words",
    "x" * 200,
    "漢字" * 60,
    "😀" * 100,
    "<script>alert('1')</script> & \"quotes\"",
    "line\nbreaks\r\nand\ttabs",
    "\x1b[31mred\x1b[0m \x00",
    "\u202eright to left \ud800 \udfff",
    "\\ ` $x$ [bold]",
)
TEXT = st.sampled_from(NASTY) | st.text(st.sampled_from("ab<&é漢\n\ud800"), max_size=12)
relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For property tests on machines that do other things too."""
ENDINGS = (Phase.SUCCEEDED, Phase.FAILED, Phase.ABORTED, Phase.TIMED_OUT)


@dataclass
class Value:
    """Stands for an encoded value, with what a view reads of it."""

    text: str
    size: int = 8
    preview: str | None = None


def text_of(value: Any) -> str:
    return value.text


@dataclass
class Actions:
    """What is going on, so that only possible events are drawn."""

    waiting: list[str] = field(default_factory=list)
    running: list[str] = field(default_factory=list)
    attempts: dict[str, int] = field(default_factory=dict)


@st.composite
def event_sequences(draw: st.DrawFn, max_events: int = 30) -> list[events.Event]:
    """A run from its start, possibly to its end, with actions in every state a run can leave them in."""
    clock = 1000.0
    sequence: list[events.Event] = [events.RunStarted(RUN, clock)]
    actions = Actions()
    for _ in range(draw(st.integers(0, max_events))):
        clock += draw(st.floats(0, 5))
        sequence.append(_next(draw, actions, clock))
    if draw(st.booleans()):
        sequence += [
            events.ActionEnded(RUN, action, Phase.ABORTED, clock) for action in (*actions.waiting, *actions.running)
        ]
        sequence.append(events.RunEnded(RUN, draw(st.sampled_from(ENDINGS)), clock + 1, error=draw(_errors())))
    return sequence


def _next(draw: st.DrawFn, actions: Actions, clock: float) -> events.Event:
    choices = ["submit"]
    choices += ["start", "reuse"] if actions.waiting else []
    choices += ["end", "fail", "note", "print"] if actions.running else []
    match draw(st.sampled_from(choices)):
        case "submit":
            return _submit(draw, actions, clock)
        case "start":
            action = actions.waiting.pop(draw(st.integers(0, len(actions.waiting) - 1)))
            actions.running.append(action)
            actions.attempts[action] += 1
            return events.AttemptStarted(RUN, action, actions.attempts[action], clock)
        case "reuse":
            action = actions.waiting.pop(0)
            cached = draw(st.booleans())
            return events.ActionEnded(
                RUN, action, Phase.SUCCEEDED, clock, output=draw(_values()), cached=cached, recovered=not cached
            )
        case chosen:
            return _of_running(draw, chosen, actions, clock)


def _submit(draw: st.DrawFn, actions: Actions, clock: float) -> events.Event:
    action = f"{len(actions.attempts):020x}"
    actions.attempts[action] = 0
    parent = draw(st.sampled_from([None, *sorted(actions.running)]))
    actions.waiting.append(action)
    name = draw(TEXT)
    group = draw(st.sampled_from([None, None, "prep", f"env.{name}_map"]))
    kind = draw(st.sampled_from(["task", "trace"]))
    return events.ActionSubmitted(RUN, action, parent, f"env.{name}", name, group, kind, None, clock)


def _of_running(draw: st.DrawFn, chosen: str, actions: Actions, clock: float) -> events.Event:
    action = draw(st.sampled_from(sorted(actions.running)))
    if chosen == "note":
        return events.Noted(
            RUN, action, draw(st.sampled_from(["thread", "blocking", "report", "late"])), draw(TEXT), clock
        )
    if chosen == "print":
        return events.OutputWritten(RUN, action, "stdout", draw(TEXT), clock)
    if chosen == "fail":
        actions.running.remove(action)
        actions.waiting.append(action)
        error = draw(_errors()) or ErrorRecord("E", "m", "user", "")
        return events.AttemptFailed(RUN, action, actions.attempts[action], Phase.FAILED, error, 0.5, clock)
    actions.running.remove(action)
    phase = draw(st.sampled_from(ENDINGS))
    output = draw(_values()) if phase is Phase.SUCCEEDED else None
    return events.ActionEnded(RUN, action, phase, clock, output=output, error=None if output else draw(_errors()))


def _values() -> st.SearchStrategy[Any]:
    return st.builds(Value, TEXT, st.sampled_from([8, 10_000]), st.none() | TEXT)


def _errors() -> st.SearchStrategy[ErrorRecord | None]:
    return st.none() | st.builds(
        ErrorRecord, st.sampled_from(["ValueError", "OOMError"]), TEXT, st.just("user"), TEXT, st.none() | st.just(7)
    )

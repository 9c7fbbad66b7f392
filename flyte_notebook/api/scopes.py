"""Blocks that change what the actions made inside them get: their group, their custom context. And `flyte.ctx`."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from flyte_notebook.engine.context import Call, current_frame, enter, leave, narrowed


@contextlib.contextmanager
def group(name: str) -> Iterator[None]:
    """Show the actions made in this block together under `name`. Same name, same parent: one group. Outside a run: nothing."""
    with _within(group=name):
        yield


@contextlib.contextmanager
def custom_context(**context: str) -> Iterator[None]:
    """Give the actions made in this block, and what they call, these key-value pairs. Outside a run: nothing."""
    with _within(custom_context={**get_custom_context(), **context}):
        yield


def get_custom_context() -> dict[str, str]:
    """A copy of the custom context of the action that runs here; empty outside a run."""
    frame = current_frame()
    return dict(frame.custom_context) if frame is not None else {}


@contextlib.contextmanager
def _within(**changes: Any) -> Iterator[None]:
    frame = narrowed(**changes)
    if frame is None:
        yield
        return
    token = enter(frame)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # left in another context: an async generator closed by the loop
            leave(token)


@dataclass(frozen=True, slots=True)
class ActionID:
    """Names one action of one run."""

    name: str
    run_name: str
    project: str | None = None
    domain: str | None = None
    org: str | None = None


@dataclass(frozen=True, slots=True)
class GroupData:
    """The group that new actions are shown in."""

    name: str


@dataclass(frozen=True, slots=True)
class TaskContext:
    """What a body may ask about its own action; see `flyte.ctx`."""

    action: ActionID
    mode: str
    custom_context: dict[str, str]
    group_data: GroupData | None
    run_start_time: dt.datetime
    """UTC."""
    attempt_number: int
    """From 0."""
    raw_data_path: str
    run_base_dir: str
    output_path: str
    version: str = ""
    input_path: str | None = None
    interactive_mode: bool = True
    disable_run_cache: bool = False
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def task_action(self) -> ActionID:
        """The action of the running task."""
        return self.action

    def is_in_cluster(self) -> bool:
        """Always False here: the body runs in this kernel."""
        return False

    def __getitem__(self, key: str) -> Any:
        return self.data.get(key)


class _NullTaskContext:
    """What `flyte.ctx()` is outside a task: falsy, and every field is None."""

    def __bool__(self) -> bool:
        return False

    def __getattr__(self, name: str) -> None:
        if name not in TaskContext.__dataclass_fields__:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __repr__(self) -> str:
        return "NullTaskContext()"

    def is_in_cluster(self) -> bool:
        return False


_NULL = _NullTaskContext()


def ctx() -> TaskContext | _NullTaskContext:
    """The context of the task that runs here; outside a task a falsy one whose fields are None."""
    frame = current_frame()
    if frame is None or not isinstance(frame.node, Call):
        return _NULL
    call, run = frame.node, frame.node.run
    base = str(run.data_dir)
    return TaskContext(
        action=ActionID(call.id or "", run.name),
        mode=run.settings.mode,
        custom_context=dict(frame.custom_context),
        group_data=GroupData(frame.group) if frame.group else None,
        run_start_time=dt.datetime.fromtimestamp(run.started_at, dt.UTC),
        attempt_number=max(call.attempt - 1, 0),
        raw_data_path=base,
        run_base_dir=base,
        output_path=f"{base}/{call.id}",
        disable_run_cache=run.settings.disable_run_cache,
    )

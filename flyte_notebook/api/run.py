"""`Run`: one run, alive or on record."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from flyte_notebook import errors
from flyte_notebook.api.task import defined
from flyte_notebook.engine import waits
from flyte_notebook.engine.runs import LiveRun, live_runs
from flyte_notebook.record.codec import converter
from flyte_notebook.record.model import Phase
from flyte_notebook.record.store import Store, open_store

if TYPE_CHECKING:
    from flyte_notebook.api.resume import Resume
    from flyte_notebook.engine.interface import Interface
    from flyte_notebook.record import model
    from flyte_notebook.record.codec import Encoded
    from flyte_notebook.record.model import Action

T = TypeVar("T")

_UNKNOWN = object()


class ActionOutputs(tuple[Any, ...]):  # noqa: SLOT001 - the outputs are attributes too
    """The outputs of a run: a tuple whose items are also attributes `o0`, `o1`, …"""

    _fields: list[str]

    def __new__(cls, named: Mapping[str, Any]) -> Self:
        """Made of outputs by name; none at all is `(None,)`, as in the SDK."""
        named = named or {"o0": None}
        self = super().__new__(cls, named.values())
        self._fields = list(named)
        for name, value in named.items():
            setattr(self, name, value)
        return self

    @property
    def named_outputs(self) -> dict[str, Any]:
        """The outputs by name."""
        return dict(zip(self._fields, self, strict=True))

    def __repr__(self) -> str:
        return f"ActionOutputs({', '.join(f'{name}={value!r}' for name, value in self.named_outputs.items())})"


class _Dual(Generic[T]):
    """A quick method that can also be awaited, as `run.outputs.aio()`."""

    def __init__(self, method: Callable[..., T]) -> None:
        self._method = method
        functools.update_wrapper(self, method)  # type: ignore[arg-type]  # for `?` and docs; it is called as a method

    def __get__(self, instance: Any, owner: type[Any]) -> _Bound[T]:
        return _Bound(functools.partial(self._method, instance), self._method)


class _Bound(Generic[T]):
    def __init__(self, method: Callable[..., T], function: Callable[..., T]) -> None:
        self._method = method
        functools.update_wrapper(self, function)

    def __call__(self, *args: Any, **kwargs: Any) -> T:
        return self._method(*args, **kwargs)

    async def aio(self, *args: Any, **kwargs: Any) -> T:
        return self._method(*args, **kwargs)


class Run:
    """One run, by name: what is on record, and a handle on it while it is alive."""

    def __init__(self, name: str, store: Store, value: Any = _UNKNOWN, interface: Interface | None = None) -> None:
        self.name = name
        self.store = store
        self._value = value
        self._interface = interface

    @property
    def url(self) -> str:
        """Where the record is: the store's folder and the run's name."""
        return f"{self.store.home.as_uri()}#{self.name}"

    @property
    def record(self) -> model.Run:
        """The run as it is on record now."""
        return self.store.journal.run(self.name)

    @property
    def phase(self) -> Phase:
        """The phase on record."""
        return self.record.phase

    @property
    def error(self) -> str | None:
        """What ended it, in one line, or None."""
        return self.record.error

    @property
    def action(self) -> Action | None:
        """The root action of `flyte.run`; for a cell, its first; None when there is none."""
        return self.store.journal.root(self.name)

    @property
    def live(self) -> LiveRun | None:
        """The engine's handle while the run is alive in this process, else None."""
        return live_runs.get(self.name)

    def actions(self) -> list[Action]:
        """All actions on record, in order of start."""
        self._committed()
        return self.store.journal.actions(self.name)

    @_Dual
    def done(self) -> bool:
        """True once the phase can no longer change."""
        return self.phase.terminal

    @_Dual
    def inputs(self) -> dict[str, Any]:
        """The inputs of the root action by name; empty for a cell.

        Raises:
            BlobCorruptError: the recorded data was damaged.
        """
        # A cell takes no inputs, whatever the tasks called in it were given.
        root = self.action if self.record.source is None else None
        encoded = self.store.journal.inputs(self.name, root.id) if root is not None else None
        if root is None or encoded is None:
            return {}
        task = defined(root.task_name)
        interface = task.interface if task is not None else None
        if interface is not None:
            return interface.decode_inputs(encoded, self.store.blobs)
        return dict(converter(Any).decode(encoded, self.store.blobs))

    @_Dual
    def outputs(self) -> ActionOutputs:
        """What the run returned: for `flyte.run` the task's outputs, for a cell its last expression.

        Raises:
            RuntimeUserError: the run failed.
            ActionAbortedError: it was cancelled or interrupted.
            RuntimeError: it goes on; wait for it first.
            BlobCorruptError: the recorded data was damaged.
        """
        if self._value is not _UNKNOWN:
            return self._named(self._value)
        self._must_have_succeeded()
        encoded = self.store.journal.outputs(self.name)
        return ActionOutputs({}) if encoded is None else self._named(self._decoded(encoded))

    @_Dual
    def abort(self, reason: str = "") -> None:
        """Ask the run to stop; harmless when it has ended.

        Raises:
            RuntimeError: it goes on in another process, which alone can stop it.
        """
        if self.live is not None:
            self.live.cancel()
        elif not (record := self.record).phase.terminal:
            raise RuntimeError(
                f"{self.name} goes on in another process ({record.pid} on {record.host}): cancel it in that kernel"
            )

    @property
    def resume(self) -> Resume:
        """Run again what failed, changed or never ran: `run.resume()`, or `await run.resume.aio()`."""
        # It starts runs, and what starts runs needs this class.
        from flyte_notebook.api.resume import Resume

        return Resume(self)

    @property
    def wait(self) -> _Wait:
        """Block (`run.wait()`) or await (`run.wait.aio()`) until the run has ended."""
        return _Wait(self)

    def _committed(self) -> None:
        live = self.live
        # What has ended and is not committed yet may not be for long.
        if live is not None and not live.ending.being_written:
            live.store.journal.flush().result()

    def _must_have_succeeded(self) -> None:
        phase = self.phase
        if phase is Phase.SUCCEEDED:
            return
        if not phase.terminal:
            raise RuntimeError(f"{self.name} has not ended; wait() for its outputs")
        error = self.store.journal.error(self.name)
        if phase is Phase.ABORTED or error is None:
            raise errors.ActionAbortedError(f"{self.name} was {error.message if error is not None else 'aborted'}")
        raise errors.user_error(error.code, error.message)

    def _recorded_interface(self) -> Interface | None:
        if self._interface is not None:
            return self._interface
        root = self.action
        task = defined(root.task_name) if root is not None and self.record.source is None else None
        return task.interface if task is not None else None

    def _decoded(self, encoded: Encoded) -> Any:
        interface = self._recorded_interface()
        if interface is not None:
            return interface.decode_output(encoded, self.store.blobs)
        return converter(Any).decode(encoded, self.store.blobs)

    def _named(self, value: Any) -> ActionOutputs:
        interface = self._recorded_interface()
        return ActionOutputs(interface.split_outputs(value) if interface is not None else {"o0": value})

    def __repr__(self) -> str:
        record = self.record
        return f"<Run {self.name} {record.phase}, {record.actions} action{'' if record.actions == 1 else 's'}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and (other.name, other.url) == (self.name, self.url)

    def __hash__(self) -> int:
        return hash((self.name, self.url))


class _Wait:
    """`run.wait()` and `run.wait.aio()`."""

    POLL_SECONDS = 0.05

    def __init__(self, run: Run) -> None:
        self._run = run

    def __call__(self) -> None:
        if not self._run.phase.terminal:
            waits.blocking(self._ended, waits.asleep)

    async def aio(self) -> None:
        await self._ended(asyncio.sleep)

    async def _ended(self, sleep: Callable[[float], Awaitable[None]]) -> None:
        while not self._run.phase.terminal:
            # The run may belong to another loop or another process: its record is what all of them share.
            await sleep(self.POLL_SECONDS)


def runs(home: Path | None = None) -> list[Run]:
    """All runs on record, newest first; of this notebook's store, or of the one in `home`."""
    store = open_store(home)
    return [Run(record.name, store) for record in store.journal.runs()]


def find_run(prefix: str | None = None) -> Run:
    """The run with this name or unique prefix; without one, the last.

    Raises:
        RunNotFoundError: there is none, or several; it names the candidates.
    """
    store = open_store()
    return Run(store.journal.find(prefix or "").name, store)

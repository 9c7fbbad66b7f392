"""What an earlier run has on record, for the run that resumes it: each success stands for one call, and for no more."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from flyte_notebook.errors import ResumeError, RunNotFoundError
from flyte_notebook.record import events
from flyte_notebook.record.model import Phase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flyte_notebook.engine.context import Call
    from flyte_notebook.record.history import Content, Past
    from flyte_notebook.record.model import Run
    from flyte_notebook.record.store import Store

_Likeness = tuple[str, str, str, bytes]
"""Kind, task name, fingerprint and inputs: what makes a success as good as another."""


class Found(NamedTuple):
    """A recorded action and the run it is of."""

    run: str
    past: Past


class Recovery:
    """The successes of `run`, and of the runs that it resumed itself, as far as they have not been used.

    Calls are recognised by their ids first, which are hashes of where they are made and with what, and then by task,
    code and inputs alone: so a new group around a call, or another argument of its parent, loses nothing. With `keep`
    the code does not count. Used from any thread.
    """

    def __init__(self, store: Store, run: str, *, keep: bool = False) -> None:
        self.store = store
        self.run = run
        self.keep = keep
        self._by_id: dict[str, Found] = {}
        self._alike: dict[_Likeness, deque[Found]] = defaultdict(deque)
        self._children: dict[tuple[str, str], list[Past]] = defaultdict(list)
        self._used: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    @classmethod
    def load(cls, store: Store, run: str, *, keep: bool = False) -> Recovery:
        """Read the record of `run`. Takes a fraction of a second for 10,000 actions: not for the loop's thread.

        Raises:
            RunNotFoundError: it is not on record.
            ResumeError: it is going on, here or in another process.
            JournalError: the record cannot be read.
        """
        store.journal.flush().result()
        must_be_over(store.journal.run(run))
        self = cls(store, run, keep=keep)
        name: str | None = run
        while name is not None:
            self._read(name)
            try:
                name = store.journal.run(name).resumed_from
            except RunNotFoundError:
                # It was cleaned away; what had been recovered from it is in the run that did so.
                break
        return self

    @property
    def available(self) -> int:
        """How many successes can be recovered at most, each for one call."""
        return len(self._by_id)

    def _read(self, run: str) -> None:
        try:
            listed = self.store.journal.past(run)
        except RunNotFoundError:
            return
        for past in listed:
            found = Found(run, past)
            if past.parent_id is not None:
                self._children[run, past.parent_id].append(past)
            if past.phase is not Phase.SUCCEEDED or past.output is None or (run, past.id) in self._used:
                continue
            if past.origin is not None:
                # The same success twice on record: the copy stands for both.
                self._used.add(past.origin)
            if past.id in self._by_id:
                # A later run has done it anew.
                continue
            self._by_id[past.id] = found
            self._alike[self._likeness(past.kind, past.task_name, past.fingerprint or "", past.digest)].append(found)

    def _likeness(self, kind: str, task_name: str, fingerprint: str, digest: bytes) -> _Likeness:
        return kind, task_name, "" if self.keep else fingerprint, digest

    def take(self, call: Call, fingerprint: str, *, by_place: bool = False) -> Found | None:
        """A success that stands for `call`, whose code has this fingerprint, or None. It is not given out again.

        `by_place`: only one that was made in the same place, by its id.
        """
        digest = call.inputs.digest if call.inputs is not None else b""
        likeness = self._likeness(call.kind, call.task_name, fingerprint, digest)
        with self._lock:
            found = self._by_id.get(call.id or "")
            if found is not None and self._usable(found, likeness):
                return self._claim(found)
            alike = None if by_place else self._alike.get(likeness)
            while alike:
                found = alike.popleft()
                if self._usable(found, likeness):
                    return self._claim(found)
        return None

    def _usable(self, found: Found, likeness: _Likeness) -> bool:
        run, past = found
        if (run, past.id) in self._used or past.output is None:
            return False
        same = self._likeness(past.kind, past.task_name, past.fingerprint or "", past.digest) == likeness
        return same and past.output.is_whole(self.store.blobs)

    def _claim(self, found: Found) -> Found:
        self._used.add((found.run, found.past.id))
        return found

    def subtree(self, found: Found, new_id: str) -> Iterator[events.ActionSubmitted | events.ActionEnded]:
        """What was recorded below a success, as events of the action `new_id`; their run's name is left empty."""
        below = list(self._below(found))
        if not below:
            return
        with self._lock:
            self._used.update((found.run, past.id) for past in below)
        known: dict[int, Content] = {c.key: c for c in self.store.journal.contents([past.key for past in below])}
        ids = {found.past.id: new_id}
        at = events.now()
        for past in below:
            content = known.get(past.key)
            if content is None or past.parent_id not in ids:
                continue
            parent = ids[past.parent_id]
            # As recorded where that is certain to be free; below a call that has moved they are made anew.
            ids[past.id] = past.id if new_id == found.past.id else _moved(parent, past.id)
            yield events.ActionSubmitted(
                "", ids[past.id], parent, past.task_name, content.short_name, content.group, past.kind,
                content.inputs, at,
            )  # fmt: skip
            yield events.ActionEnded(
                "", ids[past.id], past.phase, at, past.output, content.error, recovered=True, source_run=found.run,
                fingerprint=past.fingerprint if past.phase is Phase.SUCCEEDED else None, source_id=past.id,
            )  # fmt: skip

    def _below(self, found: Found) -> Iterator[Past]:
        """All that was recorded below, parents before children."""
        level = deque(self._children.get((found.run, found.past.id), ()))
        while level:
            past = level.popleft()
            yield past
            level.extend(self._children.get((found.run, past.id), ()))


def must_be_over(run: Run) -> None:
    """Raises ResumeError for a run that is going on, here or in another process."""
    if not run.phase.terminal:
        raise ResumeError(
            f"{run.name} is still running (process {run.pid} on {run.host}): wait for it, or cancel it, and then resume it"
        )


def _moved(parent: str, old: str) -> str:
    return blake2b(f"{parent}\0{old}".encode(), digest_size=10).hexdigest()

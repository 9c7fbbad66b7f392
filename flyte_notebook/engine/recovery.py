"""What an earlier run has on record, for the run that resumes it: each success stands for one call, and for no more."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import defaultdict, deque
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from flyte_notebook.engine.runs import unwritten
from flyte_notebook.errors import ResumeError, RunNotFoundError
from flyte_notebook.record import events
from flyte_notebook.record.lineage import lineage
from flyte_notebook.record.model import Phase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flyte_notebook.engine.context import Call
    from flyte_notebook.record.history import Content, Past
    from flyte_notebook.record.model import Run
    from flyte_notebook.record.store import Store

_Likeness = tuple[str, str, str, bytes]
"""Kind, task name, fingerprint and inputs: what makes a success as good as another."""


_PAGE = 500
"""Actions that are read from the record at a time."""


_HOLD_SECONDS = 0.01
"""Nobody holds the loop for longer by recovering."""


class Found(NamedTuple):
    """A recorded action and the run it is of."""

    run: str
    past: Past
    link: int = 0
    """How many times that run has been resumed since."""


class Recovery:
    """The successes of `run`, and of the runs that it resumed itself, as far as they have not been used.

    Calls are recognised by their ids first, which are hashes of where they are made and with what, and then by task,
    code and inputs alone: so a new group around a call, or another argument of its parent, loses nothing. With `keep`
    the code does not count. Used from any thread.
    """

    def __init__(self, store: Store, run: str, *, keep: bool = False, cell: bool = False) -> None:
        self.store = store
        self.run = run
        self.keep = keep
        self.cell = cell
        """Whether what else its cell has started is recovered with `run`."""
        self._by_id: dict[str, Found] = {}
        self._alike: dict[_Likeness, deque[Found]] = defaultdict(deque)
        self._children: dict[tuple[str, str], list[Past]] = defaultdict(list)
        self._origins: dict[tuple[str, str], tuple[str, str]] = {}
        """What was itself recovered, and the action that it is a copy of."""
        self._used: set[tuple[str, str]] = set()
        """Where the successes were made that have been given out."""
        self._available = 0
        self._lock = threading.Lock()
        self._let_go = time.perf_counter()

    @classmethod
    def load(cls, store: Store, run: str, *, keep: bool = False, cell: bool = False) -> Recovery:
        """Read the record of `run`, and of all that its cell has started if it is the `cell` that is resumed.

        Takes a fraction of a second for 10,000 actions: not for the loop's thread.

        Raises:
            RunNotFoundError: it is not on record.
            ResumeError: it is going on, here or in another process.
            JournalError: the record cannot be read.
        """
        store.journal.flush().result()
        must_be_over(store.journal.run(run))
        self = cls(store, run, keep=keep, cell=cell)
        history = list(_history(store, run, cell))
        for found in history:
            self._place(found)
        known = set[tuple[str, str]]()
        for found in history:
            if found.past.reusable and found.past.output is not None:
                made = self._made(found.run, found.past.id)
                if made not in known:
                    # The same success may be on record several times: in each run that recovered it.
                    known.add(made)
                    self._offer(found)
        return self

    @property
    def available(self) -> int:
        """How many successes can be recovered at most, each for one call."""
        return self._available

    def hold_is_long(self) -> bool:
        """True once in a while: recovering takes no time, so whoever recovers much has to let the loop go on at times."""
        now = time.perf_counter()
        if now - self._let_go < _HOLD_SECONDS:
            return False
        self._let_go = now
        return True

    def _place(self, found: Found) -> None:
        run, past, _ = found
        if past.parent_id is not None:
            self._children[run, past.parent_id].append(past)
        if past.origin is not None:
            self._origins[run, past.id] = past.origin

    def _offer(self, found: Found) -> None:
        past = found.past
        likeness = self._likeness_of(past)
        newer = self._by_id.setdefault(past.id, found)
        self._available += newer.link == found.link
        if newer.link == found.link or self._likeness_of(newer.past) != likeness:
            # A later run that has done the same anew stands for it; one with other code does not, which may be undone,
            # nor does another run that the same cell has started.
            self._alike[likeness].append(found)

    def _made(self, run: str, action_id: str) -> tuple[str, str]:
        """Where a success was made in the first place, however often it was recovered since."""
        place = run, action_id
        while (origin := self._origins.get(place)) is not None:
            place = origin
        return place

    def _likeness_of(self, past: Past) -> _Likeness:
        return self._likeness(past.kind, past.task_name, past.fingerprint or "", past.digest)

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
        run, past, _ = found
        if self._made(run, past.id) in self._used or past.output is None:
            return False
        return self._likeness_of(past) == likeness and past.output.is_whole(self.store.blobs)

    def _claim(self, found: Found) -> Found:
        self._used.add(self._made(found.run, found.past.id))
        return found

    def subtree(self, found: Found, new_id: str) -> Iterator[events.ActionSubmitted | events.ActionEnded]:
        """What was recorded below a success, as events of the action `new_id`; their run's name is left empty."""
        if (found.run, found.past.id) not in self._children:
            return
        below = list(self._below(found))
        with self._lock:
            self._used.update(self._made(found.run, past.id) for past in below)
        ids = {found.past.id: new_id}
        at = events.now()
        for past, content in self._contents(below):
            if past.parent_id not in ids:
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

    def _contents(self, listed: list[Past]) -> Iterator[tuple[Past, Content]]:
        """What else is on record of each, read as it is asked for: whoever asks may let the loop go on in between."""
        for first in range(0, len(listed), _PAGE):
            page = listed[first : first + _PAGE]
            known = {content.key: content for content in self.store.journal.contents([past.key for past in page])}
            yield from ((past, known[past.key]) for past in page if past.key in known)

    def _below(self, found: Found) -> Iterator[Past]:
        """All that was recorded below, parents before children."""
        level = deque(self._children.get((found.run, found.past.id), ()))
        while level:
            past = level.popleft()
            yield past
            level.extend(self._children.get((found.run, past.id), ()))


def _history(store: Store, run: str, cell: bool) -> Iterator[Found]:
    """The ended actions of `run`, of the one that it resumed, and so on, as far as they are on record."""
    for each, link in lineage(store.journal.runs(), run, cell=cell):
        with contextlib.suppress(RunNotFoundError):
            yield from (Found(each.name, past, link) for past in store.journal.past(each.name))


def must_be_written(run: str) -> None:
    """Raises ResumeError for a run of this process that has ended, which is not on record yet; nor it, perhaps."""
    for here in unwritten():
        if here.name == run:
            raise ResumeError(f"{here.ending.explained()}. Resume it then")


def must_be_over(run: Run) -> None:
    """Raises ResumeError for a run that is going on, here or in another process."""
    must_be_written(run.name)
    if not run.phase.terminal:
        raise ResumeError(
            f"{run.name} is still running (process {run.pid} on {run.host}): wait for it, or cancel it, and then resume it"
        )


def _moved(parent: str, old: str) -> str:
    return blake2b(f"{parent}\0{old}".encode(), digest_size=10).hexdigest()

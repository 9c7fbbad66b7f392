"""One store: the journal and the blobs of a folder, opened once per process."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from flyte_notebook.record import home as homes
from flyte_notebook.record import housekeeping
from flyte_notebook.record.blobs import BlobStore
from flyte_notebook.record.home import default_home
from flyte_notebook.record.journal import Journal

if TYPE_CHECKING:
    import datetime as dt
    from pathlib import Path

    from flyte_notebook.record.housekeeping import Cleaning

__all__ = ["Store", "default_home", "open_store"]


class Store:
    """The store in the folder `home`, which is made if it is not there. `open_store` shares one per process.

    Raises:
        StoreError: the folder cannot be written, or is another user's.
        JournalError: the journal cannot be used.
    """

    def __init__(self, home: Path) -> None:
        # Resolved: two names of one folder must not become two stores.
        self.home = home.resolve()
        homes.prepare(self.home)
        self.journal = Journal(self.home / "journal.db", wal=not homes.on_network(self.home))
        self.blobs = BlobStore(self.home / "blobs")
        self.data = self.home / "data"
        """Files that values speak of; see `files`."""
        self.runs = self.data / "runs"
        """Where runs keep the files they make, each in a folder of its name."""

    def plan_cleaning(self, older_than: dt.timedelta) -> Cleaning:
        """What goes with the runs that ended more than `older_than` ago; see `housekeeping.plan`."""
        return housekeeping.plan(self, older_than)

    def clean(self, planned: Cleaning) -> Cleaning:
        """Remove it, and tell what has gone; see `housekeeping.remove`."""
        return housekeeping.remove(self, planned)

    def close(self) -> None:
        """Commit what is left and let go of all files. `open_store` opens the folder anew."""
        self.journal.close()
        with _opening:
            for key, store in list(_stores.items()):
                if store is self:
                    del _stores[key]


_opening = threading.RLock()
_stores: dict[str, Store] = {}
"""Open stores by folder; the default one also by what $FLYTE_NOTEBOOK_HOME was, so that `os.chdir` does not move it."""


def open_store(home: Path | None = None) -> Store:
    """The store in `home`, or in `default_home()`: the same object each time until it is closed or its journal fails.

    Raises:
        StoreError: it cannot be used; the message names the file and says what to do.
    """
    with _opening:
        default = f"${os.environ.get(homes.VARIABLE, '')}"
        known = _stores.get(default) if home is None else None
        if known is None:
            folder = (home or default_home()).resolve()
            known = _stores.get(str(folder)) or Store(folder)
        if not known.journal.usable:
            known.close()
            known = Store(known.home)
        _stores[str(known.home)] = known
        if home is None:
            _stores[default] = known
        return known


def _after_fork() -> None:
    global _opening
    # Another thread may have held it; the stores themselves start anew by their own means.
    _opening = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

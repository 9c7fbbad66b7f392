"""What the ledger keeps in memory of a run that it records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flyte_notebook.record.schema import SHIFT

if TYPE_CHECKING:
    from flyte_notebook.record.rows import Row


class OpenRun:
    """A run, by its key, and the rows of it that may still change."""

    __slots__ = ("attempts", "base", "ended", "key", "log", "logs", "open", "seq", "tasks")

    def __init__(self, key: int) -> None:
        self.key = key
        self.base = key << SHIFT
        self.seq = self.base
        """Key of the next action."""
        self.logs = self.base
        """Key of the next piece of output."""
        self.log: Row | None = None
        """The last piece of output, while it is not committed."""
        self.open: dict[str, Row] = {}
        """Rows of the actions that have not ended."""
        self.attempts: dict[int, float] = {}
        """Start of the running attempt of those actions that are not in their first one."""
        self.tasks: dict[str, str] = {}
        """Fingerprints by task name."""
        self.ended = False

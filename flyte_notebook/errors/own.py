"""Our own exceptions: what can go wrong with the notebook, the store and the record."""

from __future__ import annotations

from collections.abc import Sequence

from flyte_notebook.errors.base import FlyteNotebookError


class StoreError(FlyteNotebookError):
    """The store cannot be opened or used; the message names the file and says what to do."""


class JournalError(StoreError):
    """The journal cannot be read, written or understood."""


class BlobCorruptError(StoreError):
    """A stored value is missing, or its content does not match its name."""


class RunNotFoundError(FlyteNotebookError, LookupError):
    """No run, or more than one, is meant by a name; `candidates` are the names that come closest."""

    def __init__(self, message: str, candidates: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.candidates = tuple(candidates)


class ResumeError(FlyteNotebookError):
    """A run cannot be resumed as asked."""


class UsageError(FlyteNotebookError):
    """A magic was typed wrongly; the message is one line that says what to type."""


class CellError(FlyteNotebookError):
    """A `%%flyte` cell cannot be run as it stands."""

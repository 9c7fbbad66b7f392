"""`Located`: what a `File` and a `Dir` have in common. They say where content is, and travel without it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass
class Located(Generic[T]):
    """Content by its path, which may be on this machine or elsewhere."""

    path: str
    name: str | None = None
    """The last part of the path unless given."""
    format: str = ""
    hash: str | None = None
    """Stands for the content in a cluster's cache."""

    def __post_init__(self) -> None:
        if self.name is None:
            self.name = Path(self.path).name

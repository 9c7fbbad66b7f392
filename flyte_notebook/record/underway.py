"""Results to reuse that are on their way into the record: the journal itself does not tell of them yet."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from flyte_notebook.record.events import ActionEnded


class Underway:
    """Successes by cache key, from when they are appended until they are committed, or given up. Any thread."""

    def __init__(self) -> None:
        self._by_key: dict[str, ActionEnded] = {}
        self._changing = threading.Lock()

    def add(self, event: ActionEnded) -> None:
        """Remember `event` if it can be reused: under its key it is the newest."""
        if event.cache_key is not None and event.output is not None:
            with self._changing:
                self._by_key[event.cache_key] = event

    def get(self, cache_key: str) -> ActionEnded | None:
        """The newest success with this key."""
        return self._by_key.get(cache_key)

    def remove(self, batch: Iterable[object]) -> None:
        """The journal itself tells of these from here on, or nobody does."""
        for item in batch:
            if type(item) is ActionEnded and item.cache_key is not None:
                with self._changing:
                    if self._by_key.get(item.cache_key) is item:
                        del self._by_key[item.cache_key]

"""What an action has taken and must give back, also where its code is never resumed: no `finally` runs there."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from flyte_notebook.engine.context import Call


class Held:
    """`with Held(call, give_back):` calls it at the end of the block, or when `call` is abandoned there; once."""

    __slots__ = ("_call", "_give_back")

    def __init__(self, call: Call, give_back: Callable[[], None]) -> None:
        self._call = call
        self._give_back = give_back
        call.held = (*call.held, self)

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Give it back; harmless afterwards."""
        if self in self._call.held:
            self._call.held = tuple(held for held in self._call.held if held is not self)
            self._give_back()


def give_back_all(call: Call) -> None:
    """The code of `call` is never resumed: give back what it holds, the last taken first."""
    for held in reversed(call.held):
        held.end()

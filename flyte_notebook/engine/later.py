"""Noticing when the code goes on that ours was called from, to interrupt it there."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from flyte_notebook.engine.blocks import around
from flyte_notebook.engine.failures import is_plumbing

_STEP = asyncio.Handle._run.__code__
"""Below it on the stack is the loop, and above it what a task does until its next await."""


class Later:
    """Notices when the code goes on that ours was called from.

    By a trace function, and not by asking again and again: a loop that calls us is hardly ever met between two calls.
    On the main thread only.
    """

    def __init__(self) -> None:
        self._caller: FrameType | None = None
        self._blocks: list[int] = []
        """Those that its call is in. At the end of one it is not interrupted, which would pass that end by."""
        self._what: Callable[[], None] | None = None

    def resumed(self, frame: FrameType, what: Callable[[], None]) -> None:
        """Call `what` in the code that has called that of `frame`, before its next line; where somebody traces: not."""
        if self._what is None and sys.gettrace() is None and self._follow(frame):
            self._what = what
            sys.settrace(_no_other)

    def forget(self) -> None:
        """Do not call it any more."""
        if self._what is not None:
            self._what = None
            self._unfollow()
            if sys.gettrace() is _no_other:
                sys.settrace(None)

    def _follow(self, frame: FrameType | None) -> bool:
        while frame is not None and is_plumbing(frame.f_code.co_filename):
            if frame.f_code is _STEP:
                return False  # an await: the loop has it, and acts on the signal itself
            frame = frame.f_back
        if frame is None:
            return False
        self._caller = frame
        self._blocks = around(frame.f_code, frame.f_lasti)
        frame.f_trace = self._trace
        return True

    def _unfollow(self) -> None:
        if self._caller is not None:
            self._caller.f_trace = None
            self._caller.f_trace_opcodes = False
            self._caller = None

    def _trace(self, frame: FrameType, event: str, _: Any) -> Any:
        what = self._what
        if what is None:
            return None
        if event == "line":
            # Not raised here: where a loop jumps back, Python 3.12 and 3.13 pass every `with` and `finally` by.
            frame.f_trace_opcodes = True
        elif event == "opcode" and self._ends_a_block(frame):
            frame.f_trace_opcodes = False
        elif event == "opcode":
            self.forget()
            what()
        elif event == "return":
            self._unfollow()
            if not self._follow(frame.f_back):
                self.forget()
        return self._trace if self._caller is frame else None

    def _ends_a_block(self, frame: FrameType) -> bool:
        """Whether what comes next is the end of a block that the call was in."""
        here = around(frame.f_code, frame.f_lasti)
        if not self._blocks or self._blocks[0] in here:
            return False
        # The next line is after that, and perhaps the end of the block around it.
        self._blocks = [block for block in self._blocks if block in here]
        return True


def _no_other(_frame: FrameType, _event: str, _: Any) -> None:
    """New frames are not traced."""

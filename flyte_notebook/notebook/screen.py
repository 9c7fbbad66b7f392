"""The terminal while runs are drawn in it: what is printed goes above the drawings, which rich keeps at the bottom."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

Drawing = Callable[[], "RenderableType"]

_PER_SECOND = 8


class _Stream:
    """`sys.stdout` or `sys.stderr` during a cell: the stream itself, but for what is written while something is drawn."""

    def __init__(self, wrapped: Any, screen: Screen) -> None:
        self.wrapped = wrapped
        self.partial = ""
        """The line that has not ended yet; shown with the drawings, so that prompts and progress bars are seen."""
        self._screen = screen

    def __getattr__(self, name: str) -> Any:
        return getattr(self.wrapped, name)

    def write(self, text: str) -> int:
        if not self._screen.write(self, text):
            self.wrapped.write(text)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)


class Screen:
    """Draws every live run of a terminal, one below the other. Any thread may call it."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._live: Live | None = None
        self._drawings: tuple[Drawing, ...] = ()
        self._streams: dict[str, _Stream] = {}

    def begin_cell(self) -> None:
        """Stand between the cell and the terminal."""
        for name in ("stdout", "stderr"):
            if not isinstance(getattr(sys, name), _Stream):
                self._streams[name] = _Stream(getattr(sys, name), self)
                setattr(sys, name, self._streams[name])

    def end_cell(self) -> None:
        """Step out again."""
        for name, stream in self._streams.items():
            # Someone else may have replaced the stream meanwhile: then it is theirs to restore.
            if getattr(sys, name) is stream:
                setattr(sys, name, stream.wrapped)
        self._streams = {}

    def show(self, drawing: Drawing) -> None:
        """Draw it from now on."""
        from rich.console import Console
        from rich.live import Live

        with self._lock:
            self._drawings = (*self._drawings, drawing)
            if self._live is not None:
                return
            stdout = self._streams.get("stdout")
            self._live = Live(
                get_renderable=self._render,
                console=Console(file=stdout.wrapped if stdout is not None else sys.__stdout__),
                refresh_per_second=_PER_SECOND,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start(refresh=True)

    def hide(self, drawing: Drawing) -> None:
        """Stop drawing it, and leave no trace."""
        with self._lock:
            self._drawings = tuple(other for other in self._drawings if other != drawing)
            if self._drawings or self._live is None:
                return
            live, self._live = self._live, None
            live.stop()
            for stream in self._streams.values():
                partial, stream.partial = stream.partial, ""
                # What is printed next is the finished tree: it starts a line of its own.
                stream.wrapped.write(partial and f"{partial}\n")

    def write(self, stream: _Stream, text: str) -> bool:
        """Print the lines of `text` above the drawings. False when nothing is drawn: then it is the caller's to write."""
        with self._lock:
            if self._live is None:
                return False
            lines, newline, partial = (stream.partial + text).rpartition("\n")
            # A carriage return begins its line anew.
            stream.partial = partial.rpartition("\r")[2] if not partial.endswith("\r") else partial
            if newline:
                self._live.console.out(lines, highlight=False)
            return True

    def _render(self) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        partial = [Text.from_ansi(stream.partial) for stream in self._streams.values() if stream.partial.strip()]
        return Group(*partial, *(drawing() for drawing in self._drawings))


screen = Screen()

"""What a body prints or logs belongs to its action: captured by context, passed on to where it would have gone.

`sys.stdout` and `sys.stderr` are wrapped while a run is alive, and only then. Whole lines are recorded; text goes on to
the original stream at once, unless the run hides it.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any

from flyte_notebook.engine.context import Call, Frame, current_frame

_CHUNK = 8192
"""Characters of an unfinished line after which it is recorded anyway."""


class _Tee:
    """A text stream that records what is written inside an action; everything else is the wrapped stream's."""

    def __init__(self, wrapped: Any, stream: str) -> None:
        self.wrapped = wrapped
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.wrapped, name)

    def write(self, text: str) -> int:
        call = _writer(current_frame())
        if call is not None:
            _record(call, self._stream, text)
            if call.run.settings.hide:
                return len(text)
        self.wrapped.write(text)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)


class _LogHandler(logging.Handler):
    """Records what a body logs, unless a handler that writes to a wrapped stream does so already."""

    def emit(self, record: logging.LogRecord) -> None:
        others = [handler for handler in logging.getLogger().handlers if handler is not self]
        if not others and logging.lastResort is not None:
            # Python prints warnings by itself when there is no handler at all; ours must not end that.
            if record.levelno >= logging.lastResort.level:
                logging.lastResort.handle(record)
            return
        if any(isinstance(getattr(handler, "stream", None), _Tee) for handler in others):
            return
        call = _writer(current_frame())
        if call is not None:
            call.write(record.levelname, self.format(record) + "\n")


def _writer(frame: Frame | None) -> Call | None:
    node = frame.node if frame is not None else None
    return node if isinstance(node, Call) else None


_partial: dict[tuple[Call, str], str] = {}
_partial_lock = threading.Lock()


def _record(call: Call, stream: str, text: str) -> None:
    """Record the whole lines of `text`, keep the rest until its line ends."""
    key = (call, stream)
    with _partial_lock:
        text = _partial.pop(key, "") + text
        end = len(text) if len(text) > _CHUNK else text.rfind("\n") + 1
        if end < len(text):
            _partial[key] = text[end:]
    if end:
        call.write(stream, text[:end])


def flush(call: Call) -> None:
    """Record what the action wrote without ending its line."""
    if not _partial:
        return
    for stream in ("stdout", "stderr"):
        with _partial_lock:
            rest = _partial.pop((call, stream), "")
        if rest:
            call.write(stream, rest)


class _Capture:
    """Counts the runs alive; wraps the streams with the first and unwraps them with the last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._handler = _LogHandler()
        self._tees: dict[str, _Tee] = {}

    @contextlib.contextmanager
    def capturing(self) -> Iterator[None]:
        """Capture output of actions inside this block."""
        with self._lock:
            self._count += 1
            if self._count == 1:
                self._install()
        try:
            yield
        finally:
            with self._lock:
                self._count -= 1
                if self._count == 0:
                    self._remove()

    def _install(self) -> None:
        for name in ("stdout", "stderr"):
            self._tees[name] = _Tee(getattr(sys, name), name)
            setattr(sys, name, self._tees[name])
        logging.getLogger().addHandler(self._handler)

    def _remove(self) -> None:
        for name, tee in self._tees.items():
            # Someone else may have replaced the stream meanwhile (redirect_stdout): then it is theirs to restore.
            if getattr(sys, name) is tee:
                setattr(sys, name, tee.wrapped)
        logging.getLogger().removeHandler(self._handler)


capturing = _Capture().capturing

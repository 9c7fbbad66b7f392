"""What a body prints or logs belongs to its action: captured by context, passed on to where it would have gone.

`sys.stdout` and `sys.stderr` are wrapped while a run is alive, and only then. Whole lines are recorded, and go on to the
original stream unless the run hides them, so that the lines of concurrent actions never mix; a flush shows the rest.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

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
        if call is None:
            self.wrapped.write(text)
        else:
            _record(call, self._stream, text, self.wrapped)
        return len(text)

    def flush(self) -> None:
        call = _writer(current_frame())
        if call is not None:
            _show_rest(call, self._stream)
        self.wrapped.flush()

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
            try:
                text = self.format(record)
            except Exception:  # noqa: BLE001 - as every handler does: a bad log call must not fail the body
                self.handleError(record)
            else:
                call.write(record.levelname, text + "\n")


def _writer(frame: Frame | None) -> Call | None:
    node = frame.node if frame is not None else None
    return node if isinstance(node, Call) else None


class _Line(NamedTuple):
    """The unfinished line of an action on one stream."""

    text: str = ""
    shown: int = 0
    """How many characters of it were shown already."""
    wrapped: Any = None


_partial: dict[tuple[Call, str], _Line] = {}
_partial_lock = threading.Lock()


def _record(call: Call, stream: str, text: str, wrapped: Any) -> None:
    """Record and show the whole lines of `text`, keep the rest until its line ends."""
    if call.phase.terminal:
        # Its thread outlives the action: nobody will flush the line that it does not end.
        call.write(stream, text)
        _show(call, text, wrapped)
        return
    key = (call, stream)
    with _partial_lock:
        line = _partial.pop(key, _Line())
        text = line.text + text
        end = len(text) if len(text) > _CHUNK else text.rfind("\n") + 1
        if end < len(text):
            _partial[key] = _Line(text[end:], 0 if end else line.shown, wrapped)
    if end:
        call.write(stream, text[:end])
        _show(call, text[line.shown : end], wrapped)


def _show_rest(call: Call, stream: str) -> None:
    """Show what there is of an unfinished line, as a progress bar or a prompt wants it."""
    with _partial_lock:
        line = _partial.get((call, stream), _Line())
        if line.text:
            _partial[call, stream] = line._replace(shown=len(line.text))
    _show(call, line.text[line.shown :], line.wrapped)


def _show(call: Call, text: str, wrapped: Any) -> None:
    if text and not call.run.settings.hide:
        wrapped.write(text)


def flush(call: Call) -> None:
    """Record and show what the action wrote without ending its line."""
    if not _partial:
        return
    for stream in ("stdout", "stderr"):
        with _partial_lock:
            line = _partial.pop((call, stream), _Line())
        if line.text:
            call.write(stream, line.text)
            _show(call, line.text[line.shown :], line.wrapped)


class _Capture:
    """Counts the runs alive; wraps the streams with the first and unwraps them with the last."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._count = 0
        self._handler = _LogHandler()
        self._tees: dict[str, _Tee] = {}

    @contextlib.contextmanager
    def capturing(self) -> Iterator[None]:
        """Capture output of actions inside this block."""
        with self.lock:
            self._count += 1
            if self._count == 1:
                self._install()
        try:
            yield
        finally:
            with self.lock:
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


_capture = _Capture()
capturing = _capture.capturing


def _after_fork() -> None:
    global _partial_lock
    # Another thread may have held them.
    _partial_lock, _capture.lock = threading.Lock(), threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

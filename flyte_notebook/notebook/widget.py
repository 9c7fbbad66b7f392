"""The live explorer: an anywidget that is sent patches of the tree, and answers what the browser asks.

Messages are coalesced and sent from a thread of their own, so that a body that blocks the loop freezes nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets
from IPython.display import DisplayHandle

from flyte_notebook.record import events

if TYPE_CHECKING:
    from flyte_notebook.notebook.tree import Node, Row, Tree

VIEW_MIME = "application/vnd.jupyter.widget-view+json"

_STATIC = Path(__file__).parent.parent / "static"

INTERVAL = 1 / 15
"""Seconds between patches at best."""
DUTY = 0.05
"""Largest share of the time spent on making and sending patches; beyond, they come less often."""
HEADER_INTERVAL = 1.0
"""Seconds between updates of the `header` trait, which is what a reloaded page sees first."""
ROWS = 1_000
"""Most rows in one message."""
BURST, RATE = 8_000, 2_500
"""Rows that may be sent at once, and per second in the long run: jupyter-server drops output above 1 MB/s."""

Describe = Callable[["Node"], dict[str, Any] | None]
Cancel = Callable[[str | None], None]


class RunView(anywidget.AnyWidget):
    """The browser's side is the TypeScript in `labextension/`; messages are described in `protocol.ts` there."""

    _esm = _STATIC / "widget.js"
    _css = _STATIC / "widget.css"
    header = traitlets.Dict().tag(sync=True)


class Explorer:
    """Shows one tree in one widget while the run lasts."""

    def __init__(self, tree: Tree, describe: Describe, cancel: Cancel) -> None:
        self._tree = tree
        self._describe = describe
        self._cancel = cancel
        self.widget = RunView(header=self._header())
        _answer_on_any_thread(self.widget)
        self.widget.on_msg(self._asked)
        self._sending = threading.Lock()
        self._sequence = 0
        self._credit = float(BURST)
        self._ended = threading.Event()
        self._pages: set[object] = set()
        self._handle = DisplayHandle()
        self._thread = threading.Thread(target=self._send_patches, name="flyte-notebook-view", daemon=True)

    def start(self) -> None:
        """Display the widget where the running code displays, and begin to send patches."""
        view = {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}
        self._handle.display({"text/plain": "", VIEW_MIME: view}, raw=True)
        self._thread.start()

    def replace(self, show_finished: Callable[[], None]) -> None:
        """Show the finished tree and empty the widget's output: a reopened notebook has no widget to show there.

        A page that was reloaded meanwhile gets no more outputs of the cell: there the view stays, finished, until the
        kernel ends.
        """
        self._stop()
        show_finished()
        if len(self._pages) > 1:
            self._finish()
        else:
            self.close()

    def close(self) -> None:
        """End the view in the browser, and release the widget and the thread."""
        self._stop()
        self._handle.update({"text/plain": ""}, raw=True)
        with self._sending:
            self.widget.send({"type": "closed"})
        self.widget.layout.close()
        self.widget.close()

    def _finish(self) -> None:
        with self._sending:
            self._credit = float(BURST)
        while self._patch():
            pass
        self.widget.header = self._header()
        self._handle.update({"text/plain": ""}, raw=True)
        with self._sending:
            self.widget.send({"type": "closed"})

    def _stop(self) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(5)

    # --- to the browser -----------------------------------------------------------------------------------------------

    def _send_patches(self) -> None:
        wait, shown = INTERVAL, time.perf_counter()
        while not self._ended.wait(wait):
            # Processor time, not time on the clock: this thread mostly waits for the interpreter.
            began = time.thread_time()
            with self._sending:
                self._credit = min(BURST, self._credit + RATE * wait)
            if self._tree.pending:
                self._patch()
            if time.perf_counter() - shown > HEADER_INTERVAL:
                shown = time.perf_counter()
                self.widget.header = self._header()
            wait = max(INTERVAL, (time.thread_time() - began) / DUTY)

    def _patch(self) -> bool:
        """Send what has changed, as much as may be sent now; False when that is nothing."""
        with self._sending:
            rows = self._tree.take(self._room())
            if rows:
                self._sequence += 1
                self._send("patch", rows)
            return bool(rows)

    def _snapshot(self) -> None:
        with self._sending:
            # The rows beyond the first follow as patches.
            self._send("snapshot", self._tree.snapshot(self._room()))

    def _room(self) -> int:
        """Rows that the next message may have."""
        return max(0, min(ROWS, int(self._credit)))

    def _send(self, kind: str, rows: list[Row]) -> None:
        self._credit = max(0.0, self._credit - len(rows))
        self.widget.send({"type": kind, "seq": self._sequence, "run": self._header(), "rows": rows})

    def _header(self) -> dict[str, Any]:
        return self._tree.header(events.now(), live=True)

    # --- from the browser ---------------------------------------------------------------------------------------------

    def _asked(self, widget: RunView, message: Any, _buffers: Any) -> None:
        """A message of the browser, on whatever thread; what is not understood is ignored."""
        if not isinstance(message, dict):
            return
        index = message.get("i")
        node = self._node(index)
        match message.get("type"):
            case "hello":
                page = message.get("page")
                if isinstance(page, str) and len(self._pages) < 2:
                    self._pages.add(page)
                self._snapshot()
            case "detail" if node is not None:
                detail = self._describe(node)
                if detail is not None:
                    widget.send({"type": "detail", "i": node.index, "detail": detail})
            case "cancel" if index is None:
                self._cancel(None)
            case "cancel" if node is not None and node.id is not None:
                self._cancel(node.id)

    def _node(self, index: object) -> Node | None:
        nodes = self._tree.nodes
        return nodes[index] if type(index) is int and 0 <= index < len(nodes) else None


def _answer_on_any_thread(widget: RunView) -> None:
    """Let messages of the browser arrive while a cell blocks the main thread.

    ipykernel 7.4 would answer on the shell that last published on this comm, which is the busy one. The attribute is
    private; without it (other versions) there is nothing to override.
    """
    comm = widget.comm
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = lambda _data, default: default

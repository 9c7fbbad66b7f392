"""The live explorer: sends patches of a tree over a channel to the browser, and answers what the browser asks.

Messages are coalesced and sent from a thread of their own, so that a body that blocks the loop freezes nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from flyte_notebook.record import events

if TYPE_CHECKING:
    from flyte_notebook.notebook.tree import Node, Row, Tree

INTERVAL = 1 / 15
"""Seconds between patches at best."""
DUTY = 0.05
"""Largest share of the time spent on making and sending patches; beyond, they come less often."""
HEADER_INTERVAL = 1.0
"""Seconds between headers sent by themselves: signs of life, and what a reloaded page sees first."""
ROWS = 1_000
"""Most rows in one message."""
BURST, RATE = 8_000, 2_500
"""Rows that may be sent at once, and per second in the long run: jupyter-server drops output above 1 MB/s."""

Describe = Callable[["Node"], dict[str, Any] | None]
Cancel = Callable[[str | None], None]


class Channel(Protocol):
    """The way to the browser's side; messages are described in `labextension/src/protocol.ts`. Any thread may use it."""

    def open(self, header: dict[str, Any], hear: Callable[[Any], None]) -> None:
        """Show the view where it belongs; `hear` takes what the browser says, on whatever thread it arrives."""

    def send(self, message: dict[str, Any]) -> None:
        """To every page that listens."""

    def tell(self, header: dict[str, Any]) -> None:
        """How the run stands, also for pages that have missed messages."""

    def end(self, *, stay: bool) -> None:
        """Nothing more will be sent; `stay`: what is shown shall remain until the kernel ends."""


class Explorer:
    """Shows one tree over one channel while the run lasts."""

    def __init__(self, tree: Tree, describe: Describe, cancel: Cancel, channel: Channel) -> None:
        self._tree = tree
        self._describe = describe
        self._cancel = cancel
        self._channel = channel
        self._sending = threading.Lock()
        self._sequence = 0
        self._credit = float(BURST)
        self._ended = threading.Event()
        self._pages: set[object] = set()
        self._thread = threading.Thread(target=self._send_patches, name="flyte-notebook-view", daemon=True)

    def start(self) -> None:
        """Show the view, and begin to send patches."""
        self._channel.open(self._header(), self._asked)
        self._thread.start()

    def replace(self, show_finished: Callable[[], None]) -> None:
        """Show the finished tree in place of the live one.

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
        """End the view in the browser, and release the channel and the thread."""
        self._stop()
        with self._sending:
            self._channel.end(stay=False)

    def _finish(self) -> None:
        with self._sending:
            self._credit = float(BURST)
        while self._patch():
            pass
        with self._sending:
            self._channel.tell(self._header())
            self._channel.end(stay=True)

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
                self._channel.tell(self._header())
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
        self._channel.send({"type": kind, "seq": self._sequence, "run": self._header(), "rows": rows})

    def _header(self) -> dict[str, Any]:
        return self._tree.header(events.now(), live=True)

    # --- from the browser ---------------------------------------------------------------------------------------------

    def _asked(self, message: Any) -> None:
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
                    self._channel.send({"type": "detail", "i": node.index, "detail": detail})
            case "cancel" if index is None:
                self._cancel(None)
            case "cancel" if node is not None and node.id is not None:
                self._cancel(node.id)

    def _node(self, index: object) -> Node | None:
        nodes = self._tree.nodes
        return nodes[index] if type(index) is int and 0 <= index < len(nodes) else None

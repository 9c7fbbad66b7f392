"""A real kernel, driven as a front end does: cells with ids, messages of the widget, subshells, interrupts."""

from __future__ import annotations

import os
import queue
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import KernelManager, start_new_kernel

RUN_MIME = "application/vnd.flyte-notebook.run.v1+json"
VIEW_MIME = "application/vnd.jupyter.widget-view+json"
PATIENCE = 60.0


@dataclass
class Cell:
    """What one execution has sent."""

    id: str
    messages: list[dict[str, Any]] = field(default_factory=list)
    status: str = ""
    error: dict[str, Any] = field(default_factory=dict)

    def contents(self, kind: str) -> list[dict[str, Any]]:
        return [message["content"] for message in self.messages if message["msg_type"] == kind]

    def displays(self, mime: str) -> list[Any]:
        return [content["data"][mime] for content in self.contents("display_data") if mime in content["data"]]

    @property
    def printed(self) -> str:
        return "".join(content["text"] for content in self.contents("stream") if content["name"] == "stdout")

    @property
    def complained(self) -> str:
        return "".join(content["text"] for content in self.contents("stream") if content["name"] == "stderr")

    @property
    def result(self) -> str | None:
        return next((content["data"]["text/plain"] for content in self.contents("execute_result")), None)

    @property
    def traceback(self) -> str:
        return "\n".join(line for content in self.contents("error") for line in content["traceback"])

    def sent_by_widget(self) -> list[dict[str, Any]]:
        data = [content["data"] for content in self.contents("comm_msg")]
        return [each["content"] for each in data if each.get("method") == "custom"]

    def widget(self) -> str | None:
        """The comm of the explorer, once its display has arrived."""
        return next((view["model_id"] for view in self.displays(VIEW_MIME)), None)


class Kernel:
    """One kernel with the extension loaded; cells are awaited in order unless started by `start`."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.manager = manager
        self.client = client
        self._cells: dict[str, Cell] = {}
        self.comms: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        """What each comm was sent, by whatever cell."""

    def run(self, code: str, *, cell_id: str | None = "cell-1", silent: bool = False) -> Cell:
        """Execute and wait; `cell_id` None: as nbclient does it."""
        return self.finish(self.start(code, cell_id=cell_id, silent=silent))

    def start(
        self, code: str, *, cell_id: str | None = "cell-1", silent: bool = False, subshell: str | None = None
    ) -> Cell:
        content = {"code": code, "silent": silent, "store_history": not silent, "user_expressions": {}}
        content |= {"allow_stdin": False, "stop_on_error": True}
        message = self.client.session.msg("execute_request", content, metadata={"cellId": cell_id} if cell_id else {})
        return self._send(message, subshell)

    def _send(self, message: dict[str, Any], subshell: str | None) -> Cell:
        if subshell is not None:
            message["header"]["subshell_id"] = subshell
        self.client.shell_channel.send(message)
        cell = self._cells[message["header"]["msg_id"]] = Cell(message["header"]["msg_id"])
        return cell

    def finish(self, cell: Cell, *, interrupted: bool = False) -> Cell:
        """Wait for the reply and for everything that the cell has sent.

        `interrupted`: at any moment. Before it runs the code ipykernel ends the request then without a reply.
        """
        self.until(lambda: any(content["execution_state"] == "idle" for content in cell.contents("status")))
        deadline = time.monotonic() + (1.0 if interrupted else PATIENCE)
        while not cell.status:
            try:
                reply = self.client.get_shell_msg(timeout=max(deadline - time.monotonic(), 0.1))
            except queue.Empty:
                if not interrupted:
                    raise
                cell.status = "error"
                break
            asked = self._cells.get(reply["parent_header"].get("msg_id"))
            if asked is not None:
                asked.status, asked.error = reply["content"].get("status", "ok"), reply["content"]
        return cell

    def until(self, condition: Any) -> None:
        """Take what the kernel publishes until `condition()` holds."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            message = self.client.get_iopub_msg(timeout=max(deadline - time.monotonic(), 0.1))
            if message["msg_type"] in ("comm_msg", "comm_close"):
                self.comms[message["content"]["comm_id"]].append(message["content"]["data"])
            cell = self._cells.get(message["parent_header"].get("msg_id"))
            if cell is not None:
                cell.messages.append(message)

    def tell_widget(self, comm: str, content: dict[str, Any], *, subshell: str | None = None) -> Cell:
        """A custom message, as the browser's side sends it."""
        data = {"method": "custom", "content": content}
        return self._send(self.client.session.msg("comm_msg", {"comm_id": comm, "data": data}), subshell)

    def open_comm(self, target: str) -> str:
        """A comm that the browser opens, as one of JupyterLab's extensions does."""
        comm = uuid.uuid4().hex
        content = {"comm_id": comm, "target_name": target, "data": {}}
        self._send(self.client.session.msg("comm_open", content), None)
        return comm

    def tell(self, comm: str, data: Any, *, subshell: str | None = None) -> Cell:
        """A message over such a comm."""
        return self._send(self.client.session.msg("comm_msg", {"comm_id": comm, "data": data}), subshell)

    def subshell(self) -> str:
        """A new subshell, as JupyterLab makes one for each comm target."""
        message = self.client.session.msg("create_subshell_request", {})
        self.client.control_channel.send(message)
        return str(self.client.get_control_msg(timeout=PATIENCE)["content"]["subshell_id"])

    def restart(self) -> None:
        """The ↻ button, and the extension loaded again."""
        self.manager.restart_kernel(now=False)
        self.client.wait_for_ready(timeout=PATIENCE)
        self._cells.clear()
        assert self.run("%load_ext flyte_notebook").status == "ok"

    def interrupt(self) -> None:
        """The ■ button."""
        self.manager.interrupt_kernel()


@contextmanager
def kernel(*before: str, **environment: str) -> Iterator[Kernel]:
    """A kernel in a process of its own: the cells `before`, then `%load_ext flyte_notebook`."""
    manager, client = start_new_kernel(kernel_name="python3", env={**os.environ, **environment})
    try:
        running = Kernel(manager, client)
        for code in (*before, "%load_ext flyte_notebook"):
            done = running.run(code)
            assert done.status == "ok", done.traceback
        yield running
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)

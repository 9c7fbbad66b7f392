"""ipykernel 7.0 to 7.3 may leave a cell lying unread; its replies are sent in the way of 7.4, which does not."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def mend(shell: InteractiveShell, undo: contextlib.ExitStack) -> None:
    """Send what the kernel of `shell` answers through the stream that reads the same socket.

    Sent past the stream, a reply swallows the one sign that a request has come meanwhile, and the request waits for the
    next: https://github.com/ipython/ipykernel/pull/1529. It meets the cell that is run right after queued ones were
    aborted, as they are by an interrupt. The attribute is private; without it (other versions) all is well.
    """
    kernel = getattr(shell, "kernel", None)
    thread = getattr(kernel, "shell_channel_thread", None)
    manager: Any = getattr(thread, "manager", None)
    socket = getattr(manager, "_shell_socket", None)
    stream = getattr(kernel, "shell_stream", None)
    if socket is None or getattr(stream, "socket", None) is not socket:
        return
    # On the thread of the channel, as is all that is sent.
    manager._shell_socket = stream
    undo.callback(setattr, manager, "_shell_socket", socket)

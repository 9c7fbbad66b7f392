"""Every cell that is run gets its reply, also where ipykernel alone may lose the request, or the reply."""

from __future__ import annotations

import contextlib
import functools
import signal
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def secure(shell: InteractiveShell, undo: contextlib.ExitStack) -> None:
    """In the kernel of `shell`, if it has one. What is replaced is private; without it (other versions) it is left."""
    kernel = getattr(shell, "kernel", None)
    if kernel is not None:
        _send_through_the_stream(kernel, undo)
        _finish_before_the_next_interrupt(kernel, undo)


def _send_through_the_stream(kernel: Any, undo: contextlib.ExitStack) -> None:
    """As ipykernel 7.4 does, and 7.0 to 7.3 do not.

    Sent past the stream that reads the same socket, a reply swallows the one sign that a request has come meanwhile,
    and the request waits for the next: https://github.com/ipython/ipykernel/pull/1529. It meets the cell that is run
    right after queued ones were aborted, as they are by an interrupt.
    """
    manager: Any = getattr(getattr(kernel, "shell_channel_thread", None), "manager", None)
    socket = getattr(manager, "_shell_socket", None)
    stream = getattr(kernel, "shell_stream", None)
    if socket is None or getattr(stream, "socket", None) is not socket:
        return
    # On the thread of the channel, as is all that is sent.
    manager._shell_socket = stream
    undo.callback(setattr, manager, "_shell_socket", socket)


def _finish_before_the_next_interrupt(kernel: Any, undo: contextlib.ExitStack) -> None:
    """Let an interrupt that comes when a cell has just ended, as a second one may, not hit the kernel's own work.

    ipykernel would drop the reply, and the cell would look as if it ran for ever. It sets SIGINT before and after each
    request, so that this lasts until the reply is sent.
    """
    if not hasattr(kernel, "saved_sigint_handler"):
        return
    execute = kernel.do_execute

    @functools.wraps(execute)
    async def do_execute(*args: Any, **kwargs: Any) -> Any:
        try:
            return await execute(*args, **kwargs)
        except KeyboardInterrupt:
            # The cell's own are no exceptions here: it had ended.
            return {
                "status": "error", "ename": "KeyboardInterrupt", "evalue": "", "traceback": ["KeyboardInterrupt"],
                "execution_count": kernel.execution_count - 1, "payload": [], "user_expressions": {},
            }  # fmt: skip
        finally:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGINT, signal.SIG_IGN)

    kernel.do_execute = do_execute
    undo.callback(delattr, kernel, "do_execute")

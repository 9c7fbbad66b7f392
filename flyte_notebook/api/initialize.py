"""`flyte.init` and `flyte.logger`: what programs written for a cluster call before they begin."""

from __future__ import annotations

import logging
import sys
from typing import Any


def init(*args: Any, **kwargs: Any) -> None:
    """Accepted, with the SDK's arguments, and nothing to do: runs happen in this process."""


def init_from_config(*args: Any, **kwargs: Any) -> None:
    """Accepted, with the SDK's arguments, and nothing to do: runs happen in this process."""


class _ToStderr(logging.StreamHandler[Any]):
    """Writes to whatever `sys.stderr` is now, so that a task's log lines reach its action and its cell."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        return sys.stderr

    @stream.setter
    def stream(self, value: Any) -> None:
        """`logging.config` may try to replace it; this handler follows `sys.stderr`."""


def _user_logger() -> logging.Logger:
    logger = logging.getLogger("flyte.user")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    if not logger.handlers:
        handler = _ToStderr()
        handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
        logger.addHandler(handler)
    return logger


logger = _user_logger()
"""The logger for task code; INFO and above, with the action's log."""

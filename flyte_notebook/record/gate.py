"""Keeps forks out of SQLite.

A child forked while another thread is inside SQLite inherits its mutexes locked for ever, and SQLite forbids that a
child even closes its parent's connections. So whoever enters SQLite passes this gate, which closes before a fork, lets
those who keep connections open drop them, and opens after.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol

_PATIENCE = 1.0
"""Seconds that a fork waits for the others to leave: a commit may be waiting for another process."""


class Tenant(Protocol):
    """Keeps connections to SQLite open between uses."""

    def suspend(self) -> None:
        """Close them; a fork is about to happen, and nobody is inside the gate."""

    def renew(self) -> None:
        """Begin anew: this is the child, whose only thread is the one that forked."""


class Gate:
    """`with gate:` around each use of SQLite; any number of threads may be inside."""

    def __init__(self) -> None:
        self.tenants: weakref.WeakSet[Tenant] = weakref.WeakSet()
        self._empty()

    def _empty(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._forks = 0
        """How many threads are about to fork."""

    def __enter__(self) -> None:
        with self._changed:
            while self._forks:
                self._changed.wait()
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._inside -= 1
            self._changed.notify_all()

    def before_fork(self) -> None:
        """Let nobody in, wait, not for ever, until nobody is inside, and have connections closed."""
        with self._changed:
            self._forks += 1
            if self._changed.wait_for(lambda: not self._inside, _PATIENCE):
                for tenant in list(self.tenants):
                    tenant.suspend()

    def after_in_parent(self) -> None:
        """Let everybody in again, unless another thread forks as well."""
        with self._changed:
            self._forks -= 1
            self._changed.notify_all()

    def after_in_child(self) -> None:
        """Start as new: nobody else is here."""
        self._empty()
        for tenant in list(self.tenants):
            tenant.renew()


gate = Gate()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=gate.before_fork, after_in_parent=gate.after_in_parent, after_in_child=gate.after_in_child
    )

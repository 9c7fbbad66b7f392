"""A journal that another process keeps locked."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import textwrap


@contextlib.contextmanager
def locked_by_another_process(home):
    """Another process holds the write lock of the journal."""
    code = f"""
        import sqlite3, sys
        connection = sqlite3.connect({str(home / "journal.db")!r}, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        print("locked", flush=True)
        sys.stdin.read()
        connection.execute("ROLLBACK")
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "locked\n"

        def unlock():
            with contextlib.suppress(ValueError):
                other.stdin.close()
            other.wait(20)

        try:
            yield unlock
        finally:
            unlock()

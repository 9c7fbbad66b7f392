"""The files that recorded values speak of, and which of them nobody needs any more.

They lie in the store's `data` folder: those that a run made in `runs/<name>`, what was taken from this machine in
`content`, by its hash, and what was made outside all runs in `loose`.
"""

from __future__ import annotations

import contextlib
import json
import math
import mmap
import re
from typing import TYPE_CHECKING

from flyte_notebook.errors import BlobCorruptError
from flyte_notebook.record.schema import SHIFT

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from flyte_notebook.record.blobs import BlobStore
    from flyte_notebook.record.store import Store

_HEX = re.compile(rb"[0-9a-f]{16,}")
"""The names in `content` and `loose`, and much else."""
_ABANDONED = 86400.0
"""Seconds after which a copy that nobody goes on with was left by a process that died."""


def unneeded(
    connection: sqlite3.Connection, store: Store, without: list[str], blobs: Iterable[str], before: float
) -> dict[Path, float]:
    """The folders that no value speaks of, those of the runs `without` disregarded: theirs, and, if nothing in them was
    changed since `before` (seconds since the epoch), those of no run. Each with the time since which it rests so: always,
    or since the last change.

    `blobs`: the names of the blobs of all other runs. Links are neither followed nor listed.
    """
    made = {folder.name.encode(): folder for folder in map(store.runs.joinpath, without) if _is_its_own(store, folder)}
    made = {name: folder for name, folder in made.items() if name.decode() in without}
    resting = {folder: _last_change(folder) for folder in _taken(store)}
    taken = {folder.name.encode(): folder for folder, since in resting.items() if since < before}
    if made or taken:
        marker = store.home.name.encode()
        for content in _speaking(connection, store.blobs, without, blobs, marker):
            for match in _HEX.finditer(content):
                taken.pop(match[0], None)
            for name in [name for name in made if content.find(name) >= 0]:
                del made[name]
    copied = {work: _last_change(work) + _ABANDONED for work in store.data.glob(".incoming-*")}
    abandoned = {work: since for work, since in copied.items() if since < before}
    return dict.fromkeys(made.values(), -math.inf) | {folder: resting[folder] for folder in taken.values()} | abandoned


def size(folder: Path) -> int:
    """Bytes of the files in a folder."""
    total = 0
    for file in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            status = file.lstat()
            total += 0 if file.is_dir() else status.st_size
    return total


def _is_its_own(store: Store, folder: Path) -> bool:
    """True for a folder directly in that of all runs, reached through no link and no `..`."""
    return folder.parent == store.runs and folder.resolve() == folder and folder.is_dir()


def _taken(store: Store) -> Iterator[Path]:
    for pattern in ("content/[0-9a-f][0-9a-f]/*", "loose/*"):
        for folder in store.data.glob(pattern):
            if folder.resolve() == folder and folder.is_dir() and _HEX.fullmatch(folder.name.encode()):
                yield folder


def _last_change(folder: Path) -> float:
    """Seconds since the epoch; infinite when somebody is removing it."""
    try:
        return max(path.lstat().st_mtime for path in (folder, *folder.rglob("*")))
    except FileNotFoundError:
        return math.inf


def _speaking(
    connection: sqlite3.Connection, blobs: BlobStore, without: list[str], shas: Iterable[str], marker: bytes
) -> Iterator[bytes | mmap.mmap]:
    """The recorded values that may hold a path into the store: those with `marker`, the name of its folder.

    A pickle may hold the parts of a path in places of their own, so no more of it can be looked for.
    """
    others = "runs.name NOT IN (SELECT value FROM json_each(:without))"
    sql = f"""
        SELECT actions.inputs FROM actions JOIN runs ON runs.key = actions.key >> {SHIFT}
        WHERE {others} AND instr(actions.inputs, :marker)
        UNION ALL SELECT actions.output FROM actions JOIN runs ON runs.key = actions.key >> {SHIFT}
        WHERE {others} AND instr(actions.output, :marker)
        UNION ALL SELECT runs.output FROM runs WHERE {others} AND instr(runs.output, :marker)
    """  # noqa: S608
    for (content,) in connection.execute(sql, {"without": json.dumps(without), "marker": marker}):
        yield content
    for sha in shas:
        # Gone or damaged: nobody can read it, so nobody needs what it names.
        with contextlib.suppress(BlobCorruptError):
            memory = blobs.peek(sha).obj
            if isinstance(memory, bytes | mmap.mmap) and memory.find(marker) >= 0:
                yield memory

"""Where the content of files and folders is kept, and how it is reached.

Content taken from this machine goes to the store's data folder under the hash of what it holds: equal content is kept
once, equal content has an equal path, and so a task called with it again is recognised. It is read-only, so that no
task changes what another one has on record.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

from flyte_notebook.engine.context import current_frame
from flyte_notebook.record.store import open_store

_CHUNK = 1 << 20
_READ_ONLY = 0o400


def is_remote(path: str) -> bool:
    """True when `path` is a URI of another place than this machine's disks, such as `s3://bucket/key`."""
    scheme, separator, _ = path.partition("://")
    return bool(separator) and scheme not in ("file", "local")


def local(path: str | os.PathLike[str]) -> Path:
    """The path on this machine that `path`, which may be a `file://` URI, means."""
    text = os.fspath(path)
    return Path(text.partition("://")[2] or "/") if "://" in text else Path(text)


def filesystem(path: str) -> tuple[Any, str]:
    """The fsspec file system that holds a remote `path`, and the path inside it.

    Raises:
        ImportError: fsspec, or its package for this protocol, is not installed.
    """
    try:
        fsspec = importlib.import_module("fsspec.core")
    except ImportError as error:
        raise ImportError(f"{path} is not on this machine. To reach it: pip install fsspec") from error
    fs, inside = fsspec.url_to_fs(path)
    return fs, inside


# --- where things go ---


def fresh_path(name: str | None) -> str:
    """A path that nothing has yet, for new content: in the folder of the run, else in the store."""
    frame = current_frame()
    if frame is not None and frame.node is not None:
        raw = frame.node.run.settings.raw_data_path
        if raw is not None and is_remote(raw):
            return f"{raw.rstrip('/')}/{secrets.token_hex(8)}/{name or secrets.token_hex(8)}"
        folder = frame.node.run.data_dir
    else:
        folder = _kept() / "loose"
    return str(folder.absolute() / secrets.token_hex(8) / (name or secrets.token_hex(8)))


def _kept() -> Path:
    """The data folder of the store that this code's run is recorded in, else of the default one."""
    frame = current_frame()
    store = frame.node.run.store if frame is not None and frame.node is not None else open_store()
    return store.home / "data"


def take_in(source: Path, destination: str | None) -> str:
    """Copy a file or folder of this machine to `destination`, else into the store; the path of the copy."""
    if destination is None:
        return _keep_folder(source) if source.is_dir() else _keep_file(source)
    if is_remote(destination):
        _send(source, destination)
        return destination
    copy = local(destination)
    copy_to(source, copy)
    return str(copy.absolute())


def _send(source: Path, destination: str) -> None:
    fs, inside = filesystem(destination)
    if source.is_dir():
        for path in files_in(source):
            fs.put_file(str(path), f"{inside.rstrip('/')}/{path.relative_to(source).as_posix()}")
    else:
        fs.put_file(str(source), inside)


def _keep_file(source: Path) -> str:
    """Copy a file into the store, once for equal content and name; its path there."""
    with _workspace() as work:
        copy = work / source.name
        digest = _copy_file(source, copy)
        return str(_settle(copy, digest))


def _keep_folder(source: Path) -> str:
    """Copy a folder into the store, once for equal content and name; its path there. Links are followed."""
    with _workspace() as work:
        copy = work / source.resolve().name
        digest = sha256()
        copy.mkdir()
        for path in files_in(source):
            relative = path.relative_to(source)
            (copy / relative).parent.mkdir(parents=True, exist_ok=True)
            digest.update(f"{relative.as_posix()}\0{_copy_file(path, copy / relative)}\0".encode())
        return str(_settle(copy, digest.hexdigest()))


@contextlib.contextmanager
def _workspace() -> Iterator[Path]:
    kept = _kept()
    kept.mkdir(parents=True, exist_ok=True)
    # Beside its destination, so that the finished copy is moved in one step.
    with tempfile.TemporaryDirectory(prefix=".incoming-", dir=kept) as work:
        yield Path(work)


def _settle(copy: Path, digest: str) -> Path:
    """Move the finished copy to where its content says, unless it is there already."""
    folder = _kept() / "content" / digest[:2] / digest
    destination = folder / copy.name
    if destination.exists():
        # In use again: cleaning leaves it alone for a while.
        os.utime(folder)
        return destination
    folder.mkdir(parents=True, exist_ok=True)
    try:
        copy.rename(destination)
    except OSError:
        # Another thread or process brought the same content meanwhile: a folder cannot replace one.
        if not destination.exists():
            raise
    return destination


def _copy_file(source: Path, destination: Path) -> str:
    digest = sha256()
    with source.open("rb") as reader, destination.open("wb") as writer:
        while chunk := reader.read(_CHUNK):
            digest.update(chunk)
            writer.write(chunk)
    destination.chmod(_READ_ONLY)
    return digest.hexdigest()


def files_in(folder: Path, max_depth: int | None = None) -> Iterator[Path]:
    """The files below `folder`, by name, those of a folder before those of its subfolders; depth 1 is `folder` itself.

    Links to folders are followed, but for those that lead back to a folder they are in.
    """
    yield from _files_in(folder, max_depth, frozenset())


def _files_in(folder: Path, max_depth: int | None, above: frozenset[Path]) -> Iterator[Path]:
    above |= {folder.resolve()}
    entries = sorted(folder.iterdir())
    yield from (entry for entry in entries if entry.is_file())
    if max_depth is None or max_depth > 1:
        for entry in entries:
            if entry.is_dir() and entry.resolve() not in above:
                yield from _files_in(entry, None if max_depth is None else max_depth - 1, above)


# --- opening and copying ---


def open_local(path: Path, mode: str, **options: Any) -> IO[Any]:
    """Open a file of this machine, with its folders made when it is to be written.

    Raises:
        PermissionError: the mode would change recorded content.
    """
    if not mode.startswith("r") or "+" in mode:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Asked here, because the superuser, whom containers like, is not held back by the file's mode.
        if path.exists() and not path.stat().st_mode & stat.S_IWUSR:
            raise PermissionError(
                errno.EACCES, "Recorded content cannot be changed; write to File.new_remote()", str(path)
            )
    return path.open(mode, **options)


def copy_to(source: Path, destination: Path) -> None:
    """Copy a file or a folder; the copy may be written to."""
    if source.is_dir():
        for path in files_in(source):
            copy_to(path, destination / path.relative_to(source))
        destination.mkdir(parents=True, exist_ok=True)
    else:
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, destination)


def scratch_folder() -> str:
    """A new folder for what is fetched from elsewhere; it is the operating system's to clear away."""
    return tempfile.mkdtemp(prefix="flyte-notebook-")

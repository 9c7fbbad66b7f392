"""Where the store is, and whether it may be there."""

from __future__ import annotations

import logging
import os
import re
import stat
import sys
from pathlib import Path

from flyte_notebook.errors import StoreError

_log = logging.getLogger("flyte_notebook")

VARIABLE = "FLYTE_NOTEBOOK_HOME"
FOLDER = ".flyte_notebook"

_NETWORK = re.compile(
    r"nfs\d?|cifs|smb\w*|9p|afs|ncpfs|lustre|gpfs|beegfs|ceph|glusterfs|pvfs2|orangefs|panfs|davfs|acfs|"
    r"fuse\.(sshfs|s3fs|gcsfuse|goofys|mount-s3|mountpoint-s3|rclone|davfs2?|glusterfs|ceph|blobfuse2?|juicefs|"
    r"grpcfuse|osxfs|vmhgfs-fuse|geesefs|alluxio-fuse|cvmfs2)"
)
"""File systems on which processes of different machines, or of a machine and its guest, share files but not memory."""


def default_home() -> Path:
    """`$FLYTE_NOTEBOOK_HOME`, else `.flyte_notebook` beside the notebook.

    Beside the notebook it may not be on a network file system, where SQLite's log does not work, nor in a folder of
    another user: then it is in this user's data directory, and a log message says so.
    """
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    folder = notebook_folder()
    reason = _unfit(folder)
    if reason is None:
        return folder / FOLDER
    home = user_data_dir()
    if str(folder) not in _said:
        _said.add(str(folder))
        _log.warning("Runs are recorded in %s, because %s %s. Set %s to choose.", home, folder, reason, VARIABLE)
    return home


_said: set[str] = set()


def notebook_folder() -> Path:
    """The folder of the notebook that this kernel runs, as far as it is known; the working folder otherwise."""
    # Jupyter sets it to the notebook's path, or to something else where notebooks are not files.
    session = os.environ.get("JPY_SESSION_NAME", "")
    if session and Path(session).is_absolute() and Path(session).parent.is_dir():
        return Path(session).parent
    return Path.cwd()


def _unfit(folder: Path) -> str | None:
    if on_network(folder):
        return "is on a network file system"
    if not _own(folder.stat()):
        return "belongs to another user"
    if (folder / FOLDER).exists() and not _own((folder / FOLDER).lstat()):
        return f"has a {FOLDER} of another user"
    return None


def user_data_dir() -> Path:
    """Where this user's programs keep data: the store that all notebooks in unfit folders share."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "flyte_notebook"


def on_network(path: Path, mounts: Path = Path("/proc/self/mounts")) -> bool:
    """True when `path`, which need not exist, is on a network file system; always False where `mounts` is not there."""
    if sys.platform == "win32":
        return path.absolute().drive.startswith("\\\\")
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return False
    path = path.resolve()
    best, kind = -1, ""
    for line in lines:
        _, point, mounted, *_ = line.split(" ")
        folder = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), point))
        # The last of those mounted on one point is the one that is seen.
        if path.is_relative_to(folder) and len(folder.parts) >= best:
            best, kind = len(folder.parts), mounted
    return _NETWORK.fullmatch(kind) is not None


def prepare(home: Path) -> None:
    """Make the folder of a store, mode 0700 with a `.gitignore` of its own, or check that it is this user's.

    Raises:
        StoreError: it is another user's, or not a folder, or cannot be made or written.
    """
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in (home, *(home / name for name in ("journal.db", "journal.db-wal", "journal.db-shm", "kernels"))):
            _check(path, home)
        mode = stat.S_IMODE(home.stat().st_mode)
        if mode & 0o077 and os.name == "posix":
            home.chmod(mode & 0o700)
        ignore = home / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")
    except OSError as error:
        raise StoreError(
            f"The store {home} cannot be used ({error.strerror}: {error.filename}). Make it writable, or set "
            f"{VARIABLE} to a folder of yours."
        ) from error


def _check(path: Path, home: Path) -> None:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if not _own(status):
        # A value of another user could run any code when it is unpickled.
        raise StoreError(f"{path} belongs to another user: it is not used. Set {VARIABLE} to a folder of yours.")
    if path != home and not stat.S_ISREG(status.st_mode):
        raise StoreError(f"{path} is not a regular file: it is not used. Move it away, or set {VARIABLE}.")


def _own(status: os.stat_result) -> bool:
    return not hasattr(os, "geteuid") or status.st_uid == os.geteuid()

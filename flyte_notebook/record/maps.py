"""Files as memory that may be written into: what is written stays in this process, and the file as it is."""

from __future__ import annotations

import mmap
import os
import sys


def can_map(descriptor: int) -> bool:
    """False when file handles are getting few: before Python 3.13 a map holds one for as long as its value lives."""
    if sys.version_info >= (3, 13):
        return True
    try:
        import resource
    except ImportError:
        return True
    # Handles are numbered from the lowest free one.
    probe = os.dup(descriptor)
    os.close(probe)
    return probe < resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2


def mapped(descriptor: int, size: int) -> mmap.mmap:
    """The file of that many bytes, copied where and when it is written into."""
    if sys.version_info >= (3, 13):
        return mmap.mmap(descriptor, size, access=mmap.ACCESS_COPY, trackfd=False)
    return mmap.mmap(descriptor, size, access=mmap.ACCESS_COPY)

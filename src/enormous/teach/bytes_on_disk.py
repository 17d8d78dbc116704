"""Which pages of a file are in memory, and how to have them forgotten.

Called by the chapter "Bytes on disk, and what a slice costs". The operating
system keeps what it has read from a disk in spare memory, the page cache, a
page at a time. These two functions look into that cache and empty it for one
file. Neither changes the file.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from pathlib import Path


def resident_pages(path: str | os.PathLike[str]) -> int | None:
    """Return how many pages of a file the system holds in memory now.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    int or None
        Pages of ``mmap.PAGESIZE`` bytes; None where the system does not tell
        (it needs the C library's ``mincore``: Linux and macOS).
    """
    import numpy as np

    size = os.path.getsize(path)
    if size == 0:
        return 0  # an empty file has no pages, and cannot be mapped
    try:
        mincore = ctypes.CDLL(None).mincore
    except (AttributeError, OSError, TypeError):
        return None
    held = (ctypes.c_ubyte * -(-size // mmap.PAGESIZE))()
    with (
        Path(path).open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
    ):
        mapping = np.frombuffer(mapped, np.uint8)  # for its address: mapping reads nothing
        start = ctypes.c_void_p(mapping.ctypes.data)
        failed = mincore(start, ctypes.c_size_t(size), held)
        del mapping  # a map that is still looked at cannot be closed
    return None if failed else sum(page & 1 for page in held)


def forget(path: str | os.PathLike[str]) -> bool:
    """Ask the system to drop a file from its page cache, so that the next read is cold.

    A request, not an order: file systems in memory cannot, and pages that a
    program has mapped stay.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    bool
        Whether no page is left, as far as the system tells.
    """
    if not hasattr(os, "posix_fadvise"):
        return False
    with Path(path).open("rb") as file:
        os.fsync(file.fileno())  # pages not yet written to the disk are not dropped
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return resident_pages(path) == 0

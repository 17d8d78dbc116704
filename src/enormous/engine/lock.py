"""Files that only one process may hold at a time; where the system has no locks, all may.

Called by the journal. A lock ends with its process, however that ends.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

_HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


def hold(file: int, *, shared: bool = False) -> bool:
    """Lock an open file until it is closed.

    Parameters
    ----------
    file : int
        Descriptor.
    shared : bool
        Others may hold it as well, shared. A lock held already is changed to this kind.

    Returns
    -------
    bool
        False if another process holds it. True also where there are no locks: Windows, some
        network file systems.
    """
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            return False
        if error.errno in _NO_LOCKS:
            return True
        raise
    return True


def open_held(path: Path, *, shared: bool = False) -> int | None:
    """Open a file, made if missing, and lock it.

    Returns
    -------
    int or None
        Its descriptor; None if another process holds it.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
    while True:
        file = os.open(path, flags, 0o666)
        try:
            if not hold(file, shared=shared):
                os.close(file)
                return None
            if _is(file, path):
                return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)  # who held it before has removed it: this is no longer the file


def _is(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False

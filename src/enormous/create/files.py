"""How many files may be open at a time: a block of wide slices writes hundreds of shards at once.

Called by :mod:`enormous.create.writing`.
"""

from __future__ import annotations

from enormous.errors import DataError

#: Files that a process has open besides: inputs, libraries, pipes.
_OTHERS = 256


def allow_files(count: int) -> None:
    """Let this process have so many more files open, as far as the system allows.

    Raises
    ------
    DataError
        If it does not.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + _OTHERS
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise DataError(
            f"{wanted:,} files must be open at a time, the system allows {hard:,}: raise the limit "
            "(ulimit -Hn), or use larger shards, none, or fewer workers"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

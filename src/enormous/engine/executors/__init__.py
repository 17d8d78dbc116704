"""How the blocks of a stage are made: in this thread, on threads, processes or a cluster.

Called by :mod:`enormous.engine.run`. The executors differ in one file each; all hand the
number of each block that is done to the thread that called them, which alone writes the
journal and shows progress.
"""

from __future__ import annotations

from typing import Any

from enormous.engine.executors.job import Done, Executor, Job, Numbers
from enormous.engine.pool import workers_or_default
from enormous.errors import UsageError

__all__ = ["Done", "Executor", "Job", "Numbers", "executor_of"]

NAMES = ("threads", "processes", "sync")


def executor_of(scheduler: Any, workers: int | None) -> Executor:
    """Find the executor for what a person named.

    Parameters
    ----------
    scheduler : str or distributed.Client
        ``threads``, ``processes``, ``sync``, or the address of a dask scheduler.
    workers : int, optional
        By default one for each core this process may use; on a cluster, for each thread.

    Raises
    ------
    UsageError
        If the name is unknown or nobody answers at the address.
    MissingExtra
        If it is a cluster's, and ``distributed`` is not installed.
    """
    if workers is not None:
        workers_or_default(workers)  # refuses what makes no sense
    if scheduler == "threads":
        from enormous.engine.executors.threads import Threads

        return Threads(workers_or_default(workers))
    if scheduler == "sync":
        from enormous.engine.executors.sync import Sync

        return Sync()
    if scheduler == "processes":
        from enormous.engine.executors.processes import Processes

        return Processes(workers_or_default(workers))
    if isinstance(scheduler, str) and ":" not in scheduler:
        raise UsageError(
            f"unknown scheduler {scheduler!r}; use {', '.join(NAMES)} or the address of a dask "
            "scheduler, such as tcp://node1:8786"
        )
    from enormous.engine.executors.dask import Dask

    return Dask(scheduler, workers)

"""Run numbered pieces of work on threads: few in flight, the first error stops the rest.

Called by the executors for blocks and by :class:`enormous.engine.work.Work` for the pieces
of one block.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from enormous.errors import UsageError


class Stopped(Exception):
    """Another block failed or a person interrupted: this one gives up, nobody is told."""


class Stop:
    """A flag that blocks look at between pieces of work."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Ask every block to give up."""
        self._event.set()

    def check(self) -> None:
        """Give up if asked to.

        Raises
        ------
        Stopped
        """
        if self._event.is_set():
            raise Stopped


def workers_or_default(workers: int | None) -> int:
    """Number of threads: as given, or one for each core this process may use."""
    if workers is None:
        affinity = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
        return len(affinity(0)) if affinity else os.cpu_count() or 1
    if workers < 1:
        raise UsageError(f"{workers} workers do nothing; give 1 or more")
    return workers


def run_blocks(
    task: Callable[[int], object],
    count: int,
    workers: int,
    *,
    stop: Stop | None = None,
    done: Callable[[], object] = lambda: None,
) -> None:
    """Call ``task(0)`` to ``task(count - 1)``, at most `workers` at a time.

    Parameters
    ----------
    task : callable
        Gets the number of a block.
    count : int
    workers : int
    stop : Stop, optional
        Set at the first error or interruption, so that running blocks can give up.
    done : callable
        Called in this thread after each block.

    Raises
    ------
    Exception
        The first that a block raised, after all others have ended.
    """
    # Not in the main thread, where Ctrl-C would leave a write behind that still goes on
    if (workers == 1 or count == 1) and threading.current_thread() is not threading.main_thread():
        for number in range(count):
            task(number)
            done()
        return
    stop = stop or Stop()
    numbers = iter(range(count))
    with ThreadPoolExecutor(workers, thread_name_prefix="enormous") as pool:
        running: set[Future[object]] = set()
        try:
            for number in numbers:
                running.add(pool.submit(task, number))
                if len(running) >= workers:
                    running = _collect(running, done)
            while running:
                running = _collect(running, done)
        except BaseException:  # KeyboardInterrupt too: leave no block running behind
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _collect(running: set[Future[object]], done: Callable[[], object]) -> set[Future[object]]:
    """Wait for one block; raise its error, in preference to those it caused in others."""
    finished, rest = wait(running, return_when=FIRST_COMPLETED)
    errors = [error for f in finished if (error := f.exception()) is not None]
    for error in errors:
        if not isinstance(error, Stopped):
            raise error
    for _ in finished:
        done()
    return rest

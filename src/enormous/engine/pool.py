"""Run numbered pieces of work on threads: few in flight, the first error stops the rest.

Called by the executors for blocks and by :class:`enormous.engine.work.Work` for the pieces
of one block.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from typing import Protocol

from enormous.errors import UsageError


class Stopped(Exception):
    """Another block failed or a person interrupted: this one gives up, nobody is told."""


class Flag(Protocol):
    """What a :class:`Stop` is told by: set once, seen by all who share it."""

    def set(self) -> None:
        """Raise it."""

    def is_set(self) -> bool:
        """Whether it is raised."""


class Stop:
    """A flag that blocks look at between pieces of work.

    Parameters
    ----------
    flag : Flag, optional
        Shared with other processes; by default this process's alone.
    """

    def __init__(self, flag: Flag | None = None) -> None:
        self._flag: Flag = flag or threading.Event()

    def set(self) -> None:
        """Ask every block to give up."""
        self._flag.set()

    def check(self) -> None:
        """Give up if asked to.

        Raises
        ------
        Stopped
        """
        if self._flag.is_set():
            raise Stopped

    def sleep(self, seconds: float) -> None:
        """Wait, unless asked to give up meanwhile.

        Raises
        ------
        Stopped
        """
        until = time.monotonic() + seconds
        self.check()
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.05))
            self.check()


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
    with ThreadPoolExecutor(workers, thread_name_prefix="enormous") as pool:
        run_on(pool, task, range(count), workers, stop=stop or Stop(), done=lambda _: done())


def run_on(
    pool: Executor,
    task: Callable[[int], object],
    numbers: Iterable[int],
    at_once: int,
    *,
    stop: Stop,
    done: Callable[[int], object],
) -> None:
    """Call `task` with each number on a pool, `at_once` at a time.

    Parameters
    ----------
    pool : concurrent.futures.Executor
        Of threads or processes.
    task : callable
    numbers : iterable of int
        Drawn from as room is made: may be endless for all that is kept in memory.
    at_once : int
    stop : Stop
        Set at the first error or interruption.
    done : callable
        Called in this thread with the number of each block that is done, also of those that
        still came to their end after an error.

    Raises
    ------
    Exception
        The first that a block raised, after all others have ended.
    """
    running: dict[Future[object], int] = {}
    try:
        for number in numbers:
            running[pool.submit(task, number)] = number
            if len(running) >= at_once:
                _collect(running, done)
        while running:
            _collect(running, done)
    except BaseException as first:  # KeyboardInterrupt too: leave no block running behind
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
        ended = {future: number for future, number in running.items() if not future.cancelled()}
        errors = [error for future in ended if (error := future.exception()) is not None]
        for future, number in ended.items():
            if future.exception() is None:
                done(number)
        if isinstance(first, Stopped):  # the one who asked to stop may have ended after others
            raise _cause(errors, first) from None
        raise


def _collect(running: dict[Future[object], int], done: Callable[[int], object]) -> None:
    """Wait for one block; raise its error, in preference to those it caused in others."""
    finished, _ = wait(running, return_when=FIRST_COMPLETED)
    errors = [error for future in finished if (error := future.exception()) is not None]
    if errors:
        raise _cause(errors, errors[0])
    for future in finished:
        done(running.pop(future))


def _cause(errors: Sequence[BaseException], otherwise: BaseException) -> BaseException:
    return next((error for error in errors if not isinstance(error, Stopped)), otherwise)

"""Processes of this machine: for work that holds Python's lock.

Each is started afresh ("spawn"), gets the plan as text once, and ends with the process that
started it, however that ends.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import pickle
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from enormous.engine.executors.job import Done, Job, Letter, Numbers, make_block
from enormous.engine.pool import Stop, run_on
from enormous.engine.work import Work
from enormous.errors import DataError

_work: Work | None = None  # of this worker process; the pool lives for one stage


class _SharedFlag:
    """A byte that all processes see; without a lock, as one of them may be killed holding it."""

    def __init__(self, byte: Any) -> None:
        self._byte = byte

    def set(self) -> None:
        self._byte.value = 1

    def is_set(self) -> bool:
        return bool(self._byte.value)


class Processes:
    """The executor ``processes``."""

    processes = True

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def run(self, job: Job, numbers: Numbers, done: Done) -> None:
        """Make the blocks; where they are fewer than workers, each process uses threads."""
        lanes = job.stage.lanes(self.workers)
        letter = Letter.of(job, self.workers // lanes, job.stage.side_by_side(self.workers))
        context = multiprocessing.get_context("spawn")
        byte = context.RawValue("b", 0)
        pool = ProcessPoolExecutor(lanes, context, _start, (letter, byte))
        stop = Stop(_SharedFlag(byte))
        try:
            with pool:
                run_on(pool, _block, numbers, lanes, stop=stop, done=done)
        except BrokenProcessPool as error:
            raise DataError(
                f"{job.stage.title}: a worker process has ended abruptly: short of memory? (use "
                "fewer workers or smaller shards; a script needs `if __name__ == '__main__':`)"
            ) from error

    def close(self) -> None:
        """Nothing to let go of: the processes of a stage end with it."""


def _start(letter: Letter, byte: Any) -> None:
    """Begin a worker process."""
    global _work
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever leads tells when to stop
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _work = letter.work(Stop(_SharedFlag(byte)))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)  # writes are atomic, so what is cut off here is not seen


def _block(number: int) -> None:
    assert _work is not None  # _start has run
    with portable_errors():
        make_block(_work, number)


@contextmanager
def portable_errors() -> Iterator[None]:
    """Raise what cannot be sent between processes as an error that says the same."""
    try:
        yield
    except Exception as error:
        try:
            whole = type(pickle.loads(pickle.dumps(error))) is type(error)
        except Exception:  # whatever its class does when it is made anew
            whole = False
        if whole:
            raise
        raise DataError(f"{type(error).__name__}: {error}") from None

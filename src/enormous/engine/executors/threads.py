"""Threads of this process, the default: kernels and codecs release Python's lock."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

from enormous.engine.executors.job import Done, Job, Numbers, make_block
from enormous.engine.pool import Stop, run_on


class Threads:
    """The executor ``threads``."""

    processes = False

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def run(self, job: Job, numbers: Numbers, done: Done) -> None:
        """Make as many blocks at a time as the stage has lanes."""
        lanes = job.stage.lanes(self.workers)
        stop = Stop()
        work = job.work(stop, self.workers, job.stage.side_by_side(self.workers))
        try:
            with ThreadPoolExecutor(lanes, thread_name_prefix="enormous") as pool:
                run_on(pool, partial(make_block, work), numbers, lanes, stop=stop, done=done)
        finally:
            work.close()

    def close(self) -> None:
        """Nothing to let go of: the threads of a stage end with it."""

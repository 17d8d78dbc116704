"""One block after the other in the thread that called: for debuggers and tracebacks."""

from __future__ import annotations

from enormous.engine.executors.job import Done, Job, Numbers, make_block
from enormous.engine.pool import Stop


class Sync:
    """The executor ``sync``: one worker."""

    workers = 1
    processes = False

    def run(self, job: Job, numbers: Numbers, done: Done) -> None:
        """Make the blocks one by one."""
        work = job.work(Stop(), 1, 1)
        try:
            for number in numbers:
                make_block(work, number)
                done(number)
        finally:
            work.close()

    def close(self) -> None:
        """Nothing to let go of."""

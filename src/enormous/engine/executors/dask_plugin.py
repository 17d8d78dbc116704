"""What each dask worker keeps of a stage: sent once, also to workers that join later."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from distributed import WorkerPlugin

from enormous.engine.executors.job import Letter, make_block
from enormous.engine.executors.processes import portable_errors
from enormous.engine.pool import Stop
from enormous.engine.work import Work


class Crew(WorkerPlugin):
    """Makes blocks of a stage on a worker; when taken away, has them give up.

    Parameters
    ----------
    letter : Letter
    """

    def __init__(self, letter: Letter) -> None:
        self._letter = letter

    def setup(self, worker: Any) -> None:
        """Be ready; the plan is read at the first block, where an error is told."""
        self._stop = Stop()
        self._lock = threading.Lock()
        self._work: Work | None = None
        self._users = 1  # the worker itself, until teardown

    def teardown(self, worker: Any) -> None:
        """Ask the blocks to give up."""
        self._stop.set()
        self._leave()

    def make(self, number: int) -> None:
        """Make one block."""
        with portable_errors(), self._in_use() as work:
            make_block(work, number)

    @contextmanager
    def _in_use(self) -> Iterator[Work]:
        with self._lock:
            self._stop.check()
            if self._work is None:
                self._work = self._letter.work(self._stop)
            self._users += 1
        try:
            yield self._work
        finally:
            self._leave()

    def _leave(self) -> None:
        """The last one closes what was opened."""
        with self._lock:
            self._users -= 1
            if not self._users and self._work is not None:
                self._work.close()

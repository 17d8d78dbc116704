"""A cluster, by dask.distributed: workers come and go, and killed ones are replaced.

The plan reaches each worker once, as a plugin, also those that join later; a task is two
numbers and a name. The output must be in a folder that all workers see.
"""

from __future__ import annotations

import uuid
from contextlib import suppress
from typing import Any

from enormous.engine.executors.job import Done, Job, Letter, Numbers
from enormous.engine.pool import Stopped
from enormous.errors import DataError, MissingExtra, UsageError

_TIMEOUT = 30  # seconds to find the scheduler


class Dask:
    """The executor for a ``distributed.Client`` or the address of a scheduler."""

    processes = True

    def __init__(self, scheduler: Any, workers: int | None) -> None:
        distributed = _distributed()
        self._ours = isinstance(scheduler, str)
        if self._ours:
            try:
                scheduler = distributed.Client(scheduler, timeout=_TIMEOUT, set_as_default=False)
            except (OSError, ValueError) as error:
                raise UsageError(f"no dask scheduler answers at {scheduler}: {error}") from error
        if not isinstance(scheduler, distributed.Client):
            raise UsageError(
                "a scheduler is a name, an address or a distributed.Client, not of type "
                f"{type(scheduler).__name__}"
            )
        if scheduler.asynchronous:
            raise UsageError("an asynchronous distributed.Client cannot be used; make another")
        self._client: Any = scheduler
        self._named: set[str] = set()  # plugins
        self._given = workers is not None
        self.workers = workers or self._threads()

    def _threads(self) -> int:
        threads = sum(self._client.nthreads().values())
        if not threads:
            self.close()
            raise UsageError("the dask scheduler has no workers; start some first")
        return int(threads)

    def run(self, job: Job, numbers: Numbers, done: Done) -> None:
        """Make the blocks; a worker that is lost has its blocks made by others."""
        stage = job.stage
        lanes = stage.lanes(self.workers)
        per_worker = max(1, self.workers // max(1, len(self._client.nthreads())))
        letter = Letter.of(job, per_worker, min(per_worker, stage.side_by_side(self.workers)))
        name = f"enormous-{job.plan.hash[:8]}-{job.number}-{uuid.uuid4().hex[:8]}"
        # a few wait at the workers, lest they wait for us; unless the number was asked for
        in_flight = lanes if self._given or stage.at_once else 2 * lanes
        from enormous.engine.executors.dask_plugin import Crew

        self._named.add(name)
        self._client.register_plugin(Crew(letter), name=name)
        try:
            self._drive(name, stage.title, numbers, in_flight, done)
        finally:
            self._dismiss(name)

    def _drive(self, name: str, title: str, numbers: Numbers, in_flight: int, done: Done) -> None:
        running: dict[Any, int] = {}
        finished = _distributed().as_completed()

        def submit() -> None:
            while len(running) < in_flight and (number := next(numbers, None)) is not None:
                key = f"{name}-{number}"
                future = self._client.submit(_block, name, number, key=key, pure=False)
                running[future] = number
                finished.add(future)

        try:
            submit()
            for future in finished:
                if future.status == "error":
                    raise _told(future.exception(), title)
                if future.status != "finished":
                    raise DataError(f"{title}: the dask scheduler has gone or forgot its blocks")
                done(running.pop(future))
                submit()
        except BaseException:
            self._let_end(name, running, done)
            raise

    def _let_end(self, name: str, running: dict[Any, int], done: Done) -> None:
        """Have the blocks give up and wait for it; count those that still came to their end."""
        self._dismiss(name)
        if self._client.status != "running":
            return
        _distributed().wait(list(running))
        for future, number in running.items():
            if future.status == "finished":
                done(number)

    def _dismiss(self, name: str) -> None:
        """Take the plan from the workers; once is enough."""
        if name in self._named and self._client.status == "running":
            self._named.discard(name)
            with suppress(OSError):  # a worker that died just now need not be told
                self._client.unregister_worker_plugin(name)

    def close(self) -> None:
        """Leave the cluster, if it was entered here."""
        if self._ours:
            self._client.close()


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise MissingExtra("distributed", "parallel") from error
    return distributed


def _told(error: Any, title: str) -> BaseException:
    if isinstance(error, _distributed().KilledWorker):
        told = DataError(
            f"{title}: dask workers were lost again and again with a block: short of memory? use "
            "fewer threads a worker or smaller shards"
        )
        told.__cause__ = error
        return told
    return error if isinstance(error, BaseException) else DataError(f"{title}: {error}")


def _block(name: str, number: int) -> None:
    """Make one block, on a worker."""
    crew = _distributed().get_worker().plugins.get(name)
    if crew is None:  # taken away: the run is to end
        raise Stopped
    crew.make(number)

"""Execute a plan: the whole of it, or one share of one stage; complete what shares have made.

Called by the operations' ``run``, by the command line and, as ``enormous.run``, by people.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from enormous._text import bytes_text, count_text
from enormous.engine.executors import Executor, Job, executor_of
from enormous.engine.intervals import Intervals
from enormous.engine.journal import Record
from enormous.engine.output import check_space, check_writable
from enormous.engine.plan import Plan
from enormous.engine.progress import Progress, Silent
from enormous.engine.shares import Share, need_all, need_before
from enormous.engine.unfinished import Unfinished, find
from enormous.engine.work import Work
from enormous.errors import DataError, UsageError
from enormous.stores import locate


@dataclass(frozen=True)
class Done:
    """What a run has done.

    Parameters
    ----------
    plan : Plan
        As it was executed: its `created` is that of the first run.
    seconds : float
    blocks : int
        Made by this run.
    resumed : int
        Found done.
    nbytes : int
        Bytes of the voxels of the blocks made by this run, decoded.
    """

    plan: Plan
    seconds: float
    blocks: int
    resumed: int
    nbytes: int


def run(
    plan: Plan,
    *,
    scheduler: Any = "threads",
    workers: int | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    stage: int | None = None,
    share: tuple[int, int] | None = None,
) -> Done:
    """Execute a plan.

    Parameters
    ----------
    plan : Plan
    scheduler : {"threads", "processes", "sync"} or str or distributed.Client
        A string with a colon is the address of a dask scheduler.
    workers : int, optional
        By default one for each core this process may use; on a cluster, for each thread.
    resume : bool
        Go on with what an interrupted run of the same plan has left; without it, that is
        removed, unless all was done and only putting it in place is left. A share always goes
        on with what is there.
    progress : Progress, optional
        Is told how far it is; see :func:`enormous.engine.progress.where_seen`.
    stage, share : int and pair of int, optional
        Do only share ``(i, n)``, from 1, of the blocks of this stage, from 1. Shares may run
        at the same time on many machines that see the same folder. Blocks that are done are
        never done again; :func:`finish` completes the output.

    Returns
    -------
    Done

    Raises
    ------
    UsageError
        If another run of this plan is going on, if only another plan can be resumed, if shares
        have made blocks that would be dropped without `resume`, or earlier stages are not
        complete.
    DataError
        If the disk is full, memory does not suffice, or the data cannot be processed. What
        was done is kept for `resume`, unless no block was.
    """
    part = Share.of(plan, stage, share)
    executor = executor_of(scheduler, workers)
    try:
        running = _Run(plan, executor, progress or Silent())
        return running.share(part) if part else running.whole(resume)
    finally:
        executor.close()


def finish(out: str | os.PathLike[str], *, workers: int = 1) -> Done:
    """Complete an output whose stages were run in shares: check the records, write the metadata.

    Parameters
    ----------
    out : str or path-like
        Where the output shall be.
    workers : int
        Threads.

    Raises
    ------
    UsageError
        If there is nothing to finish.
    DataError
        If blocks are missing.
    """
    began = time.perf_counter()
    location = locate(out)
    if location.kind != "file":
        raise UsageError(f"{location.url} is no folder on a disk; only those are made in shares")
    unfinished = find(Path(os.path.realpath(location.base)))
    unfinished.open_to_finish()
    try:
        plan = unfinished.plan
        if not unfinished.journal.publishing:
            need_all(plan, unfinished.journal)
        try:
            unfinished.publish(workers)
        except BaseException as error:
            again = f"enormous finish {unfinished.out}"
            _raise(unfinished.failed(error, again), error)
    finally:
        unfinished.close()
    return Done(plan, time.perf_counter() - began, 0, plan.blocks, 0)


@dataclass
class _Run:
    """One call of :func:`run`."""

    plan: Plan
    executor: Executor
    progress: Progress
    began: float = field(default_factory=time.perf_counter)
    blocks: int = 0
    resumed: int = 0
    nbytes: int = 0

    def whole(self, resume: bool) -> Done:
        """Do all that is not done, then publish."""
        unfinished = Unfinished(self.plan)
        _check_place(unfinished)
        unfinished.open(resume=resume)
        try:
            self.plan = unfinished.plan
            if unfinished.journal.publishing:
                self.resumed = self.plan.blocks
            else:
                self._all_stages(unfinished)
            unfinished.publish(self.executor.workers)
        except BaseException as error:
            _raise(unfinished.failed(self._told(error)), error)
        finally:
            self.progress.end()
            unfinished.close()
        return self._done()

    def share(self, part: Share) -> Done:
        """Do one share of one stage."""
        unfinished = Unfinished(self.plan)
        _check_place(unfinished)
        unfinished.open_shared(lambda journal: need_before(self.plan, journal, part))
        try:
            self.plan = unfinished.plan
            self._begin(unfinished)
            done = unfinished.journal.done()[part.number]
            record = unfinished.journal.record(part.name)
            try:
                self._stage(unfinished, part.number, done, record, part.start, part.stop)
            except BaseException as error:
                told = unfinished.failed(self._told(error), "the same call again", shared=True)
                _raise(told, error)
            finally:
                record.close()
        finally:
            self.progress.end()
            unfinished.close()
        return self._done()

    def _all_stages(self, unfinished: Unfinished) -> None:
        done = unfinished.journal.done()
        if not any(done[0]):
            check_space(unfinished.out, self.plan.certain_bytes, self.plan.disk_bytes)
        self._begin(unfinished)
        record = unfinished.journal.record()
        try:
            for number, stage in enumerate(self.plan.stages):
                self._stage(unfinished, number, done[number], record, 0, stage.blocks.n)
        finally:
            record.close()

    def _begin(self, unfinished: Unfinished) -> None:
        workers = self.executor.workers
        work = Work(self.plan, unfinished.folder, workers=workers, side_by_side=workers)
        try:
            self.plan.begin(work)
        finally:
            work.close()

    def _stage(
        self,
        unfinished: Unfinished,
        number: int,
        found: Intervals,
        record: Record,
        start: int,
        stop: int,
    ) -> None:
        """Make those blocks from `start` to `stop` that are not recorded."""
        stage = self.plan.stages[number]
        known = sum(
            stage.bytes_before(high) - stage.bytes_before(low)
            for low, high in found.within(start, stop)
        )
        total = stage.bytes_before(stop) - stage.bytes_before(start)
        self.resumed += found.count(start, stop)
        self.progress.begin(stage.title, total, known)

        def done(block: int) -> None:
            record.add(number, block)
            self.blocks += 1
            nbytes = stage.bytes_of(block)
            self.nbytes += nbytes
            self.progress.advance(nbytes)

        job = Job(self.plan, unfinished.folder, number)
        self.executor.run(job, _numbers(found, start, stop), done)

    def _told(self, error: BaseException) -> BaseException:
        """Too little memory as one line; other errors as they are."""
        if not isinstance(error, MemoryError):
            return error
        workers = self.executor.workers
        peak = self.plan.peak_bytes(workers, processes=self.executor.processes)
        return DataError(
            f"{self.plan.out}: out of memory: up to {bytes_text(peak)} needed with "
            f"{count_text(workers, 'worker')}; use fewer workers or smaller shards"
        )

    def _done(self) -> Done:
        seconds = time.perf_counter() - self.began
        return Done(self.plan, seconds, self.blocks, self.resumed, self.nbytes)


def _numbers(found: Intervals, start: int, stop: int) -> Iterator[int]:
    for low, high in found.gaps(start, stop):
        yield from range(low, high)


def _check_place(unfinished: Unfinished) -> None:
    """Refuse early what publishing would refuse late."""
    plan, out = unfinished.plan, unfinished.out
    if plan.publish is not None or plan.overwrite:
        check_writable(out)
        return
    if unfinished.journal.publishing:
        return
    if os.path.lexists(out) and not (out.is_dir() and not any(out.iterdir())):
        raise UsageError(f"{out} exists: choose another output, or pass --overwrite")


def _raise(told: BaseException, error: BaseException) -> None:
    if told is error:
        raise error
    raise told from (error if told.__cause__ is None else told.__cause__)

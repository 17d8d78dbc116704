"""What an executor is given, in a form that can be sent to other processes.

Used by all executors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from enormous.engine.freeze import freeze, thaw, trust, trusted
from enormous.engine.inputs import check_block
from enormous.engine.plan import Plan, Stage
from enormous.engine.pool import Stop
from enormous.engine.retry import attempt
from enormous.engine.work import Work
from enormous.errors import DataError

Numbers = Iterator[int]
Done = Callable[[int], object]


@dataclass(frozen=True)
class Job:
    """One stage to be worked on.

    Parameters
    ----------
    plan : Plan
    folder : Path
    number : int
        Of the stage, from 0.
    """

    plan: Plan
    folder: Path
    number: int

    @property
    def stage(self) -> Stage:
        """The stage."""
        return self.plan.stages[self.number]

    def work(self, stop: Stop, workers: int, side_by_side: int) -> Work:
        """What the block functions get in this process."""
        return Work(self.plan, self.folder, self.stage, workers, side_by_side, stop)


class Executor(Protocol):
    """Makes the blocks of one stage after the other."""

    #: Blocks, or pieces of blocks, in the making at a time at most.
    workers: int
    #: Whether each worker has its own memory, the modules and their tables included.
    processes: bool

    def run(self, job: Job, numbers: Numbers, done: Done) -> None:
        """Make the blocks of these numbers; call `done` in this thread after each.

        Raises
        ------
        Exception
            The first that a block raised, after all others have ended.
        """

    def close(self) -> None:
        """Let go of workers."""


def make_block(work: Work, number: int) -> None:
    """Make one block, trying again where that may help.

    Raises
    ------
    DataError
        If an input file has changed meanwhile: the block is not done then.
    """
    stage = work.stage
    assert stage is not None  # executors make Work for a stage
    work.stop.check()
    attempt(lambda: stage.function(work, number), work.stop, f"{stage.title}, block {number}")
    check_block(work.plan, stage, number)


@dataclass(frozen=True)
class Letter:
    """A job as it is sent: text, and how many threads it may use over there.

    Parameters
    ----------
    plan : str
        Frozen.
    hash : str
        Of the plan, as the sender knows it.
    folder : str
    number : int
    side_by_side : int
    workers : int
    trusted : tuple of str
        Modules that the sender's program trusts.
    """

    plan: str
    hash: str
    folder: str
    number: int
    workers: int
    side_by_side: int
    trusted: tuple[str, ...]

    @classmethod
    def of(cls, job: Job, workers: int, side_by_side: int) -> Letter:
        """Write down a job."""
        return cls(
            plan=freeze(job.plan),
            hash=job.plan.hash,
            folder=str(job.folder),
            number=job.number,
            workers=workers,
            side_by_side=side_by_side,
            trusted=trusted(),
        )

    def work(self, stop: Stop) -> Work:
        """What the block functions get, where the letter arrived.

        Raises
        ------
        DataError
            If that process has another version, or does not see the folder.
        """
        trust(*self.trusted)
        plan = thaw(self.plan)
        if plan.hash != self.hash:
            raise DataError(
                "a worker has another version of this package than this process; install the "
                "same everywhere"
            )
        folder = Path(self.folder)
        if not folder.is_dir():
            raise DataError(f"a worker does not see {folder}; write to a folder that all share")
        return Job(plan, folder, self.number).work(stop, self.workers, self.side_by_side)

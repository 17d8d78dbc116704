"""Input files of a plan: as they were when it was made, and whether they still are.

Called by the engine where a run begins or goes on, and after each block: half of one scan
and half of another is nobody's scan. A file is known by its size and the time at which it was
last written; what lies behind a network is not looked at.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from enormous.errors import DataError

if TYPE_CHECKING:
    from enormous.engine.intervals import Intervals
    from enormous.engine.plan import Plan, Stage


@dataclass(frozen=True)
class InputFile:
    """A file that the blocks of a plan's first stage read.

    Parameters
    ----------
    path : str
    size : int
        Bytes.
    mtime_ns : int
        When it was last written.
    axis : int, optional
        Of the stage's boxes, along which lie the voxels `start` to `stop` that the file holds;
        None if any block may read it.
    start, stop : int
    """

    path: str
    size: int
    mtime_ns: int
    axis: int | None = None
    start: int = 0
    stop: int = 0

    def holds(self, region: tuple[slice, ...]) -> bool:
        """Whether any of the voxels of a block lie in it."""
        if self.axis is None:
            return True
        part = region[self.axis]
        return bool(part.start < self.stop and self.start < part.stop)

    def is_as_it_was(self) -> bool:
        """Whether the file has its size and time still.

        Raises
        ------
        DataError
            If it is gone.
        """
        return stamp(self.path) == (self.size, self.mtime_ns)


def stamp(path: str) -> tuple[int, int]:
    """Size of a file, and when it was last written.

    Raises
    ------
    DataError
        If it is gone.
    """
    try:
        found = os.stat(path)
    except OSError as error:
        raise DataError(
            f"{path} could be read before and no longer can: {error.strerror or error}"
        ) from error
    return found.st_size, found.st_mtime_ns


def check_block(plan: Plan, stage: Stage, number: int) -> None:
    """Make sure that what a block has read is what the plan was made of.

    Raises
    ------
    DataError
        One line that names the file.
    """
    if stage is not plan.stages[0]:
        return
    region = stage.blocks.slices(stage.blocks.index(number))
    for file in plan.inputs:
        if file.holds(region) and not file.is_as_it_was():
            raise DataError(
                f"{file.path} has changed since it was looked at; start again when it is complete"
            )


def check_same(plan: Plan, before: Iterable[InputFile], done: Intervals) -> bool:
    """Make sure that blocks done earlier were made of the files as they are now.

    A file that was mended after it had stopped a run is fine as long as no block has used it.

    Parameters
    ----------
    plan : Plan
        As it was made now.
    before : iterable of InputFile
        Of the same plan, as it was made earlier.
    done : Intervals
        Blocks of the first stage.

    Returns
    -------
    bool
        Whether no file has changed.

    Raises
    ------
    DataError
        One line that names a file.
    """
    known = {file.path: (file.size, file.mtime_ns) for file in before}
    changed = [f for f in plan.inputs if known.get(f.path) != (f.size, f.mtime_ns)]
    blocks = plan.stages[0].blocks
    for number in _numbers(done) if changed else ():
        region = blocks.slices(blocks.index(number))
        for file in changed:
            if file.holds(region):
                raise DataError(
                    f"{file.path} has changed since blocks were made of it, which does not go "
                    "together with the rest: put it back as it was (its time too), or start anew"
                )
    return not changed


def _numbers(done: Intervals) -> Iterator[int]:
    for start, stop in done:
        yield from range(start, stop)

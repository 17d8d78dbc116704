"""What is going to be done, before anything is: stages of numbered blocks, and their price.

Made by the ``plan`` functions of the operations (`create`, `samples`, and those to
come), executed by :func:`enormous.engine.run`. Frozen values, no I/O. Blocks are
computed from their number, never listed: a petabyte has millions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from enormous.grid import Tiling

if TYPE_CHECKING:
    from enormous.engine.work import Work

BlockFunction = Callable[["Work", int], None]

#: Memory of the process before the first block: interpreter, zarr, tensorstore, numba and its
#: compiled kernels, and the stacks of threads, which a limit on memory counts as well.
BASE_BYTES = 400_000_000


def now() -> str:
    """The time, as it is written into what a plan makes."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Stage:
    """One step over many blocks, which may be done in any order; stages follow one another.

    Parameters
    ----------
    title : str
        What a person sees it doing: ``levels 0 to 2``.
    function : callable
        ``function(work, number)`` makes one block: a top-level function of a module. It is
        idempotent, writes objects that no other block writes, each under a temporary name
        that is renamed, and returns nothing.
    blocks : Tiling
        The number of a box is the block's.
    itemsize : int
        Bytes of one voxel of those boxes: progress counts a block as its voxels' bytes.
    detail : object
        Whatever else the function needs to know of its stage; a frozen dataclass, an integer.
    reads, writes : int
        Bytes of the whole stage, decoded.
    objects : int
        Files or objects it writes, at most.
    block_bytes : int
        Memory that one block needs at most, apart from its pieces.
    piece_bytes : int
        Memory that each of the pieces made side by side needs in addition.
    at_once : int, optional
        Blocks done at a time at most, where one of them keeps all workers busy.
    """

    title: str
    function: BlockFunction
    blocks: Tiling
    itemsize: int = 1
    detail: Any = None
    reads: int = 0
    writes: int = 0
    objects: int = 0
    block_bytes: int = 0
    piece_bytes: int = 0
    at_once: int | None = None

    def lanes(self, workers: int) -> int:
        """Blocks that are in the making at a time."""
        return max(1, min(workers, self.blocks.n, self.at_once or workers))

    def side_by_side(self, workers: int) -> int:
        """Pieces of one block made at a time: more than one where blocks are too few."""
        return max(1, workers // self.lanes(workers))

    def peak_bytes(self, workers: int) -> int:
        """Memory that the blocks in the making need at most."""
        lanes = self.lanes(workers)
        return lanes * (self.block_bytes + self.side_by_side(workers) * self.piece_bytes)


@dataclass(frozen=True)
class Plan:
    """An operation, to the last object; frozen, and known by :attr:`hash`.

    Parameters
    ----------
    operation : str
        Name of the command: ``convert``.
    out : str
        Absolute path of what will be there, links followed.
    spec : object
        A frozen dataclass of this package: all that the stages' functions need.
    stages : tuple of Stage
    begin : callable
        ``begin(work)`` makes what the stages write into (array metadata). Called before the
        first stage by every share: idempotent, each file written atomically.
    finish : callable
        ``finish(work)`` writes the metadata that makes `work.folder` look finished.
    publish : callable, optional
        ``publish(work)`` puts what is finished in its place, may be called again after a
        crash. By default the folder is renamed to `out`, what is there being replaced.
    overwrite : bool
    disk_bytes : int
        Bytes on disk if nothing could be compressed.
    certain_bytes : int
        Bytes below which the output cannot be, however well it compresses.
    base_bytes : int
        Memory of the process before the first block.
    facts : tuple of pairs
        What ``--dry-run`` tells of this operation, beyond what is common to all: JSON values.
    created : str
        When the plan was made: the only time that is ever written.
    """

    operation: str
    out: str
    spec: Any
    stages: tuple[Stage, ...]
    begin: Callable[[Work], None]
    finish: Callable[[Work], None]
    publish: Callable[[Work], None] | None = None
    overwrite: bool = False
    disk_bytes: int = 0
    certain_bytes: int = 0
    base_bytes: int = BASE_BYTES
    facts: tuple[tuple[str, Any], ...] = ()
    created: str = field(default_factory=now)

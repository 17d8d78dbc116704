"""What is going to be done, before anything is: stages of numbered blocks, and their price.

Made by the ``plan`` functions of the operations (`create`, `samples`, and those to
come), executed by :func:`enormous.engine.run`. Frozen values, no I/O. Blocks are
computed from their number, never listed: a petabyte has millions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enormous import __version__
from enormous.engine.freeze import freeze
from enormous.grid import Tiling

if TYPE_CHECKING:
    from enormous.engine.inputs import InputFile
    from enormous.engine.work import Work

BlockFunction = Callable[["Work", int], None]

#: Memory of the process before the first block: interpreter, zarr, tensorstore, numba and its
#: compiled kernels, and the stacks of threads, which a limit on memory counts as well.
BASE_BYTES = 400_000_000
#: Where blocks are made by processes: that of the one which leads them, and of each of them. They
#: keep fewer threads and share the pages of libraries.
LEADER_BYTES, WORKER_BYTES = 150_000_000, 280_000_000


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
        Files or objects it stores, at most; scratch files, which do not stay, are not counted.
    block_bytes : int
        Memory that one block needs at most, apart from its pieces.
    piece_bytes : int
        Memory that each of the pieces made side by side needs in addition.
    at_once : int, optional
        Blocks done at a time at most, where one of them keeps all workers busy.
    pieces : int, optional
        Pieces that one block has at most: no more are made side by side.
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
    pieces: int | None = None

    def lanes(self, workers: int) -> int:
        """Blocks that are in the making at a time."""
        return max(1, min(workers, self.blocks.n, self.at_once or workers))

    def side_by_side(self, workers: int) -> int:
        """Pieces of one block made at a time: more than one where blocks are too few."""
        side = max(1, workers // self.lanes(workers))
        return side if self.pieces is None else max(1, min(side, self.pieces))

    def peak_bytes(self, workers: int) -> int:
        """Memory that the blocks in the making need at most."""
        lanes = self.lanes(workers)
        return lanes * (self.block_bytes + self.side_by_side(workers) * self.piece_bytes)

    def bytes_of(self, number: int) -> int:
        """Bytes of the voxels of one block, as progress counts them."""
        region = self.blocks.slices(self.blocks.index(number))
        return int(math.prod(s.stop - s.start for s in region)) * self.itemsize

    def bytes_before(self, number: int) -> int:
        """Bytes of the voxels of all blocks before one; of the whole stage for ``blocks.n``."""
        shape, tile = self.blocks.shape, self.blocks.tile
        if number >= self.blocks.n:
            return math.prod(shape) * self.itemsize
        voxels, size = 0, 1  # size: voxels of the box along the axes already passed
        for axis, index in enumerate(self.blocks.index(number)):
            start = index * tile[axis]
            voxels += size * start * math.prod(shape[axis + 1 :])
            size *= min(tile[axis], shape[axis] - start)
        return voxels * self.itemsize


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
        ``finish(work)`` writes the metadata that makes `work.folder` look finished, and removes
        what killed blocks have left under temporary names. May be called again after a crash.
    publish : callable, optional
        ``publish(work)`` puts what is finished in its place, may be called again after a
        crash. By default the folder is renamed to `out`, what is there being replaced.
    overwrite : bool
    disk_bytes : int
        Bytes on disk if nothing could be compressed.
    certain_bytes : int
        Bytes below which the output cannot be, however well it compresses.
    scratch_bytes : int
        Of `disk_bytes`, those that are gone when all is done.
    base_bytes : int
        Memory of the process before the first block.
    facts : tuple of pairs
        What ``--dry-run`` tells of this operation, beyond what is common to all: JSON values.
    codec : str, optional
        What most of the work is, as :class:`enormous.codecs.Codec` names it: ``--dry-run``
        measures how fast this machine is with it.
    inputs : tuple of InputFile
        Files that the first stage reads, as they were when the plan was made. They are no part
        of the hash: a file that was mended is read on with.
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
    scratch_bytes: int = 0
    base_bytes: int = BASE_BYTES
    facts: tuple[tuple[str, Any], ...] = ()
    codec: str | None = None
    inputs: tuple[InputFile, ...] = ()
    created: str = field(default_factory=now)

    @cached_property
    def hash(self) -> str:
        """SHA-256, in hex, of all that decides which bytes come out; the place does not.

        Raises
        ------
        UsageError
            If the plan holds what cannot be written down; see :func:`freeze`.
        """
        stages = tuple(
            (stage.title, stage.function, stage.blocks, stage.itemsize, stage.detail)
            for stage in self.stages
        )
        known = freeze((self.operation, __version__, self.spec, stages))
        return sha256(known.encode()).hexdigest()

    @property
    def blocks(self) -> int:
        """Blocks of all stages."""
        return sum(stage.blocks.n for stage in self.stages)

    @property
    def reads(self) -> int:
        """Bytes read, decoded."""
        return sum(stage.reads for stage in self.stages)

    @property
    def writes(self) -> int:
        """Bytes written, before they are encoded."""
        return sum(stage.writes for stage in self.stages)

    @property
    def objects(self) -> int:
        """Files or objects stored, at most; scratch files apart."""
        return sum(stage.objects for stage in self.stages)

    def peak_bytes(self, workers: int, *, processes: bool = False) -> int:
        """Memory needed at most: the hungriest stage, and the process itself.

        Pages of scratch files are not counted, as the system writes them out and takes them
        back when memory is short; operations that map any say how many in their facts.

        Parameters
        ----------
        workers : int
        processes : bool
            Each of the workers is a process of its own, beside the one that leads them.
        """
        return max(
            (LEADER_BYTES + stage.lanes(workers) * WORKER_BYTES if processes else self.base_bytes)
            + stage.peak_bytes(workers)
            for stage in self.stages
        )

    def as_dict(self, workers: int, *, processes: bool = False) -> dict[str, Any]:
        """What ``--dry-run`` tells, as JSON values; takes a moment, to measure the codec."""
        from enormous.engine.output import free_bytes
        from enormous.engine.pricing import cost, time_needed

        return {
            "operation": self.operation,
            "out": self.out,
            "hash": self.hash,
            "stages": [
                {
                    "title": stage.title,
                    "blocks": stage.blocks.n,
                    "reads": stage.reads,
                    "writes": stage.writes,
                    "objects": stage.objects,
                }
                for stage in self.stages
            ],
            "reads": self.reads,
            "writes": self.writes,
            "objects": self.objects,
            "disk_bytes": self.disk_bytes,
            "free_bytes": free_bytes(Path(self.out).parent),
            "workers": workers,
            "peak_memory_bytes": self.peak_bytes(workers, processes=processes),
            "time": time_needed(self, workers),
            "cost": cost(self),
            **dict(self.facts),
        }

"""Chunk, shard and block arithmetic: what a selection needs, before anything is read.

Pure functions and frozen values, no I/O. Called by every planner, by the
lessons (next to the ledger, which counts what a reader really did), by the
figures and by the chunk explorer, whose arithmetic is checked against this.

Axes are ``z, y, x``; any number of axes works. Integers are Python's own, so
a petabyte is counted exactly.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from types import EllipsisType
from typing import NamedTuple

from enormous.errors import UsageError

Shape = tuple[int, ...]
Index = int | slice | EllipsisType
Selection = Index | tuple[Index, ...]

INDEX_ENTRY_BYTES = 16
INDEX_CHECKSUM_BYTES = 4


@dataclass(frozen=True)
class Tiling:
    """Equal boxes laid over an array from its origin; the last ones may overhang.

    Parameters
    ----------
    shape : tuple of int
        Size of the array, in voxels.
    tile : tuple of int
        Size of one box, in voxels; may be larger than the array.
    """

    shape: Shape
    tile: Shape

    def __post_init__(self) -> None:
        if len(self.shape) != len(self.tile):
            raise UsageError(
                f"{self.tile} has {len(self.tile)} axes but the array {self.shape} has "
                f"{len(self.shape)}; give one number for each axis"
            )
        if any(n < 0 for n in self.shape):
            raise UsageError(f"shape {self.shape} is negative; give sizes of 1 or more")
        if any(t < 1 for t in self.tile):
            raise UsageError(f"{self.tile} has an edge below 1; give sizes of 1 or more")

    @property
    def counts(self) -> Shape:
        """Boxes along each axis."""
        return tuple(-(-n // t) for n, t in zip(self.shape, self.tile, strict=True))

    @property
    def n(self) -> int:
        """Number of boxes."""
        return math.prod(self.counts)

    def index(self, number: int) -> Shape:
        """Grid index of box ``number``, counted in C order (the last axis fastest)."""
        if not 0 <= number < self.n:
            raise UsageError(f"box {number} is not one of the {self.n} boxes 0 to {self.n - 1}")
        index = []
        for count in reversed(self.counts):
            number, i = divmod(number, count)
            index.append(i)
        return tuple(reversed(index))

    def number(self, index: Shape) -> int:
        """Inverse of :meth:`index`."""
        number = 0
        for i, count in zip(index, self.counts, strict=True):
            number = number * count + i
        return number

    def slices(self, index: Shape) -> tuple[slice, ...]:
        """Voxels of the box at ``index``, cut off where the array ends."""
        return tuple(
            slice(i * t, min((i + 1) * t, n))
            for i, t, n in zip(index, self.tile, self.shape, strict=True)
        )

    def touched(self, selection: Selection) -> tuple[Sequence[int], ...]:
        """Grid indices along each axis that hold a selected voxel.

        The boxes touched are all combinations. A step wider than a box skips
        boxes; a narrower one does not.
        """
        return tuple(
            _touched_along(r, t)
            for r, t in zip(normalize(self.shape, selection), self.tile, strict=True)
        )


def _touched_along(selected: range, tile: int) -> Sequence[int]:
    if not selected:
        return ()
    low, high = sorted((selected[0], selected[-1]))
    if abs(selected.step) <= tile:
        return range(low // tile, high // tile + 1)
    return tuple(sorted(i // tile for i in selected))


def normalize(shape: Shape, selection: Selection) -> tuple[range, ...]:
    """The selected voxel numbers along each axis.

    Parameters
    ----------
    shape : tuple of int
        Size of the array, in voxels.
    selection : int, slice, Ellipsis or tuple of them
        As in ``array[selection]``.

    Returns
    -------
    tuple of range
        One for each axis, an integer index giving a range of length one.

    Raises
    ------
    UsageError
        If there are too many indices or an integer is outside the array.
    """
    parts = list(selection) if isinstance(selection, tuple) else [selection]
    if parts.count(Ellipsis) > 1:
        raise UsageError(f"selection {selection} has more than one '...'; use it once")
    if Ellipsis in parts:
        at = parts.index(Ellipsis)
        parts[at : at + 1] = [slice(None)] * (len(shape) - len(parts) + 1)
    parts += [slice(None)] * (len(shape) - len(parts))
    if len(parts) != len(shape):
        raise UsageError(
            f"selection {selection} has more indices than the {len(shape)} axes of shape {shape}"
        )
    ranges = []
    for axis, (n, part) in enumerate(zip(shape, parts, strict=True)):
        if isinstance(part, slice):
            ranges.append(range(*part.indices(n)))
        elif isinstance(part, EllipsisType) or not -n <= part < n:
            raise UsageError(f"index {part} is outside axis {axis}, which has {n} voxels")
        else:
            ranges.append(range(part % n, part % n + 1))
    return tuple(ranges)


class Need(NamedTuple):
    """What a selection needs from storage, at the least, when chunks are read whole.

    Attributes
    ----------
    voxels, nbytes : int
        Asked for.
    chunks : int
        Chunks that hold an asked-for voxel.
    chunk_bytes : int
        All of those chunks, decoded; edge chunks count whole, as they are stored.
    objects : int
        Files or objects that hold those chunks: shards, or chunks where unsharded.
    requests : int
        Reads by a reader that fetches chunk by chunk: one for each chunk, and
        one more for the index of each shard.
    index_bytes : int
        Bytes of those shard indexes.
    """

    voxels: int
    nbytes: int
    chunks: int
    chunk_bytes: int
    objects: int
    requests: int
    index_bytes: int

    @property
    def amplification(self) -> float:
        """Bytes decoded for each byte asked for; 1.0 means that nothing is wasted."""
        return self.chunk_bytes / self.nbytes if self.nbytes else math.nan


@dataclass(frozen=True)
class Grid:
    """How one array is cut up: voxels into chunks, chunks into objects.

    Parameters
    ----------
    shape : tuple of int
        Size of the array, in voxels, ``z, y, x``.
    chunks : tuple of int
        Size of one chunk, in voxels; may be larger than the array.
    itemsize : int
        Bytes of one voxel.
    shards : tuple of int, optional
        Size of one shard, in voxels: a multiple of the chunk along each axis.
        Without it every chunk is an object of its own.

    Raises
    ------
    UsageError
        If the numbers of axes differ, a size is not positive, or the shard is
        not a multiple of the chunk.
    """

    shape: Shape
    chunks: Shape
    itemsize: int
    shards: Shape | None = None
    by_chunk: Tiling = field(init=False, repr=False, compare=False)
    by_object: Tiling = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.itemsize < 1:
            raise UsageError(f"a voxel of {self.itemsize} bytes makes no sense; give 1 or more")
        object.__setattr__(self, "by_chunk", Tiling(self.shape, self.chunks))
        object.__setattr__(self, "by_object", Tiling(self.shape, self.shards or self.chunks))
        if self.shards and any(s % c for s, c in zip(self.shards, self.chunks, strict=True)):
            whole = tuple(-(-s // c) * c for s, c in zip(self.shards, self.chunks, strict=True))
            raise UsageError(
                f"shard {self.shards} is not a multiple of chunk {self.chunks} along every axis; "
                f"try {whole}"
            )

    @property
    def n_chunks(self) -> int:
        """Chunks of the whole array."""
        return self.by_chunk.n

    @property
    def n_objects(self) -> int:
        """Files or objects of the whole array, when every chunk is stored."""
        return self.by_object.n

    @property
    def chunk_bytes(self) -> int:
        """Bytes of one chunk, decoded."""
        return math.prod(self.chunks) * self.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of the array in memory."""
        return math.prod(self.shape) * self.itemsize

    @property
    def padded_bytes(self) -> int:
        """Bytes of all chunks, decoded: more than the array, as edge chunks are stored whole."""
        return self.n_chunks * self.chunk_bytes

    @property
    def chunks_per_shard(self) -> int:
        """Chunks that one shard holds; 1 where unsharded."""
        return math.prod(self.shards or self.chunks) // math.prod(self.chunks)

    @property
    def index_bytes(self) -> int:
        """Bytes of one shard's index with its checksum; 0 where unsharded."""
        if not self.shards:
            return 0
        return INDEX_ENTRY_BYTES * self.chunks_per_shard + INDEX_CHECKSUM_BYTES

    def need(self, selection: Selection) -> Need:
        """What ``array[selection]`` needs from storage."""
        voxels = math.prod(len(r) for r in normalize(self.shape, selection))
        chunks = math.prod(len(t) for t in self.by_chunk.touched(selection))
        objects = math.prod(len(t) for t in self.by_object.touched(selection))
        return self._need(voxels, chunks, objects)

    def need_points(self, points: Iterable[Sequence[int]]) -> Need:
        """What single voxels need, each chunk fetched once; ``points`` are ``z, y, x`` indices."""
        inside = [tuple(r[0] for r in normalize(self.shape, tuple(p))) for p in points]
        chunks = {_tile_of(p, self.by_chunk.tile) for p in inside}
        objects = {_tile_of(p, self.by_object.tile) for p in inside}
        return self._need(len(inside), len(chunks), len(objects))

    def _need(self, voxels: int, chunks: int, objects: int) -> Need:
        return Need(
            voxels=voxels,
            nbytes=voxels * self.itemsize,
            chunks=chunks,
            chunk_bytes=chunks * self.chunk_bytes,
            objects=objects,
            requests=chunks + (objects if self.shards else 0),
            index_bytes=objects * self.index_bytes,
        )

    def mean_amplification(self, box: Shape) -> Fraction:
        """Amplification of a box, averaged over every place where it fits into the array.

        Parameters
        ----------
        box : tuple of int
            Size of the box, in voxels.

        Returns
        -------
        Fraction
            Exact. Far from the edges it is the product over the axes of
            ``(box + chunk - 1) / box``.

        Raises
        ------
        UsageError
            If the box does not fit into the array.
        """
        mean = Fraction(1)
        for n, c, b in zip(self.shape, self.chunks, box, strict=True):
            mean *= mean_touched(n, c, b) * Fraction(c, b)
        return mean


def _tile_of(point: Sequence[int], tile: Shape) -> Shape:
    return tuple(i // t for i, t in zip(point, tile, strict=True))


def mean_touched(length: int, chunk: int, box: int) -> Fraction:
    """Mean number of chunks that a run of ``box`` voxels touches along one axis.

    Averaged over all ``length - box + 1`` places; exact and in constant time.
    """
    if not 1 <= box <= length:
        raise UsageError(f"a box of {box} voxels does not fit into {length}; give 1 to {length}")
    places = length - box + 1
    # chunks of the run that starts at p: (p + box - 1) // chunk - p // chunk + 1
    total = (
        _sum_of_floors(places + box - 1, chunk)
        - _sum_of_floors(box - 1, chunk)
        - _sum_of_floors(places, chunk)
        + places
    )
    return Fraction(total, places)


def _sum_of_floors(stop: int, chunk: int) -> int:
    """Sum of ``p // chunk`` for p from 0 to ``stop - 1``."""
    whole, rest = divmod(stop, chunk)
    return chunk * whole * (whole - 1) // 2 + whole * rest


def boxes(shape: Shape, tile: Shape) -> Iterator[tuple[slice, ...]]:
    """Every box of a tiling, one at a time, in C order; for small arrays and lessons."""
    tiling = Tiling(shape, tile)
    return (tiling.slices(tiling.index(i)) for i in range(tiling.n))


# --- The default rule --------------------------------------------------------------------

CHUNK_VOXELS = 2**21  # 128 voxels cubed, the size that published benchmarks favour for images
CHUNK_MAX_BYTES = 2**23
SHARD_CHUNKS = 4  # chunks along each axis of a shard: 512 voxels cubed in the usual case
DEFAULT_CODEC = "blosc-zstd:3:shuffle"


class Layout(NamedTuple):
    """Chunk, shard (None: unsharded) and codec, chosen for an array."""

    chunks: Shape
    shards: Shape | None
    codec: str


def default_layout(
    shape: Shape, itemsize: int, voxel_size: Sequence[float] | None = None
) -> Layout:
    """The default rule: chunk, shard and codec from shape, dtype and voxel size alone.

    A chunk holds about two million voxels (at most 8 MiB) and is as near to a
    cube in space as powers of two allow, so coarse axes get fewer voxels.
    Axes before the last three (time, channel) get chunks of one. A shard is
    four chunks along each spatial axis, less where the array ends sooner.

    Parameters
    ----------
    shape : tuple of int
        Size of the array, in voxels; the last three axes are space.
    itemsize : int
        Bytes of one voxel.
    voxel_size : sequence of float, optional
        Size of a voxel along each axis of ``shape``, in any one unit.

    Returns
    -------
    Layout
        The same on every machine.
    """
    if any(n < 1 for n in shape):
        raise UsageError(f"shape {shape} has an axis below 1; give sizes of 1 or more")
    if voxel_size is not None and (
        len(voxel_size) != len(shape) or not all(0 < v < math.inf for v in voxel_size)
    ):
        raise UsageError(f"voxel size {tuple(voxel_size)} needs one positive number for each axis")
    space = range(max(0, len(shape) - 3), len(shape))
    spacing = list(voxel_size or [1.0] * len(shape))
    budget = min(CHUNK_VOXELS, CHUNK_MAX_BYTES // itemsize)
    edge = [1] * len(shape)
    while math.prod(edge) * 2 <= budget:
        growing = [axis for axis in space if edge[axis] < shape[axis]]
        if not growing:
            break
        axis = min(growing, key=lambda a: (edge[a] * spacing[a], -a))
        edge[axis] *= 2
    chunks = tuple(min(e, n) for e, n in zip(edge, shape, strict=True))
    per_axis = [min(SHARD_CHUNKS, -(-n // c)) for n, c in zip(shape, chunks, strict=True)]
    shards = tuple(
        c * (k if axis in space else 1)
        for axis, (c, k) in enumerate(zip(chunks, per_axis, strict=True))
    )
    return Layout(chunks, None if shards == chunks else shards, DEFAULT_CODEC)


def check_new(shape: Shape, chunks: Shape, shards: Shape | None = None) -> None:
    """Refuse a layout that nobody wants for a *new* array, with a line that says what to do.

    Zarr itself allows a chunk larger than the array; here it is a slip.

    Raises
    ------
    UsageError
        If an axis is below 1, a chunk is larger than the array, or
        :class:`Grid` refuses the layout.
    """
    if any(n < 1 for n in shape):
        raise UsageError(f"shape {shape} has an axis below 1; give sizes of 1 or more")
    Grid(shape, chunks, 1, shards)
    if any(c > n for c, n in zip(chunks, shape, strict=True)):
        fits = tuple(min(c, n) for c, n in zip(chunks, shape, strict=True))
        raise UsageError(f"chunk {chunks} is larger than the array {shape}; use at most {fits}")

"""Chunk, shard and block arithmetic: what a selection needs, before anything is read.

Pure functions and frozen values, no I/O. Called by every planner, by the
lessons (next to the ledger, which counts what a reader really did), by the
figures and by the chunk explorer, whose arithmetic is checked against this.

Axes are ``z, y, x``; any number of axes works. Whole numbers of any type are
taken, numpy's too, and made Python's own, so a petabyte is counted exactly.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from types import EllipsisType
from typing import Any, NamedTuple, SupportsIndex

from enormous.errors import UsageError

Shape = tuple[int, ...]
Index = SupportsIndex | slice | EllipsisType
Selection = Index | tuple[Index, ...]

INDEX_ENTRY_BYTES = 16
INDEX_CHECKSUM_BYTES = 4


def _whole(value: Any, what: str, least: int = 0) -> int:
    """Make one whole number of any type Python's own; numpy's would overflow in silence."""
    try:
        whole = operator.index(value)
    except TypeError:
        raise UsageError(f"{what} {_line(value)} is not a whole number; give one") from None
    if whole < least:
        raise UsageError(f"{what} {whole} makes no sense; give {least} or more")
    return whole


def _wholes(values: Any, what: str, like: Shape | None = None, least: int | None = None) -> Shape:
    """Make whole numbers, one for each axis (of the array `like`), a tuple of Python's own."""
    try:
        whole = tuple(operator.index(value) for value in values)
    except TypeError:
        why = "is not made of whole numbers; give one for each axis"
        raise UsageError(f"{what} {_line(values)} {why}") from None
    if like is not None and len(whole) != len(like):
        raise UsageError(
            f"{what} {whole} has {len(whole)} axes but the array {like} has {len(like)}; "
            "give one number for each axis"
        )
    if least is not None and any(n < least for n in whole):
        raise UsageError(f"{what} {whole} has an axis below {least}; give sizes of 1 or more")
    return whole


def _line(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


@dataclass(frozen=True)
class Tiling:
    """Equal boxes laid over an array from its origin; the last ones may overhang.

    Parameters
    ----------
    shape : tuple of int
        Size of the array, in voxels.
    tile : tuple of int
        Size of one box, in voxels; may be larger than the array.

    Raises
    ------
    UsageError
        If the numbers of axes differ, or a size is negative or not whole.
    """

    shape: Shape
    tile: Shape

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", _wholes(self.shape, "shape", least=0))
        object.__setattr__(self, "tile", _wholes(self.tile, "size", self.shape, least=1))

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
        number = _whole(number, "box")
        if number >= self.n:
            raise UsageError(f"box {number} is not one of the {self.n} boxes 0 to {self.n - 1}")
        index = []
        for count in reversed(self.counts):
            number, i = divmod(number, count)
            index.append(i)
        return tuple(reversed(index))

    def number(self, index: Shape) -> int:
        """Inverse of :meth:`index`."""
        index = self._inside(index)
        number = 0
        for i, count in zip(index, self.counts, strict=True):
            number = number * count + i
        return number

    def slices(self, index: Shape) -> tuple[slice, ...]:
        """Voxels of the box at ``index``, cut off where the array ends."""
        return tuple(
            slice(i * t, min((i + 1) * t, n))
            for i, t, n in zip(self._inside(index), self.tile, self.shape, strict=True)
        )

    def _inside(self, index: Shape) -> Shape:
        index = _wholes(index, "index", self.shape)
        if any(not 0 <= i < count for i, count in zip(index, self.counts, strict=True)):
            raise UsageError(f"index {index} is not one of the {self.counts} boxes; count from 0")
        return index

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
        If there are too many indices, an integer is outside the array, or an
        index is anything else: None, a list, a mask.
    """
    shape = _wholes(shape, "shape")
    parts = list(selection) if isinstance(selection, tuple) else [selection]
    dots = [at for at, part in enumerate(parts) if part is Ellipsis]  # arrays cannot be asked `in`
    if len(dots) > 1:
        raise UsageError(f"selection {_line(selection)} has more than one '...'; use it once")
    for at in dots:
        parts[at : at + 1] = [slice(None)] * (len(shape) - len(parts) + 1)
    parts += [slice(None)] * (len(shape) - len(parts))
    if len(parts) != len(shape):
        raise UsageError(
            f"selection {_line(selection)} has more indices than shape {shape} has axes"
        )
    return tuple(
        _along(axis, n, part) for axis, (n, part) in enumerate(zip(shape, parts, strict=True))
    )


def _along(axis: int, n: int, part: Any) -> range:
    try:
        if isinstance(part, slice):
            return range(*part.indices(n))
        at = operator.index(part)
    except (TypeError, ValueError):  # ValueError: a step of 0
        raise UsageError(
            f"index {_line(part)} along axis {axis} selects nothing here; "
            "give a whole number, a slice of whole numbers or '...'"
        ) from None
    if not -n <= at < n:
        raise UsageError(f"index {at} is outside axis {axis}, which has {n} voxels")
    return range(at % n, at % n + 1)


class Need(NamedTuple):
    """What a selection needs from storage, where each chunk is stored and is read whole.

    `requests` and `index_bytes` are those of a reader that fetches chunk by
    chunk. They are an upper figure: zarr reads a shard of which it needs every
    chunk in one request, the index within it, and a reader that merges ranges
    which lie near each other makes fewer requests, too.

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
        Of that reader: one for each chunk, and one more for the index of each
        shard that holds one of them.
    index_bytes : int
        Bytes of those shard indexes, each read by itself.
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
        If the numbers of axes differ, a size is not positive or not whole, or
        the shard is not a multiple of the chunk.
    """

    shape: Shape
    chunks: Shape
    itemsize: int
    shards: Shape | None = None
    by_chunk: Tiling = field(init=False, repr=False, compare=False)
    by_object: Tiling = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "itemsize", _whole(self.itemsize, "itemsize", least=1))
        object.__setattr__(self, "shape", _wholes(self.shape, "shape", least=0))
        object.__setattr__(self, "chunks", _wholes(self.chunks, "chunk", self.shape, least=1))
        if self.shards is not None:
            object.__setattr__(self, "shards", _wholes(self.shards, "shard", self.shape, least=1))
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
        whole = [_wholes(point, "point", self.shape) for point in points]
        inside = [tuple(r[0] for r in normalize(self.shape, point)) for point in whole]
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
            If the box does not fit into the array, or has another number of axes.
        """
        box = _wholes(box, "box", self.shape)
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
    length, chunk, box = _whole(length, "length"), _whole(chunk, "chunk", 1), _whole(box, "box")
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

CHUNK_VOXELS = 2**21  # 128 voxels cubed, the size of the published benchmarks for images
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

    Raises
    ------
    UsageError
        If a size is below 1 or not whole, or the voxel size is not one
        positive number for each axis.
    """
    shape, itemsize = _wholes(shape, "shape", least=1), _whole(itemsize, "itemsize", least=1)
    try:
        spacing = [1.0] * len(shape) if voxel_size is None else [float(v) for v in voxel_size]
    except (TypeError, ValueError):
        spacing = []
    if len(spacing) != len(shape) or not all(0 < v < math.inf for v in spacing):
        raise UsageError(f"voxel size {_line(voxel_size)} needs one positive number for each axis")
    space = range(max(0, len(shape) - 3), len(shape))
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
    shape = _wholes(shape, "shape", least=1)
    chunks = Grid(shape, chunks, 1, shards).chunks
    if any(c > n for c, n in zip(chunks, shape, strict=True)):
        fits = tuple(min(c, n) for c, n in zip(chunks, shape, strict=True))
        raise UsageError(f"chunk {chunks} is larger than the array {shape}; use at most {fits}")

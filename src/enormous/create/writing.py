"""The block functions of whatever writes a pyramid: a band of levels from one read, and packing.

Stages of `create.convert` and `create.pyramid` name them. They do not know where voxels
come from: a *feed* gives those of the band's first level. A block goes through memory in
slabs of a few planes, so what it needs does not grow with its depth; chunks are encoded
one by one and put into their shards as bytes, so a shard is never whole either.
"""

from __future__ import annotations

import math
import mmap
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from enormous.bands import Band, Piece
from enormous.create.files import allow_files
from enormous.create.pieces import Region, cut
from enormous.create.tally import Tally
from enormous.create.target import Target, stored_level
from enormous.engine.work import Work
from enormous.grid import Grid, Shape, Tiling
from enormous.kernels import all_equal, downsample
from enormous.shardfile import ShardReader, ShardWriter, pack, write_object

#: ``feed(work, region, tally)``: voxels of a region of a band's first level, dtype of the target.
Feed = Callable[[Work, Region, Tally], NDArray[Any]]
#: ``prepare(work, slab, region, tally)``: changes a slab of the band's first level in place.
Prepare = Callable[[Work, NDArray[Any], Region, Tally], None]

SCRATCH = ".scratch"

#: Voxels halved at a time, in bytes: what fits into a processor's cache, and no less than a plane.
PIECE_BYTES = 2**22


@dataclass(frozen=True)
class BandWork:
    """All that :func:`band_block` needs to know of its stage.

    Parameters
    ----------
    target : Target
    band : Band
    feed : callable
        Gives the voxels of the band's first level; a top-level function.
    slab : int
        Planes of the first level that go through memory at a time.
    piece : tuple of int
        What the feed is asked for at once, at most: boxes of this size, counted from the
        origin of the array, so that what is decoded as a whole is asked for as a whole.
    given : bool
        Whether the first level is there already, so that only those below are written.
    prepare : callable, optional
    spooled : bool
        Keep the slabs in a file that the system may write out, not in memory.
    above : callable, optional
        Gives the voxels of the level above the first, where that is not one of ours.
    """

    target: Target
    band: Band
    feed: Feed
    slab: int
    piece: Shape
    given: bool = False
    prepare: Prepare | None = None
    spooled: bool = False
    above: Feed | None = None


@dataclass(frozen=True)
class PackWork:
    """All that :func:`pack_block` needs to know of its stage."""

    target: Target
    band: Band
    level: int


def slab_axis(ndim: int) -> int:
    """The axis along which blocks are cut into slabs: z, or y of a single plane."""
    return max(0, ndim - 3)


def capacities(target: Target, band: Band, slab: int) -> tuple[int, ...]:
    """Planes that are held of each level of a band: whole chunks, and whole windows below."""
    held = [slab]
    for number in range(band.first + 1, band.last + 1):
        held.append(unit_of(target, band, number))
    return tuple(held)


def unit_of(target: Target, band: Band, number: int) -> int:
    """Fewest planes of a level that are whole chunks and whole windows of the next."""
    grid = target.levels[number].grid
    axis = slab_axis(len(grid.shape))
    unit = grid.chunks[axis]
    if number < band.last:
        unit = math.lcm(unit, target.levels[number + 1].factors[axis])
    return min(unit, max(1, grid.shape[axis]))


def band_block(work: Work, number: int) -> None:
    """Make one block of a band: read its first level, write all of them.

    Raises
    ------
    DataError
        As the feed does.
    """
    assert work.stage is not None
    detail: BandWork = work.stage.detail
    tally = Tally()
    with ExitStack() as stack:
        layers = _layers(work, detail, number, stack)
        for column in _columns(layers[0]):
            for layer in layers:
                layer.begin(column)
            _make_column(work, detail, layers, tally)
    tally.write(work.folder, detail.band.first, number)


def pack_block(work: Work, number: int) -> None:
    """Make one shard of a level of the encoded chunks that the blocks of its band have left."""
    assert work.stage is not None
    detail: PackWork = work.stage.detail
    level = detail.target.levels[detail.level]
    index = level.grid.by_object.index(number)

    def pieces() -> Iterator[tuple[Shape, ShardReader]]:
        for piece in detail.band.pack_sources(detail.level, index):
            path = _scratch(work.folder, detail.level, piece)
            with ShardReader(path, piece.counts) as reader:  # one file open at a time
                yield piece.origin, reader

    pack(detail.target.key(work.folder, detail.level, index), _counts(level.grid), pieces())


def stored_feed(work: Work, region: Region, tally: Tally) -> NDArray[Any]:
    """The feed of every band but the first: halve the stored level above it."""
    assert work.stage is not None
    detail: BandWork = work.stage.detail
    target, first = detail.target, detail.band.first
    level, above = target.levels[first], target.levels[first - 1]
    window = tuple(
        slice(s.start * f, min(s.stop * f, n))
        for s, f, n in zip(region, level.factors, above.grid.shape, strict=True)
    )
    if detail.above is not None:
        voxels = detail.above(work, window, tally)
    else:
        array = stored_level(work, target, first - 1)
        voxels = np.asarray(array[window].read().result())
    return downsample(voxels, level.factors, target.method)


class _Layer:
    """One level of a band in the making: planes held, and where encoded chunks go."""

    def __init__(self, target: Target, number: int, region: Region, sink: _Sink | None) -> None:
        self.level = target.levels[number]
        self.grid = self.level.grid
        self.region = region
        self.axis = slab_axis(len(region))
        self.sink = sink
        self.buffer: NDArray[Any] = np.empty(0)
        self.start = 0
        self.filled = 0
        self._column = region

    def begin(self, column: Region) -> None:
        """Go to the first plane of a column: a box along the axes before z."""
        self._column = (*column, *self.region[self.axis :])
        self.start = self.region[self.axis].start
        self.filled = 0

    @property
    def at_end(self) -> bool:
        """Whether the planes held are the last of the block."""
        end: int = self.region[self.axis].stop
        return self.start + self.filled == end

    def box(self, planes: int) -> Region:
        """The next planes in voxels of the level."""
        along = slice(self.start, self.start + planes)
        return (*self._column[: self.axis], along, *self._column[self.axis + 1 :])

    def view(self, box: Region) -> NDArray[Any]:
        """Where voxels of the level are in the buffer."""
        origin = [s.start for s in self._column]
        origin[self.axis] = self.start
        view: NDArray[Any] = self.buffer[
            tuple(slice(s.start - o, s.stop - o) for s, o in zip(box, origin, strict=True))
        ]
        return view

    def planes(self, start: int, stop: int) -> NDArray[Any]:
        """Planes of the buffer, cut to the column."""
        return self.view(
            (
                *self._column[: self.axis],
                slice(self.start + start, self.start + stop),
                *self._column[self.axis + 1 :],
            )
        )


def _layers(work: Work, detail: BandWork, number: int, stack: ExitStack) -> list[_Layer]:
    target, band = detail.target, detail.band
    work.kept("files", lambda: allow_files(_open_files(work, detail)))
    layers = []
    for at in range(band.first, band.last + 1):
        sink = None
        if not (detail.given and at == band.first):
            sink = stack.enter_context(_sink(work, detail, at, number))
        layers.append(_Layer(target, at, band.region(at, number), sink))
    shapes = [
        _held_shape(layer, planes)
        for layer, planes in zip(layers, capacities(target, band, detail.slab), strict=True)
    ]
    buffers = _buffers(work, detail, shapes, stack)
    for layer, buffer in zip(layers, buffers, strict=True):
        layer.buffer = buffer
    return layers


def _open_files(work: Work, detail: BandWork) -> int:
    """Files that are open at a time: the shards that planes of the blocks in the making cross."""
    assert work.stage is not None
    tile, count = work.stage.blocks.tile, 0
    for grid, scale in zip(detail.band.grids, detail.band.scales, strict=True):
        if grid.shards is not None:
            sides = zip(grid.shape, tile, scale, grid.shards, strict=True)
            crossed = [-(-min(n, -(-t // f)) // s) for n, t, f, s in sides]
            count += math.prod(crossed) // crossed[slab_axis(len(crossed))]
    return count * work.stage.lanes(work.workers)


def _held_shape(layer: _Layer, planes: int) -> Shape:
    extent = [s.stop - s.start for s in layer.region]
    for axis in range(layer.axis):
        extent[axis] = min(extent[axis], layer.grid.chunks[axis])
    extent[layer.axis] = min(extent[layer.axis], planes)
    return tuple(extent)


def _buffers(
    work: Work, detail: BandWork, shapes: list[Shape], stack: ExitStack
) -> list[NDArray[Any]]:
    dtype = np.dtype(detail.target.dtype)
    if not detail.spooled:
        return [np.empty(shape, dtype) for shape in shapes]
    sizes = [math.prod(shape) * dtype.itemsize for shape in shapes]
    folder = work.folder / SCRATCH
    folder.mkdir(exist_ok=True)
    # without a name, so that nothing is left of it whatever happens
    file = stack.enter_context(tempfile.TemporaryFile(dir=folder))  # noqa: SIM115
    file.truncate(sum(sizes))
    mapped = mmap.mmap(file.fileno(), sum(sizes))
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return [
        np.frombuffer(mapped, dtype, math.prod(shape), start).reshape(shape)
        for shape, start in zip(shapes, starts, strict=True)
    ]


def _columns(layer: _Layer) -> Iterator[Region]:
    """Boxes of one chunk along the axes before z, which no level halves; chunks stay in order."""
    lead = tuple(s.stop - s.start for s in layer.region[: layer.axis])
    tiles = Tiling(lead, layer.grid.chunks[: layer.axis])
    for number in range(tiles.n):
        box = tiles.slices(tiles.index(number))
        yield tuple(
            slice(r.start + s.start, r.start + s.stop)
            for r, s in zip(layer.region, box, strict=False)
        )


def _make_column(work: Work, detail: BandWork, layers: list[_Layer], tally: Tally) -> None:
    first = layers[0]
    along = first.region[first.axis]
    for start in range(along.start, along.stop, detail.slab):
        work.stop.check()
        planes = min(detail.slab, along.stop - start)
        _read(work, detail, first, planes, tally)
        if detail.prepare is not None:
            box = first.box(planes)
            detail.prepare(work, first.view(box), box, tally)
        _flush(work, detail, layers, 0)


def _read(work: Work, detail: BandWork, layer: _Layer, planes: int, tally: Tally) -> None:
    box = layer.box(planes)
    pieces = cut(layer.grid.shape, detail.piece, box)

    def read(number: int) -> None:
        region = pieces.region(number)
        layer.view(region)[...] = detail.feed(work, region, tally)

    work.each(read, pieces.n)
    layer.filled = planes


def _flush(work: Work, detail: BandWork, layers: list[_Layer], at: int) -> None:
    """Write the planes that are held of a level, and halve them into the next one."""
    layer = layers[at]
    if layer.sink is not None:
        _encode(work, detail.target, layer)
    if at + 1 < len(layers):
        below = layers[at + 1]
        factor = below.level.factors[layer.axis]
        done, rows = 0, -(-layer.filled // factor)
        while done < rows:
            take = min(rows - done, below.buffer.shape[layer.axis] - below.filled)
            window = layer.planes(done * factor, min((done + take) * factor, layer.filled))
            into = below.planes(below.filled, below.filled + take)
            _halve(work, window, into, below.level.factors, detail.target.method)
            below.filled += take
            done += take
            if below.filled == below.buffer.shape[layer.axis] or below.at_end:
                _flush(work, detail, layers, at + 1)
    layer.start += layer.filled
    layer.filled = 0


def _halve(
    work: Work, window: NDArray[Any], into: NDArray[Any], factors: Shape, method: str
) -> None:
    """Downsample a few planes at a time, side by side: whole planes lie in memory as they are."""
    axis = slab_axis(into.ndim)
    rows, factor = into.shape[axis], factors[axis]
    step = max(1, PIECE_BYTES * rows // max(1, window.nbytes))
    ahead = (slice(None),) * axis

    def some(number: int) -> None:
        start, stop = number * step, min((number + 1) * step, rows)
        planes = window[(*ahead, slice(start * factor, min(stop * factor, window.shape[axis])))]
        downsample(planes, factors, method, out=into[(*ahead, slice(start, stop))])

    work.each(some, -(-rows // step))


def _encode(work: Work, target: Target, layer: _Layer) -> None:
    """Encode the chunks that are held, side by side, and put them where they belong."""
    grid, sink = layer.grid, layer.sink
    assert sink is not None
    box = layer.box(layer.filled)
    pieces = cut(grid.shape, grid.chunks, box)

    def encode(number: int) -> None:
        region = pieces.region(number)
        sink.put(pieces.index(number), encode_chunk(target, grid.chunks, layer.view(region)))

    work.each(encode, pieces.n)


def encode_chunk(target: Target, chunks: Shape, voxels: NDArray[Any]) -> bytes | None:
    """One chunk as it is stored: padded with the fill value, encoded; None if there is no need."""
    if voxels.shape == chunks:
        chunk = np.ascontiguousarray(voxels)
    else:
        chunk = np.full(chunks, target.fill_value, voxels.dtype)
        chunk[tuple(slice(n) for n in voxels.shape)] = voxels
    if all_equal(chunk, target.fill_value):
        return None
    return target.codec.encode(chunk, chunk.itemsize)


class _Sink:
    """Where the encoded chunks of one level of one block go; a context manager."""

    def __enter__(self) -> _Sink:
        return self

    def __exit__(self, *error: Any) -> None:
        return None

    def put(self, index: Shape, encoded: bytes | None) -> None:
        raise NotImplementedError


class _Objects(_Sink):
    """Every chunk is an object of its own."""

    def __init__(self, key: Callable[[Shape], Path]) -> None:
        self._key = key

    def put(self, index: Shape, encoded: bytes | None) -> None:
        write_object(self._key(index), encoded)


class _Shard(NamedTuple):
    """A file of encoded chunks that a block makes: a shard, or its part of a packed one."""

    path: Path
    counts: Shape  # chunks along each axis
    origin: Shape  # of its first chunk, in the shard
    there: Shape  # chunks that lie in the array


class _Shards(_Sink):
    """Chunks go into shards, each opened at its first chunk and closed at its last."""

    def __init__(self, per_shard: Shape, describe: Callable[[Shape], _Shard]) -> None:
        self._per_shard = per_shard
        self._describe = describe
        self._open: dict[Shape, tuple[_Shard, ShardWriter]] = {}
        self._left: dict[Shape, int] = {}
        self._lock = threading.Lock()

    def put(self, index: Shape, encoded: bytes | None) -> None:
        shard = tuple(i // c for i, c in zip(index, self._per_shard, strict=True))
        with self._lock:
            if shard not in self._open:
                self._begin(shard)
            file, writer = self._open[shard]
        at = zip(index, self._per_shard, file.origin, strict=True)
        writer.put(tuple(i % c - o for i, c, o in at), encoded)
        with self._lock:
            self._left[shard] -= 1
            last = not self._left[shard]
            if last:
                del self._open[shard], self._left[shard]
        if last:
            writer.__exit__(None, None, None)

    def _begin(self, shard: Shape) -> None:
        file = self._describe(shard)
        writer = ShardWriter(file.path, file.counts).__enter__()
        self._open[shard], self._left[shard] = (file, writer), math.prod(file.there)
        if file.there != file.counts:
            for index in np.ndindex(file.counts):  # beyond the array: nobody shall wait for them
                if any(i >= n for i, n in zip(index, file.there, strict=True)):
                    writer.put(index, None)

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        for _, writer in self._open.values():  # only an error leaves any open
            writer.__exit__(kind or RuntimeError, error, trace)
        if self._open and kind is None:
            raise RuntimeError(f"{len(self._open)} shards have not got all of their chunks")


def _sink(work: Work, detail: BandWork, level: int, number: int) -> _Sink:
    grid, folder = detail.target.levels[level].grid, work.folder
    if grid.shards is None:
        return _Objects(lambda index: detail.target.key(folder, level, index))
    counts = _counts(grid)
    if level in detail.band.packed:
        parts = {p.shard: p for p in detail.band.pieces(level, number)}

        def part(shard: Shape) -> _Shard:
            piece = parts[shard]
            return _Shard(_scratch(folder, level, piece), piece.counts, piece.origin, piece.counts)

        return _Shards(counts, part)
    by_shard = Tiling(grid.by_chunk.counts, counts)

    def whole(shard: Shape) -> _Shard:
        there = tuple(s.stop - s.start for s in by_shard.slices(shard))
        path = detail.target.key(folder, level, shard)
        return _Shard(path, counts, (0,) * len(counts), there)

    return _Shards(counts, whole)


def _counts(grid: Grid) -> Shape:
    """Chunks of one shard along each axis."""
    assert grid.shards is not None
    return tuple(s // c for s, c in zip(grid.shards, grid.chunks, strict=True))


def _scratch(folder: Path, level: int, piece: Piece) -> Path:
    """Where the encoded chunks of one block wait to be packed."""
    shard = ".".join(map(str, piece.shard))
    return folder / SCRATCH / str(level) / shard / f"{piece.block}.shard"

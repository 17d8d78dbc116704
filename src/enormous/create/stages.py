"""The stages that make a pyramid: a stage for each band, and one for each level to be packed.

Pure arithmetic, called by the planners of `create`: which blocks, which slabs of them, how
much is read, and how much memory that takes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from enormous._text import bytes_text
from enormous.bands import MOST_BYTES, Band, bands
from enormous.create.target import Target
from enormous.create.writing import (
    PIECE_BYTES,
    BandWork,
    Feed,
    PackWork,
    Prepare,
    band_block,
    capacities,
    pack_block,
    slab_axis,
    stored_feed,
    unit_of,
)
from enormous.engine.plan import Stage
from enormous.grid import Shape

#: Blocks grow to this where that makes more levels of one read.
BLOCK_BYTES = MOST_BYTES
#: Slabs above this are kept in a file that the system may write out.
SPOOL_BYTES = 2**31
#: Slabs grow to this where that saves reading a thing twice, and at least to the second.
SLAB_BYTES = 2**28
LEAST_SLAB_BYTES = 2**25


@dataclass(frozen=True)
class Input:
    """Where the first band's voxels come from.

    Parameters
    ----------
    feed : callable
    natural : tuple of int
        What is decoded at once, in voxels of level 0.
    itemsize : int
        Bytes of one voxel there.
    title : str
        For the stage.
    given : bool
        Level 0 is there already.
    splits : bool
        Whether a part of what lies together can be read without decoding the rest.
    prepare : callable, optional
    """

    feed: Feed
    natural: Shape
    itemsize: int
    title: str
    given: bool = False
    splits: bool = False
    prepare: Prepare | None = None


def stages_of(target: Target, source: Input, workers: int) -> tuple[Stage, ...]:
    """All stages that write a pyramid.

    Parameters
    ----------
    target : Target
    source : Input
    workers : int
        Decides only how many blocks are made at a time.

    Returns
    -------
    tuple of Stage
    """
    source = _split(target, source)
    made: list[Stage] = []
    for band in bands(target.levels, base=_base(target, source), most_bytes=BLOCK_BYTES):
        if band.first == band.last == 0 and source.given:
            continue
        made.append(_band_stage(target, band, source, workers))
        made.extend(_pack_stage(target, band, level) for level in band.packed)
    files = metadata_objects(target, len(target.levels) - source.given)
    made[0] = replace(made[0], objects=made[0].objects + files)
    return tuple(made)


def _split(target: Target, source: Input) -> Input:
    """Ask for rows, or parts of them, in place of planes that are large; where that can be done."""
    grid = target.levels[0].grid
    axis = slab_axis(len(grid.shape))
    if not source.splits or len(grid.shape) < axis + 3:
        return source
    _, rows, columns = grid.by_object.tile[axis:]
    depth = min(grid.chunks[axis], grid.shape[axis]) * target.itemsize
    if depth * math.prod(source.natural[axis + 1 :]) <= SLAB_BYTES:
        return source
    # whole shards along x, so that no row is asked for twice
    part = max(1, 2 * SLAB_BYTES // (depth * rows * columns)) * columns
    natural = (*source.natural[: axis + 1], 1, min(source.natural[-1], part))
    return replace(source, natural=natural)


def _base(target: Target, source: Input) -> Shape:
    """Least edges of a block: where a thing read at once is larger than an object, whole things.

    A block that holds no whole number of them reads those at its border twice; unless it
    covers the axis, which is what is done then.
    """
    grid = target.levels[0].grid
    base = []
    for n, edge, natural in zip(grid.shape, grid.by_object.tile, source.natural, strict=True):
        if natural <= edge:
            base.append(1)
        else:
            base.append(min(n, natural) if natural % edge == 0 else n)
    return tuple(base)


def _band_stage(target: Target, band: Band, source: Input, workers: int) -> Stage:
    first = band.first == 0
    grid = band.grids[0]
    axis = slab_axis(len(grid.shape))
    natural = source.natural if first else grid.chunks
    slab = _slab(target, band, natural[axis])
    itemsize = source.itemsize if first else target.itemsize
    piece = _piece(natural, grid.chunks, itemsize)
    held = _held_bytes(target, band, slab)
    spooled = held > SPOOL_BYTES
    detail = BandWork(
        target=target,
        band=band,
        feed=source.feed if first else stored_feed,
        slab=slab,
        piece=piece,
        given=source.given and first,
        prepare=source.prepare if first else None,
        spooled=spooled,
        above=source.feed if source.given and band.first == 1 else None,
    )
    written = range(band.first + detail.given, band.last + 1)
    return Stage(
        title=_title(source, band, written, first),
        function=band_block,
        blocks=band.blocks,
        itemsize=target.itemsize,
        detail=detail,
        reads=_reads(target, band, detail, natural, itemsize),
        writes=sum(target.levels[d].grid.nbytes for d in written),
        objects=sum(target.levels[d].grid.n_objects for d in written if d not in band.packed),
        block_bytes=0 if spooled else held,
        piece_bytes=_piece_bytes(target, band, piece, itemsize, first),
        at_once=_at_once(band.blocks.n, workers, held),
        pieces=_pieces_of_block(target, band, slab, piece),
    )


def _pieces_of_block(target: Target, band: Band, slab: int, piece: Shape) -> int:
    """Most pieces that one block makes side by side: read, encoded or halved."""
    extent, shape = _extent(band), band.grids[0].shape
    axis = slab_axis(len(extent))
    first = [min(slab, e) if i == axis else e for i, e in enumerate(extent)]
    # a box that begins between two pieces touches one more of them
    most = math.prod(
        min(-(-e // p) + (t % p != 0 or (i == axis and slab % p != 0)), -(-n // p))
        for i, (e, p, t, n) in enumerate(zip(first, piece, band.blocks.tile, shape, strict=True))
    )
    for planes, scale, grid in zip(
        capacities(target, band, slab), band.scales, band.grids, strict=True
    ):
        held = [-(-e // s) for e, s in zip(extent, scale, strict=True)]
        held[axis] = min(held[axis], planes)
        chunks = math.prod(-(-h // c) for h, c in zip(held, grid.chunks, strict=True))
        halved = min(held[axis], 2 * math.prod(held) * grid.itemsize // PIECE_BYTES + 1)
        most = max(most, chunks, halved)
    return most


def _title(source: Input, band: Band, written: range, first: bool) -> str:
    names = f"level {written[0]}" if len(written) == 1 else f"levels {written[0]} to {written[-1]}"
    return f"{source.title}: {names}" if first else names


def _pack_stage(target: Target, band: Band, level: int) -> Stage:
    grid = target.levels[level].grid
    return Stage(
        title=f"shards of level {level}",
        function=pack_block,
        blocks=grid.by_object,
        itemsize=target.itemsize,
        detail=PackWork(target, band, level),
        reads=grid.nbytes,
        writes=grid.nbytes,
        objects=grid.n_objects,
        block_bytes=2**24 + 3 * grid.index_bytes,
    )


def _extent(band: Band) -> Shape:
    """The largest block, cut to the array; along the axes before z one chunk at a time."""
    grid = band.grids[0]
    axis = slab_axis(len(grid.shape))
    return tuple(
        min(n, c if i < axis else t)
        for i, (n, c, t) in enumerate(zip(grid.shape, grid.chunks, band.blocks.tile, strict=True))
    )


def _slab(target: Target, band: Band, natural: int) -> int:
    """Planes of a slab: few, but enough that little is read twice."""
    extent = _extent(band)
    axis = slab_axis(len(extent))
    depth = extent[axis]
    unit = unit_of(target, band, band.first)
    plane = math.prod(extent) // depth * target.itemsize
    fitting = [
        planes
        for planes in range(unit, depth + unit, unit)
        if planes == unit or planes * plane <= SLAB_BYTES
    ]
    enough = [planes for planes in fitting if planes * plane >= LEAST_SLAB_BYTES] or fitting[-1:]
    if natural > 1:
        cuts = {planes: list(_cuts(depth, depth, planes)) for planes in enough}
        enough.sort(key=lambda planes: (_touched(cuts[planes], natural), planes))
    return enough[0]


def _held_bytes(target: Target, band: Band, slab: int) -> int:
    """Memory of the planes that are held of all levels."""
    extent = _extent(band)
    axis = slab_axis(len(extent))
    total = 0
    for planes, scale, grid in zip(
        capacities(target, band, slab), band.scales, band.grids, strict=True
    ):
        shape = [-(-e // s) for e, s in zip(extent, scale, strict=True)]
        shape[axis] = min(shape[axis], planes)
        total += math.prod(shape) * grid.itemsize
    return total


def _piece(natural: Shape, chunks: Shape, itemsize: int) -> Shape:
    """What is read at once: about a chunk, of whole natural units."""
    times = [max(1, c // n) for n, c in zip(natural, chunks, strict=True)]
    most = max(PIECE_BYTES * 2, math.prod(natural) * itemsize)
    for axis in range(len(times)):
        now = math.prod(n * t for n, t in zip(natural, times, strict=True)) * itemsize
        times[axis] = max(1, times[axis] * most // now) if now > most else times[axis]
    return tuple(n * t for n, t in zip(natural, times, strict=True))


def _piece_bytes(target: Target, band: Band, piece: Shape, itemsize: int, first: bool) -> int:
    """Memory of one piece on its way: read, mapped; or encoded; or halved."""
    grid = band.grids[0]
    cut = math.prod(min(p, n) for p, n in zip(piece, grid.shape, strict=True))
    if not first:
        cut *= math.prod(target.levels[band.first].factors)
    reading = cut * (3 * itemsize + target.itemsize)
    encoding = 3 * max(g.chunk_bytes for g in band.grids)
    extent = _extent(band)
    plane = math.prod(extent) // extent[slab_axis(len(extent))] * target.itemsize
    halving = 2 * max(PIECE_BYTES, 2 * plane)
    return max(reading, encoding, halving)


def _at_once(n: int, workers: int, held: int) -> int | None:
    """Blocks at a time, where it is better not to make one for each worker.

    One block keeps several workers busy too, a little less well: that is done where blocks
    are so large that two are too many, and where the last ones would leave workers idle.
    """
    if 2 * held > SPOOL_BYTES:
        return 1
    best, least = 1, math.inf
    for lanes in range(min(workers, n), 0, -1):
        rounds = -(-n // lanes) / (workers // lanes)
        if rounds < least / 1.2:
            best, least = lanes, rounds
    return best if best < min(workers, n) else None


def _cuts(n: int, block: int, slab: int) -> Iterator[tuple[int, int]]:
    for start in range(0, n, block):
        stop = min(start + block, n)
        for at in range(start, stop, slab):
            yield at, min(at + slab, stop)


def _touched(cuts: Sequence[tuple[int, int]], natural: int) -> int:
    return sum(-(-stop // natural) - start // natural for start, stop in cuts)


def _reads(target: Target, band: Band, detail: BandWork, natural: Shape, itemsize: int) -> int:
    """Bytes that the stage decodes: every thing read at once counts each time it is."""
    grid = band.grids[0]
    axis = slab_axis(len(grid.shape))
    total = itemsize
    for i, (n, tile) in enumerate(zip(grid.shape, band.blocks.tile, strict=True)):
        step = grid.chunks[i] if i < axis else detail.slab if i == axis else tile
        cuts = list(_cuts(n, tile, min(step, tile)))
        unit, end = natural[i], n
        if band.first:  # windows of the level above, in its chunks
            above, factor = target.levels[band.first - 1].grid, target.levels[band.first].factors[i]
            unit, end = above.chunks[i], above.shape[i]
            pieces = [p for a, b in cuts for p in _pieces(a, b, detail.piece[i])]
            cuts = [(a * factor, min(b * factor, end)) for a, b in pieces]
        total *= sum(
            min(-(-stop // unit) * unit, end) - start // unit * unit for start, stop in cuts
        )
    return total


def _pieces(start: int, stop: int, piece: int) -> Iterator[tuple[int, int]]:
    at = start
    while at < stop:
        until = min((at // piece + 1) * piece, stop)
        yield at, until
        at = until


def levels_facts(target: Target) -> tuple[dict[str, object], ...]:
    """The levels as ``--dry-run --json`` tells them."""
    return tuple(
        {
            "path": level.path,
            "shape": list(level.grid.shape),
            "chunks": list(level.grid.chunks),
            "shards": list(level.grid.shards) if level.grid.shards else None,
            "voxel_size": list(level.scale),
            "translation": list(level.translation),
            "objects": level.grid.n_objects,
            "bytes": level.grid.nbytes,
        }
        for level in target.levels
    )


def disk_bytes(target: Target, stages: Sequence[Stage], written: range) -> int:
    """Bytes on disk if nothing could be compressed; scratch files of packed levels included."""
    grids = [target.levels[d].grid for d in written]
    data = sum(grid.padded_bytes + grid.n_objects * grid.index_bytes for grid in grids)
    metadata = 4096 * metadata_objects(target, len(grids))
    return data + scratch_bytes(target, stages) + metadata


def scratch_bytes(target: Target, stages: Sequence[Stage]) -> int:
    """Those of :func:`disk_bytes` that are gone in the end: packed levels, and slabs in a file."""
    packed = sum(
        target.levels[stage.detail.level].grid.padded_bytes
        for stage in stages
        if isinstance(stage.detail, PackWork)
    )
    return packed + spool_bytes(target, stages)


def spool_facts(target: Target, stages: Sequence[Stage]) -> tuple[tuple[str, str], ...]:
    """A word on the file that holds slabs too large for memory, if there is one."""
    spool = spool_bytes(target, stages)
    if not spool:
        return ()
    size = bytes_text(spool)
    return (
        (
            "slabs",
            f"in a scratch file beside the output, {size}; to the peak memory comes up to {size} "
            "of page cache, which the system takes back (a job's limit may count it)",
        ),
    )


def spool_bytes(target: Target, stages: Sequence[Stage]) -> int:
    """Bytes of the files that hold slabs too large for memory; one block at a time has one."""
    return max(
        (
            _held_bytes(target, stage.detail.band, stage.detail.slab)
            for stage in stages
            if isinstance(stage.detail, BandWork) and stage.detail.spooled
        ),
        default=0,
    )


def metadata_objects(target: Target, levels: int) -> int:
    """Files that describe arrays and the group: two for each in Zarr v2."""
    return (levels + 1) * (1 if target.zarr_format == 3 else 2)

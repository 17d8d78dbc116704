"""Which levels of a pyramid one task can make from one read: runs of levels, as bands.

Pure arithmetic, called by every planner that writes a pyramid, and by the block
functions, which ask a band where their block lies in each of its levels.

A task reads one block of the band's first level and halves it in memory again and
again. That is allowed as long as every object of a level lies inside one block: two
tasks never write one object. Where shards are too large for that, but chunks are not,
the task writes its encoded chunks beside (`Piece`), and they are packed into shards
once all blocks are done.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from enormous.errors import UsageError
from enormous.grid import Grid, Shape, Tiling

#: Voxels of one block, at most, unless one object or `base` needs more: 512 cubed of 16 bits.
MOST_BYTES = 2**28


class LevelLike(Protocol):
    """What is asked of a level: :class:`enormous.ome.pyramid.Level` has it."""

    @property
    def grid(self) -> Grid:
        """Shape, chunks and shards."""

    @property
    def factors(self) -> tuple[int, ...]:
        """Voxels of the level above in one of this, along each axis."""


class Piece(NamedTuple):
    """Chunks of one packed level that one block makes for one shard: a small shard of its own.

    Attributes
    ----------
    block : int
        Number of the block.
    origin : tuple of int
        Where its first chunk goes, counted in chunks of the shard.
    counts : tuple of int
        Chunks along each axis.
    shard : tuple of int
        Index of the shard.
    """

    block: int
    origin: Shape
    counts: Shape
    shard: Shape


@dataclass(frozen=True)
class Band:
    """A run of levels that one task computes from one read; made by :func:`bands`.

    Parameters
    ----------
    first, last : int
        Its levels, both included.
    blocks : Tiling
        Over the shape of level `first`, in its voxels. One task owns one box.
    packed : tuple of int
        Levels of which a block makes whole chunks only, no whole shards.
    grids : tuple of Grid
        Of levels `first` to `last`.
    scales : tuple of tuple of int
        Voxels of level `first` in one voxel of each of these levels, along each axis.
    above : tuple of int or None
        Shape of level ``first - 1``, from which `first` is computed; None at level 0.
    factors : tuple of int
        Voxels of that level in one of level `first`.
    """

    first: int
    last: int
    blocks: Tiling
    packed: tuple[int, ...]
    grids: tuple[Grid, ...]
    scales: tuple[Shape, ...]
    above: Shape | None
    factors: Shape

    @property
    def levels(self) -> range:
        """Numbers of its levels."""
        return range(self.first, self.last + 1)

    @property
    def n_objects(self) -> int:
        """Files or objects of all its levels, when every chunk is stored."""
        return sum(grid.n_objects for grid in self.grids)

    @property
    def block_bytes(self) -> int:
        """Memory of the largest block, at level `first` alone."""
        return _block_bytes(self.grids[0], self.blocks.tile)

    def region(self, level: int, block: int) -> tuple[slice, ...]:
        """Voxels of a level that a block makes, cut off where the array ends.

        Each is the window of two, along the halved axes, of the region one level up.
        """
        grid, scale = self._at(level)
        index = self.blocks.index(block)
        sizes = zip(index, self.blocks.counts, self.blocks.tile, scale, grid.shape, strict=True)
        return tuple(
            slice(i * tile // f, n if i == count - 1 else (i + 1) * tile // f)
            for i, count, tile, f, n in sizes
        )

    def source(self, block: int) -> tuple[slice, ...]:
        """Voxels of the level above, from which a block of level `first` is computed.

        Raises
        ------
        UsageError
            If the band starts at level 0.
        """
        if self.above is None:
            raise UsageError("level 0 is not computed from another level")
        sizes = zip(self.region(self.first, block), self.factors, self.above, strict=True)
        return tuple(slice(s.start * f, min(s.stop * f, n)) for s, f, n in sizes)

    def chunks(self, level: int, block: int) -> tuple[range, ...]:
        """Indices along each axis of the chunks that a block makes, all combinations of them."""
        return self._boxes(level, block, self._at(level)[0].chunks)

    def objects(self, level: int, block: int) -> tuple[range, ...]:
        """Indices along each axis of the shards, or chunks where unsharded, that a block makes.

        Raises
        ------
        UsageError
            If the level is packed: its blocks make no whole shards.
        """
        if level in self.packed:
            raise UsageError(f"level {level} is packed; a block makes chunks of it, not shards")
        return self._boxes(level, block, self._at(level)[0].by_object.tile)

    def pieces(self, level: int, block: int) -> Iterator[Piece]:
        """The small shards that a block makes of a packed level, one for each shard it touches."""
        _, per_shard = self._packed(level)
        made = self.chunks(level, block)
        shards = (
            range(r.start // per, -(-r.stop // per)) if r else range(0)
            for r, per in zip(made, per_shard, strict=True)
        )
        for shard in itertools.product(*shards):
            yield self._piece(block, shard, per_shard, made)

    def pack_sources(self, level: int, shard: Shape) -> Iterator[Piece]:
        """The small shards that make up one shard of a packed level, in the blocks' order."""
        grid, per_shard = self._packed(level)
        scale = self.scales[level - self.first]
        box = grid.by_object.slices(shard)
        blocks = (
            range(s.start * f // tile, min(-(-(s.stop * f) // tile), count))
            for s, f, tile, count in zip(
                box, scale, self.blocks.tile, self.blocks.counts, strict=True
            )
        )
        for index in itertools.product(*blocks):
            block = self.blocks.number(index)
            yield self._piece(block, shard, per_shard, self.chunks(level, block))

    def n_pieces(self, level: int) -> int:
        """Small shards of a packed level, in all blocks, when every chunk is stored."""
        grid, _ = self._packed(level)
        scale = self.scales[level - self.first]
        total = 1
        blocks, shards = self.blocks, grid.by_object.tile
        for n, f, tile, count, shard in zip(
            grid.shape, scale, blocks.tile, blocks.counts, shards, strict=True
        ):
            # a piece begins where a block or a shard does
            block = tile // f if count > 1 else max(n, 1)
            total *= -(-n // block) + -(-n // shard) - -(-n // math.lcm(block, shard))
        return total

    @staticmethod
    def _piece(block: int, shard: Shape, per_shard: Shape, made: tuple[range, ...]) -> Piece:
        along = [
            range(max(r.start, i * per), min(r.stop, (i + 1) * per))
            for r, i, per in zip(made, shard, per_shard, strict=True)
        ]
        origin = tuple(r.start - i * per for r, i, per in zip(along, shard, per_shard, strict=True))
        return Piece(block, origin, tuple(len(r) for r in along), shard)

    def _boxes(self, level: int, block: int, edges: Shape) -> tuple[range, ...]:
        return tuple(
            range(s.start // edge, -(-s.stop // edge))
            for s, edge in zip(self.region(level, block), edges, strict=True)
        )

    def _at(self, level: int) -> tuple[Grid, Shape]:
        if level not in self.levels:
            raise UsageError(
                f"level {level} is not in this band; it has {self.first} to {self.last}"
            )
        return self.grids[level - self.first], self.scales[level - self.first]

    def _packed(self, level: int) -> tuple[Grid, Shape]:
        """Grid of a packed level, and chunks of its shards along each axis."""
        grid, _ = self._at(level)
        if level not in self.packed:
            raise UsageError(f"level {level} is not packed; a block makes whole objects of it")
        return grid, _over(grid.by_object.tile, grid.chunks)


def bands(
    levels: Sequence[LevelLike], *, base: Sequence[int] | None = None, most_bytes: int = MOST_BYTES
) -> tuple[Band, ...]:
    """Divide the levels of a pyramid into bands, as few as memory allows.

    A band starts with blocks of one object of its first level. The block grows, to
    multiples along the axes, as long as it stays within `most_bytes` and one more level
    then has every object inside one block. A level whose shards do not, but whose
    chunks do, is packed. The band ends before the first level of which neither holds.

    Parameters
    ----------
    levels : sequence of LevelLike
        Level 0 first; shapes are ``ceil(n / factor)`` of the level above.
    base : sequence of int, optional
        Voxels of level 0 along each axis that a block of the first band has at least,
        whatever memory that takes: whole slices, for a stack of slices. The block is
        the next multiple of the object.
    most_bytes : int
        Bytes of a block to which it may grow.

    Returns
    -------
    tuple of Band

    Raises
    ------
    UsageError
        If there is no level, or `base` does not have the axes of the levels.
    """
    if not levels:
        raise UsageError("an image without a level has no bands; give level 0 at least")
    if base is not None and len(base) != len(levels[0].grid.shape):
        raise UsageError(f"base {tuple(base)} does not suit the axes of {levels[0].grid.shape}")
    made: list[Band] = []
    first = 0
    while first < len(levels):
        made.append(_band(levels, first, None if first else base, most_bytes))
        first = made[-1].last + 1
    return tuple(made)


def _band(
    levels: Sequence[LevelLike], first: int, base: Sequence[int] | None, most_bytes: int
) -> Band:
    start = levels[first].grid
    edge = start.by_object.tile
    if base is not None:
        edge = tuple(max(1, -(-b // e)) * e for b, e in zip(base, edge, strict=True))
    grids, scales = [start], [(1,) * len(edge)]
    for level in levels[first + 1 :]:
        grid, scale = level.grid, _times(scales[-1], level.factors)
        grown = _grow(start, edge, _times(grid.by_object.tile, scale))
        if grown == edge or _block_bytes(start, grown) <= most_bytes:
            edge = grown
        elif _grow(start, edge, _times(grid.chunks, scale)) != edge:
            break
        grids.append(grid)
        scales.append(scale)
    packed = tuple(
        first + d
        for d, (grid, scale) in enumerate(zip(grids, scales, strict=True))
        if _grow(start, edge, _times(grid.by_object.tile, scale)) != edge
    )
    return Band(
        first,
        first + len(grids) - 1,
        Tiling(start.shape, edge),
        packed,
        tuple(grids),
        tuple(scales),
        levels[first - 1].grid.shape if first else None,
        levels[first].factors,
    )


def _grow(start: Grid, edge: Shape, whole: Shape) -> Shape:
    """The next larger block that is a multiple of `whole`, or covers the array, on every axis."""
    grown = []
    for n, tile, e, w in zip(start.shape, start.by_object.tile, edge, whole, strict=True):
        covers = -(-n // tile) * tile
        grown.append(e if e >= n else min(math.lcm(e, w), covers))
    return tuple(grown)


def _block_bytes(grid: Grid, edge: Shape) -> int:
    return math.prod(min(e, n) for e, n in zip(edge, grid.shape, strict=True)) * grid.itemsize


def _times(a: Shape, b: Shape) -> Shape:
    return tuple(x * y for x, y in zip(a, b, strict=True))


def _over(a: Shape, b: Shape) -> Shape:
    return tuple(x // y for x, y in zip(a, b, strict=True))

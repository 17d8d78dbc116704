"""Which levels a pyramid has: shapes, chunks, shards, voxel sizes and translations.

Pure arithmetic, called by every planner that writes an image. The values of a
level are defined by :func:`enormous.kernels.downsample` applied to the stored
level above it; this module says where its voxels lie and how it is cut up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from enormous.errors import UsageError
from enormous.grid import SHARD_CHUNKS, Grid, Shape, check_new, default_layout

#: An axis counts as finest, and is halved, when its voxel is shorter than this many times the
#: shortest one: nearer to it than to its double. Scans are seldom isotropic to the last digit.
FINEST = math.sqrt(2)

Shards = int | Sequence[int] | Literal["none"] | None
Factors = Literal["auto"] | Sequence[int]


@dataclass(frozen=True)
class Level:
    """One level of a pyramid that is to be written.

    Parameters
    ----------
    path : str
        Name of its array inside the image: ``"0"`` is the finest.
    grid : Grid
        Shape, chunks and shards.
    factors : tuple of int
        1 or 2 along each axis: voxels of the level above in one of this. All 1 at level 0.
    scale : tuple of float
        Voxel size, in the units of the axes.
    translation : tuple of float
        Centre of voxel 0, in the units of the axes; zero at level 0.
    """

    path: str
    grid: Grid
    factors: tuple[int, ...]
    scale: tuple[float, ...]
    translation: tuple[float, ...]


def layout(
    shape: Shape,
    itemsize: int,
    voxel_size: Sequence[float],
    *,
    chunks: int | Sequence[int] | None = None,
    shards: Shards = None,
) -> Grid:
    """Cut up level 0: as asked for, and by the default rule where nothing is asked.

    Parameters
    ----------
    shape : tuple of int
        Size of the array, in voxels; the last three axes are space.
    itemsize : int
        Bytes of one voxel.
    voxel_size : sequence of float
        One for each axis, in any one unit.
    chunks, shards : int or sequence of int, optional
        One integer means a cube, cut off where the array is shorter. A sequence
        names all axes, or the last ones (axes before them get 1). ``shards="none"``
        makes every chunk an object of its own.

    Raises
    ------
    UsageError
        If a chunk is larger than the array or a shard is not a multiple of the chunk.
    """
    default = default_layout(shape, itemsize, voxel_size)
    chosen = default.chunks if chunks is None else _edges(shape, chunks, "chunk")
    check_new(shape, chosen)
    if shards == "none":
        return Grid(shape, chosen, itemsize)
    if shards is None:
        space = len(shape) - 3
        wanted = tuple(c * (SHARD_CHUNKS if axis >= space else 1) for axis, c in enumerate(chosen))
        fitted = _fit(shape, chosen, wanted)
        return Grid(shape, chosen, itemsize, None if fitted == chosen else fitted)
    wanted = _shard_edges(shape, chosen, shards)
    check_new(shape, chosen, wanted)
    return Grid(shape, chosen, itemsize, _fit(shape, chosen, wanted))


def _edges(shape: Shape, edges: int | Sequence[int], what: str) -> Shape:
    if isinstance(edges, int) and edges < 1:
        raise UsageError(f"{what} {edges} is not a size; give 1 or more voxels")
    if isinstance(edges, int):
        if edges > max(shape):
            raise UsageError(
                f"{what} {edges} is larger than the array {shape}; use at most {max(shape)}"
            )
        space = len(shape) - 3
        return tuple(min(edges, n) if axis >= space else 1 for axis, n in enumerate(shape))
    given = tuple(edges)
    if len(given) not in (len(shape), 3):
        raise UsageError(f"{what} {given} does not suit the {len(shape)} axes of {shape}")
    return (1,) * (len(shape) - len(given)) + given


def _shard_edges(shape: Shape, chunks: Shape, shards: int | Sequence[int]) -> Shape:
    if not isinstance(shards, int):
        return _edges(shape, shards, "shard")
    space = len(shape) - 3
    # an axis that one chunk covers is covered by one shard as well
    return tuple(
        c if c == n or axis < space else shards
        for axis, (n, c) in enumerate(zip(shape, chunks, strict=True))
    )


def _fit(shape: Shape, chunks: Shape, shards: Shape) -> Shape:
    """Shards no larger than the chunks of the array need."""
    return tuple(min(s, -(-n // c) * c) for n, c, s in zip(shape, chunks, shards, strict=True))


def auto_factors(shape: Shape, voxel_size: Sequence[float]) -> tuple[int, ...]:
    """Halve the spatial axes whose voxel is finest; time, channel and single voxels are kept.

    Parameters
    ----------
    shape : tuple of int
        The last three axes are space.
    voxel_size : sequence of float
        One for each axis, the spatial ones in one unit.

    Returns
    -------
    tuple of int
        2 where the axis has two voxels or more and its voxel is shorter than
        :data:`FINEST` times the shortest such voxel, else 1.
    """
    space = range(max(0, len(shape) - 3), len(shape))
    sizes = [voxel_size[axis] for axis in space if shape[axis] > 1]
    return tuple(
        2 if axis in space and n > 1 and voxel_size[axis] < FINEST * min(sizes) else 1
        for axis, n in enumerate(shape)
    )


def levels_of(
    base: Grid,
    voxel_size: Sequence[float],
    *,
    levels: int | None = None,
    keep_shards: bool = False,
    factors: Factors = "auto",
    method: str = "mean",
) -> tuple[Level, ...]:
    """All levels of a pyramid: shapes, and where their voxels lie.

    Parameters
    ----------
    base : Grid
        Level 0.
    voxel_size : sequence of float
        Of level 0, one for each axis.
    levels : int, optional
        How many, level 0 included; by default until the longest axis that is halved
        fits into one chunk.
    keep_shards : bool
        Keep the shard size of level 0. By default the shard's edge halves with
        the array, down to one chunk, so that a shard of level 0 makes whole
        shards of the levels below.
    factors : "auto" or sequence of int
        "auto" halves, at each level, the axes that :func:`auto_factors` names. A
        sequence of 1 (keep) and 2 (halve), for all axes or the last three, holds at
        every level; an axis of one voxel is kept.
    method : str
        One of :data:`enormous.kernels.METHODS`. "nearest" keeps the first voxel of
        each window, whose centre does not move; all others make a voxel whose centre
        is the window's.

    Returns
    -------
    tuple of Level
        Shapes are ``ceil(n / 2)`` along the halved axes; the translation is half
        the difference between the voxel and that of level 0 (for "nearest": zero),
        so that all levels lie over one another in space.

    Raises
    ------
    UsageError
        If `levels` is below 1 or more than the array can be halved, or `factors` are
        not as above.
    """
    forced = None if factors == "auto" else _forced_factors(base.shape, factors)
    if levels is not None and levels < 1:
        raise UsageError(f"{levels} levels make no image; give 1 or more (level 0 counts)")
    voxel = tuple(float(v) for v in voxel_size)
    ones = (1,) * len(base.shape)
    made = [Level("0", base, ones, voxel, tuple(0.0 for _ in voxel))]
    while len(made) < levels if levels is not None else not _fits_one_chunk(made[-1].grid, forced):
        above = made[-1]
        if forced is None:
            halved = auto_factors(above.grid.shape, above.scale)
        else:
            halved = tuple(f if n > 1 else 1 for n, f in zip(above.grid.shape, forced, strict=True))
        if max(halved) == 1:
            raise UsageError(f"shape {base.shape} has no {levels} levels; use at most {len(made)}")
        scale = tuple(s * f for s, f in zip(above.scale, halved, strict=True))
        moved = 0.0 if method == "nearest" else 0.5
        translation = tuple((s - v) * moved for s, v in zip(scale, voxel, strict=True))
        grid = _next_grid(above.grid, base, halved, keep_shards)
        made.append(Level(str(len(made)), grid, halved, scale, translation))
    return tuple(made)


def _forced_factors(shape: Shape, factors: str | Sequence[int]) -> tuple[int, ...]:
    """Factors for each axis, checked."""
    given: tuple[object, ...] = (factors,) if isinstance(factors, str) else tuple(factors)
    if len(given) == 3 < len(shape):
        given = (1,) * (len(shape) - 3) + given
    checked = tuple(2 if factor == 2 else 1 for factor in given)
    space = len(shape) - 3
    if given != checked or len(given) != len(shape) or 2 in given[: max(0, space)]:
        raise UsageError(
            f"factors {factors} do not suit the {len(shape)} axes of {shape}; give 'auto', or 1 "
            "(keep) or 2 (halve) for each of the last three"
        )
    return checked


def _fits_one_chunk(grid: Grid, forced: tuple[int, ...] | None) -> bool:
    """Whether the longest halved axis is no longer than the chunk; chunks count as cubes."""
    space = range(max(0, len(grid.shape) - 3), len(grid.shape))
    lengths = [grid.shape[axis] for axis in space if forced is None or forced[axis] == 2]
    return max(lengths, default=0) <= max(grid.chunks)


def _next_grid(above: Grid, base: Grid, factors: tuple[int, ...], keep_shards: bool) -> Grid:
    shape = tuple(-(-n // f) for n, f in zip(above.shape, factors, strict=True))
    chunks = tuple(min(n, c) for n, c in zip(shape, base.chunks, strict=True))
    if above.shards is None or base.shards is None:
        return Grid(shape, chunks, base.itemsize)
    if keep_shards:
        # a chunk that was cut off with the array need not divide the shard any more
        wanted = tuple(max(c, s // c * c) for c, s in zip(chunks, base.shards, strict=True))
        return Grid(shape, chunks, base.itemsize, _fit(shape, chunks, wanted))
    halved = tuple(
        max(c, s // f // c * c) for c, s, f in zip(chunks, above.shards, factors, strict=True)
    )
    fitted = _fit(shape, chunks, halved)
    return Grid(shape, chunks, base.itemsize, None if fitted == chunks else fitted)

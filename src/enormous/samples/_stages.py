"""How one block of one level is made: generate it, or halve the stored level above it.

The functions that the stages of :class:`enormous.samples.planning.Plan` name. A
block is one object of the output, a shard or, where unsharded, a chunk; a task
owns it alone, so two tasks never write one object. A block is filled in pieces
of one chunk, which bounds what a generator or a read needs beside the block.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from enormous.engine.pool import Stop, run_blocks
from enormous.grid import Tiling

if TYPE_CHECKING:
    from enormous.samples.planning import Plan

Region = tuple[slice, ...]


@dataclass(frozen=True)
class Session:
    """What a running stage works with: open tensorstores and a way to stop.

    Parameters
    ----------
    arrays : tuple of tensorstore.TensorStore
        The levels of the output, finest first.
    original : tensorstore.TensorStore or None
        The published scan, where that is the source.
    stop : Stop
    side_by_side : int
        Pieces of one block made at a time, where blocks are fewer than workers.
    """

    arrays: tuple[Any, ...]
    original: Any
    stop: Stop
    side_by_side: int


def generate_block(plan: Plan, session: Session, level: int, number: int) -> None:
    """Make one block of level 0 with the sample's generator."""
    from enormous.samples.blocks import one_block

    whole = plan.levels[0].grid.shape[-3:]
    space = len(plan.levels[0].grid.shape) - 3

    def make(region: Region) -> NDArray[Any]:
        origin = tuple(s.start for s in region[space:])
        size = tuple(s.stop - s.start for s in region[space:])
        out = np.empty(tuple(s.stop - s.start for s in region), plan.dtype)
        # every axis before space: the channel and the time point of each volume
        for at in np.ndindex(out.shape[:space]):
            letters = plan.axis_names[:space]
            place = {k: s.start + i for k, s, i in zip(letters, region, at, strict=False)}
            options = {
                name: place[k] for k, name in (("t", "time"), ("c", "channel")) if k in place
            }
            out[at] = one_block(plan.name, whole, origin, size, seed=plan.seed, **options)
        return out

    _fill_block(plan, session, level, number, make)


def copy_block(plan: Plan, session: Session, level: int, number: int) -> None:
    """Make one block of level 0 by reading the published scan."""
    _fill_block(
        plan,
        session,
        level,
        number,
        lambda region: np.asarray(session.original[region].read().result()),
    )


def downsample_block(plan: Plan, session: Session, level: int, number: int) -> None:
    """Make one block of a level from the stored level above it."""
    from enormous.kernels import downsample

    factors = plan.levels[level].factors
    above = session.arrays[level - 1]

    def make(region: Region) -> NDArray[Any]:
        window = tuple(
            slice(s.start * f, min(s.stop * f, n))
            for s, f, n in zip(region, factors, above.shape, strict=True)
        )
        return downsample(np.asarray(above[window].read().result()), factors, plan.method)

    _fill_block(plan, session, level, number, make)


def _fill_block(
    plan: Plan, session: Session, level: int, number: int, make: Callable[[Region], NDArray[Any]]
) -> None:
    grid = plan.levels[level].grid
    region = grid.by_object.slices(grid.by_object.index(number))
    shape = tuple(s.stop - s.start for s in region)
    block = np.empty(shape, plan.dtype)
    pieces = Tiling(shape, grid.chunks)

    def fill(piece: int) -> None:
        session.stop.check()
        inside = pieces.slices(pieces.index(piece))
        block[inside] = make(
            tuple(
                slice(r.start + s.start, r.start + s.stop)
                for r, s in zip(region, inside, strict=True)
            )
        )

    run_blocks(fill, pieces.n, session.side_by_side, stop=session.stop)
    # the block is never touched again, so tensorstore need not copy it
    target = session.arrays[level][region]
    target.write(block, can_reference_source_data_indefinitely=True).result()

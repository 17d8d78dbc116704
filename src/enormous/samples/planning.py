"""Plan a sample, to the last object, and run it.

Called by ``enormous sample`` and by the lessons. The plan reads nothing and looks only at
whether OUT is free; :mod:`enormous.samples.write` says what its blocks are made of.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from enormous.codecs import Codec
from enormous.create.convert import output_place
from enormous.create.report import Converted, report
from enormous.create.stages import Input, disk_bytes, levels_facts, spool_facts, stages_of
from enormous.create.target import Target
from enormous.engine import run as execute
from enormous.engine.plan import Plan, Stage
from enormous.engine.pool import workers_or_default
from enormous.engine.progress import Progress
from enormous.errors import UsageError
from enormous.grid import DEFAULT_CODEC, Shape
from enormous.ome.metadata import VERSIONS, axes_of
from enormous.ome.pyramid import Shards, layout, levels_of
from enormous.samples.catalogue import describe, shape_of, voxel_size
from enormous.samples.write import CHANNELS, Recipe, begin, copied, finish, generated, prepare

ITEMSIZE = 2  # all samples are uint16

#: What a generator needs beside its result, in bytes for each voxel of a piece.
GENERATOR_BYTES = 16

#: No codec makes a sample smaller than its bytes divided by this (published: 1.9 and 54).
#: Sparse has no such border: nearly all of its chunks are empty, and those are not stored.
_CERTAIN_RATIO = {"heart": 4, "dense": 300}


def plan(
    name: str,
    out: str | Path,
    *,
    size: str = "small",
    shape: Sequence[int] | None = None,
    zarr_format: int = 3,
    chunks: int | Sequence[int] | None = None,
    shards: Shards = None,
    codec: str | Codec | None = None,
    levels: int | None = None,
    seed: int = 0,
    channels: int | None = None,
    timepoints: int | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    source: str = "twin",
) -> Plan:
    """Work out what :func:`run` will write; reads nothing, only looks whether OUT is free.

    Parameters
    ----------
    name : {"heart", "dense", "sparse"}
    out : str or Path
        Where the image shall be. Missing parent folders will be made.
    size : {"tiny", "small", "full"}
        Longest edge of 64, 200 or 806 voxels.
    shape : sequence of int, optional
        Any other, ``z, y, x``: the same field of view, coarser or finer.
    zarr_format : {3, 2}
        3 makes OME-Zarr 0.5, 2 makes 0.4.
    chunks, shards, codec : optional
        In voxels: one integer or ``z, y, x``; ``shards="none"`` for none. By
        default :func:`enormous.grid.default_layout`.
    levels : int, optional
        Level 0 included; by default until the longest axis fits into one chunk.
    seed : int
        Of the twin: everything random follows from it.
    channels, timepoints : int, optional
        Of the heart: adds an axis ``c`` (1 or 2) and an axis ``t``, a second from one to the next.
    workers : int, optional
        Threads to plan for; by default one for each core.
    overwrite : bool
        Replace OUT if it is an OME-Zarr image and holds nothing else, once the new one
        is complete. An array, or a group of arrays, is refused.
    source : {"twin", "real"}
        The generated scan, or the published one (downloaded, at size ``full``).

    Returns
    -------
    Plan

    Raises
    ------
    UsageError
        If an argument will not do, or OUT exists, may not be replaced or lies inside
        an array, links followed.
    """
    sample = describe(name)
    space = _shape(name, size, shape, source)
    if source == "real" and seed != 0:
        raise UsageError(f"the published {name} has no seed; leave it out, or use the twin")
    if zarr_format not in (2, 3):
        raise UsageError(f"there is no Zarr format {zarr_format}; use 3 (OME-Zarr 0.5) or 2 (0.4)")
    if zarr_format == 2 and shards not in (None, "none"):
        raise UsageError("Zarr format 2 has no shards; leave out the shards or use format 3")
    letters, full = _all_axes(name, space, channels, timepoints, source)
    spacing = (1.0,) * (len(full) - 3) + voxel_size(name, space)
    grid = layout(
        full, ITEMSIZE, spacing, chunks=chunks, shards="none" if zarr_format == 2 else shards
    )
    made = levels_of(grid, spacing, levels=levels, keep_shards=shards is not None)
    target = Target(
        levels=made,
        dtype=sample.dtype,
        codec=codec if isinstance(codec, Codec) else Codec.parse(codec or DEFAULT_CODEC),
        method="mean" if sample.kind == "image" else "mode",
        zarr_format=2 if zarr_format == 2 else 3,
        dimension_names=tuple(letters) if zarr_format == 3 else None,
        key_encoding="default" if zarr_format == 3 else "v2",
    )
    axes = axes_of(letters, time_unit="second")
    spec = Recipe(name, "real" if source == "real" else "twin", int(seed), axes, target)
    return _plan(spec, output_place(out, overwrite), overwrite, workers_or_default(workers))


def run(
    name: str,
    out: str | Path,
    *,
    scheduler: Any = "threads",
    workers: int | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    **arguments: Any,
) -> Converted:
    """Write a sample to disk as an OME-Zarr image; plan and execute at once.

    Parameters
    ----------
    name, out, **arguments
        As for :func:`plan`.
    scheduler, workers, resume, progress
        As for :func:`enormous.run`.

    Returns
    -------
    Converted

    Raises
    ------
    UsageError, DataError
        As those do.
    """
    made = plan(name, out, workers=workers, **arguments)
    if progress is not None:
        prepare(made)
    done = execute(made, scheduler=scheduler, workers=workers, resume=resume, progress=progress)
    return report(done.plan, done.seconds)


def _plan(spec: Recipe, place: str, overwrite: bool, workers: int) -> Plan:
    target = spec.target
    stages = _stages(spec, workers)
    at_most = disk_bytes(target, stages, range(len(target.levels)))
    return Plan(
        operation="sample",
        out=place,
        spec=spec,
        stages=stages,
        begin=begin,
        finish=finish,
        overwrite=overwrite,
        disk_bytes=at_most,
        certain_bytes=_certain_bytes(spec, at_most),
        codec=str(target.codec),
        facts=(
            ("sample", spec.name),
            ("source", spec.source),
            ("seed", spec.seed),
            ("axes", spec.letters),
            ("dtype", target.dtype),
            ("ome_zarr", VERSIONS[target.zarr_format]),
            ("codec", str(target.codec)),
            ("method", target.method),
            ("levels", list(levels_facts(target))),
            *spool_facts(target, stages),
            ("warnings", []),
        ),
    )


def _stages(spec: Recipe, workers: int) -> tuple[Stage, ...]:
    twin = spec.source == "twin"
    feed = Input(
        feed=generated if twin else copied,
        natural=spec.target.levels[0].grid.chunks,
        itemsize=ITEMSIZE,
        title=f"{'generate' if twin else 'copy'} {spec.name}",
    )
    first, *rest = stages_of(spec.target, feed, workers)
    if twin:  # reads nothing, and has more in memory than what is read
        piece = zip(first.detail.piece, first.blocks.shape, strict=True)
        needs = math.prod(min(p, n) for p, n in piece) * (ITEMSIZE + GENERATOR_BYTES)
        first = replace(first, reads=0, piece_bytes=max(first.piece_bytes, needs))
    return (first, *rest)


def _certain_bytes(spec: Recipe, at_most: int) -> int:
    """Bytes below which the output cannot be."""
    ratio = _CERTAIN_RATIO.get(spec.name)
    if ratio is None:
        return 0
    grids = [level.grid for level in spec.target.levels]
    if spec.target.codec.name == "none":
        return sum(grid.padded_bytes for grid in grids)
    return sum(grid.nbytes for grid in grids) // ratio


def _shape(name: str, size: str, shape: Sequence[int] | None, source: str) -> Shape:
    if source not in ("twin", "real"):
        raise UsageError(f"unknown source {source!r}; use twin (generated) or real (published)")
    space = shape_of(name, size, shape)
    full = describe(name).full_shape
    if source == "real" and space != full:
        raise UsageError(
            f"the published {name} has one shape, {full}; use size full, or the twin for others"
        )
    return space


def _all_axes(
    name: str, space: Shape, channels: int | None, timepoints: int | None, source: str
) -> tuple[str, Shape]:
    """Letters and sizes of all axes: ``t`` and ``c`` stand before ``z, y, x``."""
    letters, full = "zyx", space
    for letter, count, most in (("c", channels, len(CHANNELS)), ("t", timepoints, None)):
        if count is None:
            continue
        if name != "heart" or source == "real":
            raise UsageError(
                "only the generated heart has channels and time points; leave them out"
            )
        if count < 1 or (most is not None and count > most):
            what = f"1 to {most} channels" if most else "1 or more time points"
            raise UsageError(f"{count} will not do; give {what}")
        letters, full = letter + letters, (count, *full)
    return letters, full

"""Plan how a sample is written: every level, object and byte, before anything is.

Called by ``enormous sample`` and by :func:`enormous.samples.write.run`. Reads
nothing and looks only at whether OUT is free. Nothing will ever be whole in
memory: what is needed is workers times one block, and :attr:`Plan.peak_bytes`
says how much that is.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from enormous.codecs import Codec
from enormous.engine import output as _output
from enormous.engine.pool import workers_or_default
from enormous.errors import UsageError
from enormous.grid import DEFAULT_CODEC, Shape, Tiling
from enormous.ome.metadata import VERSIONS, Axis, Channel, axes_of
from enormous.ome.pyramid import Level, Shards, layout, levels_of
from enormous.samples import _stages
from enormous.samples.catalogue import describe, shape_of, voxel_size
from enormous.stores import check_new, locate

Source = Literal["twin", "real"]
BlockFunction = Callable[["Plan", _stages.Session, int, int], None]

ITEMSIZE = 2  # all samples are uint16

#: Memory of the process before the first block: interpreter, zarr, numba, compiled kernels
#: (measured: 250 MB) and the stacks of threads, which a limit on memory counts as well.
BASE_BYTES = 400_000_000
#: What a generator needs beside its result, in bytes for each voxel of a piece.
GENERATOR_BYTES = 16

CHANNELS = (
    Channel("phase contrast", (5000.0, 52000.0), (0.0, 65535.0), "FFFFFF"),
    Channel("contrast agent", (0.0, 45000.0), (0.0, 65535.0), "FF4040"),
)


@dataclass(frozen=True)
class Stage:
    """One step over many blocks, which may be done in any order; steps follow one another.

    Parameters
    ----------
    title : str
    function : callable
        ``function(plan, session, level, number)`` makes one block.
    level : int
        The level it writes.
    blocks : Tiling
        One box for each object of the level; the number of a box is the block's.
    """

    title: str
    function: BlockFunction
    level: int
    blocks: Tiling


@dataclass(frozen=True)
class Plan:
    """What is going to be written, to the last object; made by :func:`plan`.

    Parameters
    ----------
    name, source, seed
        The sample; its generator ("twin") or the published scan ("real").
    out : str
        Absolute path of the image, links followed: a link stays, its target is replaced.
    axes : tuple of Axis
    levels : tuple of Level
        Finest first.
    codec : Codec
    method : {"mean", "mode"}
        How each level is made of the one above.
    zarr_format : {2, 3}
    workers : int
    overwrite : bool
    """

    name: str
    source: Source
    seed: int
    out: str
    axes: tuple[Axis, ...]
    levels: tuple[Level, ...]
    codec: Codec
    method: Literal["mean", "mode"]
    zarr_format: Literal[2, 3]
    workers: int
    overwrite: bool
    dtype: str = "uint16"

    @property
    def axis_names(self) -> str:
        """Letters of the axes: ``"zyx"``."""
        return "".join(axis.name for axis in self.axes)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The steps, in order: level 0, then each level from the stored one above it."""
        make, title = _stages.generate_block, f"generate {self.name}"
        if self.source == "real":
            make, title = _stages.copy_block, f"copy {self.name}"
        first = Stage(title, make, 0, self.levels[0].grid.by_object)
        rest = (
            Stage(f"level {d}", _stages.downsample_block, d, level.grid.by_object)
            for d, level in enumerate(self.levels[1:], 1)
        )
        return (first, *rest)

    @property
    def write_bytes(self) -> int:
        """Bytes of all levels, before compression."""
        return sum(level.grid.nbytes for level in self.levels)

    @property
    def read_bytes(self) -> int:
        """Bytes read back (decoded) to make the lower levels, or from the published scan."""
        again = sum(level.grid.nbytes for level in self.levels[:-1])
        return again + (self.levels[0].grid.nbytes if self.source == "real" else 0)

    @property
    def objects(self) -> int:
        """Files at most: a shard or chunk of nothing but the fill value is not stored."""
        return sum(level.grid.n_objects for level in self.levels) + self.metadata_objects

    @property
    def metadata_objects(self) -> int:
        """Files that describe the arrays and the group: two for each in Zarr v2."""
        return (len(self.levels) + 1) * (1 if self.zarr_format == 3 else 2)

    @property
    def disk_bytes(self) -> int:
        """Bytes on disk if nothing could be compressed; edge chunks are stored whole."""
        data = sum(
            level.grid.padded_bytes + level.grid.n_objects * level.grid.index_bytes
            for level in self.levels
        )
        return data + 4096 * self.metadata_objects

    @property
    def peak_bytes(self) -> int:
        """Memory needed at most: workers times what one block needs, and the process itself."""
        return BASE_BYTES + max(
            min(self.workers, stage.blocks.n) * self._block_bytes(stage) for stage in self.stages
        )

    def _block_bytes(self, stage: Stage) -> int:
        """The block, its encoded form (never larger by much), and the pieces it is made of."""
        level = self.levels[stage.level]
        block = math.prod(map(min, level.grid.shape, level.grid.by_object.tile)) * ITEMSIZE
        encoded = math.prod(level.grid.by_object.tile) * ITEMSIZE + level.grid.index_bytes
        piece = math.prod(level.grid.chunks)
        if stage.level == 0 and self.source == "twin":
            scratch = piece * (ITEMSIZE + GENERATOR_BYTES)
        else:  # the window of the level above, as stored and decoded, and chunks on the way
            scratch = piece * ITEMSIZE * (3 + 2 * math.prod(level.factors))
        return block + encoded + scratch * self.side_by_side(stage)

    def side_by_side(self, stage: Stage) -> int:
        """Pieces of one block made at a time: more than one where blocks are too few."""
        grid = self.levels[stage.level].grid
        pieces = math.prod(map(_pieces, grid.shape, grid.by_object.tile, grid.chunks))
        return max(1, min(self.workers // stage.blocks.n, pieces))

    def as_dict(self) -> dict[str, Any]:
        """What ``--dry-run`` tells, as JSON values."""
        return {
            "sample": self.name,
            "source": self.source,
            "seed": self.seed,
            "out": self.out,
            "ome_zarr": VERSIONS[self.zarr_format],
            "codec": str(self.codec),
            "method": self.method,
            "axes": self.axis_names,
            "levels": [_level_dict(level) for level in self.levels],
            "reads": {"bytes": self.read_bytes},
            "writes": {"bytes": self.write_bytes, "disk_bytes_at_most": self.disk_bytes},
            "objects": self.objects,
            "workers": self.workers,
            "peak_memory_bytes": self.peak_bytes,
        }


def _pieces(size: int, block: int, chunk: int) -> int:
    """Chunks of a block along one axis, where the array has that size."""
    return math.ceil(min(size, block) / chunk)


def _level_dict(level: Level) -> dict[str, Any]:
    grid = level.grid
    return {
        "path": level.path,
        "shape": list(grid.shape),
        "chunks": list(grid.chunks),
        "shards": list(grid.shards) if grid.shards else None,
        "voxel_size": list(level.scale),
        "translation": list(level.translation),
        "objects": grid.n_objects,
        "bytes": grid.nbytes,
    }


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
        Of the heart: adds an axis ``c`` (1 or 2) and an axis ``t``.
    workers : int, optional
        Threads; by default one for each core.
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
    chosen = codec if isinstance(codec, Codec) else Codec.parse(codec or DEFAULT_CODEC)
    location = _check_out(out, overwrite)
    return Plan(
        name=name,
        source="real" if source == "real" else "twin",
        seed=seed,
        out=location,
        axes=axes_of(letters),
        levels=made,
        codec=chosen,
        method="mean" if sample.kind == "image" else "mode",
        zarr_format=2 if zarr_format == 2 else 3,
        workers=workers_or_default(workers),
        overwrite=overwrite,
        dtype=sample.dtype,
    )


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


def _check_out(out: str | Path, overwrite: bool) -> str:
    """Path of the output with all links followed: what is checked is what is written to."""
    location = locate(out)
    if location.kind == "file":
        location = locate(os.path.realpath(location.base))
    check_new(location, overwrite)
    if location.kind != "file":
        raise UsageError(
            f"{location.url}: samples are written to folders; copy or zip it afterwards"
        )
    _output.check_replaceable(Path(location.base))
    return location.base

"""Convert a stack of slices, or any volume, to an OME-Zarr image with its pyramid.

Called by ``enormous convert`` and by the chapters on creating. The plan reads headers only;
:mod:`enormous.create.writing` does the work, block by block, on what the functions here read.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enormous._text import shape_text
from enormous.codecs import Codec, ZarrFormat
from enormous.create.conversion import SAMPLE_ALL, SAMPLE_EVERY, Conversion
from enormous.create.finish import finish_conversion
from enormous.create.labels import (
    LabelList,
    begin_label,
    check_inside,
    image_above,
    only_unlisted,
    publish_label,
)
from enormous.create.origin import as_label, method_of, moved
from enormous.create.overlay import Overlay, read_overlay
from enormous.create.pieces import Region, cut
from enormous.create.report import Converted, report
from enormous.create.scale import Scale, scale_of
from enormous.create.sources import check_asked, open_reader, open_source
from enormous.create.sources._flat import FlatDetail
from enormous.create.sources.source import Reader, Source
from enormous.create.stages import (
    Input,
    disk_bytes,
    levels_facts,
    scratch_bytes,
    spool_bytes,
    spool_facts,
    stages_of,
)
from enormous.create.stamps import inputs_of, with_stamps, without_stamps
from enormous.create.tally import Tally
from enormous.create.target import Target, write_arrays
from enormous.create.values import WINDOW_DTYPES, FieldOfView, Window, finite_range, to_window
from enormous.create.writing import encode_chunk
from enormous.engine import run as execute
from enormous.engine.inputs import InputFile
from enormous.engine.output import check_replaceable, space_warning
from enormous.engine.plan import Plan
from enormous.engine.pool import workers_or_default
from enormous.engine.progress import Progress
from enormous.engine.work import Work
from enormous.errors import UsageError
from enormous.grid import DEFAULT_CODEC
from enormous.ome.metadata import VERSIONS, axes_of
from enormous.ome.pyramid import Factors, Level, Shards, layout, levels_of
from enormous.stores import check_links, check_new, locate


def plan(
    stack: str | os.PathLike[str] | Sequence[str],
    out: str | os.PathLike[str],
    *,
    voxel_size: float | Sequence[float] | None = None,
    unit: str | None = None,
    chunks: int | Sequence[int] | None = None,
    shards: Shards = None,
    codec: str | Codec | None = None,
    levels: int | None = None,
    method: str | None = None,
    factors: Factors = "auto",
    zarr_format: int | None = None,
    window: tuple[float, float] | None = None,
    dtype: str | None = None,
    mask_fov: bool = False,
    label: bool = False,
    dataset: str | None = None,
    shape: Sequence[int] | None = None,
    source_dtype: str | None = None,
    source_order: str | None = None,
    source_offset: int = 0,
    axes: str | None = None,
    workers: int | None = None,
    overwrite: bool = False,
) -> Plan:
    """Work out a conversion: reads all headers of the input, and writes nothing.

    Parameters
    ----------
    stack : str, path-like or list of str
        A folder or glob of slices, or a file: see :mod:`enormous.create.sources`.
    out : str or path-like
        Where the image shall be. Missing parent folders will be made. With `label`,
        ``IMAGE/labels/NAME`` inside an OME-Zarr image makes the labels part of it: they take
        its Zarr format, number of levels and position, and are listed last of all.
    voxel_size : float or sequence of float, optional
        ``z, y, x``, or one for all; by default what the file says. If that says nothing, scale
        1 without a unit is written, with a warning; of labels inside an image, the image's.
    unit : str, optional
        Of `voxel_size`; micrometer by default, the image's for labels inside one.
    chunks, shards, codec : optional
        In voxels: one integer or ``z, y, x``; ``shards="none"`` for none. By default
        :func:`enormous.grid.default_layout`. A given shard is kept on all levels.
    levels : int, optional
        Level 0 included; by default until the longest axis fits into one chunk, or as many as
        the image has that the labels are of.
    method : {"mean", "mode", "median", "max", "min", "nearest"}, optional
        How a level is made of the one above; mean, and mode for labels, of which mean and
        median make no labels.
    factors : "auto" or sequence of int
        "auto" halves the axes whose voxel is finest; ``(2, 2, 2)`` forces.
    zarr_format : {3, 2}
        3, the default, makes OME-Zarr 0.5, 2 makes 0.4.
    window : pair of float, optional
        Grey values stored as 0 and as the largest number of `dtype`, linear in between; what
        lies outside is clipped and counted.
    dtype : {"uint8", "uint16"}, optional
        Together with `window`.
    mask_fov : bool
        Set what lies outside the circle inscribed in a slice to 0.
    label : bool
        Make a label image. Never guessed; an OME-Zarr label image says that it is one.
    dataset : str, optional
        Inside an HDF5 file or a Zarr group.
    shape, source_dtype, source_order, source_offset : optional
        Of a raw file, which has no header: slowest axis first, ``uint16``, ``"little"`` or
        ``"big"``, bytes before the first voxel.
    axes : str, optional
        A letter for each axis of the input, where it does not say.
    workers : int, optional
        Threads to plan for; by default one for each core.
    overwrite : bool
        Replace OUT if it is an OME-Zarr image and holds nothing else, label images included.

    Returns
    -------
    Plan

    Raises
    ------
    UsageError
        If an argument will not do, or OUT exists, may not be replaced or lies inside an array;
        or inside an image that it does not fit, or in another place there than labels have.
    DataError
        If an input is damaged or does not fit with the others.
    """
    check_asked(
        axes=axes, shape=shape, dtype=source_dtype, order=source_order, offset=source_offset
    )
    method_of(method, label)
    mapping = _window(window, dtype)
    encoding = codec if isinstance(codec, Codec) else Codec.parse(codec or DEFAULT_CODEC)
    place = output_place(out, overwrite, label=label)
    image = image_above(place)
    over = read_overlay(image) if image else None
    form = _zarr_format(zarr_format, shards, over)
    if over:
        LabelList.read(Path(place).parent, form)  # it must be one that can be extended
    source = open_source(
        stack,
        dataset=dataset,
        shape=shape,
        dtype=source_dtype,
        order=source_order,
        axes=axes,
        offset=source_offset,
    )
    _check_apart(source, place)
    label, said = as_label(source, label)
    stored_dtype = _stored_dtype(source, mapping, dtype, label)
    chosen = method_of(method, label)
    scale = over.scale_of(source, voxel_size, unit) if over else scale_of(source, voxel_size, unit)
    grid = layout(
        source.shape,
        np.dtype(stored_dtype).itemsize,
        scale.spacing,
        chunks=chunks,
        shards="none" if form == 2 else shards,
    )

    def made(count: int | None, how: Factors) -> tuple[Level, ...]:
        keep = shards is not None
        return levels_of(
            grid, scale.spacing, levels=count, keep_shards=keep, factors=how, method=chosen
        )

    if over:
        placed = over.levels_of(source.axes, levels, factors, made)
    else:
        placed, lost = moved(made(levels, factors), source, scale)
        said += lost
    target = Target(
        levels=placed,
        dtype=stored_dtype,
        codec=encoding,
        method=chosen,
        zarr_format=form,
        fill_value=False if stored_dtype == "bool" else 0,
        dimension_names=tuple(source.axes) if form == 3 else None,
        key_encoding="default" if form == 3 else "v2",
    )
    view = FieldOfView(*source.shape[-2:]) if mask_fov else None
    spec = Conversion(
        source=without_stamps(source),
        target=target,
        axes=axes_of(source.axes, scale.unit, scale.time_unit),
        window=mapping,
        view=view,
        label=label,
        inside=over is not None,
        sample_every=_sample_every(target, view),
    )
    scale = replace(scale, warnings=(*scale.warnings, *said))
    made_of = inputs_of(source)
    return _plan(spec, scale, place, overwrite, workers_or_default(workers), made_of)


def run(
    stack: str | os.PathLike[str] | Sequence[str],
    out: str | os.PathLike[str],
    *,
    scheduler: Any = "threads",
    workers: int | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    **arguments: Any,
) -> Converted:
    """Convert a stack to an OME-Zarr image; plan and execute at once.

    Parameters
    ----------
    stack, out, **arguments
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
    made = plan(stack, out, workers=workers, **arguments)
    done = execute(made, scheduler=scheduler, workers=workers, resume=resume, progress=progress)
    return report(done.plan, done.seconds)


def _plan(
    spec: Conversion,
    scale: Scale,
    place: str,
    overwrite: bool,
    workers: int,
    inputs: tuple[InputFile, ...],
) -> Plan:
    source, target = spec.source, spec.target
    feed = Input(
        feed=source_feed,
        natural=source.natural,
        itemsize=np.dtype(source.dtype).itemsize,
        title="convert",
        splits=isinstance(source.detail, FlatDetail),
        prepare=mask_slab if spec.view else None,
    )
    stages = stages_of(target, feed, workers)
    most = disk_bytes(target, stages, range(len(target.levels)))
    told = (*scale.warnings, *space_warning(Path(place), most))
    for line in told:
        warnings.warn(line, stacklevel=3)
    image = image_above(place)
    if image:  # the list of its labels
        files = 1 if target.zarr_format == 3 else 2
        stages = (replace(stages[0], objects=stages[0].objects + files), *stages[1:])
    return Plan(
        operation="convert",
        out=place,
        spec=spec,
        stages=stages,
        begin=begin,
        finish=finish,
        publish=publish_label if spec.inside else None,
        overwrite=overwrite,
        disk_bytes=most,
        certain_bytes=spool_bytes(target, stages),
        scratch_bytes=scratch_bytes(target, stages),
        codec=str(target.codec),
        inputs=inputs,
        facts=(
            ("source", {"url": source.url, "kind": source.kind, "dtype": source.dtype}),
            *((("labels_of", str(image)),) if image else ()),
            ("axes", source.axes),
            ("dtype", target.dtype),
            ("ome_zarr", VERSIONS[target.zarr_format]),
            ("codec", str(target.codec)),
            ("method", target.method),
            ("unit", scale.unit),
            ("levels", list(levels_facts(target))),
            ("read_factor", _amplification(source, stages[0].reads)),
            *spool_facts(target, stages),
            ("warnings", list(told)),
        ),
    )


def output_place(out: str | os.PathLike[str], overwrite: bool, *, label: bool = False) -> str:
    """Path of an output with all links followed: what is checked is what is written to.

    Raises
    ------
    UsageError
        If it exists, may not be replaced, or is or lies inside an array; or is no folder, or
        its links lead nowhere; or lies inside an image, where only labels do (`label`), in
        their place.
    """
    location = locate(out)
    if location.kind == "file":
        check_links(location.base)
        asked, location = location.base, locate(os.path.realpath(location.base))
        check_new(location, overwrite=True)  # what is in an array is told first
        check_inside(location.base, asked, label)
        if label and only_unlisted(location.base):  # a run that goes on lists it
            return location.base
    check_new(location, overwrite)
    if location.kind != "file":
        raise UsageError(
            f"{location.url}: images are written to folders; copy or zip it afterwards"
        )
    check_replaceable(Path(location.base))
    return location.base


def _zarr_format(asked: int | None, shards: Shards, over: Overlay | None) -> ZarrFormat:
    """The format to be written: of labels inside an image that of the image."""
    if asked not in (None, 2, 3):
        raise UsageError(f"there is no Zarr format {asked}; use 3 (OME-Zarr 0.5) or 2 (0.4)")
    found = over.format(asked) if over else asked
    if found == 2 and shards not in (None, "none"):
        raise UsageError("Zarr format 2 has no shards; leave out the shards or use format 3")
    return 2 if found == 2 else 3


def _check_apart(source: Source, place: str) -> None:
    """Refuse an output that would replace the input.

    Beside the slices of an input it may lie: a folder is never taken for a slice.
    """
    if "://" in source.url:
        return
    real = os.path.realpath(source.url)
    if f"{real}{os.sep}".startswith(f"{place}{os.sep}"):
        raise UsageError(f"{place} holds the input {source.url}; choose another output")


def _window(window: tuple[float, float] | None, dtype: str | None) -> Window | None:
    if window is None:
        return None
    if dtype not in WINDOW_DTYPES:
        raise UsageError(f"a window needs --dtype {' or '.join(WINDOW_DTYPES)}")
    return Window(float(window[0]), float(window[1]), dtype)


def _stored_dtype(source: Source, window: Window | None, dtype: str | None, label: bool) -> str:
    kind = np.dtype(source.dtype).kind
    if any(n < 1 for n in source.shape):
        raise UsageError(f"{source.url} is {shape_text(source.shape)}: it holds no voxels")
    if label and (window is not None or kind == "f"):
        what = "a window would change the labels" if window is not None else "labels are integers"
        raise UsageError(f"{source.url} ({source.dtype}) cannot become a label image: {what}")
    if window is not None:
        return window.dtype
    if dtype is not None and dtype != source.dtype:
        raise UsageError(
            f"{source.url} is {source.dtype}; to store {dtype}, say which grey values become 0 "
            "and the largest number: --window LO,HI"
        )
    # OME-Zarr's labels are integers; a mask is one of 0 and 1
    return "uint8" if label and kind == "b" else source.dtype


def _amplification(source: Source, reads: int) -> float:
    return round(reads / (math.prod(source.shape) * np.dtype(source.dtype).itemsize), 4)


def _sample_every(target: Target, view: FieldOfView | None) -> int:
    if view is None:
        return 1
    chunks = target.levels[0].grid.by_chunk.counts
    touched = math.prod(chunks[:-2]) * len(view.touched(target.levels[0].grid.chunks[-2:]))
    return SAMPLE_EVERY if touched > SAMPLE_ALL else 1


def begin(work: Work) -> None:
    """Write the metadata of all arrays."""
    target: Target = work.plan.spec.target
    if work.plan.spec.inside:
        begin_label(work)
    write_arrays(work.folder, target, range(len(target.levels)))


def finish(work: Work) -> None:
    """Write the metadata of the image."""
    finish_conversion(work, work.plan.spec)


def source_feed(work: Work, region: Region, tally: Tally) -> NDArray[Any]:
    """The voxels of a region as they are stored, before the mask."""
    spec: Conversion = work.plan.spec
    reader = work.kept("reader", lambda: reader_of(work))
    voxels = reader.read(region)
    if spec.window is not None:
        rows = spec.view.rows(*region[-2:]) if spec.view else None
        voxels, clipped = to_window(voxels, spec.window, rows)
        counts = {"below": clipped.below, "above": clipped.above, "nan": clipped.nan}
        tally.add({name: count for name, count in counts.items() if count})
    elif voxels.dtype.kind == "f":
        found = finite_range(voxels)
        if found:
            tally.add({"least": found[0], "most": found[1]})
    return voxels.astype(spec.target.dtype, copy=False)


def reader_of(work: Work) -> Reader:
    """Open the input, which is refused if it is not what the plan was made of."""
    return open_reader(with_stamps(work.plan.spec.source, work.plan.inputs), work.workers)


def mask_slab(work: Work, slab: NDArray[Any], region: Region, tally: Tally) -> None:
    """Set what lies outside the field of view to the fill value; measure what that saves."""
    spec: Conversion = work.plan.spec
    target, view = spec.target, spec.view
    assert view is not None
    grid = target.levels[0].grid
    touched = work.kept("touched", lambda: _ranks(view, grid.chunks))
    pieces = cut(grid.shape, grid.chunks, region)

    def mask(number: int) -> None:
        index = pieces.index(number)
        rank = touched.get(index[-2:])
        if rank is None:
            return
        box = pieces.region(number)
        local = tuple(
            slice(s.start - r.start, s.stop - r.start) for s, r in zip(box, region, strict=True)
        )
        sampled = (rank + sum(index[:-2])) % spec.sample_every == 0
        if sampled:
            tally.add({"without": len(encode_chunk(target, grid.chunks, slab[local]) or b"")})
        view.mask(slab[local], box[-2], box[-1], target.fill_value)
        if sampled:
            encoded = encode_chunk(target, grid.chunks, slab[local]) or b""
            tally.add({"sampled": 1, "with": len(encoded)})

    work.each(mask, pieces.n)


def _ranks(view: FieldOfView, chunks: Sequence[int]) -> dict[tuple[int, ...], int]:
    return {index: rank for rank, index in enumerate(view.touched(chunks[-2:]))}

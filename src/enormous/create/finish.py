"""The last step of a conversion: what viewers need, where it came from, and what was lost.

Called by :mod:`enormous.create.convert` when all levels are stored.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enormous import __version__
from enormous.create.conversion import Conversion
from enormous.create.labels import SOURCE
from enormous.create.percentiles import percentiles
from enormous.create.tally import RECORDS, read_all
from enormous.create.target import Target, remove_partial, stored_level, write_group
from enormous.create.values import FieldOfView
from enormous.create.writing import SCRATCH
from enormous.engine.work import Work
from enormous.ledger import NODE_NAMES
from enormous.ome.metadata import VERSIONS, Channel, channels_of, image_attributes

#: Grey values shown as black and as full colour: these fractions of all voxels lie below.
SHOWN = (0.001, 0.999)
#: Voxels that suffice to tell them: the coarsest level that has as many is looked at.
ENOUGH_VOXELS = 2**21


def finish_conversion(work: Work, spec: Conversion) -> None:
    """Write the root metadata, and remove what only the making needed."""
    remove_partial(work.folder)
    if not any((work.folder / name).exists() for name in NODE_NAMES):
        write_group(work.folder, spec.target.zarr_format, _attributes(work, spec))
    # after the metadata: a call that was killed in between must still find the counts
    for hidden in (RECORDS, SCRATCH):
        if (work.folder / hidden).exists():
            shutil.rmtree(work.folder / hidden)


def _attributes(work: Work, spec: Conversion) -> dict[str, Any]:
    target = spec.target
    counts = read_all(work.folder).counts
    name = title_of(spec)
    attributes = image_attributes(
        VERSIONS[target.zarr_format],
        name,
        spec.axes,
        target.levels,
        target.method,
        channels=() if spec.label else _channels(work, spec, counts, name),
        is_label=spec.label,
        label_of=SOURCE if spec.inside else None,
    )
    return {**attributes, "enormous": _provenance(work, spec, counts)}


def name_of(url: str) -> str:
    """Name of an input without the place where it lies: ``scan.h5:/data`` keeps its dataset."""
    file, mark, dataset = url.rstrip("/").partition(":/")
    if dataset.startswith("/"):  # of http://
        file, mark, dataset = url.rstrip("/"), "", ""
    return f"{os.path.basename(file)}{mark}{dataset}"


def title_of(spec: Conversion) -> str:
    """Name of the image: that of the input, without its suffix or wildcards."""
    name = name_of(spec.source.url)
    if any(sign in name for sign in "*?["):
        name = os.path.basename(os.path.dirname(spec.source.url))
    name = name.partition(":/")[0]
    for suffix in (".gz", ".zip", ".zarr", ".ozx"):
        name = name.removesuffix(suffix)
    stem, _, suffix = name.rpartition(".")
    name = stem if stem and suffix.isalnum() and len(suffix) <= 5 else name
    return name.removesuffix(".ome") or "image"


def _channels(
    work: Work, spec: Conversion, counts: dict[str, float], name: str
) -> tuple[Channel, ...]:
    axes, shape = spec.source.axes, spec.source.shape
    n = shape[axes.index("c")] if "c" in axes else 1
    labels = spec.source.channels if len(spec.source.channels) == n else ()
    if not labels:
        labels = (name,) if n == 1 else tuple(f"channel {i}" for i in range(n))
    level = shown_level(spec.target)
    array = stored_level(work, spec.target, level)
    limits = None
    if "least" in counts:
        limits = (float(counts["least"]), float(counts["most"]))
    made = []
    for number, channel in enumerate(channels_of(labels, spec.target.dtype)):
        voxels = partial(_voxels, work, spec, level, array, axes.find("c"), number)
        found = percentiles(voxels, SHOWN)
        if limits:
            channel = replace(channel, limits=limits)
        if found and all(map(math.isfinite, found)) and found[0] < found[1]:
            channel = replace(channel, window=(found[0], found[1]))
        elif limits:
            channel = replace(channel, window=limits)
        made.append(channel)
    return tuple(made)


def shown_level(target: Target) -> int:
    """The coarsest level with voxels enough for percentiles; else the finest."""
    sizes = [math.prod(level.grid.shape) for level in target.levels]
    return max((d for d, n in enumerate(sizes) if n >= ENOUGH_VOXELS), default=0)


def _voxels(
    work: Work, spec: Conversion, level: int, array: Any, axis: int, channel: int
) -> Iterator[NDArray[Any]]:
    """All voxels of a channel, object by object; of a masked image, those in its circle."""
    grid = spec.target.levels[level].grid
    boxes = grid.by_object
    view = FieldOfView(*grid.shape[-2:]) if spec.view else None
    for number in range(boxes.n):
        work.stop.check()
        box = list(boxes.slices(boxes.index(number)))
        if axis >= 0:
            if not box[axis].start <= channel < box[axis].stop:
                continue
            box[axis] = slice(channel, channel + 1)
        voxels = np.asarray(array[tuple(box)].read().result())
        if view is not None:
            starts, stops = view.rows(*box[-2:])
            columns = np.arange(voxels.shape[-1])
            voxels = voxels[..., (columns >= starts[:, None]) & (columns < stops[:, None])]
        yield voxels


def _provenance(work: Work, spec: Conversion, counts: dict[str, float]) -> dict[str, Any]:
    """Where the image came from and what was done to its values."""
    source = spec.source
    origin: dict[str, Any] = {
        "name": name_of(source.url),
        "kind": source.kind,
        "shape": list(source.shape),
        "axes": source.axes,
        "dtype": source.dtype,
    }
    if source.kept:
        origin["kept"] = dict(source.kept)
    told: dict[str, Any] = {
        "operation": "convert",
        "version": __version__,
        "created": work.plan.created,
        "source": origin,
    }
    if spec.window is not None:
        told["window"] = {
            "low": spec.window.low,
            "high": spec.window.high,
            "dtype": spec.window.dtype,
            "value": f"low + stored * (high - low) / {spec.window.top}",
            "rounding": "half to even",
            "clipped_below": int(counts.get("below", 0)),
            "clipped_above": int(counts.get("above", 0)),
            "nan_to_zero": int(counts.get("nan", 0)),
        }
    if spec.view is not None:
        told["mask_fov"] = _masked(spec, counts)
    return told


def _masked(spec: Conversion, counts: dict[str, float]) -> dict[str, Any]:
    view, grid = spec.view, spec.target.levels[0].grid
    assert view is not None
    touched = math.prod(grid.by_chunk.counts[:-2]) * len(view.touched(grid.chunks[-2:]))
    sampled = int(counts.get("sampled", 0))
    saved = counts.get("without", 0) - counts.get("with", 0)
    return {
        "center_yx": [(view.ny - 1) / 2, (view.nx - 1) / 2],
        "radius": min(view.ny, view.nx) / 2,
        "voxels": view.outside * math.prod(grid.shape[:-2]),
        "chunks_touched": touched,
        "chunks_measured": sampled,
        "saved_bytes_about": round(saved * touched / sampled) if sampled else 0,
    }

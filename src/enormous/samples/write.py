"""What the blocks of a sample are fed with, and the metadata around them.

Named by the plans of :mod:`enormous.samples.planning`. The writing itself is
:mod:`enormous.create.writing`, as for any other image: a generator, and a published
scan, are two more places where voxels come from.
"""

from __future__ import annotations

import shutil
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from enormous._text import shape_text
from enormous.create.pieces import Region
from enormous.create.tally import Tally
from enormous.create.target import (
    Target,
    open_tensorstore,
    remove_partial,
    write_arrays,
    write_group,
)
from enormous.create.writing import SCRATCH
from enormous.engine.plan import Plan
from enormous.engine.work import Work
from enormous.errors import DataError
from enormous.ome.metadata import VERSIONS, Axis, Channel, image_attributes
from enormous.ome.read import read_images
from enormous.samples.catalogue import describe
from enormous.stores import locate

CHANNELS = (
    Channel("phase contrast", (5000.0, 52000.0), (0.0, 65535.0), "FFFFFF"),
    Channel("contrast agent", (0.0, 45000.0), (0.0, 65535.0), "FF4040"),
)

#: Seconds after which a person is told why no block is done yet.
_PATIENCE = 3.0


@dataclass(frozen=True)
class Recipe:
    """All that the blocks of a sample need to know.

    Parameters
    ----------
    name : {"heart", "dense", "sparse"}
    source : {"twin", "real"}
        Its generator, or the published scan.
    seed : int
        Of the generator.
    axes : tuple of Axis
    target : Target
    """

    name: str
    source: Literal["twin", "real"]
    seed: int
    axes: tuple[Axis, ...]
    target: Target

    @property
    def letters(self) -> str:
        """Of the axes: ``"zyx"``."""
        return "".join(axis.name for axis in self.axes)


def begin(work: Work) -> None:
    """Write the metadata of all arrays; have the published scan at hand, if that is wanted."""
    spec: Recipe = work.plan.spec
    if spec.source == "real":
        _original(work)
    write_arrays(work.folder, spec.target, range(len(spec.target.levels)))


def finish(work: Work) -> None:
    """Write the root metadata, which makes the folder an image, and remove what is left over."""
    spec: Recipe = work.plan.spec
    target, sample = spec.target, describe(spec.name)
    count = target.levels[0].grid.shape[spec.letters.find("c")] if "c" in spec.letters else 1
    image = sample.kind == "image"
    attributes = image_attributes(
        VERSIONS[target.zarr_format],
        f"{spec.name} ({spec.source})",
        spec.axes,
        target.levels,
        target.method,
        channels=CHANNELS[:count] if image else (),
        is_label=not image,
    )
    origin = {"sample": spec.name, "source": spec.source, "shows": sample.shows}
    if spec.source == "twin":
        origin["seed"] = str(spec.seed)
    remove_partial(work.folder)
    if (work.folder / SCRATCH).exists():
        shutil.rmtree(work.folder / SCRATCH)
    write_group(work.folder, target.zarr_format, {**attributes, "enormous": origin})


def generated(work: Work, region: Region, tally: Tally) -> NDArray[Any]:
    """The voxels of a region, made by the sample's generator."""
    from enormous.samples.blocks import one_block

    spec: Recipe = work.plan.spec
    whole = spec.target.levels[0].grid.shape
    space = len(whole) - 3
    origin = tuple(s.start for s in region[space:])
    size = tuple(s.stop - s.start for s in region[space:])
    out = np.empty(tuple(s.stop - s.start for s in region), spec.target.dtype)
    # every axis before space: the channel and the time point of each volume
    for at in np.ndindex(out.shape[:space]):
        place = {k: s.start + i for k, s, i in zip(spec.letters, region, at, strict=False)}
        options = {name: place[k] for k, name in (("t", "time"), ("c", "channel")) if k in place}
        out[at] = one_block(spec.name, whole[space:], origin, size, seed=spec.seed, **options)
    return out


def copied(work: Work, region: Region, tally: Tally) -> NDArray[Any]:
    """The voxels of a region of the published scan."""
    return np.asarray(_original(work)[region].read().result())


def prepare(plan: Plan) -> None:
    """Download the scan, or compile the generator, before a run; a person sees it on stderr.

    Not needed: blocks do it otherwise, without a word.
    """
    from enormous.samples import blocks, real

    spec: Recipe = plan.spec
    if spec.source == "real":
        real.fetch(spec.name, progress=True)
        return
    words = "preparing the generator (the first run ever compiles it)...\n"
    slow = threading.Timer(_PATIENCE, sys.stderr.write, (words,))
    slow.daemon = True
    slow.start()
    try:
        whole = spec.target.levels[0].grid.shape[-3:]
        blocks.one_block(spec.name, whole, (0, 0, 0), (1, 1, 1), seed=spec.seed)
    finally:
        slow.cancel()


def _original(work: Work) -> Any:
    return work.kept("original", lambda: _open_original(work.plan.spec, work.workers))


def _open_original(spec: Recipe, workers: int) -> Any:
    """Download (or find in the cache) the published scan and open it, axes as ``z, y, x``."""
    import zarr

    from enormous.ome.inspect import open_node
    from enormous.samples import real

    location = locate(real.fetch(spec.name))
    node = open_node(location)
    folder = Path(location.base)
    if isinstance(node, zarr.Group):
        images = read_images(node, location.url)
        if not images:
            raise DataError(f"{location.url} is no image; delete it to download it again")
        folder /= images[0].levels[0].path
    original = open_tensorstore(folder, 2, workers)
    wanted, dtype = spec.target.levels[0].grid.shape, spec.target.dtype
    if original.shape == wanted[::-1]:  # stored x, y, z, as ImageJ and ITK count
        original = original.T
    if original.shape != wanted or original.dtype.name != dtype:
        raise DataError(
            f"{folder} is {shape_text(original.shape)} {original.dtype.name}, not "
            f"{shape_text(wanted)} {dtype} as published; delete it to download it again"
        )
    return original

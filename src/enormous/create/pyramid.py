"""Make the levels below level 0 of an OME-Zarr image anew, in place.

Called by ``enormous pyramid`` and by the chapters on pyramids. New levels are written beside
the image; they are moved in when they are complete, and the metadata that lists them comes
last. Whatever else the image's group says is kept.
"""

from __future__ import annotations

import itertools
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enormous.codecs import Codec
from enormous.create.image_files import ImageFiles
from enormous.create.origin import NO_LABELS, method_of
from enormous.create.pieces import Region
from enormous.create.report import Converted, report
from enormous.create.sources import open_reader, open_source
from enormous.create.sources.source import Source
from enormous.create.stages import (
    Input,
    disk_bytes,
    levels_facts,
    scratch_bytes,
    spool_bytes,
    spool_facts,
    stages_of,
)
from enormous.create.stamps import inputs_of
from enormous.create.tally import Tally
from enormous.create.target import Target, remove_partial, write_arrays
from enormous.engine import run as execute
from enormous.engine.output import check_writable, leftovers, space_warning
from enormous.engine.plan import Plan
from enormous.engine.pool import workers_or_default
from enormous.engine.progress import Progress
from enormous.engine.work import Work
from enormous.errors import DataError, UsageError
from enormous.grid import DEFAULT_CODEC
from enormous.kernels import METHODS
from enormous.ome.inspect import open_node
from enormous.ome.metadata import image_attributes
from enormous.ome.pyramid import Factors, Level, levels_of
from enormous.ome.read import Image, StoredLevel, compose, read_images
from enormous.stores import Location, join, locate


@dataclass(frozen=True)
class Repyramid:
    """All that the blocks of new levels need, and what is written about them.

    It does not name old levels, so that it stays the same while they are replaced.
    """

    source: Source
    target: Target


def plan(
    image: str | os.PathLike[str],
    *,
    levels: int | None = None,
    method: str | None = None,
    factors: Factors = "auto",
    workers: int | None = None,
    overwrite: bool = False,
) -> Plan:
    """Work out new levels for an image; reads metadata only, and writes nothing.

    Chunks, shards, codec, fill value and names of chunks are those of level 0.

    Parameters
    ----------
    image : str or path-like
        A folder with an OME-Zarr image, 0.4 or 0.5.
    levels : int, optional
        Level 0 included; by default until the longest axis fits into one chunk.
    method : str, optional
        As for :func:`enormous.create.convert.plan`; by default the recorded one, else mode for
        a label image, else mean.
    factors : "auto" or sequence of int
        "auto" halves the axes whose voxel is finest; ``(2, 2, 2)`` forces.
    workers : int, optional
        Threads to plan for; by default one for each core.
    overwrite : bool
        Replace the levels that are there, once the new ones are complete.

    Returns
    -------
    Plan

    Raises
    ------
    UsageError
        If it is no image in a folder, has more than level 0 and `overwrite` is not given, or
        an argument will not do.
    DataError
        If its metadata is damaged, or it may not be written to.
    """
    location = locate(image)
    if location.kind != "file":
        raise UsageError(f"{location.url} is not a folder: levels are made in place; copy it first")
    place = Path(os.path.realpath(location.base))
    found = _image(location)
    check_writable(place)
    files = ImageFiles.read(place)
    _check_levels(location.url, found, overwrite)
    chosen = _method(found, method)
    made = _levels(found, files.multiscale, levels, factors, chosen)
    target, note = _target(location, found.levels[0], made, chosen)
    if not leftovers(place):  # else it may be half in place; `begin` looks again
        _check_free(place, made, _old_paths(files.multiscale))
    array = join(location, found.levels[0].path)
    letters = "tczyx"[-len(found.axes) :]
    source = open_source(array, axes=letters)
    feed = Input(
        feed=level_feed,
        natural=source.natural,
        itemsize=target.itemsize,
        title="downsample",
        given=True,
    )
    stages = stages_of(target, feed, workers_or_default(workers))
    most = disk_bytes(target, stages, range(1, len(made)))
    return Plan(
        operation="pyramid",
        out=str(place),
        spec=Repyramid(source, target),
        stages=stages,
        begin=begin,
        finish=finish,
        publish=publish,
        overwrite=overwrite,
        disk_bytes=most,
        certain_bytes=spool_bytes(target, stages),
        scratch_bytes=scratch_bytes(target, stages),
        codec=str(target.codec),
        inputs=inputs_of(source),
        facts=(
            ("ome_zarr", found.version),
            ("codec", str(target.codec)),
            ("method", chosen),
            ("dtype", target.dtype),
            ("levels", list(levels_facts(target))),
            *spool_facts(target, stages),
            ("warnings", [*note, *space_warning(place, most)]),
        ),
    )


def run(
    image: str | os.PathLike[str],
    *,
    scheduler: Any = "threads",
    workers: int | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    **arguments: Any,
) -> Converted:
    """Make new levels for an image; plan and execute at once.

    Parameters
    ----------
    image, **arguments
        As for :func:`plan`.
    scheduler, workers, resume, progress
        As for :func:`enormous.run`.

    Raises
    ------
    UsageError, DataError
        As those do.
    """
    made = plan(image, workers=workers, **arguments)
    done = execute(made, scheduler=scheduler, workers=workers, resume=resume, progress=progress)
    return report(done.plan, done.seconds)


def _image(location: Location) -> Image:
    import zarr

    node = open_node(location)
    if isinstance(node, zarr.Array):
        raise UsageError(
            f"{location.url} is a bare Zarr array; make an image of it: enormous convert "
            f"{location.url} OUT"
        )
    found = read_images(node, location.url)
    if len(found) != 1:
        what = "no image" if not found else f"{len(found)} images"
        raise UsageError(f"{location.url} is a group with {what}; give one image")
    if found[0].version not in ("0.4", "0.5") or found[0].levels[0].scale is None:
        raise UsageError(
            f"{location.url} is OME-Zarr {found[0].version or 'of no stated version'}, which is "
            "too old for new levels; convert it to a new image"
        )
    if any(n < 1 for n in found[0].levels[0].shape):
        raise UsageError(f"{location.url} holds no voxels")
    return found[0]


def _check_levels(url: str, found: Image, overwrite: bool) -> None:
    if len(found.levels) > 1 and not overwrite:
        raise UsageError(
            f"{url} has {len(found.levels)} levels already; pass --overwrite to make those below "
            "level 0 anew"
        )


def _method(found: Image, method: str | None) -> str:
    recorded = found.method in METHODS and not (found.is_label and found.method in NO_LABELS)
    return method_of(found.method if method is None and recorded else method, found.is_label)


def _levels(
    found: Image,
    multiscale: Mapping[str, Any],
    count: int | None,
    factors: Factors,
    method: str,
) -> tuple[Level, ...]:
    """Level 0 as it is, and those below it: names and places follow from its own."""
    first = found.levels[0]
    space = [axis.type == "space" for axis in found.axes]
    assert first.scale is not None
    # an axis that is not space has the coarsest of voxels, so it is never the finest
    voxel = [s if is_space else math.inf for s, is_space in zip(first.scale, space, strict=True)]
    if factors != "auto" and any(
        f == 2 and not is_space
        for f, is_space in zip(tuple(factors)[::-1], space[::-1], strict=False)
    ):
        raise UsageError(f"factors {tuple(factors)} halve an axis that is not space; give 1 there")
    if count == 1:
        raise UsageError("1 level is what the image has without a pyramid; give 2 or more")
    if count is None:
        count = _usual_count(first, voxel, factors, method)
    made = levels_of(
        first.grid,
        voxel,
        levels=count,
        factors=factors,
        method=method,
    )
    own = multiscale["datasets"][0].get("coordinateTransformations", ())
    scale, origin = compose(own, len(space))
    return tuple(_named(made, d, first.path, scale, origin, method) for d in range(len(made)))


def _usual_count(first: StoredLevel, voxel: Sequence[float], factors: Factors, method: str) -> int:
    """Levels until the longest spatial axis fits into one chunk; two where that is level 0."""
    for count in itertools.count(2):
        try:
            made = levels_of(first.grid, voxel, levels=count, factors=factors, method=method)
        except UsageError:
            if count == 2:
                raise
            return count - 1
        last = made[-1].grid
        lengths = [n for n, v in zip(last.shape, voxel, strict=True) if v < math.inf]
        if max(lengths) <= max(last.chunks):
            return count
    raise AssertionError("count goes on")


def _named(
    made: Sequence[Level],
    number: int,
    path: str,
    scale: Sequence[float],
    origin: Sequence[float],
    method: str,
) -> Level:
    """One level with its path, and its place as level 0 counts."""
    times = [math.prod(level.factors[a] for level in made[: number + 1]) for a in range(len(scale))]
    size = tuple(s * f for s, f in zip(scale, times, strict=True))
    moved = 0.0 if method == "nearest" else 0.5
    place = tuple(o + (b - s) * moved for o, b, s in zip(origin, size, scale, strict=True))
    return replace(made[number], path=_path(path, number), scale=size, translation=place)


def _path(first: str, number: int) -> str:
    """Path of a level, such as that of level 0: 0 -> 1, s0 -> s1, scale0/image -> scale1/image."""
    if number == 0:
        return first
    zeros = list(re.finditer(r"(?<![0-9])0+(?![0-9])", first))
    if not zeros:
        return f"{first}_{number}"
    at = zeros[-1]
    return f"{first[: at.start()]}{number}{first[at.end() :]}"


def _target(
    location: Location, first: StoredLevel, made: tuple[Level, ...], method: str
) -> tuple[Target, list[str]]:
    """Arrays like that of level 0; and a line if its codec is none that we write."""
    import zarr

    array = open_node(locate(join(location, first.path)))
    assert isinstance(array, zarr.Array)
    stored = array.metadata.to_dict()
    note = []
    try:
        if array.metadata.zarr_format == 3:
            codec = Codec.from_v3(stored["codecs"])  # type: ignore[arg-type]
        else:
            compressor: Any = stored["compressor"]
            if compressor is not None and not isinstance(compressor, Mapping):
                compressor = compressor.get_config()
            if stored.get("filters"):
                raise DataError("filters have no name here")
            codec = Codec.from_v2(compressor, first.itemsize)
    except DataError:
        codec = Codec.parse(DEFAULT_CODEC)
        note.append(
            f"{join(location, first.path)} has a codec that is not written here ({first.codec}); "
            f"new levels get {codec}"
        )
    encoding, separator = _key_encoding(stored)
    fill = first.fill_value
    names = getattr(array.metadata, "dimension_names", None)
    return (
        Target(
            levels=made,
            dtype=np.dtype(first.dtype).newbyteorder("=").name,
            codec=codec,
            method=method,
            zarr_format=3 if first.zarr_format == 3 else 2,
            fill_value=fill.item() if isinstance(fill, np.generic) else fill or 0,  # type: ignore[arg-type]
            dimension_names=tuple(names) if names else None,
            key_encoding=encoding,
            separator=separator,
        ),
        note,
    )


def _key_encoding(stored: Mapping[str, Any]) -> tuple[str, str]:
    if stored["zarr_format"] == 2:
        return "v2", stored.get("dimension_separator") or "."
    encoding = stored["chunk_key_encoding"]
    default = "/" if encoding["name"] == "default" else "."
    return encoding["name"], encoding.get("configuration", {}).get("separator", default)


def _old_paths(multiscale: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(dataset["path"]) for dataset in multiscale["datasets"][1:])


def _check_free(place: Path, made: Sequence[Level], old: Sequence[str]) -> None:
    """Refuse to put a level where something else is."""
    for level in made[1:]:
        if level.path not in old and os.path.lexists(place / level.path):
            raise UsageError(
                f"{place / level.path} is in the way of a new level and is no level of the image; "
                "move it away"
            )


def begin(work: Work) -> None:
    """Write the metadata of the new arrays."""
    target: Target = work.plan.spec.target
    place = Path(work.plan.out)
    _check_free(place, target.levels, _old_paths(ImageFiles.read(place).multiscale))
    write_arrays(work.folder, target, range(1, len(target.levels)))


def finish(work: Work) -> None:
    """Clean up; what makes the levels seen is the image's own metadata, written by `publish`."""
    remove_partial(work.folder)


def level_feed(work: Work, region: Region, tally: Tally) -> NDArray[Any]:
    """The voxels of a region of level 0."""
    spec: Repyramid = work.plan.spec
    reader = work.kept("reader", lambda: open_reader(spec.source, work.workers))
    return reader.read(region)


def publish(work: Work) -> None:
    """Move the new levels in, and list them; may be called again after a crash at any point.

    The image is whole at every moment: first it lists level 0 alone, then levels are moved,
    then all are listed. Old levels are kept in the folder of the run until that is done.
    """
    target: Target = work.plan.spec.target
    place, folder = Path(work.plan.out), work.folder
    files = ImageFiles.read(place)
    before = files.remember(folder / "before.json", _old_paths(files.multiscale))
    if _old_paths(files.multiscale):
        files.write({"datasets": files.multiscale["datasets"][:1]})
    new = {level.path for level in target.levels[1:]}
    for path in before.levels:
        if path in new and not (folder / path).exists():
            continue  # the new one is there already
        _move(place / path, folder / ".old" / path)
    for path in new:
        _move(folder / path, place / path)
    files = ImageFiles.read(place)
    files.write(_listed(files, target), {"pyramid": {"created": work.plan.created}})
    if before.consolidated:
        files.consolidate()


def _move(source: Path, to: Path) -> None:
    """Rename a folder, if it is there."""
    if source.exists():
        to.parent.mkdir(parents=True, exist_ok=True)
        source.rename(to)


def _listed(files: ImageFiles, target: Target) -> dict[str, Any]:
    """What the image's entry says of its levels."""
    version = "0.5" if target.zarr_format == 3 else "0.4"
    whole = image_attributes(version, "", (), target.levels, target.method)  # type: ignore[arg-type]
    entry = whole.get("ome", whole)["multiscales"][0]
    return {
        "datasets": [files.multiscale["datasets"][0], *entry["datasets"][1:]],
        "type": entry["type"],
        "metadata": entry["metadata"],
    }

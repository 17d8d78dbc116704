"""Write a sample to disk as an OME-Zarr image, as planned.

Called by ``enormous sample`` and by the lessons. Blocks are made on threads, few
at a time; the image is written beside its place and renamed when it is complete.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from enormous._text import bytes_text, count_text, shape_text
from enormous.engine import output as _output
from enormous.engine.pool import Stop, run_blocks
from enormous.errors import DataError
from enormous.ome.metadata import VERSIONS, image_attributes
from enormous.ome.read import read_images
from enormous.samples import _stages
from enormous.samples.catalogue import describe
from enormous.samples.planning import CHANNELS, ITEMSIZE, Plan, Stage, plan
from enormous.stores import locate

#: No codec makes a sample smaller than its bytes divided by this (published: 1.9 and 54).
#: Sparse has no such border: nearly all of its chunks are empty, and those are not stored.
_CERTAIN_RATIO = {"heart": 4, "dense": 300}

#: Seconds after which a person is told why no block is done yet.
_PATIENCE = 3.0


@dataclass(frozen=True)
class Written:
    """What :func:`run` has written.

    Parameters
    ----------
    plan : Plan
    seconds : float
    stored_bytes, objects : tuple of int
        Of each level, finest first; metadata apart.
    """

    plan: Plan
    seconds: float
    stored_bytes: tuple[int, ...]
    objects: tuple[int, ...]


def run(
    name: str,
    out: str | Path,
    *,
    progress: Callable[[str, int, int], object] | None = None,
    **arguments: Any,
) -> Written:
    """Write a sample to disk as an OME-Zarr image.

    Parameters
    ----------
    name, out, **arguments
        As for :func:`plan`.
    progress : callable, optional
        Called as ``progress(title, done, blocks)`` after each block of a stage, and
        once with 0 blocks if the generator takes long to compile.

    Returns
    -------
    Written

    Raises
    ------
    UsageError
        As for :func:`plan`.
    DataError
        If the disk is full or may not be written to. Nothing is left behind then,
        nor on an interruption.
    """
    return execute(plan(name, out, **arguments), progress)


def execute(plan: Plan, progress: Callable[[str, int, int], object] | None = None) -> Written:
    """Execute a plan on threads; see :func:`run`."""
    began = time.perf_counter()
    out = Path(plan.out)
    _output.check_space(out, _certain_bytes(plan), plan.disk_bytes)
    original = _open_original(plan, progress is not None) if plan.source == "real" else None
    try:
        if progress and plan.source == "twin":
            _prepare(plan, progress)
        return _write(plan, out, original, progress, began)
    except MemoryError as error:
        raise DataError(
            f"{plan.out}: out of memory: up to {bytes_text(plan.peak_bytes)} needed with "
            f"{count_text(plan.workers, 'worker')}; use fewer workers or smaller shards"
        ) from error


def leftovers(plan: Plan) -> list[Path]:
    """Hidden folders beside the output, of runs that were killed (or still go on)."""
    return _output.leftovers(Path(plan.out))


def _prepare(plan: Plan, progress: Callable[[str, int, int], object]) -> None:
    """Compile or load the generator before the first block; say so if it takes a while."""
    from enormous.samples.blocks import one_block

    title = "preparing the generator (the first run ever compiles it)"
    slow = threading.Timer(_PATIENCE, progress, (title, 0, 0))
    slow.daemon = True
    slow.start()
    try:
        one_block(plan.name, plan.levels[0].grid.shape[-3:], (0, 0, 0), (1, 1, 1), seed=plan.seed)
    finally:
        slow.cancel()


def _certain_bytes(plan: Plan) -> int:
    """Bytes below which the output cannot be."""
    ratio = _CERTAIN_RATIO.get(plan.name)
    if ratio is None:
        return 0
    return plan.disk_bytes if plan.codec.name == "none" else plan.write_bytes // ratio


def _write(
    plan: Plan,
    out: Path,
    original: Any,
    progress: Callable[[str, int, int], object] | None,
    began: float,
) -> Written:
    with _output.new_folder(out, overwrite=plan.overwrite, needs=plan.disk_bytes) as folder:
        arrays = _create(plan, folder)
        for stage in plan.stages:
            _run_stage(plan, stage, arrays, original, progress)
        _finish(plan, folder)
        stored = tuple(_output.stored(folder / level.path) for level in plan.levels)
    return Written(
        plan,
        time.perf_counter() - began,
        tuple(size for size, _ in stored),
        tuple(count for _, count in stored),
    )


def _run_stage(
    plan: Plan,
    stage: Stage,
    arrays: tuple[Any, ...],
    original: Any,
    progress: Callable[[str, int, int], object] | None,
) -> None:
    session = _stages.Session(arrays, original, Stop(), plan.side_by_side(stage))
    finished = 0

    def done() -> None:
        nonlocal finished
        finished += 1
        if progress:
            progress(stage.title, finished, stage.blocks.n)

    def task(number: int) -> None:
        stage.function(plan, session, stage.level, number)

    run_blocks(task, stage.blocks.n, plan.workers, stop=session.stop, done=done)


def _create(plan: Plan, folder: Path) -> tuple[Any, ...]:
    """Write the metadata of all arrays and open them; the group, which comes last, is not there."""
    import tensorstore as ts
    import zarr

    v3 = plan.zarr_format == 3
    context = ts.Context(
        {
            "data_copy_concurrency": {"limit": plan.workers},
            "file_io_concurrency": {"limit": plan.workers},
            "file_io_sync": False,  # as zarr: the system decides when bytes reach the disk
            "cache_pool": {"total_bytes_limit": 0},
        }
    )
    opened = []
    for level in plan.levels:
        zarr.create_array(
            str(folder / level.path),  # with name= zarr would write the group, too early
            shape=level.grid.shape,
            dtype=plan.dtype,
            chunks=level.grid.chunks,
            shards=level.grid.shards,
            compressors=plan.codec.zarr(plan.zarr_format, ITEMSIZE),
            fill_value=0,
            zarr_format=plan.zarr_format,
            dimension_names=list(plan.axis_names) if v3 else None,
            chunk_key_encoding={"name": "default" if v3 else "v2", "separator": "/"},
        )
        spec = {
            "driver": "zarr3" if v3 else "zarr",
            "kvstore": {"driver": "file", "path": (folder / level.path).as_posix() + "/"},
        }
        opened.append(ts.open(spec, open=True, context=context).result())
    return tuple(opened)


def _finish(plan: Plan, folder: Path) -> None:
    """Write the root metadata, which makes the folder an image."""
    import zarr

    sample = describe(plan.name)
    count = plan.levels[0].grid.shape[plan.axis_names.find("c")] if "c" in plan.axis_names else 1
    image = sample.kind == "image"
    attributes = image_attributes(
        VERSIONS[plan.zarr_format],
        f"{plan.name} ({plan.source})",
        plan.axes,
        plan.levels,
        plan.method,
        channels=CHANNELS[:count] if image else (),
        is_label=not image,
    )
    origin = {"sample": plan.name, "source": plan.source, "shows": sample.shows}
    if plan.source == "twin":
        origin["seed"] = str(plan.seed)
    zarr.create_group(
        str(folder), zarr_format=plan.zarr_format, attributes={**attributes, "enormous": origin}
    )


def _open_original(plan: Plan, progress: bool) -> Any:
    """Download (or find in the cache) the published scan and open it, axes as ``z, y, x``."""
    import tensorstore as ts
    import zarr

    from enormous.ome.inspect import open_node
    from enormous.samples import real

    location = locate(real.fetch(plan.name, progress=progress))
    node = open_node(location)
    path = ""
    if isinstance(node, zarr.Group):
        images = read_images(node, location.url)
        if not images:
            raise DataError(f"{location.url} is no image; delete it to download it again")
        path = images[0].levels[0].path
    folder = (Path(location.base) / path).as_posix()
    spec = {"driver": "zarr", "kvstore": {"driver": "file", "path": folder + "/"}}
    original = ts.open(spec, open=True, read=True).result()
    wanted = plan.levels[0].grid.shape
    if original.shape == wanted[::-1]:  # stored x, y, z, as ImageJ and ITK count
        original = original.T
    if original.shape != wanted or original.dtype.name != plan.dtype:
        raise DataError(
            f"{folder} is {shape_text(original.shape)} {original.dtype.name}, not "
            f"{shape_text(wanted)} {plan.dtype} as published; delete it to download it again"
        )
    return original

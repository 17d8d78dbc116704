"""``enormous sample``: write one of the three scans."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from enormous.cli import _images
from enormous.cli._common import (
    Debug,
    DryRun,
    Json,
    Overwrite,
    Quiet,
    Resume,
    Scheduler,
    Share,
    Stage,
    Workers,
    sizes,
)
from enormous.errors import UsageError


def sample(
    name: Annotated[str, typer.Argument(metavar="heart|dense|sparse", help="Which scan.")],
    out: Annotated[str, typer.Argument(metavar="OUT", help="Where the OME-Zarr image shall be.")],
    size: Annotated[
        str | None,
        typer.Option(metavar="tiny|small|full", help="Longest edge 64, 200 (default) or 806."),
    ] = None,
    shape: Annotated[
        str | None,
        typer.Option(metavar="Z,Y,X", help="Any other size: the same view, coarser or finer."),
    ] = None,
    zarr_format: Annotated[
        int, typer.Option(metavar="2|3", help="3 is OME-Zarr 0.5, 2 is 0.4.")
    ] = 3,
    chunks: _images.Chunks = None,
    shards: _images.Shards = None,
    codec: _images.CodecName = None,
    levels: _images.Levels = None,
    channels: Annotated[
        int | None, typer.Option(metavar="N", help="heart only: an axis c of 1 or 2 channels.")
    ] = None,
    timepoints: Annotated[
        int | None, typer.Option(metavar="N", help="heart only: an axis t.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Another seed, another scan.")] = 0,
    source: Annotated[
        str, typer.Option(metavar="twin|real", help="Generated, or the published one (download).")
    ] = "twin",
    scheduler: Scheduler = "threads",
    workers: Workers = None,
    dry_run: DryRun = False,
    resume: Resume = False,
    stage: Stage = None,
    share: Share = None,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write a sample scan: heart (grey image), dense or sparse (neurons, labels).

    Missing parent folders of OUT are made.
    """
    if size is not None and shape is not None:
        raise UsageError("--size and --shape exclude each other; give one of them")
    from enormous import samples
    from enormous.samples.write import prepare

    # a published scan has one size only
    default = "full" if source == "real" else "small"
    plan = samples.plan(
        name,
        out,
        size=size or default,
        shape=_images.shape_of(shape),
        zarr_format=zarr_format,
        chunks=sizes(chunks, "--chunks"),
        shards=_images.shards_of(shards),
        codec=codec,
        levels=levels,
        seed=seed,
        channels=channels,
        timepoints=timepoints,
        workers=workers,
        overwrite=overwrite,
        source=source,
    )
    if not dry_run and not quiet and sys.stderr.isatty():
        prepare(plan)
    _images.carry_out(
        plan,
        dry_run=dry_run,
        scheduler=scheduler,
        workers=workers,
        resume=resume,
        stage=stage,
        share=share,
        json=json,
        quiet=quiet,
    )

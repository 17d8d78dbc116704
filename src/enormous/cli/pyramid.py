"""``enormous pyramid``: make the levels below level 0 of an image anew, in place."""

from __future__ import annotations

from typing import Annotated

import typer

from enormous.cli import _images
from enormous.cli._common import (
    Debug,
    DryRun,
    Json,
    Quiet,
    Resume,
    Scheduler,
    Share,
    Stage,
    Workers,
)


def pyramid(
    image: Annotated[
        str, typer.Argument(metavar="IMAGE", help="Folder of an OME-Zarr image, 0.4 or 0.5.")
    ],
    levels: _images.Levels = None,
    method: Annotated[
        str | None,
        typer.Option(
            metavar="mean|mode|median|max|min|nearest",
            help="How a level is made of the one above; by default as recorded, else mode for a "
            "label image, else mean.",
        ),
    ] = None,
    factors: _images.Factors = "auto",
    scheduler: Scheduler = "threads",
    workers: Workers = None,
    dry_run: DryRun = False,
    resume: Resume = False,
    stage: Stage = None,
    share: Share = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Replace the levels there are, once the new ones are complete."
        ),
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Make the levels below level 0 of an image, in place; all else in it is kept."""
    from enormous.create import pyramid as operation

    plan = operation.plan(
        image,
        levels=levels,
        method=method,
        factors=_images.factors_of(factors),
        workers=workers,
        overwrite=overwrite,
    )
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

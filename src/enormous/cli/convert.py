"""``enormous convert``: a stack of slices, or any volume, to an OME-Zarr image."""

from __future__ import annotations

import warnings
from typing import Annotated, Any

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


def convert(
    stack: Annotated[
        str,
        typer.Argument(
            metavar="STACK",
            help="Folder or quoted glob of slices (TIFF, PNG, JPEG 2000), or a file: TIFF, HDF5, "
            "NIfTI, npy, raw, Zarr.",
        ),
    ],
    out: Annotated[str, typer.Argument(metavar="OUT", help="Where the OME-Zarr image shall be.")],
    voxel_size: Annotated[
        str | None,
        typer.Option(metavar="Z,Y,X", help="Size of a voxel; by default what the file says."),
    ] = None,
    unit: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of the voxel size; micrometer by default.")
    ] = None,
    chunks: _images.Chunks = None,
    shards: _images.Shards = None,
    codec: _images.CodecName = None,
    levels: _images.Levels = None,
    method: _images.Method = None,
    factors: _images.Factors = "auto",
    zarr_format: Annotated[
        int | None,
        typer.Option(
            metavar="2|3",
            help="3 is OME-Zarr 0.5, 2 is 0.4; by default 3, or that of the image of the labels.",
        ),
    ] = None,
    window: Annotated[
        str | None,
        typer.Option(
            metavar="LO,HI",
            help="Grey values stored as 0 and as the largest number of --dtype, linear in "
            "between: value = LO + stored * (HI - LO) / (2^bits - 1), half to even; what lies "
            "outside is clipped and counted.",
        ),
    ] = None,
    dtype: Annotated[
        str | None, typer.Option(metavar="uint8|uint16", help="Of what is stored, with --window.")
    ] = None,
    mask_fov: Annotated[
        bool,
        typer.Option(
            "--mask-fov",
            help="Set what lies outside the circle inscribed in a slice to 0; it is not stored.",
        ),
    ] = False,
    label: Annotated[
        bool,
        typer.Option(
            "--label",
            help="Make a label image, halved by mode; with IMAGE/labels/NAME for OUT, one of the "
            "labels of an image. Only this makes one: neither names nor dtypes are taken as a "
            "hint.",
        ),
    ] = False,
    dataset: Annotated[
        str | None, typer.Option(metavar="PATH", help="Inside an HDF5 file or a Zarr group.")
    ] = None,
    shape: Annotated[
        str | None, typer.Option(metavar="Z,Y,X", help="Of a raw file, slowest axis first.")
    ] = None,
    source_dtype: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of a raw file: uint16.")
    ] = None,
    source_order: Annotated[
        str | None, typer.Option(metavar="little|big", help="Byte order of a raw file.")
    ] = None,
    source_offset: Annotated[
        int, typer.Option(metavar="N", help="Bytes before the first voxel of a raw file.")
    ] = 0,
    axes: Annotated[
        str | None,
        typer.Option(metavar="LETTERS", help="Of t, c, z, y, x, one for each stored axis."),
    ] = None,
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
    """Convert a stack of slices, or any volume, to an OME-Zarr image with its pyramid."""
    from enormous.create import convert as operation

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # told below, as lines
        plan = operation.plan(
            stack,
            out,
            voxel_size=_images.numbers(voxel_size, "--voxel-size", "0.5 or 2.0,0.5,0.5"),
            unit=unit,
            chunks=sizes(chunks, "--chunks"),
            shards=_images.shards_of(shards),
            codec=codec,
            levels=levels,
            method=method,
            factors=_images.factors_of(factors),
            zarr_format=zarr_format,
            window=_window(window),
            dtype=dtype,
            mask_fov=mask_fov,
            label=label,
            dataset=dataset,
            shape=_images.shape_of(shape),
            source_dtype=source_dtype,
            source_order=source_order,
            source_offset=source_offset,
            axes=axes,
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


def _window(text: str | None) -> tuple[float, float] | None:
    from enormous.errors import UsageError

    found: Any = _images.numbers(text, "--window", "LO,HI, such as -0.2,1.5")
    if found is not None and (not isinstance(found, tuple) or len(found) != 2):
        raise UsageError(f"--window {text!r} needs two numbers: LO,HI")
    pair: tuple[float, float] | None = found
    return pair

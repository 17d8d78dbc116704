"""``enormous sample``: write one of the three scans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from enormous._text import bytes_text, count_text, shape_text
from enormous.cli._common import (
    Debug,
    DryRun,
    Json,
    Overwrite,
    Progress,
    Quiet,
    Workers,
    print_json,
    print_table,
    sizes,
)
from enormous.errors import UsageError

if TYPE_CHECKING:
    from enormous.samples import Plan, Written


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
    chunks: Annotated[
        str | None, typer.Option(metavar="N|Z,Y,X", help="Size of a chunk, in voxels.")
    ] = None,
    shards: Annotated[
        str | None,
        typer.Option(metavar="N|Z,Y,X|none", help="Size of a shard, in voxels; none: no shards."),
    ] = None,
    codec: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="name[:level][:shuffle], as blosc-zstd:3:shuffle."),
    ] = None,
    levels: Annotated[
        int | None, typer.Option(metavar="N", help="Levels of the pyramid, level 0 included.")
    ] = None,
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
    workers: Workers = None,
    dry_run: DryRun = False,
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
    from enormous.samples.write import leftovers

    # a published scan has one size only
    default = "full" if source == "real" else "small"
    plan = samples.plan(
        name,
        out,
        size=size or default,
        shape=_shape(shape),
        zarr_format=zarr_format,
        chunks=sizes(chunks, "--chunks"),
        shards="none" if shards == "none" else sizes(shards, "--shards", "512, Z,Y,X or none"),
        codec=codec,
        levels=levels,
        seed=seed,
        channels=channels,
        timepoints=timepoints,
        workers=workers,
        overwrite=overwrite,
        source=source,
    )
    if dry_run:
        _print_plan(plan, json, quiet)
        return
    if not quiet:
        for path in leftovers(plan):
            typer.echo(
                f"warning: {path} is left of a run that was killed, unless that still runs; "
                "remove it",
                err=True,
            )
    written = samples.execute(plan, Progress.where_seen(quiet))
    if json:
        print_json(_written(written))
    elif not quiet:
        typer.echo(_summary(written))


def _shape(text: str | None) -> tuple[int, ...] | None:
    given = sizes(text, "--shape", "Z,Y,X, such as 512,400,400")
    return (given,) if isinstance(given, int) else given


def _print_plan(plan: Plan, json: bool, quiet: bool) -> None:
    if json:
        print_json({**plan.as_dict(), "dry_run": True})
    elif not quiet:
        typer.echo(f"{plan.out}: {plan.name} ({plan.source}), {plan.codec}; nothing is written")
        rows = [
            (
                level.path,
                shape_text(level.grid.shape),
                shape_text(level.grid.chunks),
                shape_text(level.grid.shards) if level.grid.shards else "none",
                f"{level.grid.n_objects:,}",
                bytes_text(level.grid.nbytes),
            )
            for level in plan.levels
        ]
        print_table(("level", "shape", "chunk", "shard", "objects", "bytes"), rows)
        typer.echo(f"reads        {bytes_text(plan.read_bytes)} (decoded)")
        typer.echo(f"writes       {bytes_text(plan.write_bytes)} (before compression)")
        typer.echo(f"objects      up to {plan.objects:,}, metadata included")
        typer.echo(f"peak memory  {bytes_text(plan.peak_bytes)} with {plan.workers} workers")


def _written(written: Written) -> dict[str, Any]:
    facts = written.plan.as_dict()
    for level, size, count in zip(
        facts["levels"], written.stored_bytes, written.objects, strict=True
    ):
        level["stored_bytes"], level["stored_objects"] = size, count
    return {**facts, "seconds": round(written.seconds, 3), "dry_run": False}


def _summary(written: Written) -> str:
    plan = written.plan
    stored = sum(written.stored_bytes)
    return (
        f"{plan.out}: {plan.name} ({plan.source}), {shape_text(plan.levels[0].grid.shape)} "
        f"{plan.dtype}, {count_text(len(plan.levels), 'level')}, {bytes_text(stored)} in "
        f"{count_text(sum(written.objects), 'object')} "
        f"(ratio {plan.write_bytes / max(1, stored):.2f}), "
        f"{written.seconds:.1f} s"
    )

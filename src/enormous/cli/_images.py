"""What the commands that write images share: options of the pyramid, and what they print.

Called by the modules of ``sample``, ``convert`` and ``pyramid``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from enormous._text import bytes_text, count_text, shape_text
from enormous.cli._common import (
    check_part,
    counts,
    execute,
    print_json,
    print_plan,
    print_table,
    ratio_text,
    sizes,
    warn,
)
from enormous.errors import UsageError

if TYPE_CHECKING:
    from enormous.create.report import Converted
    from enormous.engine import Done, Plan

Chunks = Annotated[str | None, typer.Option(metavar="N|Z,Y,X", help="Size of a chunk, in voxels.")]
Shards = Annotated[
    str | None,
    typer.Option(
        metavar="N|Z,Y,X|none",
        help="Size of a shard, in voxels, on all levels; none: no shards. By default it halves "
        "with the levels.",
    ),
]
CodecName = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="name[:level][:shuffle], as blosc-zstd:3:shuffle."),
]
Levels = Annotated[
    int | None, typer.Option(metavar="N", help="Levels of the pyramid, level 0 included.")
]
Method = Annotated[
    str | None,
    typer.Option(
        metavar="mean|mode|median|max|min|nearest",
        help="How a level is made of the one above; by default mean, and mode for labels.",
    ),
]
Factors = Annotated[
    str,
    typer.Option(
        metavar="auto|Z,Y,X",
        help="auto halves the axes whose voxel is finest; 1 (keep) or 2 (halve) for each forces.",
    ),
]


def numbers(text: str | None, option: str, example: str) -> Any:
    """Read one number or several, with commas between them.

    Returns
    -------
    float, tuple of float or None

    Raises
    ------
    UsageError
    """
    if text is None:
        return None
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"{option} {text!r} is not made of numbers; write {example}") from None
    return found[0] if len(found) == 1 else found


def shards_of(text: str | None) -> Any:
    """What ``--shards`` means."""
    return "none" if text == "none" else sizes(text, "--shards", "512, Z,Y,X or none")


def factors_of(text: str) -> Any:
    """What ``--factors`` means."""
    found = "auto" if text == "auto" else sizes(text, "--factors", "auto or 1,2,2")
    return (found,) if isinstance(found, int) else found


def shape_of(text: str | None) -> tuple[int, ...] | None:
    """What ``--shape`` means."""
    given = sizes(text, "--shape", "Z,Y,X, such as 512,400,400")
    return (given,) if isinstance(given, int) else given


def carry_out(
    plan: Plan,
    *,
    dry_run: bool,
    scheduler: str,
    workers: int | None,
    resume: bool,
    stage: int | None,
    share: str | None,
    json: bool,
    quiet: bool,
) -> None:
    """Do with a plan what the common options say, and tell of it.

    Raises
    ------
    EnormousError
        As :func:`enormous.run`; of the options, before anything is printed.
    """
    check_part(plan, stage, share)
    for line in dict(plan.facts).get("warnings", ()) if not quiet else ():
        warn(line)
    if dry_run:
        print_plan(plan, scheduler=scheduler, workers=workers, json=json, quiet=quiet)
        if not (json or quiet):
            _print_levels(plan)
        return
    done = execute(
        plan,
        scheduler=scheduler,
        workers=workers,
        resume=resume,
        stage=stage,
        share=share,
        json=json,
        quiet=quiet,
    )
    if done is not None:
        _print_made(done, json, quiet)


def _print_levels(plan: Plan) -> None:
    rows = [
        (
            level["path"],
            shape_text(level["shape"]),
            shape_text(level["chunks"]),
            shape_text(level["shards"]) if level["shards"] else "none",
            f"{level['objects']:,}",
            bytes_text(level["bytes"]),
        )
        for level in dict(plan.facts)["levels"]
    ]
    print_table(("level", "shape", "chunk", "shard", "objects", "bytes"), rows)


def _print_made(done: Done, json: bool, quiet: bool) -> None:
    """What came out, in one line; and what was lost on the way, a line each."""
    from enormous.create.report import report

    made = report(done.plan, done.seconds)
    if json:
        print_json(_as_dict(made, done))
    elif not quiet:
        _tell(made, done)


def _tell(made: Converted, done: Done) -> None:
    target, stored = done.plan.spec.target, sum(made.stored_bytes)
    nbytes = sum(level.grid.nbytes for level in target.levels)
    typer.echo(
        f"{done.plan.out}: {shape_text(target.levels[0].grid.shape)} {target.dtype}, "
        f"{count_text(len(target.levels), 'level')} by {target.method}, {bytes_text(stored)} in "
        f"{count_text(sum(made.objects), 'object')} (ratio {ratio_text(nbytes, stored)}), "
        f"{made.seconds:.1f} s"
    )
    if made.clipped is not None:
        lost = made.clipped
        typer.echo(
            f"window: {lost.below:,} voxels below and {lost.above:,} above it were clipped, "
            f"{lost.nan:,} NaN became 0"
        )
    if made.masked:
        typer.echo(
            f"mask: {count_text(made.masked, 'voxel')} outside the field of view set to 0, which "
            f"made level 0 smaller by about {bytes_text(max(0, made.saved_bytes))}"
        )


def _as_dict(made: Converted, done: Done) -> dict[str, Any]:
    plan = done.plan
    facts = dict(plan.facts)
    facts["levels"] = [
        {**level, "stored_bytes": size, "stored_objects": count}
        for level, size, count in zip(facts["levels"], made.stored_bytes, made.objects, strict=True)
    ]
    told: dict[str, Any] = {
        "operation": plan.operation,
        "out": plan.out,
        "hash": plan.hash,
        "created": plan.created,
        **counts(done),
        **facts,
        "dry_run": False,
    }
    if made.clipped is not None:
        lost = made.clipped
        told["clipped"] = {"below": lost.below, "above": lost.above, "nan": lost.nan}
    if made.masked:
        told["masked"] = {"voxels": made.masked, "saved_bytes_about": made.saved_bytes}
    return told

"""``enormous validate``: whether an image keeps the specification and lies in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from enormous._text import count_text
from enormous.cli._common import Debug, Json, Quiet, print_json

if TYPE_CHECKING:
    from enormous.ome.validate import Fault, Report


def validate(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="Path or URL of an image, plate, array or group.")
    ],
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Check metadata, arrays, voxel sizes and translations; exit code 1 if anything is wrong."""
    from enormous.ome import validate as ome

    report = ome.validate(url)
    if json:
        print_json(_as_dict(report))
    else:
        for fault in report.errors if quiet else report.faults:
            typer.echo(_line(fault))
        if not quiet:
            _print_summary(report)
    raise typer.Exit(0 if report.ok else 1)


def _line(fault: Fault) -> str:
    return f"{fault.severity}: {fault.path or '.'}: {fault.message} [{fault.rule}]"


def _print_summary(report: Report) -> None:
    for note in report.notes:
        typer.echo(f"note: {note}")
    what = f"OME-Zarr {report.version} {report.kind}" if report.version else report.kind
    counts = ", ".join(
        count_text(number, name.removesuffix("s"), name) for name, number in report.checked.items()
    )
    faults = "no faults"
    if report.faults:
        errors = count_text(len(report.errors), "error")
        faults = f"{errors}, {count_text(len(report.warnings), 'warning')}"
    typer.echo(f"{report.url}: {what}: {faults}{f' in {counts}' if counts else ''}")


def _as_dict(report: Report) -> dict[str, Any]:
    return {
        "url": report.url,
        "kind": report.kind,
        "version": report.version,
        "valid": report.ok,
        "faults": [
            {"severity": f.severity, "path": f.path, "rule": f.rule, "message": f.message}
            for f in report.faults
        ],
        "checked": dict(report.checked),
        "notes": list(report.notes),
    }

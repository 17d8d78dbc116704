"""``enormous info``: what a Zarr image, array or group is and takes."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer

from enormous._text import bytes_text, count_text, shape_text
from enormous.cli._common import Debug, Json, print_json, print_table, ratio_text

if TYPE_CHECKING:
    from enormous.ome.inspect import Found, Stored
    from enormous.ome.members import Plate
    from enormous.ome.metadata import Axis
    from enormous.ome.read import Image, StoredLevel

_HEAD = ("level", "dtype", "codec", "shape", "chunk", "shard", "objects", "stored", "ratio")
_SAID_ONCE = (1, 2)  # dtype and codec: above the table where all levels agree, as they mostly do


def info(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="Path or URL of an image, array or group.")
    ],
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Show axes, voxel sizes, levels, chunks, shards, codecs and what is stored."""
    from enormous.ome.inspect import inspect

    found = inspect(url)
    if json:
        print_json(_as_dict(found))
    else:
        _print(found)


def _print(found: Found) -> None:
    shown = found.images or found.members or found.arrays
    unknown = " (objects and bytes are not known: a plain server cannot be listed)"
    typer.echo(
        f"{found.url}: {found.kind}, Zarr format {found.zarr_format}"
        f"{unknown if shown and not found.stored else ''}"
    )
    if found.plate is not None:
        typer.echo(_plate_text(found.plate))
    for image in found.images:
        _print_image(image, found)
    for path, image in found.members:
        typer.echo(f"{'first field' if found.plate else 'image'} {path}")
        _print_image(image, found, f"{path}/")
    for name, image in found.labels:
        typer.echo(f"label image labels/{name}")
        _print_image(image, found, f"labels/{name}/")
    if found.arrays is None:
        typer.echo("a plain server cannot be listed; give the address of an array or image")
    elif found.arrays:
        _print_levels({array.path: array for array in found.arrays}, found)


def _plate_text(plate: Plate) -> str:
    name = f"'{plate.name}': " if plate.name else ""
    fields = "fields not counted over HTTP"
    if plate.fields is not None:
        fields = count_text(plate.fields, "field") + " of view"
    rows, columns = count_text(plate.rows, "row"), count_text(plate.columns, "column")
    return f"  {name}{rows} × {columns}, {count_text(plate.wells, 'well')}, {fields}"


def _print_image(image: Image, found: Found, prefix: str = "") -> None:
    name = f" '{image.name}'" if image.name else ""
    method = f", levels by {image.method}" if image.method else ""
    typer.echo(f"OME-Zarr {image.version or 'of no stated version'}{name}{method}")
    for number, axis in enumerate(image.axes):
        typer.echo(f"  {_axis_text(axis, number, image)}")
    _print_levels({prefix + level.path: level for level in image.levels}, found)


def _print_levels(levels: dict[str, StoredLevel], found: Found) -> None:
    """Print a table that fits into 80 columns where numbers are of a usual length."""
    rows = [_row(level, found.stored.get(path)) for path, level in levels.items()]
    once = [i for i in _SAID_ONCE if len({row[i] for row in rows}) == 1]
    if once:
        typer.echo("  " + ", ".join(rows[0][i] for i in once))
    kept = [i for i in range(len(_HEAD)) if i not in once]
    table = [[row[i] for i in kept] for row in rows]
    print_table([_HEAD[i] for i in kept], table, 3 - len(once))
    for path in levels:
        if path in found.stored and found.stored[path].stray:
            files = count_text(found.stored[path].stray, "file")
            typer.echo(
                f"warning: {path or found.url}: {files} with names that no reader of this array "
                "asks for; check its chunk separator"
            )


def _axis_text(axis: Axis, number: int, image: Image) -> str:
    level = image.levels[0]
    voxels = count_text(level.shape[number], "voxel" if axis.type == "space" else "step")
    if level.scale is None or (axis.type in ("channel", "time") and axis.unit is None):
        return f"{axis.name}: {voxels}"
    size = level.scale[number]
    unit = axis.unit or "(no unit)"
    return f"{axis.name}: {voxels} of {size:.6g} {unit}, {size * level.shape[number]:.6g} in all"


def _row(level: StoredLevel, stored: Stored | None) -> tuple[str, ...]:
    most = level.grid.n_objects
    return (
        level.path or ".",
        level.dtype,
        level.codec,
        shape_text(level.shape) or "()",
        shape_text(level.chunks),
        shape_text(level.shards) if level.shards else "none",
        _objects_text(stored.objects if stored else None, most),
        bytes_text(stored.nbytes) if stored else "?",
        ratio_text(level.grid.nbytes, stored.nbytes if stored else 0),
    )


def _objects_text(stored: int | None, most: int) -> str:
    """Objects there are; and how many there could be, if they are fewer or not known."""
    if stored == most:
        return f"{most:,}"
    return f"{'?' if stored is None else f'{stored:,}'} of {most:,}"


def _as_dict(found: Found) -> dict[str, Any]:
    return {
        "url": found.url,
        "kind": found.kind,
        "zarr_format": found.zarr_format,
        "images": [_image(image, found) for image in found.images],
        "labels": {name: _image(label, found, f"labels/{name}/") for name, label in found.labels},
        "arrays": None
        if found.arrays is None
        else [_level(array, found.stored.get(array.path)) for array in found.arrays],
        "plate": dataclasses.asdict(found.plate) if found.plate else None,
        "members": {path: _image(image, found, f"{path}/") for path, image in found.members},
    }


def _image(image: Image, found: Found, prefix: str = "") -> dict[str, Any]:
    return {
        "version": image.version,
        "name": image.name,
        "is_label": image.is_label,
        "method": image.method,
        "axes": [{"name": a.name, "type": a.type, "unit": a.unit} for a in image.axes],
        "levels": [_level(lv, found.stored.get(prefix + lv.path)) for lv in image.levels],
    }


def _level(level: StoredLevel, stored: Stored | None) -> dict[str, Any]:
    return {
        "path": level.path,
        "shape": list(level.shape),
        "dtype": level.dtype,
        "chunks": list(level.chunks),
        "shards": list(level.shards) if level.shards else None,
        "codec": level.codec,
        "fill_value": str(level.fill_value),
        "voxel_size": list(level.scale) if level.scale else None,
        "translation": list(level.translation) if level.translation else None,
        "bytes": level.grid.nbytes,
        "objects_at_most": level.grid.n_objects,
        "objects": stored.objects if stored else None,
        "stray_files": stored.stray if stored else None,
        "stored_bytes": stored.nbytes if stored else None,
        "ratio": level.grid.nbytes / stored.nbytes if stored and stored.nbytes else None,
    }

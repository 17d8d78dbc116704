"""Small valid OME-Zarr stores for the tests of validation: one of each kind, 0.4 and 0.5."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from enormous.ome.validate import Report, validate

VERSIONS = ("0.4", "0.5")
CHANNEL = {
    "label": "a",
    "color": "FF00aa",
    "active": True,
    "coefficient": 1,
    "family": "linear",
    "inverted": False,
    "window": {"start": 0, "end": 100, "min": 0, "max": 255},
}


def multiscale(axes: str = "czyx", levels: int = 2) -> dict[str, Any]:
    """One entry of ``multiscales``: voxels of 2, 1, 1 micrometer, halved in y and x."""
    kinds = {"t": "time", "c": "channel"}
    units = {"t": "second", "z": "micrometer", "y": "micrometer", "x": "micrometer"}
    size = {"t": 1.0, "c": 1.0, "z": 2.0, "y": 1.0, "x": 1.0}
    scales = [[size[a] * (2**d if a in "yx" else 1) for a in axes] for d in range(levels)]
    return {
        "name": "an image",
        "axes": [
            {"name": a, "type": kinds.get(a, "space"), **({"unit": units[a]} if a in units else {})}
            for a in axes
        ],
        "datasets": [
            {
                "path": str(d),
                "coordinateTransformations": [
                    {"type": "scale", "scale": scale},
                    {
                        "type": "translation",
                        "translation": [(s - b) / 2 for s, b in zip(scale, scales[0], strict=True)],
                    },
                ],
            }
            for d, scale in enumerate(scales)
        ],
        "type": "mean",
        "metadata": {"method": "some.library.mean"},
    }


def attributes(version: str, **ome: Any) -> dict[str, Any]:
    """Attributes of a group: below ``ome`` with its version (0.5), or with versions inside."""
    if version == "0.5":
        return {"ome": {"version": "0.5", **ome}}
    for key in ("omero", "image-label", "plate", "well"):
        if key in ome:
            ome[key] = {**ome[key], "version": version}
    if "multiscales" in ome:
        ome["multiscales"] = [{**entry, "version": version} for entry in ome["multiscales"]]
    return ome


def write_group(folder: Path, version: str, **ome: Any) -> None:
    """A group, or new attributes for it."""
    folder.mkdir(parents=True, exist_ok=True)
    set_attributes(folder, version, attributes(version, **ome) if ome else {})


def set_attributes(folder: Path, version: str, given: Any) -> None:
    """Write attributes as they are, valid or not."""
    if version == "0.5":
        document = {"zarr_format": 3, "node_type": "group", "attributes": given}
        (folder / "zarr.json").write_text(json.dumps(document))
    else:
        (folder / ".zgroup").write_text('{"zarr_format": 2}')
        (folder / ".zattrs").write_text(json.dumps(given))


def get_attributes(folder: Path) -> dict[str, Any]:
    """The attributes of a group."""
    if (folder / "zarr.json").exists():
        return dict(json.loads((folder / "zarr.json").read_text())["attributes"])
    return dict(json.loads((folder / ".zattrs").read_text()))


def write_array(
    folder: Path, version: str, axes: str, shape: tuple[int, ...], dtype: str = "uint8"
) -> None:
    """An array of ones, one chunk."""
    named = {"dimension_names": list(axes)} if version == "0.5" else {}
    separator = {"name": "default" if version == "0.5" else "v2", "separator": "/"}
    array = zarr.create_array(
        str(folder),
        shape=shape,
        chunks=shape,
        dtype=dtype,
        zarr_format=3 if version == "0.5" else 2,
        chunk_key_encoding=separator,  # type: ignore[arg-type]
        fill_value=0,
        overwrite=True,
        **named,
    )
    array[...] = np.ones(shape, dtype)


def write_image(folder: Path, version: str, axes: str = "czyx", **ome: Any) -> Path:
    """An image of two levels, 2 channels, 3×9×8 voxels."""
    size = {"t": 2, "c": 2, "z": 3, "y": 9, "x": 8}
    half = {**size, "y": 5, "x": 4}
    write_group(folder, version, **{"multiscales": [multiscale(axes)], **ome})
    for name, of in (("0", size), ("1", half)):
        write_array(folder / name, version, axes, tuple(of[a] for a in axes))
    return folder


def write_label(folder: Path, version: str, **label: Any) -> Path:
    """A label image over that image."""
    return write_image(folder, version, "zyx", **{"image-label": label})


def image(folder: Path, version: str) -> Path:
    """An image with channels and a label image."""
    write_image(folder, version, omero={"channels": [CHANNEL, CHANNEL], "rdefs": {"defaultZ": 1}})
    write_group(folder / "labels", version, labels=["cells"])
    write_label(
        folder / "labels/cells",
        version,
        colors=[{"label-value": 1, "rgba": [1, 2, 3, 255]}],
        properties=[{"label-value": 1, "area": 2.5}],
        source={"image": "../../"},
    )
    return folder


def plate(folder: Path, version: str) -> Path:
    """Two rows and columns, two wells, one acquisition."""
    write_group(
        folder,
        version,
        plate={
            "name": "a plate",
            "rows": [{"name": "A"}, {"name": "B"}],
            "columns": [{"name": "1"}, {"name": "2"}],
            "wells": [
                {"path": "A/1", "rowIndex": 0, "columnIndex": 0},
                {"path": "B/2", "rowIndex": 1, "columnIndex": 1},
            ],
            "acquisitions": [
                {"id": 0, "name": "run", "maximumfieldcount": 1, "starttime": 1},
            ],
            "field_count": 1,
        },
    )
    for path in ("A/1", "B/2"):
        write_group(folder / path[0], version)
        write_group(folder / path, version, well={"images": [{"path": "0", "acquisition": 0}]})
        write_image(folder / path / "0", version)
    return folder


def collection(folder: Path, version: str) -> Path:
    """Two images as bioformats2raw writes them."""
    write_group(folder, version, **{"bioformats2raw.layout": 3})
    write_group(folder / "OME", version, series=["0", "1"])
    for name in ("0", "1"):
        write_image(folder / name, version)
    return folder


MAKERS = {"image": image, "plate": plate, "collection": collection}


# -- what a report says, and edits of an image ------------------------------------------


def errors(report: Report) -> list[tuple[str, str]]:
    return [(fault.path, fault.rule) for fault in report.errors]


def warned(report: Report) -> list[tuple[str, str]]:
    return [(fault.path, fault.rule) for fault in report.warnings]


def entry_of(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The attributes of an image, and its multiscales entry, to be changed inside them."""
    attributes = get_attributes(folder)
    return attributes, attributes.get("ome", attributes)["multiscales"][0]


def change(folder: Path, version: str, edit: Callable[[dict[str, Any]], None]) -> Report:
    """Validate an image after an edit of its multiscales entry."""
    attributes, entry = entry_of(folder)
    edit(entry)
    set_attributes(folder, version, attributes)
    return validate(folder)


def steps(entry: dict[str, Any], level: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = entry["datasets"][level]["coordinateTransformations"]
    return found


def peers_accept(folder: Path) -> bool:
    import ome_zarr_models
    import yaozarrs

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ome_zarr_models.open_ome_zarr(zarr.open_group(folder, mode="r"))
        yaozarrs.validate_zarr_store(str(folder))
    return True

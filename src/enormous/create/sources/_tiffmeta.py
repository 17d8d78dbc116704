"""What a TIFF file says beyond its voxels: voxel size, interval, channels, provenance.

Called by :mod:`enormous.create.sources.slices` and :mod:`enormous.create.sources.tiff`. Taken
from OME-XML, ImageJ's description or the resolution tags, in this order; nothing is guessed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from enormous.create.sources._units import in_one_unit, is_time, unit_name
from enormous.create.sources.source import PIXEL_ONLY

if TYPE_CHECKING:
    import tifffile

Sizes = Mapping[str, tuple[float, str | None]]

#: Dots per inch that programs write where they know nothing of the object.
PRINTERS = (72, 96, 150, 200, 300, 600)
_PROVENANCE = {"Make": "maker", "Model": "model", "Software": "software", "DateTime": "date"}


@dataclass(frozen=True)
class Said:
    """What a file says; sizes by the letter of the axis, each with its unit."""

    sizes: Sizes = field(default_factory=dict)
    interval: tuple[float, str] | None = None
    channels: tuple[str, ...] = ()
    kept: tuple[tuple[str, str], ...] = ()


def voxel_size(
    axes: str, shape: tuple[int, ...], sizes: Sizes
) -> tuple[tuple[float, ...] | None, str | None, tuple[tuple[str, str], ...]]:
    """Voxel size and unit of a source, from what a file says of each axis.

    A single plane (`z` of one voxel) of unknown depth is as deep as it is high, for one voxel
    needs some depth. Where the distance of several planes is not known, the size is not either,
    and what is known of the plane is returned to be kept.

    Returns
    -------
    size : tuple of float or None
    unit : str or None
    kept : tuple of pairs of str
    """
    known = dict(sizes)
    if not {"y", "x"} <= set(known):
        return None, None, ()
    deep = "z" in axes and shape[axes.index("z")] > 1
    if deep and "z" not in known:
        told = f"y {known['y'][0]:g}, x {known['x'][0]:g} {known['x'][1] or 'without unit'}"
        return None, None, ((PIXEL_ONLY, told),)
    known.setdefault("z", known["y"])
    spatial = [known[letter] for letter in axes if letter in "zyx"]
    together = in_one_unit([size for size, _ in spatial], [unit for _, unit in spatial])
    if together is None:
        told = ", ".join(f"{size:g} {unit or 'without unit'}" for size, unit in spatial)
        return None, None, (("voxel size in mixed units", told),)
    return *together, ()


def from_tags(page: tifffile.TiffPage) -> Said:
    """Resolution, where it has a unit of length, and provenance, from the tags of a page."""
    kept = [
        (name, text)
        for tag, name in _PROVENANCE.items()
        if (text := str(page.tags.valueof(tag) or "").strip())
    ]
    said = page.tags.valueof("ResolutionUnit")
    unit = 1 if said is None else int(said)
    per = {letter: _per_unit(page, tag) for letter, tag in _RESOLUTION.items()}
    if unit not in (2, 3) or not all(per.values()):
        return Said(kept=tuple(kept))
    if unit == 2 and len(set(per.values())) == 1 and per["x"] in PRINTERS:
        told = f"{per['x']:g} dots per inch, a printer's, not taken for a voxel size"
        return Said(kept=(*kept, ("resolution", told)))
    length = 25_400 if unit == 2 else 10_000
    sizes = {x: (float(f"{length / n:.9g}"), "micrometer") for x, n in per.items()}
    return Said(sizes=sizes, kept=tuple(kept))


_RESOLUTION = {"y": "YResolution", "x": "XResolution"}


def _per_unit(page: tifffile.TiffPage, tag: str) -> float:
    """Pixels for each unit of length; 0 if not given."""
    value = page.tags.valueof(tag)
    try:
        number = value[0] / value[1] if isinstance(value, tuple) else float(value or 0)
    except (ZeroDivisionError, TypeError, ValueError):
        return 0.0
    return number if math.isfinite(number) and number > 0 else 0.0


def from_imagej(page: tifffile.TiffPage, meta: Mapping[str, Any]) -> Said:
    """What ImageJ writes: pixels for each `unit` in the tags, `spacing` and `finterval`."""
    tags = from_tags(page)
    units = {x: unit_name(str(meta.get(key) or meta.get("unit") or "")) for x, key in _UNITS}
    sizes: dict[str, tuple[float, str | None]] = {}
    if units["x"]:
        per = {letter: _per_unit(page, tag) for letter, tag in _RESOLUTION.items()}
        sizes = {x: (float(f"{1 / n:.9g}"), units[x]) for x, n in per.items() if n}
        spacing = _number(meta.get("spacing"))
        if spacing:
            sizes["z"] = (abs(spacing), units["z"])
    seconds = _number(meta.get("finterval"))
    unit = unit_name(str(meta.get("tunit") or "sec"))
    interval = (seconds, unit) if seconds and unit and is_time(unit) else None
    return Said(sizes=sizes or tags.sizes, interval=interval, kept=tags.kept)


_UNITS = (("z", "zunit"), ("y", "yunit"), ("x", "unit"))


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and number != 0 else None


def from_ome(text: str, name: str | None = None) -> Said:
    """What OME-XML says of the image `name`, or of its first.

    Units default to micrometer and second, as the schema has them
    (https://www.openmicroscopy.org/Schemas/OME/2016-06/).
    """
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return Said()
    images = list(_children(root, "Image"))
    image = next((i for i in images if name and i.get("Name") == name), None)
    if image is None and images:
        image = images[0]
    pixels = next(_children(image, "Pixels"), None) if image is not None else None
    if image is None or pixels is None:
        return Said()
    sizes: dict[str, tuple[float, str | None]] = {}
    for letter in "xyz":
        size = _number(pixels.get(f"PhysicalSize{letter.upper()}"))
        unit = pixels.get(f"PhysicalSize{letter.upper()}Unit", "µm")
        if size and unit not in ("pixel", "reference frame"):
            sizes[letter] = (abs(size), unit_name(unit))
    seconds = _number(pixels.get("TimeIncrement"))
    time = unit_name(pixels.get("TimeIncrementUnit", "s"))
    interval = (seconds, time) if seconds and time and is_time(time) else None
    names = tuple(channel.get("Name") or "" for channel in _children(pixels, "Channel"))
    dates = [date.text.strip() for date in _children(image, "AcquisitionDate") if date.text]
    kept = [("name", image.get("Name") or "")] if image.get("Name") else []
    kept += [("date", date) for date in dates[:1]]
    return Said(sizes, interval, names if names and all(names) else (), tuple(kept))


def _children(parent: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    """Children of this name, whatever the version of the schema."""
    for child in parent:
        if child.tag.rpartition("}")[2] == name:
            yield child

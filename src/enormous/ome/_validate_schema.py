"""The attributes of an image against OME-Zarr 0.1 to 0.5: pure, no file is opened.

For :mod:`enormous.ome.validate`. The rules are those of the specifications' text and JSON
schemas (https://ngff.openmicroscopy.org/); what they ask for with MUST is an error, what
with SHOULD a warning.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from enormous.ome._validate_report import Kind, Value, shown
from enormous.ome.metadata import Axis

_PREFIXES = (
    "atto centi deci exa femto giga hecto kilo mega micro milli nano peta pico tera yocto yotta "
    "zepto zetta"
)
_LENGTHS = {f"{prefix}meter" for prefix in _PREFIXES.split()}
_LENGTHS |= {"meter", "angstrom", "foot", "inch", "mile", "parsec", "yard"}
_TIMES = {f"{prefix}second" for prefix in _PREFIXES.split()} | {"second", "minute", "hour", "day"}
_UNITS = {"space": _LENGTHS, "time": _TIMES}
_NEAREST = re.compile(r"nearest|sub-?sampl|strid|decimat", re.IGNORECASE)

Numbers = tuple[float, ...]


@dataclass(frozen=True)
class Dataset:
    """One level as the metadata has it; `scale` is None where that is damaged or not stated."""

    path: str
    scale: Numbers | None
    translation: Numbers | None


@dataclass(frozen=True)
class Pyramid:
    """One entry of ``multiscales``.

    Parameters
    ----------
    name : str
        Where it stands: ``multiscales[0]``.
    axes : tuple of Axis or None
        None where the version has none, or they are damaged.
    datasets : tuple of Dataset
    keeps_voxels : bool
        Whether levels are said to be picked, not averaged, so that voxel 0 need not move.
    common : tuple of float or None
        A scale that applies to all levels.
    """

    name: str
    axes: tuple[Axis, ...] | None
    datasets: tuple[Dataset, ...]
    keeps_voxels: bool
    common: Numbers | None = None


def check_multiscales(ome: Value, version: str) -> list[Pyramid]:
    """Every multiscale image of a group; what cannot be made out is left out, after a fault."""
    entries = ome.get("multiscales", "list", "multiscales", required=True)
    if entries is None:
        return []
    if not entries.value:
        entries.error("multiscales", "is empty; an image has one entry")
    for number, entry in enumerate(entries.value):
        if entry in entries.value[:number]:
            entries.error("multiscales", f"has the same entry twice, at {number}")
    return [_pyramid(entry, version) for entry in entries.items("object", "multiscales")]


def _pyramid(entry: Value, version: str) -> Pyramid:
    inner_version(entry, version)
    entry.get("name", "text", "multiscales")
    kind = entry.get("type", "text", "multiscales")
    metadata = entry.get("metadata", "object", "multiscales")
    axes = _axes(entry, version)
    listed = entry.get("datasets", "list", "datasets", required=True)
    datasets = _datasets(listed, axes, version) if listed else ()
    common = None
    if version in ("0.4", "0.5"):
        steps = entry.get("coordinateTransformations", "list", "transformations")
        common = transformations(steps, axes)[0] if steps else None
        _check_order(entry, datasets)
    if kind is None and len(datasets) > 1:
        entry.warn("multiscales", "has no 'type': how its levels were made is not known")
    said = [kind.value] if kind else []
    if metadata is not None:
        said += [metadata.value[key] for key in ("method", "type") if key in metadata.value]
    said = [text for text in said if isinstance(text, str)]
    return Pyramid(entry.name, axes, datasets, any(map(_NEAREST.search, said)), common)


def inner_version(value: Value, version: str) -> None:
    """The field ``version`` of a part: 0.4 and before keep it there, 0.5 has one for all."""
    if "version" not in value.value:
        return
    stated = value.get("version", "text", "version", required=True)
    if stated is None:
        return
    if stated.value != version:
        stated.error("version", f"is {shown(stated.value)} where the whole is {version}")
    elif version == "0.5":
        stated.warn("version", "stands twice: 0.5 states it once, in 'ome'")


def _axes(entry: Value, version: str) -> tuple[Axis, ...] | None:
    if version in ("0.1", "0.2"):
        return None
    listed = entry.get("axes", "list", "axes", required=True)
    if listed is None:
        return None
    if version == "0.3":
        letters = [item.value for item in listed.items("text", "axes")]
        if len(letters) != len(listed.value):
            return None
        if not set(letters) <= set("tczyx") or len(set(letters)) != len(letters):
            listed.error("axes", f"{letters} must be letters of tczyx, each once")
        return tuple(Axis(letter) for letter in letters)
    parsed = [_axis(item) for item in listed.items("object", "axes")]
    axes = tuple(axis for axis in parsed if axis is not None)
    if not 2 <= len(listed.value) <= 5:
        listed.error("axes", f"has {len(listed.value)} entries; an image has 2 to 5 axes")
    if len(axes) != len(listed.value):
        return None
    _check_axes(listed, axes)
    return axes


def _axis(item: Value) -> Axis | None:
    name = item.get("name", "text", "axes", required=True)
    kind = item.get("type", "text", "axes")
    unit = item.get("unit", "text", "axes")
    if name is None:
        return None
    if "type" not in item.value:
        item.warn("axes", f"(axis {name.value!r}) has no 'type', so it is neither space nor time")
    meant = kind.value if kind is not None else ""
    if unit is not None and meant in _UNITS and unit.value not in _UNITS[meant]:
        unit.warn("units", f"{shown(unit.value)} is no unit of {meant} that readers know")
    return Axis(name.value, kind.value if kind else None, unit.value if unit else None)


def _check_axes(listed: Value, axes: Sequence[Axis]) -> None:
    names = [axis.name for axis in axes]
    kinds = [axis.type if axis.type in ("space", "time", "channel") else "other" for axis in axes]
    if len(set(names)) != len(names):
        listed.error("axes", f"have the names {', '.join(names)}: each must be unique")
    if not 2 <= kinds.count("space") <= 3:
        listed.error("axes", f"have {kinds.count('space')} of type 'space'; there must be 2 or 3")
    for kind in ("time", "channel", "other"):
        if kinds.count(kind) > 1:
            what = "of another type" if kind == "other" else f"of type '{kind}'"
            listed.error("axes", f"have {kinds.count(kind)} {what}; there may be one")
    if "channel" in kinds and "other" in kinds:
        listed.warn("axes", "have a channel axis and one of another type; there may be one of both")
    order = {"time": 0, "channel": 1, "other": 1, "space": 2}
    if [order[kind] for kind in kinds] != sorted(order[kind] for kind in kinds):
        listed.error("axes", f"are of the types {', '.join(kinds)}: time comes first, space last")
    space = [axis.name for axis in axes if axis.type == "space"]
    if sorted(space) == ["x", "y", "z"] and space != ["z", "y", "x"]:
        listed.warn("axes", f"have space in the order {', '.join(space)}; readers expect z, y, x")
    bare = [axis.name for axis in axes if axis.type in _UNITS and axis.unit is None]
    if bare:
        listed.warn("units", f"have no unit for {', '.join(bare)}: sizes are only ratios")


def _datasets(listed: Value, axes: tuple[Axis, ...] | None, version: str) -> tuple[Dataset, ...]:
    if not listed.value:
        listed.error("datasets", "is empty; an image has one level or more")
    found: list[Dataset] = []
    for item in listed.items("object", "datasets"):
        path = item.get("path", "text", "datasets", required=True)
        scale = translation = None
        if version in ("0.4", "0.5"):
            steps = item.get("coordinateTransformations", "list", "transformations", required=True)
            if steps is not None:
                scale, translation = transformations(steps, axes)
        if path is None or not node_path(path, "datasets"):
            continue
        if any(path.value == other.path for other in found):
            path.error("datasets", f"{shown(path.value)} is named twice")
        found.append(Dataset(path.value, scale, translation))
    return tuple(found)


def node_path(value: Value, rule: str) -> bool:
    """Whether a path can name a node below its group; complains otherwise."""
    parts = value.value.split("/")
    if any(not part.strip(".") or part.startswith("__") for part in parts):
        value.error(rule, f"{shown(value.value)} is no path of a Zarr node below its group")
        return False
    if not re.fullmatch(r"[A-Za-z0-9._/-]+", value.value):
        value.warn(rule, f"{shown(value.value)} has characters that some file systems do not take")
    return True


def transformations(
    steps: Value, axes: Sequence[Axis] | None
) -> tuple[Numbers | None, Numbers | None]:
    """Scale and translation of a list; exactly one scale, then at most one translation."""
    rule = "transformations"
    found: dict[str, Numbers | None] = {}
    kinds = []
    for step in steps.items("object", rule):
        kind = step.get("type", "text", rule, required=True)
        if kind is None:
            continue
        kinds.append(kind.value)
        if kind.value not in ("scale", "translation"):
            kind.error(rule, f"is {shown(kind.value)}; only scale and translation are allowed")
            continue
        numbers = step.get(kind.value, "list", rule, required=True)
        found[kind.value] = _numbers(numbers, kind.value, axes) if numbers else None
    if kinds.count("scale") != 1:
        steps.error(rule, f"has {kinds.count('scale')} scales; it must have one")
    elif kinds.count("translation") > 1:
        steps.error(rule, f"has {kinds.count('translation')} translations; it may have one")
    elif kinds[-2:] == ["translation", "scale"]:
        steps.error(rule, "has the translation before the scale; it must come after")
    return found.get("scale"), found.get("translation")


def _numbers(value: Value, kind: str, axes: Sequence[Axis] | None) -> Numbers | None:
    items = list(value.items("number", "transformations"))
    if len(items) != len(value.value):
        return None
    numbers = tuple(float(item.value) for item in items)
    if axes is None:
        return numbers
    if len(numbers) != len(axes):
        value.error("transformations", f"has {len(numbers)} numbers for {len(axes)} axes")
        return None
    if kind == "scale":
        for axis, number in zip(axes, numbers, strict=True):
            if number <= 0 and axis.type == "space":
                value.error("scale", f"is {number:g} along {axis.name}; a voxel has a size")
            elif number <= 0:
                value.warn("scale", f"is {number:g} along {axis.name}; 1 where it is not known")
    return numbers


def _check_order(entry: Value, datasets: Sequence[Dataset]) -> None:
    """Levels must come from fine to coarse: no axis gets finer."""
    for above, level in itertools.pairwise(datasets):
        if above.scale is None or level.scale is None:
            continue
        if any(fine > coarse for fine, coarse in zip(above.scale, level.scale, strict=False)):
            entry.error(
                "order",
                f"names level '{level.path}' after '{above.path}', but its voxels are smaller: "
                "the finest level comes first",
            )


def check_omero(omero: Value, version: str) -> int | None:
    """How many channels it describes; None where it is damaged."""
    if version != "0.5":
        omero.get("version", "text", "omero")
    omero.get("name", "text", "omero")
    omero.get("id", "integer", "omero")
    rdefs = omero.get("rdefs", "object", "omero")
    if rdefs is not None:
        for key in ("defaultT", "defaultZ"):
            rdefs.get(key, "integer", "omero")
        for key in ("model", "projection"):
            rdefs.get(key, "text", "omero")
    channels = omero.get("channels", "list", "omero", required=True)
    if channels is None:
        return None
    for channel in channels.items("object", "omero"):
        _channel(channel)
    return len(channels.value)


def _channel(channel: Value) -> None:
    color = channel.get("color", "text", "omero", required=True)
    if color is not None and not re.fullmatch(r"[0-9A-Fa-f]{6}", color.value):
        color.error("omero", f"is {shown(color.value)}, not six hexadecimal digits")
    for key in ("label", "family"):
        channel.get(key, "text", "omero")
    for key in ("active", "inverted"):
        channel.get(key, "boolean", "omero")
    channel.get("coefficient", "number", "omero")
    window = channel.get("window", "object", "omero", required=True)
    if window is None:
        return
    ends = [
        window.get(key, "number", "omero", required=True) for key in ("start", "end", "min", "max")
    ]
    start, end = (None if value is None else value.value for value in ends[:2])
    if start is not None and start == end:
        window.warn("omero", "starts where it ends: the channel is shown in two shades at most")


def check_image_label(label: Value, version: str) -> str | None:
    """The relative path of the image it was made from, if it is stated."""
    inner_version(label, version)
    values: dict[str, list[float]] = {}
    kinds: dict[str, Kind] = {"colors": "number", "properties": "integer"}
    for key, kind in kinds.items():
        listed = label.get(key, "list", "image-label")
        if listed is None:
            continue
        if not listed.value:
            listed.error("image-label", "is empty; leave it out")
        values[key] = []
        for number, item in enumerate(listed.items("object", "image-label")):
            if item.value in listed.value[:number]:
                item.error("image-label", "stands there twice")
            of = item.get("label-value", kind, "image-label", required=True)
            if of is None:
                continue
            if of.value != int(of.value):
                of.error("image-label", f"is {of.value}; labels are whole numbers")
            if key == "colors" and of.value in values[key]:
                of.error("image-label", f"{of.value} has two colours")
            values[key].append(of.value)
            if key == "colors":
                _rgba(item)
    if len(values) == 2 and set(values["colors"]) != set(values["properties"]):
        label.warn("image-label", "has colours for other labels than properties")
    source = label.get("source", "object", "image-label")
    image = source.get("image", "text", "image-label") if source else None
    return image.value if image else None


def _rgba(item: Value) -> None:
    rgba = item.get("rgba", "list", "image-label")
    if rgba is None:
        if "rgba" not in item.value:
            item.warn("image-label", "is a colour without 'rgba'")
        return
    parts = list(rgba.items("integer", "image-label"))
    if len(rgba.value) != 4 or any(not 0 <= part.value <= 255 for part in parts):
        rgba.error("image-label", "must be four numbers from 0 to 255")

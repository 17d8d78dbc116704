"""Whether what lies at a path or URL keeps the specification, and places its data rightly.

Called by ``enormous validate`` and by tests of everything that writes. Reads metadata and
lists files; opens no data. Beyond the specification's text and schemas it holds arrays
against metadata: levels that are missing, voxel sizes that their shapes contradict,
translations that move a level off its place.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from enormous._text import bytes_text, count_text
from enormous.errors import DataError
from enormous.ome import _validate_plates as plates
from enormous.ome import _validate_schema as schema
from enormous.ome._validate_levels import Found, check_label, check_levels
from enormous.ome._validate_nodes import Node, Tree, below
from enormous.ome._validate_report import Fault, Findings, Report, Value
from enormous.ome._validate_schema import Pyramid
from enormous.ome.inspect import stored_objects
from enormous.ome.read import StoredLevel, describe_array
from enormous.stores import Location, locate

__all__ = ["Fault", "Report", "validate"]

_VERSIONS = ("0.1", "0.2", "0.3", "0.4", "0.5")
#: What a group can be, by the attribute that says so, in the order in which they are asked for.
_KEYS = ("multiscales", "image-label", "plate", "bioformats2raw.layout", "well", "labels", "series")
_LARGE_CHUNK = 2**31 - 1  # bytes: Blosc, LZ4 and most readers end there

Levels = list[tuple[Pyramid, list[Found]]]


def validate(url: str | os.PathLike[str] | Location) -> Report:
    """Check an OME-Zarr image, plate or collection, and everything below it.

    Parameters
    ----------
    url : str, path-like or Location
        Of an image, label image, labels group, plate, well, bioformats2raw collection, or of
        a bare Zarr array or group, of which the structure alone is checked.

    Returns
    -------
    Report

    Raises
    ------
    UsageError
        If nothing is there.
    DataError
        If it is not Zarr, or a server does not answer.
    """
    location = locate(url)
    with Tree(location) as tree:
        root = tree.root()
        run = _Run(tree, Findings(), root.zarr_format)
        kind, version = _visit(run, root)
        _check_objects(run)
    if location.kind == "http":
        run.findings.note("a plain server cannot be listed: no chunks were counted")
    found = run.findings
    return Report(
        location.url, kind, version, tuple(found.faults), dict(found.checked), tuple(found.notes)
    )


@dataclass
class _Run:
    """One validation: what is read, what was found, and the arrays met so far."""

    tree: Tree
    findings: Findings
    zarr_format: int
    arrays: dict[str, StoredLevel] = field(default_factory=dict)

    def node(self, path: str) -> Node | None:
        """A node; one that is damaged is a fault, and not there."""
        try:
            return self.tree.node(path)
        except DataError as error:
            self.findings.error(path, "zarr", str(error))
            return None

    def group(self, path: str, rule: str, what: str) -> Node | None:
        """A group that must be there, with a fault where it is not."""
        before = len(self.findings.faults)
        node = self.node(path)
        if node is not None and node.kind == "group":
            return node
        if len(self.findings.faults) == before:
            found = "an array" if node else "nothing"
            self.findings.error(path, rule, f"{what}, but {found} is there")
        return None


def _visit(run: _Run, node: Node) -> tuple[str, str | None]:
    """Check a node and what is below it: its kind and its version."""
    if node.kind == "array":
        _open(run, node)
        return "array", None
    ome, version = _version(run, node)
    key = next((key for key in _KEYS if key in ome.value), None)
    if key is None:
        return _plain_group(run, node), version
    if version not in _VERSIONS:
        return _kind_of(key, ome), version
    if version < "0.4":
        run.findings.warn(
            node.path,
            "version",
            f"OME-Zarr {version} is old and says nothing of voxel sizes: its arrays, their shapes "
            "and dtypes were checked; 0.4 and 0.5 are current",
        )
    if key in ("multiscales", "image-label"):
        _image(run, node, ome, version)
    elif key == "plate":
        _plate(run, node, ome, version)
    elif key == "well":
        _well(run, node, ome, version, None)
    elif key == "labels":
        _labels(run, node, ome, None)
    elif key == "series":
        plates.check_series(ome)
    else:
        _collection(run, node, ome)
    return _kind_of(key, ome), version


def _kind_of(key: str, ome: Value) -> str:
    if key in ("multiscales", "image-label"):
        return "label image" if "image-label" in ome.value else "image"
    return {"bioformats2raw.layout": "collection", "series": "group"}.get(key, key)


def _version(run: _Run, node: Node) -> tuple[Value, str | None]:
    """The OME-Zarr attributes of a group, and their version; faults where it stands wrongly."""
    inner = node.attributes.get("ome")
    stray = [key for key in _KEYS if key in node.attributes]
    if node.zarr_format != run.zarr_format:
        message = f"is of Zarr format {node.zarr_format}, the whole of {run.zarr_format}"
        run.findings.error(node.path, "zarr-format", message)
    if isinstance(inner, Mapping) and (node.zarr_format == 3 or not stray):
        return _nested_version(run, node, inner, stray)
    if node.zarr_format == 3:
        if "ome" in node.attributes:
            run.findings.error(node.path, "version", "'ome' is not an object")
        elif stray:
            run.findings.error(
                node.path, "version", f"{stray[0]!r} must stand below 'ome' in Zarr format 3"
            )
        return Value(run.findings, node.path, "", node.attributes), "0.5" if stray else None
    ome = Value(run.findings, node.path, "", node.attributes)
    return ome, _flat_version(ome) if stray else None


def _nested_version(
    run: _Run, node: Node, inner: Mapping[str, Any], stray: list[str]
) -> tuple[Value, str | None]:
    ome = Value(run.findings, node.path, "ome", inner)
    if node.zarr_format == 2:
        ome.error("version", "belongs to OME-Zarr 0.5, which is Zarr format 3; this is format 2")
    if stray:
        ome.warn("version", f"stands beside an older {stray[0]!r}: readers may take either")
    stated = ome.get("version", "text", "version", required=True)
    if stated is None:
        return ome, "0.5"
    if stated.value in _VERSIONS[:-1]:
        stated.error("version", f"is {stated.value}, which is Zarr format 2 and has no 'ome'")
        return ome, "0.5"
    if stated.value != "0.5":
        stated.error("version", f"is {stated.value!r}; known are {', '.join(_VERSIONS)}")
    return ome, stated.value


def _flat_version(ome: Value) -> str:
    """The version of attributes of Zarr format 2, which each part may state."""
    parts = [ome.value.get(key) for key in ("multiscales", "plate", "well", "image-label")]
    parts = [part[0] if isinstance(part, list) and part else part for part in parts]
    named = [part for part in parts if isinstance(part, Mapping)]
    stated = next((part["version"] for part in named if "version" in part), None)
    if isinstance(stated, str):
        if stated == "0.5":
            ome.error("version", "0.5 is Zarr format 3, with its metadata below 'ome'")
            return "0.4"
        if stated not in _VERSIONS:
            ome.error("version", f"{stated!r} is not known: known are {', '.join(_VERSIONS)}")
        return stated
    if named:
        ome.warn("version", "is not stated: checked as 0.4")
    return "0.4"


def _image(run: _Run, node: Node, ome: Value, version: str) -> Levels:
    """An image or label image: metadata, arrays, labels."""
    is_label = "image-label" in ome.value
    run.findings.checked["label images" if is_label else "images"] += 1
    if is_label:
        _image_label(run, node, ome, version)
    omero = ome.get("omero", "object", "omero")
    channels = schema.check_omero(omero, version) if omero else None
    found: Levels = []
    for pyramid in schema.check_multiscales(ome, version):
        levels = _levels(run, node.path, pyramid, version)
        found.append((pyramid, levels))
        if levels:
            check_levels(run.findings, node.path, pyramid, levels)
        if channels is not None:
            _check_channels(run, node.path, pyramid, levels, channels)
    if is_label:
        _check_integers(run, found)
    labels = run.node(below(node.path, "labels"))
    if labels is not None:
        _labels_below(run, labels, found)
    return found


def _levels(run: _Run, path: str, pyramid: Pyramid, version: str) -> list[Found]:
    found = []
    for dataset in pyramid.datasets:
        run.findings.checked["levels"] += 1
        where = below(path, dataset.path)
        before = len(run.findings.faults)
        node = run.node(where)
        if node is None or node.kind == "group":
            if len(run.findings.faults) == before:
                what = "a group" if node else "nothing"
                message = f"is a level of the metadata, but {what} is there, not an array"
                run.findings.error(where, "array", message)
            continue
        level = _open(run, node)
        if level is not None and _fits(run, node, level, pyramid, version):
            found.append((dataset, level))
    if len({len(level.shape) for _, level in found}) > 1:
        run.findings.error(path, "dimensions", "its levels have different numbers of dimensions")
        return []
    return found


def _open(run: _Run, node: Node) -> StoredLevel | None:
    """An array as zarr reads it, once."""
    import zarr

    if node.path in run.arrays:
        return run.arrays[node.path]
    run.findings.checked["arrays"] += 1
    try:
        array = zarr.open_array(
            run.tree.zarr(),
            path=node.path,
            mode="r",
            zarr_format=3 if node.zarr_format == 3 else 2,
        )
        level = describe_array(array, node.path)
    except Exception as error:  # damaged metadata fails in as many ways as there are fields
        reason = str(error) or type(error).__name__
        run.findings.error(node.path, "array", f"cannot be opened: {reason}")
        return None
    run.arrays[node.path] = level
    nbytes = level.itemsize
    for n in level.chunks:
        nbytes *= n
    if nbytes > _LARGE_CHUNK:
        message = f"has chunks of {bytes_text(nbytes)}; most codecs and readers end at 2 GB"
        run.findings.warn(node.path, "chunks", message)
    if 0 in level.shape:
        run.findings.warn(node.path, "dimensions", f"is empty: its shape is {list(level.shape)}")
    return level


def _fits(run: _Run, node: Node, level: StoredLevel, pyramid: Pyramid, version: str) -> bool:
    """Whether an array has the format, names and dimensions of the image."""
    tell = run.findings.error
    if (node.zarr_format == 3) != (version == "0.5"):
        form = f"is of Zarr format {node.zarr_format}, which OME-Zarr {version} does not use"
        tell(node.path, "zarr-format", form)
    separator = node.metadata.get("dimension_separator") or "."
    if node.zarr_format == 2 and version != "0.1" and separator != "/" and len(level.shape) > 1:
        message = f"separates chunk numbers by {separator!r}; OME-Zarr {version} stores them by '/'"
        tell(node.path, "separator", message)
    if level.dtype[:3] not in ("int", "uin", "flo", "boo", "com"):
        tell(node.path, "dtype", f"is of dtype {level.dtype}, which is no image")
    if pyramid.axes is None:
        return True
    names = [axis.name for axis in pyramid.axes]
    if len(names) != len(level.shape):
        message = f"has {len(level.shape)} dimensions, the image has {len(names)} axes"
        tell(node.path, "dimensions", f"{message} ({', '.join(names)})")
        return False
    if node.zarr_format == 3 and version == "0.5":
        stated = node.metadata.get("dimension_names")
        if stated is None:
            tell(node.path, "names", f"has no 'dimension_names'; they must be {names}")
        elif stated != names:
            tell(node.path, "names", f"has the dimension_names {stated}; the axes are {names}")
    return True


def _check_channels(
    run: _Run, path: str, pyramid: Pyramid, levels: list[Found], channels: int
) -> None:
    kinds = [axis.type or axis.name for axis in pyramid.axes or ()]
    number = next((i for i, kind in enumerate(kinds) if kind in ("channel", "c")), None)
    there = levels[0][1].shape[number] if levels and number is not None else 1
    if levels and channels != there:
        message = f"omero.channels describes {count_text(channels, 'channel')}, the image has"
        run.findings.warn(path, "omero", f"{message} {there}")


def _check_integers(run: _Run, found: Levels) -> None:
    for _, levels in found:
        for dataset, level in levels:
            if not level.dtype.startswith(("int", "uint")):
                message = f"level '{dataset.path}' of a label image is {level.dtype}, not integer"
                run.findings.error(level.path, "image-label", message)


def _image_label(run: _Run, node: Node, ome: Value, version: str) -> None:
    label = ome.get("image-label", "object", "image-label", required=True)
    source = schema.check_image_label(label, version) if label else None
    if source is None:
        return
    where = os.path.normpath(f"{node.path}/{source}" if node.path else source).replace(os.sep, "/")
    if where == ".." or where.startswith(("../", "/")) or "://" in source:
        run.findings.note(f"the image that {node.path or 'the label'} was made of lies elsewhere")
        return
    image = run.node("" if where == "." else where)
    attributes = image.attributes.get("ome", image.attributes) if image else {}
    if not isinstance(attributes, Mapping) or "multiscales" not in attributes:
        message = f"image-label.source.image names {source!r}, where no image is"
        run.findings.error(node.path, "image-label", message)


def _labels_below(run: _Run, labels: Node, image: Levels) -> None:
    if labels.kind == "array":
        message = "is an array where OME-Zarr has the group of an image's labels"
        run.findings.error(labels.path, "labels", message)
        return
    ome, version = _version(run, labels)
    if version is None and "labels" not in ome.value:
        message = "has no list of labels, so that no reader finds them"
        run.findings.error(labels.path, "labels", message)
        return
    _labels(run, labels, ome, image)


def _labels(run: _Run, node: Node, ome: Value, image: Levels | None) -> None:
    """The labels of an image, listed and not."""
    listed = plates.check_labels(ome)
    for name in listed:
        path = below(node.path, name)
        group = run.group(path, "labels", "is listed as a label image")
        if group is None:
            continue
        inner, version = _version(run, group)
        if "multiscales" not in inner.value or version not in _VERSIONS:
            run.findings.error(path, "labels", "is listed as a label image, but is no image")
            continue
        if "image-label" not in inner.value:
            message = "has no 'image-label': viewers show it as an image"
            run.findings.warn(path, "image-label", message)
        found = _image(run, group, inner, version)
        if "image-label" not in inner.value:
            _check_integers(run, found)
        for label, over in zip(found, image or (), strict=False):
            check_label(run.findings, path, label, over)
    children = run.tree.children(node.path)
    if children is None:
        run.findings.note("label images that are not listed were not looked for")
        return
    tops = {name.split("/", 1)[0] for name in listed}
    for name in sorted(set(children) - tops):
        if run.node(below(node.path, name)) is not None:
            message = "lies among the labels, but is not listed: no reader finds it"
            run.findings.warn(below(node.path, name), "labels", message)


def _plate(run: _Run, node: Node, ome: Value, version: str) -> None:
    run.findings.checked["plates"] += 1
    value = ome.get("plate", "object", "plate", required=True)
    if "bioformats2raw.layout" in ome.value:
        plates.check_layout(ome)
    if value is None:
        return
    plate = plates.check_plate(value, version)
    for row in sorted({path.split("/", 1)[0] for path in plate.wells}):
        where = below(node.path, row)
        if run.node(where) is None:
            run.findings.warn(where, "plate", "is a row of the plate, but no Zarr group")
    most = 0
    for path in plate.wells:
        where = below(node.path, path)
        group = run.group(where, "plate", "is a well of the plate")
        if group is None:
            continue
        inner, own = _version(run, group)
        if own != version:
            message = f"is OME-Zarr {own}, its plate {version}"
            run.findings.error(where, "version", message)
        if "well" not in inner.value:
            run.findings.error(where, "well", "is a well of the plate, but has no 'well'")
            continue
        most = max(most, _well(run, group, inner, version, plate.acquisitions))
    if plate.fields is not None and most > plate.fields:
        message = f"plate.field_count is {plate.fields}, but a well has {most} fields"
        run.findings.warn(node.path, "plate", message)


def _well(
    run: _Run, node: Node, ome: Value, version: str, acquisitions: tuple[int, ...] | None
) -> int:
    """The number of the well's fields of view."""
    run.findings.checked["wells"] += 1
    value = ome.get("well", "object", "well", required=True)
    paths = plates.check_well(value, version, acquisitions) if value else []
    for path in paths:
        _named_image(run, below(node.path, path), "well", "is a field of view of the well")
    return len(paths)


def _named_image(run: _Run, path: str, rule: str, what: str) -> None:
    """An image that something above it names."""
    group = run.group(path, rule, what)
    if group is None:
        return
    ome, version = _version(run, group)
    if "multiscales" not in ome.value or version not in _VERSIONS:
        run.findings.error(path, rule, f"{what}, but is no image")
        return
    _image(run, group, ome, version)


def _collection(run: _Run, node: Node, ome: Value) -> None:
    """What bioformats2raw makes of a file with several images."""
    plates.check_layout(ome)
    folder = below(node.path, "OME")
    group = run.node(folder)
    if run.tree.has(below(folder, "METADATA.ome.xml")):
        run.findings.note(f"{below(folder, 'METADATA.ome.xml')} was not read")
    series: list[str] = []
    if group is not None and group.kind == "group":
        inner, _ = _version(run, group)
        series = plates.check_series(inner) if "series" in inner.value else []
    if not series:
        while (image := run.node(below(node.path, str(len(series))))) is not None:
            series.append(image.path.rpartition("/")[2])
    if not series:
        message = "has neither a list of images (OME, 'series') nor an image 0"
        run.findings.error(node.path, "collection", message)
    for path in series:
        where = below(node.path, path)
        _named_image(run, where, "collection", "is an image of the collection")


def _plain_group(run: _Run, node: Node) -> str:
    """A group without OME-Zarr metadata: the arrays below it, as far as they can be found."""
    message = "is a group without OME-Zarr metadata: its arrays alone were checked"
    run.findings.warn(node.path, "metadata", message)
    waiting = [node.path]
    while waiting:
        path = waiting.pop()
        children = run.tree.children(path)
        if children is None:
            run.findings.note("the arrays of a group cannot be listed on a plain server")
            return "group"
        for name in children:
            child = run.node(below(path, name))
            if child is not None and child.kind == "array":
                _open(run, child)
            elif child is not None:
                waiting.append(child.path)
    return "group"


def _check_objects(run: _Run) -> None:
    """Files that no reader asks for, and levels of which nothing is stored."""
    stored = stored_objects(run.tree.location, run.arrays)
    for path, found in stored.items():
        run.findings.checked["objects"] += found.objects
        if found.stray:
            files = count_text(found.stray, "file")
            tell = run.findings.warn if found.objects else run.findings.error
            tell(path, "stray", f"holds {files} under names that no reader of this array asks for")
        if found.outside:
            chunks = count_text(found.outside, "chunk")
            message = f"holds {chunks} outside its shape, which no reader asks for"
            run.findings.warn(path, "stray", message)

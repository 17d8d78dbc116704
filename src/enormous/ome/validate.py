"""Whether what lies at a path or URL keeps the specification, and places its data rightly.

Called by ``enormous validate`` and by tests of everything that writes. Reads metadata and
lists files; opens no data. Beyond the specification's text and schemas it holds arrays
against metadata: levels that are missing, voxel sizes that their shapes contradict,
translations that move a level off its place.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping
from typing import Any

from enormous.ome import _validate_plates as plates
from enormous.ome import _validate_schema as schema
from enormous.ome._validate_arrays import (
    Levels,
    Run,
    check_channels,
    check_integers,
    check_objects,
    open_array,
    open_levels,
)
from enormous.ome._validate_levels import check_label, check_levels
from enormous.ome._validate_nodes import Damaged, Node, Tree, below
from enormous.ome._validate_report import Fault, Findings, Report, Value
from enormous.stores import Location, locate

__all__ = ["Fault", "Report", "validate"]

_VERSIONS = ("0.1", "0.2", "0.3", "0.4", "0.5")
#: What a group can be, by the attribute that says so, in the order in which they are asked for.
_KEYS = ("multiscales", "image-label", "plate", "bioformats2raw.layout", "well", "labels", "series")

_NOT_LISTED = "a plain server cannot be listed: label images that no list names were not looked for"


def validate(url: str | os.PathLike[str] | Location) -> Report:
    """Check an OME-Zarr image, plate or collection, and everything below it.

    Parameters
    ----------
    url : str, path-like or Location
        Of an image, label image, labels group, plate, well or bioformats2raw collection. Of a
        bare Zarr array the structure alone is checked; a group that is none of these is an error.

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
        try:
            root = tree.root()
        except Damaged as error:  # a fault like any other: with its path, and in the JSON
            fault = Fault("", "zarr", str(error))
            return Report(location.url, "unknown", None, (fault,), {})
        run = Run(tree, Findings(), root.zarr_format)
        if root.zarr_format == 3 and any(map(tree.has, (".zgroup", ".zarray"))):
            message = "has metadata of Zarr formats 2 and 3: readers may take either"
            run.findings.warn("", "zarr-format", message)
        kind, version = _visit(run, root)
        check_objects(run)
    if location.kind == "http":
        run.findings.note("a plain server cannot be listed: no chunks were counted")
    found = run.findings
    return Report(
        location.url, kind, version, tuple(found.faults), dict(found.checked), tuple(found.notes)
    )


def _visit(run: Run, node: Node) -> tuple[str, str | None]:
    """Check a node and what is below it: its kind and its version."""
    if node.kind == "array":
        open_array(run, node)
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


def _version(run: Run, node: Node) -> tuple[Value, str | None]:
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
    run: Run, node: Node, inner: Mapping[str, Any], stray: list[str]
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


def _image(run: Run, node: Node, ome: Value, version: str) -> Levels:
    """An image or label image: metadata, arrays, labels."""
    is_label = "image-label" in ome.value
    run.findings.checked["label images" if is_label else "images"] += 1
    if is_label:
        _image_label(run, node, ome, version)
    omero = ome.get("omero", "object", "omero")
    channels = schema.check_omero(omero, version) if omero else None
    found: Levels = []
    for pyramid in schema.check_multiscales(ome, version):
        levels = open_levels(run, node.path, pyramid, version)
        found.append((pyramid, levels))
        if levels:
            check_levels(run.findings, node.path, pyramid, levels)
        if channels is not None:
            check_channels(run, node.path, pyramid, levels, channels)
    if is_label:
        check_integers(run, found)
    before = len(run.findings.faults)
    labels = run.node(below(node.path, "labels"))
    if labels is not None:
        _labels_below(run, labels, found)
    elif len(run.findings.faults) == before:
        _labels_without_group(run, below(node.path, "labels"))
    return found


def _image_label(run: Run, node: Node, ome: Value, version: str) -> None:
    label = ome.get("image-label", "object", "image-label", required=True)
    source = schema.check_image_label(label, version) if label else None
    if source is None:
        return
    if not _is_image(run, node.path, source):
        message = f"image-label.source.image names {source!r}, where no image is"
        run.findings.error(node.path, "image-label", message)


def _is_image(run: Run, path: str, source: str) -> bool:
    """Whether a label's source is an image; it may lie above what is validated."""
    where = posixpath.normpath(f"{path}/{source}" if path else source)
    location = run.tree.location
    if where.split("/", 1)[0] != "..":
        image = run.node("" if where == "." else where)
    elif location.kind != "file":
        run.findings.note(f"the image that {path or 'the label'} was made of lies elsewhere")
        return True
    else:
        folder = os.path.normpath(os.path.join(location.base, where))
        image = Tree(locate(folder)).node("")
    attributes = image.attributes.get("ome", image.attributes) if image else None
    return isinstance(attributes, Mapping) and "multiscales" in attributes


def _labels_without_group(run: Run, path: str) -> None:
    """Label images in a folder that is no group: only who looks into folders finds them."""
    children = run.tree.children(path)
    if children is None:
        run.findings.note(_NOT_LISTED)
        return
    names = [name for name in children if run.node(below(path, name)) is not None]
    if names:
        message = f"is a folder, not a group that lists {', '.join(names)}: no reader finds them"
        run.findings.warn(path, "labels", message)


def _labels_below(run: Run, labels: Node, image: Levels) -> None:
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


def _labels(run: Run, node: Node, ome: Value, image: Levels | None) -> None:
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
            check_integers(run, found)
        for label, over in zip(found, image or (), strict=False):
            check_label(run.findings, path, label, over)
    children = run.tree.children(node.path)
    if children is None:
        run.findings.note(_NOT_LISTED)
        return
    tops = {name.split("/", 1)[0] for name in listed}
    for name in sorted(set(children) - tops):
        if run.node(below(node.path, name)) is not None:
            message = "lies among the labels, but is not listed: no reader finds it"
            run.findings.warn(below(node.path, name), "labels", message)


def _plate(run: Run, node: Node, ome: Value, version: str) -> None:
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
    run: Run, node: Node, ome: Value, version: str, acquisitions: tuple[int, ...] | None
) -> int:
    """The number of the well's fields of view."""
    run.findings.checked["wells"] += 1
    value = ome.get("well", "object", "well", required=True)
    paths = plates.check_well(value, version, acquisitions) if value else []
    for path in paths:
        _named_image(run, below(node.path, path), "well", "is a field of view of the well")
    return len(paths)


def _named_image(run: Run, path: str, rule: str, what: str) -> None:
    """An image that something above it names."""
    group = run.group(path, rule, what)
    if group is None:
        return
    ome, version = _version(run, group)
    if "multiscales" not in ome.value or version not in _VERSIONS:
        run.findings.error(path, rule, f"{what}, but is no image")
        return
    _image(run, group, ome, version)


def _collection(run: Run, node: Node, ome: Value) -> None:
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


def _plain_group(run: Run, node: Node) -> str:
    """A group without OME-Zarr metadata: the arrays below it, as far as they can be found."""
    message = "has no OME-Zarr metadata, so no reader shows it: its arrays alone were checked"
    run.findings.error(node.path, "metadata", message)
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
                open_array(run, child)
            elif child is not None:
                waiting.append(child.path)
    return "group"

"""The arrays of a validation: opened, held against their image, and their files counted.

For :mod:`enormous.ome.validate`, which walks from group to group.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from enormous._text import bytes_text, count_text
from enormous.errors import DataError
from enormous.ome._validate_levels import Found
from enormous.ome._validate_nodes import Node, Tree, below
from enormous.ome._validate_report import Findings
from enormous.ome._validate_schema import Pyramid
from enormous.ome.inspect import stored_objects
from enormous.ome.read import StoredLevel, describe_array

_LARGE_CHUNK = 2**31 - 1  # bytes: Blosc, LZ4 and most readers end there

Levels = list[tuple[Pyramid, list[Found]]]


@dataclass
class Run:
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


def open_levels(run: Run, path: str, pyramid: Pyramid, version: str) -> list[Found]:
    """The levels that are there and have the dimensions of the image; faults for the others."""
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
        level = open_array(run, node)
        if level is not None and _fits(run, node, level, pyramid, version):
            found.append((dataset, level))
    if len({len(level.shape) for _, level in found}) > 1:
        run.findings.error(path, "dimensions", "its levels have different numbers of dimensions")
        return []
    return found


def open_array(run: Run, node: Node) -> StoredLevel | None:
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
    nbytes = level.itemsize * math.prod(level.chunks)
    if nbytes > _LARGE_CHUNK:
        message = f"has chunks of {bytes_text(nbytes)}; most codecs and readers end at 2 GB"
        run.findings.warn(node.path, "chunks", message)
    if 0 in level.shape:
        run.findings.warn(node.path, "dimensions", f"is empty: its shape is {list(level.shape)}")
    return level


def _fits(run: Run, node: Node, level: StoredLevel, pyramid: Pyramid, version: str) -> bool:
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


def check_channels(
    run: Run, path: str, pyramid: Pyramid, levels: list[Found], channels: int
) -> None:
    """Hold the number of channels that are described against the length of their axis."""
    kinds = [axis.type or axis.name for axis in pyramid.axes or ()]
    number = next((i for i, kind in enumerate(kinds) if kind in ("channel", "c")), None)
    there = levels[0][1].shape[number] if levels and number is not None else 1
    if levels and channels != there:
        message = f"omero.channels describes {count_text(channels, 'channel')}, the image has"
        run.findings.warn(path, "omero", f"{message} {there}")


def check_integers(run: Run, found: Levels) -> None:
    """Label images hold numbers of objects."""
    for _, levels in found:
        for dataset, level in levels:
            if not level.dtype.startswith(("int", "uint")):
                message = f"level '{dataset.path}' of a label image is {level.dtype}, not integer"
                run.findings.error(level.path, "image-label", message)


def check_objects(run: Run) -> None:
    """Files that no reader asks for: chunks under the names of another separator or shape."""
    stored = stored_objects(run.tree.location, run.arrays)
    for path, found in stored.items():
        run.findings.checked["objects"] += found.objects
        if found.stray:
            files = count_text(found.stray, "file")
            lost = found.misnamed and not found.objects  # the wrong separator: it reads as empty
            tell = run.findings.error if lost else run.findings.warn
            tell(path, "stray", f"holds {files} under names that no reader of this array asks for")
        if found.outside:
            chunks = count_text(found.outside, "chunk")
            message = f"holds {chunks} outside its shape, which no reader asks for"
            run.findings.warn(path, "stray", message)

"""The attributes of plates, wells, lists of labels and bioformats2raw collections: pure.

For :mod:`enormous.ome.validate`; see :mod:`enormous.ome._validate_schema` for images.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from enormous.ome._validate_report import Value, shown
from enormous.ome._validate_schema import inner_version, node_path


@dataclass(frozen=True)
class Plate:
    """What a plate says of what lies below it.

    Parameters
    ----------
    wells : tuple of str
        Their paths: ``A/1``.
    acquisitions : tuple of int or None
        None where it lists none.
    fields : int or None
        Fields of view that a well has at most.
    """

    wells: tuple[str, ...]
    acquisitions: tuple[int, ...] | None
    fields: int | None


def check_plate(plate: Value, version: str) -> Plate:
    """A plate's rows, columns, wells and acquisitions."""
    inner_version(plate, version)
    plate.get("name", "text", "plate")
    fields = _counted(plate, "field_count", 1)
    rows, columns = _names(plate, "rows"), _names(plate, "columns")
    wells = _listed(plate, "wells")
    paths = [_well(item, rows, columns) for item in wells.items("object", "plate")] if wells else []
    known = tuple(path for path in paths if path is not None)
    for path in sorted({path for path in known if known.count(path) > 1}):
        plate.error("plate", f"names the well {path!r} more than once")
    return Plate(tuple(dict.fromkeys(known)), _acquisitions(plate), fields)


def _listed(plate: Value, key: str) -> Value | None:
    listed = plate.get(key, "list", "plate", required=True)
    if listed is not None and not listed.value:
        listed.error("plate", "is empty; there is one or more")
    return listed


def _names(plate: Value, key: str) -> list[str]:
    """The names of rows or columns, an empty one for what is damaged: indices count them all."""
    listed = _listed(plate, key)
    names: list[str] = []
    for item in listed.value if listed else ():
        entry = Value(plate.findings, plate.path, f"plate.{key}[{len(names)}]", item)
        name = None
        if entry.check("object", "plate"):
            name = entry.get("name", "text", "plate", required=True)
        if name is not None and not re.fullmatch("[A-Za-z0-9]+", name.value):
            name.error("plate", f"is {shown(name.value)}; names have letters and digits only")
        if name is not None and name.value in names:
            name.error("plate", f"{shown(name.value)} is there already")
        names.append(name.value if name is not None else "")
    return names


def _well(item: Value, rows: list[str], columns: list[str]) -> str | None:
    path = item.get("path", "text", "plate", required=True)
    expected = []
    for key, names in (("rowIndex", rows), ("columnIndex", columns)):
        index = item.get(key, "integer", "plate", required=True)
        if index is None:
            continue
        if not 0 <= index.value < len(names):
            index.error("plate", f"is {index.value}; there are {len(names)}, counted from 0")
        else:
            expected.append(names[index.value])
    if path is None:
        return None
    if not re.fullmatch("[A-Za-z0-9]+/[A-Za-z0-9]+", path.value):
        path.error("plate", f"is {shown(path.value)}; it is the name of a row, /, and of a column")
        return None
    if len(expected) == 2 and path.value != "/".join(expected):
        path.error("plate", f"is {path.value!r}, but its indices say {'/'.join(expected)!r}")
    return str(path.value)


def _acquisitions(plate: Value) -> tuple[int, ...] | None:
    listed = plate.get("acquisitions", "list", "plate")
    if listed is None:
        return None
    known: list[int] = []
    for item in listed.items("object", "plate"):
        number = item.get("id", "integer", "plate", required=True)
        for key in ("name", "description"):
            item.get(key, "text", "plate")
        _counted(item, "maximumfieldcount", 1)
        for key in ("starttime", "endtime"):
            _counted(item, key, 0)
        if number is None:
            continue
        if number.value < 0 or number.value in known:
            number.error("plate", f"is {number.value}; it must be unique and not negative")
        known.append(number.value)
    return tuple(known)


def _counted(value: Value, key: str, least: int) -> int | None:
    number = value.get(key, "integer", "plate")
    if number is None:
        return None
    if number.value < least:
        number.error("plate", f"is {number.value}; it must be {least} or more")
    return int(number.value)


def check_well(well: Value, version: str, acquisitions: tuple[int, ...] | None) -> list[str]:
    """Paths of a well's fields of view."""
    inner_version(well, version)
    images = well.get("images", "list", "well", required=True)
    if images is None:
        return []
    if not images.value:
        images.error("well", "is empty; a well has one field of view or more")
    paths: list[str] = []
    for item in images.items("object", "well"):
        path = item.get("path", "text", "well", required=True)
        acquisition = item.get("acquisition", "integer", "well")
        if acquisitions is not None:
            _check_acquisition(item, acquisition, acquisitions)
        if path is None:
            continue
        if not re.fullmatch("[A-Za-z0-9]+", path.value):
            path.error("well", f"is {shown(path.value)}; names have letters and digits only")
        elif path.value in paths:
            path.error("well", f"{shown(path.value)} is there already")
        else:
            paths.append(path.value)
    return paths


def _check_acquisition(item: Value, of: Value | None, known: tuple[int, ...]) -> None:
    if of is not None and of.value not in known:
        of.error("well", f"is {of.value}, which the plate does not list")
    elif of is None and len(known) > 1:
        item.error("well", f"has no 'acquisition', and the plate has {len(known)}")


def check_labels(ome: Value) -> list[str]:
    """Paths of the label images that a labels group lists."""
    listed = ome.get("labels", "list", "labels", required=True)
    if listed is None:
        return []
    if not listed.value:
        listed.warn("labels", "is empty")
    paths = [item.value for item in listed.items("text", "labels") if node_path(item, "labels")]
    for path in sorted({path for path in paths if paths.count(path) > 1}):
        listed.error("labels", f"names {path!r} more than once")
    return list(dict.fromkeys(paths))


def check_layout(ome: Value) -> None:
    """The mark of a bioformats2raw collection."""
    layout = ome.get("bioformats2raw.layout", "number", "collection", required=True)
    if layout is not None and layout.value != 3:
        layout.error("collection", f"is {layout.value}; only 3 is defined")


def check_series(ome: Value) -> list[str]:
    """Paths of a collection's images, as its ``OME`` group lists them."""
    listed = ome.get("series", "list", "collection", required=True)
    if listed is None:
        return []
    if not listed.value:
        listed.error("collection", "is empty; it names the images of the collection")
    return [
        item.value for item in listed.items("text", "collection") if node_path(item, "collection")
    ]

"""The images that plates, wells, collections and labels groups hold.

Called by :mod:`enormous.ome.inspect`, for ``enormous info``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from enormous.errors import DataError
from enormous.ome.read import Image, child_node, ome_attributes, read_images
from enormous.stores import Location, join

if TYPE_CHECKING:
    import zarr


@dataclass(frozen=True)
class Plate:
    """The size of a plate.

    Parameters
    ----------
    name : str or None
    rows, columns : int
        Of the plate, whether or not they have wells.
    wells : int
        Those that hold images.
    fields : int or None
        Fields of view of all wells; None over HTTP, where each well is a request.
    """

    name: str | None
    rows: int
    columns: int
    wells: int
    fields: int | None


def read_plate(location: Location, group: zarr.Group) -> Plate | None:
    """How many rows, columns, wells and fields a plate has; None if the group is no plate.

    Raises
    ------
    DataError
        If its metadata is damaged or a well is missing.
    """
    plate = ome_attributes(dict(group.attrs)).get("plate")
    if plate is None:
        return None
    try:
        wells = [str(well["path"]) for well in plate["wells"]]
        rows, columns, name = len(plate["rows"]), len(plate["columns"]), plate.get("name")
    except (KeyError, TypeError, AttributeError) as error:
        raise _damaged(location.url, error) from error
    fields = None
    if location.kind != "http":
        fields = sum(len(_fields(_child(location, group, path), location)) for path in wells)
    return Plate(name, rows, columns, len(wells), fields)


def read_members(location: Location, group: zarr.Group, kind: str) -> Iterator[tuple[str, Image]]:
    """Images with their paths: all of a well, collection or labels group, the first of a plate.

    Parameters
    ----------
    location : Location
    group : zarr.Group
    kind : str
        As :class:`enormous.ome.inspect.Found` has it.

    Raises
    ------
    DataError
        If metadata is damaged or an image is missing.
    """
    for path in _paths(location, group, kind):
        for image in read_images(_child(location, group, path), join(location, path)):
            yield path, image


def _paths(location: Location, group: zarr.Group, kind: str) -> list[str]:
    ome = ome_attributes(dict(group.attrs))
    try:
        if kind == "plate":
            first = [str(well["path"]) for well in ome["plate"]["wells"][:1]]
            inside = [(well, _fields(_child(location, group, well), location)) for well in first]
            return [f"{well}/{field}" for well, fields in inside for field in fields[:1]]
        if kind == "well":
            return _fields(group, location)
        if kind == "labels":
            return [str(name) for name in ome["labels"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise _damaged(location.url, error) from error
    return _series(location, group) if kind == "collection" else []


def _series(location: Location, group: zarr.Group) -> list[str]:
    """A collection's images: as its ``OME`` group lists them, or numbered from 0."""
    folder = child_node(group, "OME", location.url)
    listed: Any = ome_attributes(dict(folder.attrs)).get("series") if folder is not None else None
    if isinstance(listed, list) and listed:
        return [str(path) for path in listed]
    count = 0
    while child_node(group, str(count), location.url) is not None:
        count += 1
    return [str(number) for number in range(count)]


def _fields(well: zarr.Group, location: Location) -> list[str]:
    try:
        images = ome_attributes(dict(well.attrs))["well"]["images"]
        return [str(image["path"]) for image in images]
    except (KeyError, TypeError, AttributeError) as error:
        raise _damaged(join(location, well.path), error) from error


def _child(location: Location, group: zarr.Group, path: str) -> zarr.Group:
    import zarr

    child = child_node(group, path, location.url)
    if not isinstance(child, zarr.Group):
        raise DataError(f"{join(location, path)} is named in the metadata but is not there")
    return child


def _damaged(where: str, error: Exception) -> DataError:
    return DataError(
        f"{where}: the OME-Zarr metadata is damaged ({type(error).__name__}: {error}); "
        "enormous validate says what is wrong"
    )

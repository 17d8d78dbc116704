"""What lies at a path or URL: images, arrays, groups, and what they take on disk.

Called by ``enormous info``, and to open what a person names (`open_array`, `open_image`).
Reads metadata and lists files; reads no data.
"""

from __future__ import annotations

import operator
import os
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from enormous._text import reason_text
from enormous.errors import DataError, EnormousError, UsageError
from enormous.ledger import is_metadata
from enormous.ome.members import Plate, read_members, read_plate
from enormous.ome.read import (
    Image,
    StoredLevel,
    child_node,
    describe_array,
    ome_attributes,
    read_images,
)
from enormous.stores import Location, join, locate

if TYPE_CHECKING:
    import zarr


# names of chunks and shards under every chunk key encoding and separator
_ANY_CHUNK = re.compile(r"c|(c[/.])?[0-9]+([/.][0-9]+)*").fullmatch

# how far up a path to look for what a person may have meant
_DEPTH = 8

# what a group is, by the attribute that says so
_KINDS = {
    "plate": "plate",
    "well": "well",
    "bioformats2raw.layout": "collection",
    "labels": "labels",
}


@dataclass(frozen=True)
class Stored:
    """What an array takes: data objects (chunks or shards) and their bytes.

    `stray` files lie beside them under names that no reader of this array asks for;
    those of them that would be chunks under another separator are `misnamed`. `outside` are
    chunks with numbers beyond the shape; they count under none of the others.
    """

    objects: int
    nbytes: int
    stray: int = 0
    outside: int = 0
    misnamed: int = 0


@dataclass(frozen=True)
class Found:
    """What is there.

    Parameters
    ----------
    url : str
    kind : str
        ``image``, ``label image``, ``array``, ``group``, ``plate``, ``well``,
        ``collection`` or ``labels``.
    zarr_format : int
    images : tuple of Image
    arrays : tuple of StoredLevel or None
        Of a bare array itself, or of a group that is no image those below it; None
        where they cannot be listed (HTTP).
    labels : tuple of tuple (str, Image)
        Label images of an image, with their names.
    plate : Plate or None
    members : tuple of tuple (str, Image)
        Images of a well, collection or labels group with their paths; of a plate the first
        field of its first well.
    stored : dict
        For each array, named by its path, what it takes; empty where nothing can be
        listed (HTTP).
    """

    url: str
    kind: str
    zarr_format: int
    images: tuple[Image, ...]
    arrays: tuple[StoredLevel, ...] | None
    labels: tuple[tuple[str, Image], ...]
    stored: dict[str, Stored]
    plate: Plate | None = None
    members: tuple[tuple[str, Image], ...] = ()


def inspect(url: str | os.PathLike[str] | Location) -> Found:
    """Look at a Zarr image, array or group.

    Parameters
    ----------
    url : str, path-like or Location

    Raises
    ------
    UsageError
        If nothing is there.
    DataError
        If it is not Zarr, or its metadata is damaged.
    """
    import zarr

    location = locate(url)
    node = open_node(location)
    if isinstance(node, zarr.Array):
        array = describe_array(node)
        stored = stored_objects(location, {"": array})
        return Found(location.url, "array", array.zarr_format, (), (array,), (), stored)
    images = read_images(node, location.url)
    kind = _kind(node, images)
    arrays = _arrays_below(location, node) if kind == "group" else ()
    labels = tuple(_labels(location, node, images))
    members = () if images else tuple(read_members(location, node, kind))
    by_path = {level.path: level for image in images for level in image.levels}
    by_path |= {array.path: array for array in arrays or ()}
    for path, image in [*((f"labels/{name}", label) for name, label in labels), *members]:
        by_path |= {f"{path}/{level.path}": level for level in image.levels}
    return Found(
        location.url,
        kind,
        node.metadata.zarr_format,
        images,
        arrays,
        labels,
        stored_objects(location, by_path),
        read_plate(location, node),
        members,
    )


def open_array(url: str | os.PathLike[str] | Location) -> zarr.Array[Any]:
    """Open a Zarr array for reading.

    Parameters
    ----------
    url : str, path-like or Location

    Raises
    ------
    UsageError
        If nothing is there, or a group: the message names the arrays that could be meant.
    DataError
        If it is not Zarr, or its metadata is damaged.
    """
    import zarr

    location = locate(url)
    node = open_node(location)
    if isinstance(node, zarr.Array):
        return node
    names = _array_names(location, node)
    raise UsageError(
        f"{location.url} is a group, not an array: {_offer(location, names)}"
        if names
        else f"{location.url} is a group that holds no arrays; give the path of an array"
    )


def open_image(url: str | os.PathLike[str] | Location) -> tuple[Image, ...]:
    """Read the multiscale images of a group; there is one or more.

    Parameters
    ----------
    url : str, path-like or Location

    Raises
    ------
    UsageError
        If nothing is there, or it is an array, or a group that is no image: the message names
        an image that could be meant.
    DataError
        If it is not Zarr, its metadata is damaged or a level is missing.
    """
    import zarr

    location = locate(url)
    node = open_node(location)
    if isinstance(node, zarr.Array):
        above = _above(location)
        image = above is not None and isinstance(above[1], zarr.Group)
        hint = f"give {above[0].url}" if above and image else "give the group that holds its levels"
        raise UsageError(f"{location.url} is an array, not an image: {hint}")
    images = read_images(node, location.url)
    if images:
        return images
    kind = _kind(node, images)
    if kind == "group":
        raise UsageError(f"{location.url} is a group without OME-Zarr metadata, not an image")
    inside = next((path for path, _ in read_members(location, node, kind)), None)
    hint = f"; give one of its images: {join(location, inside)}" if inside else ""
    what = {"labels": "a group of labels", "collection": "a collection of images"}
    raise UsageError(f"{location.url} is {what.get(kind, f'a {kind}')}, not an image{hint}")


def open_node(location: Location) -> zarr.Array[Any] | zarr.Group:
    """Open a Zarr array or group for reading, with one line where that fails.

    Raises
    ------
    UsageError
        If nothing is there.
    DataError
        If it is not Zarr, or its metadata is damaged.
    """
    import zarr

    try:
        store = location.zarr("r")
    except UsageError as error:
        hint = _hint(location)
        if hint is None:
            raise
        raise UsageError(f"{location.url} does not exist: {hint}") from error
    try:
        return zarr.open(store, mode="r")
    except EnormousError:
        raise
    except FileNotFoundError as error:  # zarr's own errors of a missing node are of this kind
        hint = _hint(location)
        hint = hint or "it holds neither zarr.json nor .zarray nor .zgroup; check the path"
        raise DataError(f"{location.url} is not Zarr: {hint}") from error
    except Exception as error:  # damaged metadata fails in as many ways as there are fields
        raise DataError(f"{location.url} cannot be opened as Zarr: {reason_text(error)}") from error


def _hint(location: Location) -> str | None:
    """What a person may have meant who named something that is not there."""
    import zarr

    above = _above(location)
    if above is None:
        return None
    where, node = above
    if isinstance(node, zarr.Array):
        return f"it lies below the array {where.url}, where there are chunks only; give that"
    names = _array_names(where, node)
    return f"{where.url} is a group; {_offer(where, names)}" if names else None


def _above(location: Location) -> tuple[Location, zarr.Array[Any] | zarr.Group] | None:
    """The array or group next above a location, or None."""
    import zarr

    url = location.url
    for _ in range(_DEPTH):
        url, _, name = url.rpartition("/")
        if not url or not name or url.endswith((":", "/")):
            return None
        try:
            above = locate(url)
            return above, zarr.open(above.zarr("r"), mode="r")
        except Exception:  # not there, not Zarr or damaged: all it means is to look further up
            continue
    return None


def _array_names(location: Location, group: zarr.Group) -> list[str]:
    """Arrays of a group: its levels if it is an image, or what lies in it or in its images."""
    try:
        entries = ome_attributes(dict(group.attrs))["multiscales"]
        return [str(level["path"]) for entry in entries for level in entry["datasets"]]
    except (KeyError, TypeError):
        names = [] if location.kind == "http" else sorted(name for name, _ in group.arrays())
    inside = () if names else read_members(location, group, _kind(group, ()))
    return names or [f"{path}/{image.levels[0].path}" for path, image in inside]


def _offer(location: Location, names: list[str]) -> str:
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return f"it holds {shown}: give {join(location, names[0])}"


def _kind(group: zarr.Group, images: tuple[Image, ...]) -> str:
    if images:
        return "label image" if images[0].is_label else "image"
    attributes = ome_attributes(dict(group.attrs))
    return next((kind for key, kind in _KINDS.items() if key in attributes), "group")


def _labels(
    location: Location, group: zarr.Group, images: tuple[Image, ...]
) -> Iterator[tuple[str, Image]]:
    import zarr

    for name in images[0].labels if images else ():
        where = join(location, "labels", name)
        label = child_node(group, f"labels/{name}", location.url)
        if not isinstance(label, zarr.Group):
            raise DataError(f"{where} is named in the metadata of 'labels' but is not there")
        for image in read_images(label, where):
            yield name, image


def _arrays_below(location: Location, group: zarr.Group) -> tuple[StoredLevel, ...] | None:
    import zarr

    if location.kind == "http":  # a plain server has no listing
        return None
    members = sorted(group.members(max_depth=None), key=lambda member: member[0])
    return tuple(
        describe_array(node, path) for path, node in members if isinstance(node, zarr.Array)
    )


def stored_objects(location: Location, arrays: Mapping[str, StoredLevel]) -> dict[str, Stored]:
    """What arrays take; names tell chunks from metadata, and from files that nobody asks for.

    Parameters
    ----------
    location : Location
    arrays : mapping of str to StoredLevel
        By their paths below `location`.

    Returns
    -------
    dict
        By the same paths; empty where nothing can be listed (HTTP).
    """
    if location.kind == "http" or not arrays:
        return {}
    if location.kind == "file":
        return {
            path: _total(_walk(os.path.join(location.base, path)), array)
            for path, array in arrays.items()
        }
    sizes = list(_listing(location))
    return {
        path: _total(
            (
                (key.removeprefix(f"{path}/"), n)
                for key, n in sizes
                if not path or key.startswith(f"{path}/")
            ),
            array,
        )
        for path, array in arrays.items()
    }


def _total(sizes: Iterable[tuple[str, int]], array: StoredLevel) -> Stored:
    is_chunk = re.compile(array.chunk_key).fullmatch
    numbers = re.compile("[0-9]+").findall
    counts = array.grid.by_object.counts
    objects = nbytes = stray = outside = misnamed = 0
    for key, n in sizes:
        if is_chunk(key) is None:
            if not is_metadata(key):
                stray, misnamed = stray + 1, misnamed + (_ANY_CHUNK(key) is not None)
        elif counts and any(map(operator.ge, map(int, numbers(key)), counts)):
            outside += 1
        else:
            objects, nbytes = objects + 1, nbytes + n
    return Stored(objects, nbytes, stray, outside, misnamed)


def _walk(folder: str, prefix: str = "") -> Iterator[tuple[str, int]]:
    """Names of the files below a folder, relative to it, and their sizes."""
    folders = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                folders.append(entry.name)
            else:
                yield prefix + entry.name, entry.stat().st_size
    for name in folders:
        yield from _walk(f"{folder}/{name}", f"{prefix}{name}/")


def _listing(location: Location) -> Iterator[tuple[str, int]]:
    prefix = f"{location.inner}/" if location.inner else ""
    if location.kind == "zip":
        with zipfile.ZipFile(location.base) as archive:
            entries = [(item.filename, item.compress_size) for item in archive.infolist()]
    else:
        store, prefix = location.bytes()
        entries = [(item["path"], item["size"]) for page in store.list() for item in page]
    for key, size in entries:
        if key.startswith(prefix) and not key.endswith("/"):
            yield key.removeprefix(prefix), size

"""Zarr arrays and OME-Zarr images, v2 and v3, from folders, zip files, memory and HTTP.

Called by :func:`enormous.create.sources.open_source`. Voxels come through tensorstore; where
that knows a codec or a store not, through zarr.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from enormous._text import reason_text
from enormous.create.sources._layout import Layout, layout, native_dtype
from enormous.create.sources._units import in_one_unit, is_time, unit_name
from enormous.create.sources.source import Region, Source
from enormous.errors import DataError, EnormousError, UsageError
from enormous.ome.inspect import open_node
from enormous.ome.read import Image, StoredLevel, describe_array, ome_attributes, read_images
from enormous.stores import Location, join, locate

if TYPE_CHECKING:
    import zarr


@dataclass(frozen=True)
class ZarrDetail:
    """Which array, and which axis is which."""

    url: str
    zarr_format: int
    layout: Layout

    def open(self, source: Source, workers: int) -> ZarrReader:
        """Open the array."""
        return ZarrReader(source, self, workers)


def open_zarr(
    url: str | Location, *, dataset: str | None = None, axes: str | None = None
) -> Source:
    """Describe a Zarr array, or level 0 of an OME-Zarr image.

    Parameters
    ----------
    url : str or Location
    dataset : str, optional
        Path of an array or image inside the group.
    axes : str, optional
        A letter for each axis, where the metadata names none or wrong ones.

    Raises
    ------
    UsageError
        If nothing is there, or a group holds no image: it names the arrays there are.
    DataError
        If the metadata is damaged.
    """
    import zarr

    location = locate(join(url, dataset) if dataset else url)
    node = open_node(location)
    if isinstance(node, zarr.Array):
        return _array(location, node, axes)
    images = read_images(node, location.url)
    if not images:
        raise UsageError(f"{location.url} is a Zarr group without an image; {_advice(node)}")
    image = images[0]
    level = image.levels[0]
    kept = [("name", image.name)] if image.name else []
    kept += [("OME-Zarr version", str(image.version))] if image.version else []
    kept += [("images in the group", f"{len(images)}, the first taken")] if images[1:] else []
    kept += [("levels", f"{len(image.levels)}, level 0 taken")] if image.levels[1:] else []
    stored = "".join(_letter(axis.name, axis.type) for axis in image.axes)
    if not stored and len(level.shape) == 5:  # versions 0.1 and 0.2 have these axes only
        stored = "tczyx"
    found = layout(stored, level.shape, location.url, axes, keep=True)
    size, unit, interval = _scales(image, level, found)
    if level.translation is not None and any(level.translation):
        kept.append(("translation", ", ".join(f"{v:g}" for v in level.translation)))
    return Source(
        url=location.url,
        kind=f"OME-Zarr {'label image' if image.is_label else 'image'}",
        shape=found.shape,
        dtype=native_dtype(level.dtype, location.url),
        axes=found.axes,
        natural=found.present(level.chunks),
        detail=ZarrDetail(join(location, level.path), level.zarr_format, found),
        voxel_size=size,
        unit=unit,
        interval=interval,
        channels=_channels(node, found),
        kept=tuple(kept),
    )


def _array(location: Location, array: zarr.Array[Any], axes: str | None) -> Source:
    level = describe_array(array)
    names: Any = getattr(array.metadata, "dimension_names", None) or array.attrs.get(
        "_ARRAY_DIMENSIONS",
        (),  # as xarray writes them
    )
    letters = "".join(_letter(str(name), None) for name in names) if _named(names) else ""
    found = layout("" if set(letters) == {"?"} else letters, level.shape, location.url, axes)
    return Source(
        url=location.url,
        kind=f"Zarr v{level.zarr_format} array",
        shape=found.shape,
        dtype=native_dtype(level.dtype, location.url),
        axes=found.axes,
        natural=found.present(level.chunks),
        detail=ZarrDetail(location.url, level.zarr_format, found),
    )


def _named(names: Any) -> bool:
    return isinstance(names, Sequence) and bool(names) and all(names)


def _letter(name: str, kind: str | None) -> str:
    """One of ``tczyx``, or ``?``."""
    known = {"time": "t", "channel": "c", "depth": "z", "height": "y", "width": "x"}
    if kind in ("time", "channel"):
        return known[kind]
    low = name.lower()
    return low if low in "tczyx" and len(low) == 1 else known.get(low, "?")


def _advice(group: zarr.Group) -> str:
    """What to give in place of a group that is no image."""
    attributes = ome_attributes(dict(group.attrs))
    if "bioformats2raw.layout" in attributes:
        return "it is a collection: give one of its images, the first is called 0"
    if "plate" in attributes or "well" in attributes:
        return "it is a plate or well: give one of its images, such as A/1/0"
    try:
        names = sorted(name for name, _ in group.arrays())
    except (NotImplementedError, EnormousError):  # a plain server cannot list
        names = []
    return f"give one of its arrays: {', '.join(names[:8])}" if names else "give an array in it"


def _scales(
    image: Image, level: StoredLevel, found: Layout
) -> tuple[tuple[float, ...] | None, str | None, tuple[float, str] | None]:
    """Voxel size and unit of the spatial axes, and the interval of time."""
    if level.scale is None or not image.axes:
        return None, None, None
    by_letter = {
        letter: (scale, unit_name(axis.unit) or axis.unit)
        for letter, scale, axis in zip(found.stored, level.scale, image.axes, strict=True)
    }
    interval = by_letter.get("t")
    spatial = [letter for letter in found.axes if letter in "zyx"]
    # an added plane is as deep as it is high: see `enormous.create.sources`
    known = [by_letter.get(letter, by_letter["y"]) for letter in spatial]
    if not any(unit for _, unit in known) and all(size == 1 for size, _ in known):
        return None, None, None  # what is written where nothing is known
    together = in_one_unit([size for size, _ in known], [unit for _, unit in known])
    size, unit = together or (None, None)
    time = interval[1] if interval else None
    return size, unit, (interval[0], time) if interval and time and is_time(time) else None


def _channels(group: zarr.Group, found: Layout) -> tuple[str, ...]:
    omero = ome_attributes(dict(group.attrs)).get("omero")
    channels = omero.get("channels") if isinstance(omero, Mapping) else None
    if not isinstance(channels, Sequence) or "c" not in found.axes:
        return ()
    labels = [str(c.get("label", "")) for c in channels if isinstance(c, Mapping)]
    n = found.shape[found.axes.index("c")]
    return tuple(labels) if len(labels) == n and all(labels) else ()


class ZarrReader:
    """Reads boxes of a Zarr array."""

    def __init__(self, source: Source, detail: ZarrDetail, workers: int) -> None:
        self._source = source
        self._detail = detail
        location = locate(detail.url)
        self._tensorstore = _open_tensorstore(location, detail.zarr_format, workers)
        self._zarr: Any = None
        if self._tensorstore is None:
            self._zarr = open_node(location)

    def read(self, region: Region) -> NDArray[Any]:
        """As :class:`enormous.create.sources.source.Reader` says."""
        return self._detail.layout.read(region, self._source.dtype, self._fill)

    def _fill(self, out: NDArray[Any], box: Region) -> None:
        try:
            if self._tensorstore is None:
                out[...] = self._zarr[box]
            elif out.flags.c_contiguous:
                import tensorstore as ts

                ts.array(out).write(self._tensorstore[box]).result()
            else:
                out[...] = self._tensorstore[box].read().result()
        except Exception as error:  # each store and codec has exceptions of its own
            reason = reason_text(error)[:300]
            raise DataError(f"{self._detail.url} cannot be read: {reason}") from error

    def close(self) -> None:
        """Let go of the store."""
        store = getattr(self._zarr, "store", None)
        if store is not None:
            store.close()
        self._tensorstore = self._zarr = None


def _open_tensorstore(location: Location, zarr_format: int, workers: int) -> Any:
    """Open with tensorstore; None if it does not know the store, a codec or the dtype."""
    if location.kind == "memory":
        return None
    import tensorstore as ts

    limits = {"limit": workers}
    context = ts.Context(
        {
            "data_copy_concurrency": limits,
            "file_io_concurrency": {"limit": max(4, workers)},
            "cache_pool": {"total_bytes_limit": 0},
        }
    )
    driver = {2: "zarr", 3: "zarr3"}[zarr_format]
    spec = {"driver": driver, "kvstore": location.tensorstore()}
    try:
        opened = ts.open(spec, context=context, open=True, read=True).result()
    except (ValueError, NotImplementedError):  # zarr says what is wrong, if anything is
        return None
    return opened if opened.dtype.numpy_dtype != np.dtype(object) else None

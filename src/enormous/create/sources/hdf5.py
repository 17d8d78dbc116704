"""Datasets in HDF5 files, also as ilastik, Fiji's plugin, BigDataViewer and NeXus write them.

Called by :func:`enormous.create.sources.open_source`. The HDF5 library does one thing at a
time in a process, whatever the number of threads: with ``processes`` it reads side by side.
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enormous._text import shape_text
from enormous.create.sources._files import RandomFile, Stamp, stamp
from enormous.create.sources._layout import Layout, layout, native_dtype
from enormous.create.sources._tiffmeta import voxel_size
from enormous.create.sources._units import unit_name
from enormous.create.sources.source import Region, Source
from enormous.errors import DataError, EnormousError, MissingExtra, UsageError

_PLANE = 4_000_000  # bytes worth reading at once of a dataset without chunks
_LISTED = 12


@dataclass(frozen=True)
class Hdf5Detail:
    """Which dataset, and which axis is which."""

    file: Stamp
    dataset: str
    layout: Layout

    def open(self, source: Source, workers: int) -> Hdf5Reader:
        """Open the file."""
        return Hdf5Reader(source, self)


def _h5py() -> Any:
    try:
        import h5py
    except ImportError as error:
        raise MissingExtra("h5py", "export") from error
    return h5py


def open_hdf5(path: str, *, dataset: str | None = None, axes: str | None = None) -> Source:
    """Describe a dataset.

    Parameters
    ----------
    path : str
    dataset : str, optional
        Path in the file; may be left out where only one has 2 to 5 axes of numbers.
    axes : str, optional
        A letter for each axis, where no attribute names them.

    Raises
    ------
    UsageError
        If there is no such dataset, or several and none was named: they are listed.
    DataError
        If the file is damaged.
    """
    h5py = _h5py()
    known = stamp(path)
    try:
        with h5py.File(path, "r") as file:
            found = _choose(file, path, dataset, h5py)
            return _describe(found, known, axes)
    except EnormousError:
        raise
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path} cannot be read as HDF5, it may be truncated: {reason}") from error


def _choose(file: Any, path: str, dataset: str | None, h5py: Any) -> Any:
    images = _images(file, h5py)
    listed = ", ".join(f"{name} {shape_text(d.shape)}" for name, d in images[:_LISTED])
    listed += f" and {len(images) - _LISTED} more" if len(images) > _LISTED else ""
    if dataset is not None:
        found = file.get(dataset)
        if isinstance(found, h5py.Dataset):
            return found
        what = "is a group" if found is not None else "is not there"
        raise UsageError(f"{path}:{dataset} {what}; its arrays are: {listed or 'none'}")
    if len(images) == 1:
        return images[0][1]
    if not images:
        raise UsageError(f"{path} holds no array of numbers with 2 to 5 axes")
    raise UsageError(f"{path} holds several arrays; name one as {path}:PATH: {listed}")


def _images(file: Any, h5py: Any) -> list[tuple[str, Any]]:
    """Datasets that can be images."""
    found: list[tuple[str, Any]] = []

    def look(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset) and 2 <= node.ndim <= 5 and node.dtype.kind in "buif":
            found.append((f"/{name}", node))

    file.visititems(look)
    return found


def _describe(dataset: Any, known: Stamp, axes: str | None) -> Source:
    where = f"{known.path}:{dataset.name}"
    if dataset.shape is None or not dataset.ndim:
        raise DataError(f"{where} is a single value, not an image")
    _check_virtual(dataset, where)
    _check_filters(dataset, where)
    tags = _axistags(dataset)
    labels = "".join(dim.label.lower()[:1] or "?" for dim in dataset.dims)
    stored = tags[0] or ("" if set(labels) & {"?"} else labels)
    found = layout(stored, dataset.shape, where, axes)
    sizes = _element_size(dataset, found) or tags[1]
    size, unit, kept = voxel_size(found.axes, found.shape, sizes)
    return Source(
        url=where,
        kind="HDF5 dataset",
        shape=found.shape,
        dtype=native_dtype(dataset.dtype, where),
        axes=found.axes,
        natural=found.present(dataset.chunks or _rows(dataset.shape, dataset.dtype.itemsize)),
        detail=Hdf5Detail(known, dataset.name, found),
        voxel_size=size,
        unit=unit,
        kept=kept,
    )


def _check_virtual(dataset: Any, where: str) -> None:
    """Refuse a dataset put together of files that are not there: HDF5 would read zeros."""
    if not dataset.is_virtual:
        return
    folder = os.path.dirname(os.path.abspath(dataset.file.filename))
    for part in dataset.virtual_sources():
        path = os.path.join(folder, part.file_name)
        if part.file_name != "." and "%" not in path and not os.path.isfile(path):
            raise DataError(f"{where} is put together of several files, and {path} is missing")


def _check_filters(dataset: Any, where: str) -> None:
    """Refuse a dataset packed in a way that this HDF5 library cannot undo."""
    h5z = _h5py().h5z
    settings = dataset.id.get_create_plist()
    for number in range(settings.get_nfilters()):
        code, _, _, name = settings.get_filter(number)
        if h5z.filter_avail(code):
            continue
        try:
            importlib.import_module("hdf5plugin")  # brings the filters of detectors
        except ImportError:
            known = False
        else:
            known = h5z.filter_avail(code)
        if not known:
            label = name.decode("ascii", "replace") or "unnamed"
            raise DataError(
                f"{where} is packed with filter {code} ({label}), which HDF5 does not know; "
                "install hdf5plugin"
            )


def _rows(shape: Sequence[int], itemsize: int) -> tuple[int, ...]:
    """Whole planes of a dataset that has no chunks, as many as are worth a request."""
    sizes, nbytes = [1] * len(shape), itemsize
    for axis in range(len(shape) - 1, -1, -1):
        sizes[axis] = max(1, min(shape[axis], _PLANE // nbytes))
        nbytes *= sizes[axis]
    return tuple(sizes)


def _element_size(dataset: Any, found: Layout) -> dict[str, tuple[float, str | None]]:
    """``element_size_um``, z, y, x in micrometers, as ilastik and Fiji's HDF5 plugin write it."""
    value = dataset.attrs.get("element_size_um")
    numbers = [] if value is None else [float(v) for v in np.atleast_1d(value)]
    if len(numbers) != 3 or not all(np.isfinite(v) and v > 0 for v in numbers):
        return {}
    return {x: (size, "micrometer") for x, size in zip("zyx", numbers, strict=True)}


def _axistags(dataset: Any) -> tuple[str, dict[str, tuple[float, str | None]]]:
    """Axes and resolutions as vigra and ilastik write them."""
    text = dataset.attrs.get("axistags")
    if text is None:
        return "", {}
    try:
        entries = json.loads(text)["axes"]
        letters = "".join(str(entry["key"]).lower() for entry in entries)
        sizes = {
            str(entry["key"]).lower(): (
                float(entry.get("resolution") or 0),
                unit_name(str(entry.get("unit") or "")),
            )
            for entry in entries
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{dataset.file.filename}:{dataset.name}: damaged axistags: {error}"
        ) from error
    if len(letters) != dataset.ndim:
        return "", {}
    return letters, {x: known for x, known in sizes.items() if known[0] > 0 and known[1]}


class Hdf5Reader:
    """Reads boxes of a dataset; h5py's lock lets one thread in at a time."""

    def __init__(self, source: Source, detail: Hdf5Detail) -> None:
        self._detail = detail
        self._dtype = source.dtype
        self._where = source.url
        RandomFile(detail.file).close()  # says if it has changed
        try:
            self._file = _h5py().File(detail.file.path, "r")
            self._dataset = self._file[detail.dataset]
            _check_filters(self._dataset, self._where)  # in this process too
        except (OSError, KeyError) as error:
            raise DataError(f"{self._where} cannot be read: {error}") from error

    def read(self, region: Region) -> NDArray[Any]:
        """As :class:`enormous.create.sources.source.Reader` says."""
        return self._detail.layout.read(region, self._dtype, self._fill)

    def _fill(self, out: NDArray[Any], box: Region) -> None:
        try:
            if out.flags.c_contiguous:
                self._dataset.read_direct(out, source_sel=box)
            else:
                out[...] = self._dataset[box]
        except (OSError, RuntimeError, KeyError) as error:
            reason = " ".join(str(error).split())[:200]
            raise DataError(f"{self._where} cannot be read: {reason}") from error

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

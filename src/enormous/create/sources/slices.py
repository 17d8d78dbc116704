"""A stack of slices, one file each: TIFF, PNG or JPEG 2000.

Called by :func:`enormous.create.sources.open_source`. All headers are read before anything
else is done, so that a slice which is missing, of another size, or cut off is known by name
before the first voxel is written.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enormous._text import shape_text
from enormous.create.sources import _formats
from enormous.create.sources._files import (
    RandomFile,
    Stamp,
    cannot_open,
    read_box,
    side_by_side,
    unreadable,
)
from enormous.create.sources._layout import Layout, layout, native_dtype
from enormous.create.sources._names import in_order
from enormous.create.sources._slicefiles import FAMILIES, Header
from enormous.create.sources._tiffmeta import voxel_size
from enormous.create.sources.source import Region, Source
from enormous.errors import DataError, EnormousError, UsageError

_AT_ONCE = 16  # headers asked for at a time: what counts on a slow disk is waiting
_SAMPLES = {2: ("grey", "alpha"), 3: ("red", "green", "blue"), 4: ("red", "green", "blue", "alpha")}


_SUFFIXES = tuple(_formats.SLICES.values())


@dataclass(frozen=True)
class Slice:
    """One file.

    Parameters
    ----------
    path : str
    size, mtime_ns : int
        As :class:`enormous.create.sources._files.Stamp` has them.
    offset : int
        Of the first voxel, where they lie in the file as they are; else -1.
    stored : str
        Their dtype in the file, with its byte order.
    """

    path: str
    size: int
    mtime_ns: int
    offset: int
    stored: str


@dataclass(frozen=True)
class SlicesDetail:
    """The slices in order; `letters` are the axes inside each."""

    family: str
    slices: tuple[Slice, ...]
    letters: str
    layout: Layout

    def open(self, source: Source, workers: int) -> SlicesReader:
        """Get ready to read."""
        return SlicesReader(source, self, workers)


def find_slices(folder: str) -> tuple[str, ...]:
    """Image files of a folder, in no order; hidden files and what is no image are left out.

    Raises
    ------
    UsageError
        If there are none, or of several families: it says which glob to give.
    DataError
        If the folder cannot be listed, or one of them is a link that leads nowhere.
    """
    try:
        listed = [name for name in os.listdir(folder) if not name.startswith(".")]
    except OSError as error:
        raise cannot_open(folder, error) from error
    names = [name for name in listed if is_there(os.path.join(folder, name))]
    families = {
        family: [name for name in names if _formats.suffix(name) in suffixes]
        for family, suffixes in _formats.SLICES.items()
    }
    there = {family: found for family, found in families.items() if found}
    if len(there) > 1:
        told = " and ".join(f"{len(found)} {family}" for family, found in there.items())
        first = max(there.values(), key=len)[0]
        glob = os.path.join(folder, f"*{os.path.splitext(first)[1]}")
        raise UsageError(f"{folder} holds {told} files: give a glob such as '{glob}'")
    if not there:
        advice = next((text for name in names if (text := _formats.advice(name))), None)
        kinds = Counter(_formats.suffix(name) or "no suffix" for name in names).most_common(3)
        what = ", ".join(f"{n} × {kind}" for kind, n in kinds) or "nothing"
        raise UsageError(
            f"{folder} holds no TIFF, PNG or JPEG 2000 slices but {what}"
            + (f"; {advice}" if advice else f"; {_formats.READABLE}")
        )
    (found,) = there.values()
    return tuple(os.path.join(folder, name) for name in found)


def is_there(path: str) -> bool:
    """Whether a listed name is a file: a folder is none, and is passed over.

    Raises
    ------
    DataError
        If it has a slice's suffix and cannot be reached: a link into a disk or an annex that
        is not there. Passed over, it would be a plane that nobody misses.
    """
    if os.path.isfile(path):
        return True
    if os.path.isdir(path) or not any(_formats.suffix(path) in known for known in _SUFFIXES):
        return False
    where = f"leads to {os.readlink(path)}, which" if os.path.islink(path) else "is no file, or"
    raise DataError(f"{path} {where} cannot be read: fetch the slice, or leave it out with a glob")


def open_slices(
    paths: Sequence[str],
    url: str,
    *,
    ordered: bool = False,
    axes: str | None = None,
    stack: bool = False,
) -> Source:
    """Describe a stack of slices.

    Parameters
    ----------
    paths : sequence of str
    url : str
        What the person gave, for messages and provenance.
    ordered : bool
        Take the order as it is, and do not look for missing numbers.
    axes : str, optional
        ``tyx`` or ``cyx`` where slices are points of time or channels, not planes.
    stack : bool
        One file is a stack of one slice, no image of two axes.

    Raises
    ------
    UsageError, DataError
        One line that names the slice that is missing or does not fit.
    """
    if not ordered:
        folders = {os.path.dirname(path) for path in paths}
        by_name = {os.path.basename(path) if len(folders) == 1 else path: path for path in paths}
        paths = [by_name[name] for name in in_order(list(by_name), url)]
    family = _family(paths, url)
    read_header = FAMILIES[family].header
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        headers = list(pool.map(read_header, paths))
    first = headers[0]
    _check_alike(headers)
    shape, stored = first.shape, first.letters.replace("s", "c")
    if len(paths) > 1 or stack or (axes is not None and len(axes) == len(shape) + 1):
        shape, stored = (len(paths), *shape), "z" + stored
    found = layout(stored, shape, url, axes)
    said = FAMILIES[family].says(first.stamp.path)
    size, unit, kept = voxel_size(found.axes, found.shape, said.sizes)
    n = found.shape[found.axes.index("c")] if "c" in found.axes else 0
    natural = [1, *shape[1:]] if stored.startswith("z") else list(shape)
    return Source(
        url=url,
        kind=f"{family} {'slices' if stored.startswith('z') else 'image'}",
        shape=found.shape,
        dtype=native_dtype(first.dtype, first.stamp.path),
        axes=found.axes,
        natural=found.present(natural),
        detail=SlicesDetail(family, tuple(_slice(h) for h in headers), first.letters, found),
        voxel_size=size,
        unit=unit,
        interval=said.interval,
        channels=_SAMPLES.get(n, ()) if "s" in first.letters else (),
        kept=(*said.kept, *kept),
    )


def _slice(header: Header) -> Slice:
    known = header.stamp
    return Slice(known.path, known.size, known.mtime_ns, header.offset, header.stored)


def _family(paths: Sequence[str], url: str) -> str:
    found = {
        family
        for path in paths
        for family, suffixes in _formats.SLICES.items()
        if _formats.suffix(path) in suffixes
    }
    strange = next((p for p in paths if not any(_formats.suffix(p) in s for s in _SUFFIXES)), None)
    if strange is not None:
        why = _formats.advice(strange) or "it is neither TIFF, PNG nor JPEG 2000"
        raise UsageError(f"{strange} cannot be a slice; {why}")
    if len(found) > 1:
        raise UsageError(f"{url} matches {' and '.join(sorted(found))} files: give one kind only")
    return found.pop()


def _check_alike(headers: Sequence[Header]) -> None:
    """Refuse a slice unlike the most of them."""
    kinds = Counter((h.shape, h.letters, h.dtype) for h in headers)
    usual, _ = kinds.most_common(1)[0]
    for header in headers:
        found = (header.shape, header.letters, header.dtype)
        if found != usual:
            raise DataError(
                f"{header.stamp.path} is {shape_text(found[0])} {found[2]}, the other slices are "
                f"{shape_text(usual[0])} {usual[2]}; replace it or leave it out with a glob"
            )


class SlicesReader:
    """Reads boxes of a stack of slices: each slice is opened once for each box."""

    def __init__(self, source: Source, detail: SlicesDetail, workers: int) -> None:
        self._detail = detail
        self._dtype = source.dtype
        self._read_box = FAMILIES[detail.family].read
        self._pool = ThreadPoolExecutor(workers, "slices") if workers > 1 else None

    def read(self, region: Region) -> NDArray[Any]:
        """As :class:`enormous.create.sources.source.Reader` says."""
        return self._detail.layout.read(region, self._dtype, self._fill)

    def _fill(self, out: NDArray[Any], box: Region) -> None:
        if len(self._detail.layout.stored) == len(self._detail.letters):  # one image
            self._one(self._detail.slices[0], out, box)
            return
        jobs = [
            (self._detail.slices[n], out[n - box[0].start], box[1:])
            for n in range(box[0].start, box[0].stop)
        ]
        side_by_side(self._pool, self._one, jobs)

    def _one(self, file: Slice, out: NDArray[Any], box: Region) -> None:
        known = Stamp(file.path, file.size, file.mtime_ns)
        shape = self._detail.layout.stored_shape[-len(self._detail.letters) :]
        with RandomFile(known) as opened:
            if file.offset >= 0:
                read_box(opened, file.offset, np.dtype(file.stored), shape, box, out)
                return
            try:
                self._read_box(opened, known.size, self._detail.letters, box, out)
            except (EnormousError, MemoryError):
                raise
            except Exception as error:  # each decoder has errors of its own
                raise unreadable(file.path, error) from error

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

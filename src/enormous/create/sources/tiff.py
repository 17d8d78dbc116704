"""Stacks in one TIFF file: multi-page, BigTIFF, OME-TIFF (several files too), ImageJ.

Called by :func:`enormous.create.sources.open_source`. tifffile says where each page is; what
lies there uncompressed is read as it is, the rest is decoded page by page, side by side.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from enormous._text import shape_text
from enormous.create.sources import _tiffpages
from enormous.create.sources._files import Flat, RandomFile, Stamp, read_box, side_by_side, stamp
from enormous.create.sources._flat import FlatDetail
from enormous.create.sources._layout import Layout, layout, native_dtype
from enormous.create.sources._slicefiles import tiff_says
from enormous.create.sources._tiffalike import check_alike
from enormous.create.sources._tiffmeta import voxel_size
from enormous.create.sources.source import Region, Source
from enormous.errors import DataError, EnormousError, UsageError

if TYPE_CHECKING:
    import tifffile

    Series = tifffile.TiffPageSeries

_SAMPLES = {3: ("red", "green", "blue"), 4: ("red", "green", "blue", "alpha")}
_KINDS = {"ome": "OME-TIFF", "imagej": "ImageJ TIFF"}


@dataclass(frozen=True)
class TiffDetail:
    """The files of the series, the first the one that was given; `letters` of one page."""

    files: tuple[Stamp, ...]
    letters: str
    layout: Layout

    def open(self, source: Source, workers: int) -> TiffReader:
        """Open the files."""
        return TiffReader(source, self, workers)


def open_tiff(path: str, *, axes: str | None = None, stack: bool = False) -> Source:
    """Describe the first series of a TIFF file at full resolution.

    Parameters
    ----------
    path : str
    axes : str, optional
        A letter for each axis (of more than one voxel) in the order of the file, where it names
        them wrongly.
    stack : bool
        One plane is a stack of one slice, no image of two axes.

    Raises
    ------
    UsageError
        If the axes are not clear.
    DataError
        If the file is damaged, truncated, incomplete, or of a kind that is no image.
    """
    module = _tiffpages.import_tifffile()
    known = stamp(path)
    try:
        with _tiffpages.strict(path), module.TiffFile(path) as tif:
            return _describe(tif, known, axes, stack)
    except EnormousError:
        raise
    except Exception as error:  # damaged tags fail in as many ways as there are tags
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        if "incompatible keyframe" in reason:  # tifffile has found it, and does not say where
            raise DataError(f"{path}: a page is unlike the first; save all pages alike") from error
        raise DataError(f"{path} is not a TIFF file that can be read: {reason}") from error


def _describe(tif: tifffile.TiffFile, known: Stamp, axes: str | None, stack: bool) -> Source:
    path = known.path
    if not tif.series:
        raise DataError(f"{path} holds no image")
    series = tif.series[0]
    key = series.keyframe
    _tiffpages.check_kind(key, path)
    letters = _tiffpages.page_letters(key)
    stored = series.axes.lower()
    if not stored.endswith(letters) or series.transform is not None:
        raise DataError(f"{path} stores its pages in an order that is not known ({series.axes})")
    samples = dict(zip(stored, series.shape, strict=True)).get("s", 1)
    if "s" in stored and "c" in stored and axes is None:
        raise UsageError(
            f"{path} holds colour pictures in several channels ({series.axes}): say what its axes "
            "are with axes (--axes), or split them into single channels first"
        )
    found = layout(stored.replace("s", "c"), series.shape, path, axes, deep=stack)
    files = _check_pages(series, known)
    _check_uniform(tif, known.path)
    said = tiff_says(tif, series.name)
    size, unit, kept = voxel_size(found.axes, found.shape, said.sizes)
    n = found.shape[found.axes.index("c")] if "c" in found.axes else 0
    names = said.channels if len(said.channels) == n else ()
    flat = _flat(series, known) if len(files) == 1 else None
    page_axes = len(letters)
    natural = [1] * (len(stored) - page_axes) + list(series.shape[-page_axes:])
    return Source(
        url=path,
        kind=_KINDS.get(series.kind, "TIFF stack" if len(found.axes) > 2 else "TIFF image"),
        shape=found.shape,
        dtype=native_dtype(series.dtype, path),
        axes=found.axes,
        natural=found.present(natural),
        detail=FlatDetail(flat, found) if flat else TiffDetail(files, letters, found),
        voxel_size=size,
        unit=unit,
        interval=said.interval if "t" in found.axes else None,
        channels=names or (_SAMPLES.get(n, ()) if samples == n else ()),
        kept=(*said.kept, *kept, *_others(tif, series, said.channels, found.axes)),
    )


def _others(
    tif: tifffile.TiffFile, series: Series, channels: tuple[str, ...], axes: str
) -> Iterator[tuple[str, str]]:
    """What else is in the file, which is not taken or has no other place."""
    if len(channels) == 1 and "c" not in axes:
        yield "channel", channels[0]
    if len(tif.series) > 1:
        yield "series in the file", f"{len(tif.series)}, the first taken"
    if len(series.levels) > 1:
        yield "levels in the file", f"{len(series.levels)}, the finest taken"
    if series.keyframe.photometric == 0:
        yield "photometric", "low values are white; values are as stored"


def _flat(series: Series, known: Stamp) -> Flat | None:
    """The whole series as one array in the file, where it is that."""
    if series.dataoffset is None or _tiffpages.plain_offset(series.keyframe) < 0:
        return None
    stored = _tiffpages.stored_dtype(series.keyframe)
    flat = Flat(known, int(series.dataoffset), stored, tuple(series.shape))
    flat.check()
    return flat


def _check_pages(series: Series, known: Stamp) -> tuple[Stamp, ...]:
    """Every page is there, whole; the files they are in."""
    if _virtual(series):
        return (known,)
    files = {known.path: known}
    pages: list[tuple[Any, str]] = []
    for number in range(len(series)):
        page = series[number]
        if page is None:
            raise DataError(
                f"{known.path} is incomplete: page {number} of {len(series)} is missing, or the "
                "file of the set that holds it"
            )
        path = _path(page, known.path)
        if path not in files:
            files[path] = stamp(path)
        pages.append((page, path))
        _tiffpages.check_page(page, path, files[path].size, number)
    expected = math.prod(series.shape) // math.prod(series.keyframe.shape)
    if len(series) != expected:
        raise DataError(
            f"{known.path} is incomplete: it has {len(series)} of the {expected} pages its "
            "metadata promise"
        )
    check_alike(pages, series.keyframe, _path(series.keyframe, known.path))
    return tuple(files.values())


def _check_uniform(tif: tifffile.TiffFile, path: str) -> None:
    """Refuse a plain stack that some of its pages would be left out of.

    tifffile makes series of pages that are alike. Without metadata, a page between those of
    the first series, or of the same size but stored in another way, is one of the stack.
    """
    first = tif.series[0]
    if first.kind != "generic" or len(tif.series) == 1:
        return
    last = max(page.index for page in first if page is not None)
    for series in tif.series[1:]:
        alike = series.keyframe.shape == first.keyframe.shape and series.dtype == first.dtype
        page: Any
        for page in series:
            if page is not None and not page.is_reduced and (alike or page.index < last):
                how = "stored in another way" if alike else shape_text(page.shape)
                raise DataError(
                    f"{path}: page {page.index} is unlike the first "
                    f"({shape_text(first.keyframe.shape)}): {how}; save all pages alike"
                )


def _virtual(series: Series) -> bool:
    """Whether one page stands for all, whose voxels follow its own: checked by `_flat`."""
    return series.dataoffset is not None and len(series._pages) == 1


def _path(page: Any, first: str) -> str:
    handle = page.parent.filehandle
    return first if page.parent is page.parent.root else str(handle.path)


class TiffReader:
    """Reads boxes of a series: only the strips and tiles that a box touches."""

    def __init__(self, source: Source, detail: TiffDetail, workers: int) -> None:
        self._detail = detail
        self._dtype = source.dtype
        self._pool = ThreadPoolExecutor(workers, "pages") if workers > 1 else None
        self._files = {known.path: RandomFile(known) for known in detail.files}
        self._first = detail.files[0].path
        with _tiffpages.strict(self._first):
            self._tif = _tiffpages.import_tifffile().TiffFile(self._first)
            self._series = self._tif.series[0]
        self._lock = threading.Lock()  # tifffile reads further pages when asked for them

    def read(self, region: Region) -> NDArray[Any]:
        """As :class:`enormous.create.sources.source.Reader` says."""
        return self._detail.layout.read(region, self._dtype, self._fill)

    def _fill(self, out: NDArray[Any], box: Region) -> None:
        leading = len(box) - len(self._detail.letters)
        shape = self._detail.layout.stored_shape[:leading]
        jobs = []
        for index in product(*(range(part.start, part.stop) for part in box[:leading])):
            at = tuple(i - part.start for i, part in zip(index, box[:leading], strict=True))
            number = int(np.ravel_multi_index(index, shape)) if shape else 0
            jobs.append((number, out[at], box[leading:]))
        side_by_side(self._pool, self._one, jobs)

    def _one(self, number: int, out: NDArray[Any], box: Region) -> None:
        with self._lock:
            page = self._series[number]
        file = self._files[_path(page, self._first)]
        if page.is_final and out.dtype != np.bool_:
            stored = np.dtype(_tiffpages.stored_dtype(page.keyframe))
            read_box(file, int(page.dataoffsets[0]), stored, page.keyframe.shape, box, out)
            return
        _tiffpages.read_page(file, page, *_tiffpages.four_axes(self._detail.letters, box, out))

    def close(self) -> None:
        """Let go of the files and threads."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        self._tif.close()
        for file in self._files.values():
            file.close()

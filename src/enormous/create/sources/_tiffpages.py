"""One page of a TIFF file: where its voxels are, and how a box of it is decoded.

Called by :mod:`enormous.create.sources.slices` and :mod:`enormous.create.sources.tiff`. Only
the strips or tiles that a box touches are read and decoded, by tifffile and imagecodecs.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from enormous._text import bytes_text
from enormous.create.sources._files import RandomFile
from enormous.create.sources.source import Region
from enormous.errors import DataError, MissingExtra, UsageError

if TYPE_CHECKING:
    import tifffile

    Page = tifffile.TiffPage

#: What tifffile calls an error and mends: private tags that are odd, lists that are too long.
_HARMLESS = re.compile(
    r"TiffTag\.fromfile(?!.*TiffTag \d{1,3} .*invalid value offset)"
    r"|axes do not match|incorrect Strip"
)
_SLACK = 65_536  # bytes between strips that are read along rather than asked for apart
_SPAN = 32_000_000  # bytes asked for at once


def import_tifffile() -> Any:
    """Import tifffile, or say which extra brings it.

    Raises
    ------
    MissingExtra
    """
    try:
        import imagecodecs  # noqa: F401 (needed at the first compressed page)
        import tifffile
    except ImportError as error:
        raise MissingExtra(error.name or "tifffile", "export") from error
    return tifffile


class _Listener(logging.Filter):
    """Keeps what tifffile logs as an error, by thread: it goes on where we must not.

    A filter, installed once: handlers that come and go would be skipped in other threads.
    """

    def __init__(self) -> None:
        super().__init__()
        self.heard = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:
        lines = getattr(self.heard, "lines", None)
        if lines is not None and record.levelno >= logging.ERROR:
            lines.append(record.getMessage())
        return lines is None  # what we look at ourselves is not printed too


_listener = _Listener()


@contextmanager
def strict(path: str) -> Iterator[None]:
    """Turn what tifffile only logs as an error into one.

    Raises
    ------
    DataError
    """
    logging.getLogger("tifffile").addFilter(_listener)  # once, however often it is asked for
    lines: list[str] = []
    _listener.heard.lines = lines
    try:
        yield
    finally:
        _listener.heard.lines = None
    serious = [line for line in lines if not _HARMLESS.search(line)]
    if serious:
        reason = " ".join(serious[0].split())[:200]
        raise DataError(f"{path} is truncated or damaged: {reason}")


def check_page(page: Any, path: str, size: int, number: int | None = None) -> None:
    """Refuse what cannot be converted, and a file that is shorter than its header promises.

    Parameters
    ----------
    page : tifffile.TiffPage or TiffFrame
    path : str
    size : int
        Of the file, in bytes.
    number : int, optional
        Of the page, where a file has several.

    Raises
    ------
    DataError
    """
    where = path if number is None else f"{path}, page {number}"
    offsets, counts = page.dataoffsets, page.databytecounts
    wanted = _segments(page.keyframe)
    if len(offsets) < wanted or len(offsets) != len(counts):
        raise DataError(f"{where} is damaged: it lists {len(offsets)} strips or tiles of {wanted}")
    end = max((o + n for o, n in zip(offsets, counts, strict=True)), default=0)
    if page.keyframe.is_contiguous:
        end = max(end, offsets[0] + page.keyframe.nbytes)
    if end > size:
        raise DataError(
            f"{where} is truncated: its header promises {bytes_text(end)} ({end:,}), it has "
            f"{size:,} bytes"
        )


def check_kind(page: Page, path: str) -> None:
    """Refuse pages that hold no plain numbers.

    Raises
    ------
    DataError
    """
    if page.photometric == 3:
        raise DataError(
            f"{path} has a palette: its values are numbers of colours, not intensities; convert it "
            "to grey or RGB first"
        )
    if page.photometric == 6 and page.compression not in (6, 7):
        raise DataError(f"{path} is in YCbCr colours; convert it to RGB first")
    if page.dtype is None:
        raise DataError(
            f"{path} holds {page.bitspersample}-bit values of a kind that is not known; "
            "save it with 8, 16 or 32 bits"
        )
    if page.imagedepth > 1:
        raise DataError(f"{path} stores a volume in one page; save it as one page for each slice")


def _tiling(page: Page) -> tuple[int, int, int, int]:
    """Height and width of a strip or tile, and how many there are down and across."""
    if page.is_tiled:
        height, width = page.tilelength, page.tilewidth
    else:
        height, width = min(page.rowsperstrip or page.imagelength, page.imagelength), 0
    width = width or page.imagewidth
    return height, width, -(-page.imagelength // height), -(-page.imagewidth // width)


def _segments(page: Page) -> int:
    if page.is_contiguous:
        return 1
    _, _, down, across = _tiling(page)
    return down * across * int(page.shaped[0])


def read_page(file: RandomFile, page: Any, box: Region, out: NDArray[Any]) -> None:
    """Decode a box of a page.

    Parameters
    ----------
    file : RandomFile
    page : tifffile.TiffPage or TiffFrame
    box : tuple of slice
        In samples (of separate planes), y, x, and samples (of one pixel).
    out : ndarray
        Of the shape of `box`, any strides.

    Raises
    ------
    DataError
        If the file ends too early or cannot be decoded.
    """
    key = page.keyframe
    height, width, down, across = _tiling(key)
    planes, rows, columns, _ = box
    wanted = [
        (plane * down + i) * across + j
        for plane in range(planes.start, planes.stop)
        for i in range(rows.start // height, -(-rows.stop // height))
        for j in range(columns.start // width, -(-columns.stop // width))
    ]
    tables = page.jpegtables
    for index, data in _encoded(file, page, wanted):
        try:
            decoded, at, _ = key.decode(data, index, jpegtables=tables)
        except Exception as error:  # every codec has errors of its own
            reason = " ".join(str(error).split())[:160] or type(error).__name__
            raise DataError(
                f"{file.path} cannot be decoded, it is damaged: {reason} (strip or tile {index})"
            ) from error
        y, x = at[2], at[3]
        y0, y1 = max(rows.start, y), min(rows.stop, y + height, key.imagelength)
        x0, x1 = max(columns.start, x), min(columns.stop, x + width, key.imagewidth)
        target = out[at[0] - planes.start, y0 - rows.start : y1 - rows.start]
        target = target[:, x0 - columns.start : x1 - columns.start]
        if decoded is None:
            target[...] = key.nodata
        else:
            target[...] = decoded[0, y0 - y : y1 - y, x0 - x : x1 - x, box[3]]


def _encoded(file: RandomFile, page: Any, wanted: list[int]) -> Iterator[tuple[int, bytes | None]]:
    """Strips or tiles as stored, read together where they lie together."""
    offsets, counts = page.dataoffsets, page.databytecounts
    for group in _together(wanted, offsets, counts):
        start = offsets[group[0]]
        span = file.read(start, offsets[group[-1]] + counts[group[-1]] - start)
        for index in group:
            at = offsets[index] - start
            yield index, bytes(span[at : at + counts[index]]) if counts[index] else None


def _together(
    wanted: list[int], offsets: Sequence[int], counts: Sequence[int]
) -> Iterator[list[int]]:
    """Runs of strips or tiles that are worth one request; empty ones are on their own."""
    group: list[int] = []
    for index in wanted:
        if group:
            last = offsets[group[-1]] + counts[group[-1]]
            near = counts[index] and last <= offsets[index] <= last + _SLACK
            if not near or offsets[index] + counts[index] - offsets[group[0]] > _SPAN:
                yield group
                group = []
        group.append(index)
        if not counts[index]:
            yield group
            group = []
    if group:
        yield group


def page_letters(page: Page) -> str:
    """Axes of a page: ``yx``, ``yxs`` or ``syx``."""
    return str(page.axes).lower()


def four_axes(letters: str, box: Region, out: NDArray[Any]) -> tuple[Region, NDArray[Any]]:
    """A box and array in :func:`page_letters`, as :func:`read_page` takes them."""
    one = slice(0, 1)
    if letters == "yxs":
        return (one, *box), out[None]
    if letters == "syx":
        return (*box, one), out[..., None]
    return (one, *box, one), out[None, ..., None]


def stored_dtype(page: Page) -> str:
    """Of a page that lies in the file as it is: with its byte order."""
    known = np.dtype(page.dtype)
    big = page.parent.byteorder == ">"
    return known.newbyteorder(">" if big else "<").str


def plain_offset(page: Page) -> int:
    """Where the voxels of a page begin that need no decoding; -1 if they do."""
    if not page.is_final or page.dtype is None or page.dtype.kind == "b":
        return -1
    return int(page.dataoffsets[0])


def not_one_page(path: str) -> UsageError:
    """For a slice of a folder that is itself a stack."""
    return UsageError(
        f"{path} holds several pages, so it is a stack of its own: give the file, not its folder"
    )

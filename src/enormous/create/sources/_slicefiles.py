"""The files that a stack of slices is made of: headers, metadata and voxels of one image.

Called by :mod:`enormous.create.sources.slices`, through the table `FAMILIES`.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from enormous.create.sources import _tiffmeta, _tiffpages
from enormous.create.sources._files import RandomFile, Stamp, stamp
from enormous.create.sources._tiffmeta import Said
from enormous.create.sources.source import Region
from enormous.errors import DataError, EnormousError, MissingExtra, UsageError

if TYPE_CHECKING:
    import tifffile


@dataclass(frozen=True)
class Header:
    """What the header of one slice says.

    Parameters
    ----------
    stamp : Stamp
    shape : tuple of int
        One number for each of `letters`.
    letters : str
        ``yx``, ``yxs`` or ``syx``: s are the samples of a pixel.
    dtype : str
        Native.
    offset : int
        Of the first voxel, where they lie in the file as they are; else -1.
    stored : str
        Their dtype there.
    """

    stamp: Stamp
    shape: tuple[int, ...]
    letters: str
    dtype: str
    offset: int = -1
    stored: str = ""


@dataclass(frozen=True)
class Family:
    """How one kind of file is read."""

    header: Callable[[str], Header]
    says: Callable[[str], Said]
    read: Callable[[RandomFile, int, str, Region, NDArray[Any]], None]


def _imagecodecs() -> Any:
    try:
        import imagecodecs
    except ImportError as error:
        raise MissingExtra("imagecodecs", "export") from error
    return imagecodecs


# --- TIFF


def _tiff_header(path: str) -> Header:
    tifffile = _tiffpages.import_tifffile()
    known = stamp(path)
    try:
        with _tiffpages.strict(path), tifffile.TiffFile(path) as tif:
            page = tif.pages.first
            _tiffpages.check_kind(page, path)
            _tiffpages.check_page(page, path, known.size)
            if tif.pages.is_multipage and not tif.pages[1].is_reduced:
                raise _tiffpages.not_one_page(path)
            return Header(
                known,
                tuple(page.shape),
                _tiffpages.page_letters(page),
                str(page.dtype),
                _tiffpages.plain_offset(page),
                _tiffpages.stored_dtype(page),
            )
    except EnormousError:
        raise
    except Exception as error:  # damaged tags fail in as many ways as there are tags
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise DataError(f"{path} is not a TIFF file that can be read: {reason}") from error


def _tiff_says(path: str) -> Said:
    with _tiffpages.import_tifffile().TiffFile(path) as tif:
        parts = set(re.findall(r'FileName="([^"]+)"', tif.ome_metadata or "") if tif.is_ome else ())
        if len(parts) > 1:
            raise UsageError(
                f"{path} is one of {len(parts)} files of an OME-TIFF set: give this file, not its "
                "folder"
            )
        return tiff_says(tif, None)


def tiff_says(tif: tifffile.TiffFile, name: str | None) -> Said:
    """What a TIFF file says of itself, of the best source of the three there are."""
    page = tif.pages.first
    if tif.is_ome and tif.ome_metadata:
        said, tags = _tiffmeta.from_ome(tif.ome_metadata, name), _tiffmeta.from_tags(page)
        return Said(said.sizes or tags.sizes, said.interval, said.channels, said.kept + tags.kept)
    if tif.is_imagej and tif.imagej_metadata:
        return _tiffmeta.from_imagej(page, tif.imagej_metadata)
    return _tiffmeta.from_tags(page)


def _tiff_read(file: RandomFile, size: int, letters: str, box: Region, out: NDArray[Any]) -> None:
    module = _tiffpages.import_tifffile()
    with _tiffpages.strict(file.path), module.TiffFile(file.path) as tif:
        _tiffpages.read_page(file, tif.pages.first, *_tiffpages.four_axes(letters, box, out))


# --- PNG (https://www.w3.org/TR/png-3/)

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"
_PNG_SAMPLES = {0: 1, 2: 3, 4: 2, 6: 4}


def _png_header(path: str) -> Header:
    known = stamp(path)
    with open(path, "rb") as file:
        head = file.read(33)
        file.seek(max(0, known.size - 64))
        tail = file.read()
    if not head.startswith(_PNG) or len(head) < 33 or head[12:16] != b"IHDR":
        raise DataError(f"{path} is not a PNG file, or an empty one")
    width, height, bits, color = struct.unpack(">IIBB", head[16:26])
    if _PNG_END not in tail:
        raise DataError(f"{path} is truncated: it has {known.size:,} bytes and no end marker")
    if color == 3:
        raise DataError(
            f"{path} has a palette: its values are numbers of colours, not intensities; convert it "
            "to grey or RGB first"
        )
    if bits in (2, 4) or color not in _PNG_SAMPLES:
        raise DataError(f"{path} has {bits}-bit values; save it with 1, 8 or 16 bits")
    samples = _PNG_SAMPLES[color]
    dtype = {1: "bool", 8: "uint8", 16: "uint16"}[bits]
    return Header(known, *_with_samples(height, width, samples), dtype)


def _with_samples(height: int, width: int, samples: int) -> tuple[tuple[int, ...], str]:
    if samples == 1:
        return (height, width), "yx"
    return (height, width, samples), "yxs"


def _png_says(path: str) -> Said:
    """The size of a pixel, where the chunk pHYs gives it in metres."""
    with open(path, "rb") as file:
        file.seek(8)
        while len(start := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", start)
            if kind == b"pHYs":
                across, down, unit = struct.unpack(">IIB", file.read(9))
                return _per_meter(across, down) if unit == 1 else Said()
            if kind == b"IDAT":
                break
            file.seek(length + 4, os.SEEK_CUR)
    return Said()


def _per_meter(across: float, down: float) -> Said:
    """Pixel size, from pixels in a metre."""
    if not across or not down:
        return Said()
    inch = across * 0.0254
    if across == down and any(abs(inch - n) < 0.02 for n in _tiffmeta.PRINTERS):
        told = f"{inch:.0f} dots per inch, a printer's, not taken for a voxel size"
        return Said(kept=(("resolution", told),))
    sizes = {"y": 1e6 / down, "x": 1e6 / across}
    return Said({x: (float(f"{v:.9g}"), "micrometer") for x, v in sizes.items()})


def _png_read(file: RandomFile, size: int, letters: str, box: Region, out: NDArray[Any]) -> None:
    whole = _imagecodecs().png_decode(bytes(file.read(0, size)))
    _crop(whole, letters, box, out)


def _crop(whole: NDArray[Any], letters: str, box: Region, out: NDArray[Any]) -> None:
    """Put a box of a decoded image in its place."""
    if whole.ndim != len(letters):
        raise ValueError(f"{whole.ndim} axes in place of {len(letters)}")
    part = whole[box]
    out[...] = part > 0 if out.dtype == np.bool_ else part


# --- JPEG 2000 (ITU-T T.800)

_JP2 = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
_SOC_SIZ = b"\xff\x4f\xff\x51"
_EOC = b"\xff\xd9"


def _jp2_header(path: str) -> Header:
    known = stamp(path)
    with open(path, "rb") as file:
        start = file.read(12)
        file.seek(0)
        if start == _JP2:
            boxes = dict(_boxes(file.read, file.seek, known.size, path))
            if b"jp2c" not in boxes:
                raise DataError(f"{path} is truncated: it holds no codestream")
            _check_colours(file, boxes, path)
            begin, end = boxes[b"jp2c"]
        else:
            begin, end = 0, known.size
        file.seek(begin)
        siz = file.read(42)
        file.seek(max(begin, end - 2))
        tail = file.read(2)
        if not siz.startswith(_SOC_SIZ) or len(siz) < 42:
            raise DataError(f"{path} is not a JPEG 2000 file, or an empty one")
        components = struct.unpack(">H", siz[40:42])[0]
        file.seek(begin + 42)
        depths = file.read(3 * components)
    if tail != _EOC:
        raise DataError(f"{path} is truncated: it has {known.size:,} bytes and no end marker")
    x1, y1, x0, y0 = struct.unpack(">IIII", siz[8:24])
    dtype = _jp2_dtype(depths, components, path)
    return Header(known, *_with_samples(y1 - y0, x1 - x0, components), dtype)


def _jp2_dtype(depths: bytes, components: int, path: str) -> str:
    triples = {tuple(depths[3 * n : 3 * n + 3]) for n in range(components)}
    if len(triples) != 1 or components > 4:
        raise DataError(f"{path} has components of different kinds; convert it to grey or RGB")
    depth, dx, dy = next(iter(triples))
    bits = (depth & 127) + 1
    if (dx, dy) != (1, 1) or bits > 32:
        raise DataError(f"{path} has {bits}-bit or subsampled components; convert it to TIFF first")
    return f"{'int' if depth & 128 else 'uint'}{8 if bits <= 8 else 16 if bits <= 16 else 32}"


def _boxes(
    read: Callable[[int], bytes], seek: Callable[[int], Any], size: int, path: str
) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Boxes of a JP2 file and where their contents are."""
    at = 0
    while at + 8 <= size:
        seek(at)
        length, kind = struct.unpack(">I4s", read(8))
        head = 8
        if length == 1 and at + 16 <= size:
            length, head = struct.unpack(">Q", read(8))[0], 16
        end = at + length if length else size
        if end > size or end < at + head:
            raise DataError(f"{path} is truncated: a box ends at {end:,} of {size:,} bytes")
        yield kind, (at + head, end)
        at = end


def _inside(file: Any, boxes: dict[bytes, tuple[int, int]]) -> dict[bytes, tuple[int, int]]:
    """Boxes of the box jp2h."""
    begin, end = boxes.get(b"jp2h", (0, 0))
    file.seek(begin)
    data = BytesIO(file.read(end - begin))
    return {
        kind: (begin + a, begin + b)
        for kind, (a, b) in _boxes(data.read, data.seek, end - begin, "jp2h")
    }


def _check_colours(file: Any, boxes: dict[bytes, tuple[int, int]], path: str) -> None:
    if b"pclr" in _inside(file, boxes):
        raise DataError(
            f"{path} has a palette: its values are numbers of colours, not intensities; convert it "
            "to grey or RGB first"
        )


def _jp2_says(path: str) -> Said:
    """The size of a pixel, where the box ``resc`` (of capture) gives it."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        if file.read(12) != _JP2:
            return Said()
        inner = _inside(file, dict(_boxes(file.read, file.seek, size, path)))
        if b"res " not in inner:
            return Said()
        begin, end = inner[b"res "]
        file.seek(begin)
        data = file.read(end - begin)
    at = data.find(b"resc")
    if at < 0 or len(data) < at + 14:
        return Said()
    vn, vd, hn, hd, ve, he = struct.unpack(">HHHHbb", data[at + 4 : at + 14])
    if not vd or not hd:
        return Said()
    return _per_meter(hn / hd * 10.0**he, vn / vd * 10.0**ve)


def _jp2_read(file: RandomFile, size: int, letters: str, box: Region, out: NDArray[Any]) -> None:
    whole = _imagecodecs().jpeg2k_decode(bytes(file.read(0, size)), numthreads=1)
    if whole.dtype != out.dtype:
        raise ValueError(f"decodes to {whole.dtype}, not {out.dtype}")
    _crop(whole, letters, box, out)


FAMILIES = {
    "TIFF": Family(_tiff_header, _tiff_says, _tiff_read),
    "PNG": Family(_png_header, _png_says, _png_read),
    "JPEG 2000": Family(_jp2_header, _jp2_says, _jp2_read),
}

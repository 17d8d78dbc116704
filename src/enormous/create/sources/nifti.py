"""NIfTI-1 and -2, ``.nii`` and ``.nii.gz``.

Called by :func:`enormous.create.sources.open_source`. A ``.nii`` is read in place. A ``.nii.gz``
can only be read from its beginning, so a reader unpacks it once, piece by piece,
to a file without a name in the system's folder for temporary files (``TMPDIR``), which is gone
with the process; every process of a run unpacks its own.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
import zlib
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from enormous._text import bytes_text
from enormous.create.sources._files import Flat, RandomFile, read_box, stamp
from enormous.create.sources._flat import flat_natural
from enormous.create.sources._layout import Layout, layout, native_dtype
from enormous.create.sources._tiffmeta import voxel_size
from enormous.create.sources._units import is_length, is_time, unit_name
from enormous.create.sources.source import Region, Source
from enormous.errors import DataError, MissingExtra

_PIECE = 65_536  # packed bytes: a thousand times as many at most come out at once
_ORDER = "xyztc"  # the fifth axis holds the components of vectors


@dataclass(frozen=True)
class NiftiDetail:
    """Where the array is; `slope` and `inter` turn stored values into those meant."""

    flat: Flat
    layout: Layout
    packed: bool
    slope: float = 1.0
    inter: float = 0.0

    def open(self, source: Source, workers: int) -> NiftiReader:
        """Open the file, unpacking it where it must be."""
        return NiftiReader(source, self)


def _nibabel() -> Any:
    try:
        import nibabel
    except ImportError as error:
        raise MissingExtra("nibabel", "export") from error
    return nibabel


def open_nifti(path: str, *, axes: str | None = None) -> Source:
    """Describe a NIfTI image.

    Its axes are x, y, z, t, c, the first varying fastest; the source has them the other way
    round. Voxels are presented as stored; the directions of the axes in the body are kept as
    provenance. Where the header scales values (``scl_slope``, ``scl_inter``), they are given
    as float32, else as stored.

    Parameters
    ----------
    path : str
    axes : str, optional
        A letter for each axis, in the order of the header.

    Raises
    ------
    DataError
        If it is damaged, truncated, or holds colours, complex numbers or several fields.
    """
    nibabel = _nibabel()
    known = stamp(path)
    try:
        image = nibabel.load(path)
        header = image.header
        shape = tuple(int(n) for n in header.get_data_shape())
        stored = header.get_data_dtype()
        offset = int(image.dataobj.offset)
        slope, inter = (float(v) for v in (image.dataobj.slope, image.dataobj.inter))
    except Exception as error:  # nibabel has errors of its own for each part of a header
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path} is not a NIfTI image that can be read: {reason}") from error
    native = native_dtype(stored, path)
    letters = _ORDER[: len(shape)] if len(shape) <= len(_ORDER) else "?" * len(shape)
    given = layout(letters, shape, path, axes)
    reverse = Layout(given.stored[::-1], given.stored_shape[::-1])
    flat = Flat(known, offset, stored.str, reverse.stored_shape)
    packed = path.lower().endswith(".gz")
    if not packed:
        flat.check()
    scaled = (slope, inter) != (1.0, 0.0)
    sizes, unit, interval = _sizes(image, nibabel, (axes or letters).lower())
    size, unit, kept = voxel_size(given.axes, given.shape, {x: (v, unit) for x, v in sizes.items()})
    directions = "".join(code or "?" for code in nibabel.aff2axcodes(image.affine))
    affine = "; ".join(" ".join(f"{v:.9g}" for v in row) for row in image.affine[:3])
    return Source(
        url=os.path.abspath(path),
        kind="NIfTI image",
        shape=reverse.shape,
        dtype="float32" if scaled else native,
        axes=reverse.axes,
        natural=flat_natural(reverse),
        detail=NiftiDetail(flat, reverse, packed, slope, inter),
        voxel_size=size,
        unit=unit,
        interval=interval if "t" in reverse.axes else None,
        kept=(("directions of x, y, z", directions), ("affine", affine), *kept),
    )


def _sizes(
    image: Any, nibabel: Any, letters: str
) -> tuple[dict[str, float], str | None, tuple[float, str] | None]:
    """Voxel size, its unit, and the interval; nothing where the header is as it was made."""
    header = image.header
    space, time = (unit_name(name) for name in header.get_xyzt_units())
    if int(header["sform_code"]) or int(header["qform_code"]):
        spatial = [float(v) for v in nibabel.affines.voxel_sizes(image.affine)]
    else:
        spatial = [float(v) for v in header["pixdim"][1:4]]
    sizes = {
        letter: float(f"{abs(size):.7g}")  # stored with 7 digits
        for letter, size in zip(letters[:3], spatial, strict=False)
        if letter in "zyx" and size and math.isfinite(size)
    }
    interval = None
    if "t" in letters and is_time(time) and header["pixdim"][4] > 0 and time:
        interval = float(f"{header['pixdim'][4]:.7g}"), time
    if not is_length(space):
        space = None
        if all(size == 1 for size in sizes.values()):
            sizes = {}
    return sizes, space, interval


class NiftiReader:
    """Reads boxes of an image, unpacked before where it must be."""

    def __init__(self, source: Source, detail: NiftiDetail) -> None:
        self._detail = detail
        self._dtype = source.dtype
        self._stored = np.dtype(detail.flat.dtype)
        self._file = RandomFile(detail.flat.file)
        if detail.packed:
            self._file.use(_unpack(self._file, detail.flat))

    def read(self, region: Region) -> NDArray[Any]:
        """As :class:`enormous.create.sources.source.Reader` says."""
        return self._detail.layout.read(region, self._dtype, self._fill)

    def _fill(self, out: NDArray[Any], box: Region) -> None:
        detail, flat = self._detail, self._detail.flat
        if (detail.slope, detail.inter) == (1.0, 0.0):
            read_box(self._file, flat.offset, self._stored, flat.shape, box, out)
            return
        raw = np.empty((1, *out.shape[1:]), self._stored.newbyteorder("="))
        for n in range(len(out)):  # a plane at a time, so that memory stays that of the output
            at = box[0].start + n
            part = (slice(at, at + 1), *box[1:])
            read_box(self._file, flat.offset, self._stored, flat.shape, part, raw)
            # float64 in between: a large integer times a slope must not lose its digits
            out[n] = raw[0] * np.float64(detail.slope) + np.float64(detail.inter)

    def close(self) -> None:
        """Let go of the file, and of what was unpacked."""
        self._file.close()


def _unpack(file: RandomFile, flat: Flat) -> IO[bytes]:
    """Unpack a ``.nii.gz`` to a file without a name.

    Raises
    ------
    DataError
        If the disk has no room, or the file is damaged or too short.
    """
    needed = flat.offset + math.prod(flat.shape) * np.dtype(flat.dtype).itemsize
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(
            f"{file.path} takes {bytes_text(needed)} unpacked, but {folder} has {bytes_text(free)} "
            "free; set TMPDIR to a folder with more, or unpack it with gunzip"
        )
    scratch: IO[bytes] = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (reader.close)
    try:
        unpacked = _gunzip(file, scratch)
    except (zlib.error, OSError) as error:
        scratch.close()
        raise DataError(f"{file.path} is damaged: {error}") from error
    if unpacked < needed:
        scratch.close()
        raise DataError(
            f"{file.path} is truncated: it unpacks to {unpacked:,} bytes, its header promises "
            f"{needed:,}"
        )
    return scratch


def _write(scratch: IO[bytes], data: bytes) -> int:
    """Write all, which an unbuffered file may do in parts."""
    at = 0
    while at < len(data):
        at += scratch.write(memoryview(data)[at:])
    return at


def _gunzip(file: RandomFile, scratch: IO[bytes]) -> int:
    """Unpack all members of a gzip file, each checked by its sum; the bytes written."""
    at = written = 0
    unpacker = zlib.decompressobj(wbits=31)
    while at < file.size:
        piece = bytes(file.read(at, min(_PIECE, file.size - at)))
        at += len(piece)
        while piece:
            if unpacker.eof:  # another member follows, or padding
                piece = piece.lstrip(b"\0")
                if not piece:
                    break
                unpacker = zlib.decompressobj(wbits=31)
            data = unpacker.decompress(piece)
            written += _write(scratch, data)
            piece = unpacker.unused_data
    if not unpacker.eof:
        raise OSError(f"it ends in the middle of the packed data, at byte {at:,}")
    return written

"""Raw voxels without any header, as detectors and reconstruction programs leave them.

Called by :func:`enormous.create.sources.open_source` when a shape is given.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Literal

import numpy as np

from enormous._text import shape_text
from enormous.create.sources._files import Flat, stamp
from enormous.create.sources._flat import FlatDetail, flat_natural
from enormous.create.sources._layout import layout, native_dtype
from enormous.create.sources.source import Source
from enormous.errors import DataError, UsageError

_BYTE_ORDERS: dict[str, Literal["<", ">"]] = {"little": "<", "big": ">"}


def open_raw(
    path: str,
    *,
    shape: Sequence[int] | None,
    dtype: str | None,
    order: str | None = None,
    axes: str | None = None,
    offset: int = 0,
) -> Source:
    """Describe a file of nothing but voxels.

    Parameters
    ----------
    path : str
    shape : sequence of int
        Slowest axis first: ``z, y, x``.
    dtype : str
        As numpy names it: ``uint16``.
    order : {"little", "big"}, optional
        Byte order; little by default.
    axes : str, optional
        A letter for each axis, if not ``yx``, ``zyx`` or ``tczyx``.
    offset : int
        Bytes before the first voxel.

    Raises
    ------
    UsageError
        If shape or dtype are not given, or it is a folder.
    DataError
        If the file has another size than they make.
    """
    if os.path.isdir(path):
        raise UsageError(
            f"{path} is a folder; shape, dtype, byte order and offset are of raw files"
        )
    check_raw(shape, dtype, order, offset)
    known = stamp(path)
    if shape is None or dtype is None:
        raise UsageError(
            f"{path} has no header, so its shape (Z,Y,X) and its dtype (such as uint16) must be "
            "given"
        )
    stored = _dtype(dtype, order)
    native = native_dtype(stored, path)
    given = layout("", shape, path, axes)
    expected = offset + math.prod(given.stored_shape) * stored.itemsize
    if known.size != expected:
        before = f" after {offset:,} bytes of header" if offset else ""
        raise DataError(
            f"{path} has {known.size:,} bytes, but {shape_text(shape)} voxels of {native}{before} "
            f"make {expected:,}; correct the shape, the dtype or the offset"
        )
    return Source(
        url=os.path.abspath(path),
        kind="raw voxels",
        shape=given.shape,
        dtype=native,
        axes=given.axes,
        natural=flat_natural(given),
        detail=FlatDetail(Flat(known, offset, stored.str, given.stored_shape), given),
    )


def check_raw(
    shape: Sequence[int] | None, dtype: str | None, order: str | None, offset: int
) -> None:
    """Refuse what is right of no raw file, before one is looked at.

    Raises
    ------
    UsageError
    """
    if shape is not None and any(n < 1 for n in shape):
        raise UsageError(f"shape {','.join(map(str, shape))}: give positive numbers of voxels")
    if offset < 0:
        raise UsageError(f"offset {offset}: give the bytes before the first voxel, 0 or more")
    _dtype(dtype or "uint8", order)


def _dtype(name: str, order: str | None) -> np.dtype[np.generic]:
    if order is not None and order not in _BYTE_ORDERS:
        raise UsageError(f"byte order {order!r} is not known; use little or big")
    try:
        found: np.dtype[np.generic] = np.dtype(name)
    except TypeError as error:
        raise UsageError(f"dtype {name!r} is not known; use a name such as uint16") from error
    if order is None and found.byteorder == ">":  # said in the name: >u2
        return found
    return found.newbyteorder(_BYTE_ORDERS[order or "little"])

"""NumPy's own files, ``.npy``: C or Fortran order, either byte order.

Called by :func:`enormous.create.sources.open_source`.
"""

from __future__ import annotations

import os

import numpy as np

from enormous.create.sources._files import Flat, stamp
from enormous.create.sources._flat import FlatDetail, flat_natural
from enormous.create.sources._layout import layout, native_dtype
from enormous.create.sources.source import Source
from enormous.errors import DataError


def open_npy(path: str, *, axes: str | None = None) -> Source:
    """Describe an ``.npy`` file.

    Parameters
    ----------
    path : str
    axes : str, optional
        A letter for each axis of the array. By default ``yx``, ``zyx`` or ``tczyx``; four axes
        must be named.

    Raises
    ------
    DataError
        If it is damaged, truncated, or holds objects or records.
    """
    known = stamp(path)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    try:
        with open(path, "rb") as file:
            version = np.lib.format.read_magic(file)
            # version 3 is version 2 with names in UTF-8, which only records have
            shape, fortran, dtype = read_header.get(version, read_header[2, 0])(file)
            offset = file.tell()
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{path} is not a complete .npy file: {error}") from error
    if dtype.hasobject:
        raise DataError(f"{path} holds Python objects, not numbers; save it as a numeric array")
    native = native_dtype(dtype, path)
    given = layout("", shape, path, axes)
    # Fortran order is C order with the axes the other way round
    stored = type(given)(given.stored[::-1], given.stored_shape[::-1]) if fortran else given
    flat = Flat(known, offset, dtype.str, stored.stored_shape)
    flat.check()
    return Source(
        url=os.path.abspath(path),
        kind="NumPy array",
        shape=stored.shape,
        dtype=native,
        axes=stored.axes,
        natural=flat_natural(stored),
        detail=FlatDetail(flat, stored),
    )

"""Whether all pages of a TIFF series are stored alike.

Called by :mod:`enormous.create.sources.tiff`. tifffile looks at the second, the eighth and the
last page and takes the others for alike, so a page of another size, or packed otherwise, in
between would be read as something it is not. Here the header of every page is compared with
that of the first: its bytes, and where those differ its meaning.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from contextlib import ExitStack
from typing import IO, Any

from enormous._text import shape_text
from enormous.errors import DataError

#: Width, length, bits, compression, photometric, fill order, samples, planar configuration,
#: predictor, tile width and length, sample format.
_TAGS = frozenset((256, 257, 258, 259, 262, 266, 277, 284, 317, 322, 323, 339))


def check_alike(pages: Iterable[tuple[Any, str]], key: Any, key_path: str) -> None:
    """Refuse a series with a page unlike the first.

    Parameters
    ----------
    pages : iterable of (TiffPage or TiffFrame, str)
        Each with the path of its file.
    key : TiffPage
        The page that all are read like.
    key_path : str

    Raises
    ------
    DataError
        If one differs; it is named.
    """
    with ExitStack() as stack:
        files: dict[str, IO[bytes]] = {}
        usual = None
        for number, (page, path) in enumerate(((key, key_path), *pages), start=-1):
            if path not in files:
                files[path] = stack.enter_context(open(path, "rb"))
            found = _signature(files[path], page)
            usual = usual or found
            if found != usual and not _same_meaning(page, key):
                raise DataError(
                    f"{path}: page {number} is unlike the first ({shape_text(key.shape)} "
                    f"{key.dtype}): of another size, dtype or compression; save all pages alike"
                )


def _signature(file: IO[bytes], page: Any) -> tuple[bytes, ...]:
    """What is stored in a page's header under the tags that matter; values of others."""
    tiff = page.parent.tiff
    file.seek(page.offset)
    (count,) = struct.unpack(tiff.tagnoformat, file.read(tiff.tagnosize))
    data = file.read(count * tiff.tagsize)
    entries = (data[at : at + tiff.tagsize] for at in range(0, len(data), tiff.tagsize))
    found = []
    for entry in entries:
        tag, kind, n = struct.unpack_from(tiff.byteorder + "HH" + "IQ"[tiff.is_bigtiff], entry)
        if tag in _TAGS:
            inline = n * (2 if kind == 3 else 4) <= tiff.offsetsize
            found.append(entry if inline else entry[: -tiff.offsetsize])
    return (tiff.byteorder.encode(), *found)


def _same_meaning(page: Any, key: Any) -> bool:
    """Whether two headers that differ in their bytes say the same."""
    handle = page.parent.filehandle
    closed = handle.closed
    if closed:
        handle.open()
    try:
        return bool(page.aspage().hash == key.hash)
    finally:
        if closed:
            handle.close()

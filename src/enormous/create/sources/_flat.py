"""The reader of arrays that lie uncompressed in one file: NumPy, raw, NIfTI.

Called by the modules of those formats.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enormous.create.sources._files import Flat, RandomFile, read_box
from enormous.create.sources._layout import Layout
from enormous.create.sources.source import Region, Source


@dataclass(frozen=True)
class FlatDetail:
    """Where the array is, and which axis is which; `flat.shape` is that of the layout."""

    flat: Flat
    layout: Layout

    def open(self, source: Source, workers: int) -> FlatReader:
        """Open the file."""
        return FlatReader(source, self)


class FlatReader:
    """Reads boxes of an array that lies in a file as it is."""

    def __init__(self, source: Source, detail: FlatDetail) -> None:
        self._layout = detail.layout
        self._flat = detail.flat
        self._dtype = source.dtype
        self._stored = np.dtype(detail.flat.dtype)
        self._file = RandomFile(detail.flat.file)

    def read(self, region: Region) -> NDArray[Any]:
        """As :class:`enormous.create.sources.source.Reader` says."""

        def fill(out: NDArray[Any], box: Region) -> None:
            read_box(self._file, self._flat.offset, self._stored, self._flat.shape, box, out)

        return self._layout.read(region, self._dtype, fill)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def flat_natural(layout: Layout) -> tuple[int, ...]:
    """What is best read at once: one plane of the two axes that vary fastest in the file."""
    sizes = [1] * len(layout.stored)
    left = 2
    for axis in range(len(sizes) - 1, -1, -1):
        if left and layout.stored_shape[axis] > 1:
            sizes[axis] = layout.stored_shape[axis]
            left -= 1
    return layout.present(sizes)

"""The boxes of a tiling that a region touches: chunks to encode, pieces to read.

Pure arithmetic for the block functions of `create`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from enormous.grid import Shape, Tiling

Region = tuple[slice, ...]


@dataclass(frozen=True)
class Pieces:
    """Boxes of a tiling that a region touches, numbered in C order; never listed.

    Parameters
    ----------
    tiling : Tiling
    box : tuple of slice
        The region, each slice with a start and a stop inside the array.
    """

    tiling: Tiling
    box: Region

    @property
    def ranges(self) -> tuple[range, ...]:
        """Grid indices along each axis."""
        return tuple(
            range(s.start // t, -(-s.stop // t))
            for s, t in zip(self.box, self.tiling.tile, strict=True)
        )

    @property
    def n(self) -> int:
        """How many there are."""
        return math.prod(len(r) for r in self.ranges)

    def index(self, number: int) -> Shape:
        """Grid index of a piece, in the whole tiling."""
        index = []
        for along in reversed(self.ranges):
            number, i = divmod(number, len(along))
            index.append(along[i])
        return tuple(reversed(index))

    def region(self, number: int) -> Region:
        """Voxels of a piece, cut to the box."""
        return tuple(
            slice(max(s.start, b.start), min(s.stop, b.stop))
            for s, b in zip(self.tiling.slices(self.index(number)), self.box, strict=True)
        )


def cut(shape: Shape, tile: Shape, box: Region) -> Pieces:
    """Pieces of a region of an array, at boxes of size `tile` counted from its origin."""
    return Pieces(Tiling(shape, tile), box)

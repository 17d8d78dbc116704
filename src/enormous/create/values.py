"""What becomes of grey values on the way: a window mapped to 8 or 16 bits, a circle kept.

Pure functions, called by :mod:`enormous.create.convert` for each piece that is read.
numba compiles the inner loops at the first call.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enormous.errors import UsageError
from enormous.grid import Shape

WINDOW_DTYPES = ("uint8", "uint16")


@dataclass(frozen=True)
class Window:
    """Linear mapping of grey values: ``value = low + stored * (high - low) / (2**bits - 1)``.

    What lies outside is clipped; ties round half to even; NaN becomes 0.

    Parameters
    ----------
    low, high : float
        Stored as 0 and as the largest number of `dtype`.
    dtype : {"uint8", "uint16"}

    Raises
    ------
    UsageError
        If `low` is not below `high`, one is not finite, or the dtype is another.
    """

    low: float
    high: float
    dtype: str

    def __post_init__(self) -> None:
        if self.dtype not in WINDOW_DTYPES:
            raise UsageError(f"a window needs the dtype uint8 or uint16, not {self.dtype}")
        width = self.high - self.low
        if not (math.isfinite(width) and width > 0 and self.low + self.step > self.low):
            raise UsageError(
                f"window {self.low:g},{self.high:g} is not two finite numbers, the lower one first"
            )

    @property
    def top(self) -> int:
        """The largest stored number."""
        return int(np.iinfo(self.dtype).max)

    @property
    def step(self) -> float:
        """How much one stored number is worth."""
        return (self.high - self.low) / self.top


@dataclass(frozen=True)
class Clipped:
    """How many values a window could not hold."""

    below: int = 0
    above: int = 0
    nan: int = 0


def to_window(
    block: NDArray[Any], window: Window, rows: tuple[NDArray[Any], NDArray[Any]] | None = None
) -> tuple[NDArray[Any], Clipped]:
    """Map a block through a window.

    Parameters
    ----------
    block : ndarray of bool, integer or float
        Two axes or more, the last two y and x.
    window : Window
    rows : pair of ndarray of int, optional
        For each row along y the first column that counts, and the one after the last: what
        is going to be masked is not counted as clipped.

    Returns
    -------
    ndarray of uint8 or uint16, shape of `block`
    Clipped
    """
    from enormous.create import _values_numba as compiled

    ny, nx = block.shape[-2:]
    starts, stops = rows or (np.zeros(ny, np.int64), np.full(ny, nx, np.int64))
    if block.dtype == np.float16:  # which numba does not take
        block = block.astype(np.float32)
    elif block.dtype == np.bool_:
        block = block.view(np.uint8)
    out = np.empty(block.shape, window.dtype)
    counts = np.zeros(3, np.int64)
    compiled.to_window(
        np.ascontiguousarray(block).reshape(-1, ny, nx),
        out.reshape(-1, ny, nx),
        window.low,
        window.step,
        float(window.top),
        starts,
        stops,
        counts,
    )
    return out, Clipped(*counts.tolist())


def finite_range(block: NDArray[Any]) -> tuple[float, float] | None:
    """Least and greatest finite value; None if there is none."""
    from enormous.create import _values_numba as compiled

    if block.dtype == np.float16:
        block = block.astype(np.float32)
    least, most = compiled.finite_range(np.ascontiguousarray(block).reshape(-1))
    return (float(least), float(most)) if least <= most else None


@dataclass(frozen=True)
class FieldOfView:
    """The circle inscribed in a slice: what a tomograph sees.

    Its centre is ``(ny - 1) / 2, (nx - 1) / 2``, its radius ``min(ny, nx) / 2`` voxels. A voxel
    whose centre lies farther out does not belong to it.

    Parameters
    ----------
    ny, nx : int
        Size of a slice, in voxels.
    """

    ny: int
    nx: int

    def rows(self, y: slice, x: slice) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """For each row of a box, the first column inside and the one after the last.

        Columns count from the start of `x`; a row that is all outside has none.
        """
        # all twice as large, so that centres are whole numbers
        edge = min(self.ny, self.nx)
        starts, stops = [], []
        for row in range(y.start, y.stop):
            rest = edge**2 - (2 * row - (self.ny - 1)) ** 2
            half = math.isqrt(rest) if rest >= 0 else -1
            first = -(-((self.nx - 1) - half) // 2)
            last = ((self.nx - 1) + half) // 2
            if half < 0:
                first, last = x.start, x.start - 1
            start = min(max(first, x.start), x.stop) - x.start
            stop = min(max(last + 1, x.start), x.stop) - x.start
            starts.append(start)
            stops.append(max(start, stop))
        return np.array(starts, np.int64), np.array(stops, np.int64)

    @property
    def outside(self) -> int:
        """Voxels of one slice that do not belong to it."""
        starts, stops = self.rows(slice(0, self.ny), slice(0, self.nx))
        return self.ny * self.nx - int((stops - starts).sum())

    def mask(self, block: NDArray[Any], y: slice, x: slice, fill: Any) -> None:
        """Set what lies outside to `fill`, in place.

        Parameters
        ----------
        block : ndarray
            The last two axes are the box `y`, `x` of the slice.
        """
        for row, (start, stop) in enumerate(zip(*self.rows(y, x), strict=True)):
            block[..., row, :start] = fill
            block[..., row, stop:] = fill

    def touched(self, chunks: Sequence[int]) -> tuple[Shape, ...]:
        """Grid indices (y, x) of the chunks that have a voxel outside, in C order."""
        cy, cx = chunks
        count = -(-self.nx // cx)
        found: list[Shape] = []
        for iy in range(-(-self.ny // cy)):
            y = slice(iy * cy, min((iy + 1) * cy, self.ny))
            starts, stops = self.rows(y, slice(0, self.nx))
            first, last = int(starts.max()), int(stops.min())  # inside in every row
            left = -(-first // cx)
            right = last // cx if last < self.nx else count
            found.extend((iy, ix) for ix in range(count) if ix < left or ix >= right)
        return tuple(found)

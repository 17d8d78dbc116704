"""The compiled half of :mod:`enormous.create.values`, which alone imports it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

kernel: Any = njit(nogil=True, cache=True, error_model="numpy")


@kernel
def to_window(block, out, low, step, top, starts, stops, counts):  # type: ignore[no-untyped-def]
    """Map (planes, y, x) to 0..top; count what is below, above and NaN inside starts..stops."""
    below, above, missing = 0, 0, 0
    for z in range(block.shape[0]):
        for y in range(block.shape[1]):
            for x in range(block.shape[2]):
                value = (np.float64(block[z, y, x]) - low) / step
                nearest = np.rint(value)
                inside = starts[y] <= x < stops[y]
                if nearest >= 0 and nearest <= top:
                    out[z, y, x] = nearest
                elif nearest < 0:
                    out[z, y, x] = 0
                    below += inside
                elif nearest > top:
                    out[z, y, x] = top
                    above += inside
                else:
                    out[z, y, x] = 0
                    missing += inside
    counts[0] += below
    counts[1] += above
    counts[2] += missing


@kernel
def finite_range(flat):  # type: ignore[no-untyped-def]
    """Least and greatest of the finite values; least > greatest if there are none."""
    least, most = np.inf, -np.inf
    for value in flat:
        if np.isfinite(value):
            least = min(least, value)
            most = max(most, value)
    return least, most

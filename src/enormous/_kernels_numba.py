"""The compiled half of :mod:`enormous.kernels`, which alone imports it, at its first call.

Arrays come as (leading axes, z, y, x), C order. Factors are 1 or 2, so a
window holds 1, 2, 4 or 8 voxels and a mean is a shift.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

kernel: Any = njit(nogil=True, cache=True, error_model="numpy")
device: Any = njit(nogil=True, inline="always")

_LOW = np.int64(0xFFFFFFFF)


@device
def _halve(total, shift):  # type: ignore[no-untyped-def]
    """``total / 2**shift``, rounded half to even; negative totals too."""
    if shift == 0:
        return total
    return (total + ((1 << (shift - 1)) - 1) + ((total >> shift) & 1)) >> shift


@kernel
def mean_int(block, out, fz, fy, fx, row):  # type: ignore[no-untyped-def]
    """Mean of integers up to 32 bits; `row` is scratch, wide enough for the sum of a window."""
    n, nz, ny, nx = block.shape
    for i in range(n):
        for z in range(out.shape[1]):
            for y in range(out.shape[2]):
                z1, y1 = min((z + 1) * fz, nz), min((y + 1) * fy, ny)
                row[:] = 0
                for zi in range(z * fz, z1):
                    for yi in range(y * fy, y1):
                        for x in range(nx):
                            row[x] += block[i, zi, yi, x]
                shift = (z1 - z * fz) // 2 + (y1 - y * fy) // 2
                if fx == 1:
                    for x in range(nx):
                        out[i, z, y, x] = _halve(row[x], shift)
                    continue
                for x in range(nx // 2):
                    out[i, z, y, x] = _halve(row[2 * x] + row[2 * x + 1], shift + 1)
                if nx % 2:
                    out[i, z, y, nx // 2] = _halve(row[nx - 1], shift)


@kernel
def mean_int64(block, out, fz, fy, fx):  # type: ignore[no-untyped-def]
    """Mean of 64-bit integers: upper and lower halves are summed apart, so nothing overflows."""
    n, nz, ny, nx = block.shape
    for i in range(n):
        for z in range(out.shape[1]):
            for y in range(out.shape[2]):
                for x in range(out.shape[3]):
                    high, low, count = np.int64(0), np.int64(0), np.int64(0)
                    for zi in range(z * fz, min((z + 1) * fz, nz)):
                        for yi in range(y * fy, min((y + 1) * fy, ny)):
                            for xi in range(x * fx, min((x + 1) * fx, nx)):
                                value = block[i, zi, yi, xi]
                                high += np.int64(value >> 32)
                                low += np.int64(value) & _LOW
                                count += 1
                    shift = (count > 1) + (count > 2) + (count > 4)
                    whole = high >> shift
                    rest = ((high - (whole << shift)) << 32) + low
                    # an even multiple of 2**32 leaves ties as they are
                    out[i, z, y, x] = (whole << 32) + _halve(rest, shift)


@kernel
def mean_float(block, out, fz, fy, fx):  # type: ignore[no-untyped-def]
    """Mean of floats, summed in float64 in C order; NaN is left out."""
    n, nz, ny, nx = block.shape
    for i in range(n):
        for z in range(out.shape[1]):
            for y in range(out.shape[2]):
                for x in range(out.shape[3]):
                    total, count = 0.0, 0
                    for zi in range(z * fz, min((z + 1) * fz, nz)):
                        for yi in range(y * fy, min((y + 1) * fy, ny)):
                            for xi in range(x * fx, min((x + 1) * fx, nx)):
                                value = block[i, zi, yi, xi]
                                if value == value:
                                    total += value
                                    count += 1
                    out[i, z, y, x] = total / count if count else np.nan


@device
def _most_frequent(values, count):  # type: ignore[no-untyped-def]
    best, most = values[0], 0
    for a in range(count):
        times = 0
        for b in range(count):
            times += values[a] == values[b]
        if times > most or (times == most and values[a] < best):
            best, most = values[a], times
    return best


@kernel
def mode(block, out, fz, fy, fx):  # type: ignore[no-untyped-def]
    """Most frequent value, ties to the smaller; NaN is left out (it equals nothing)."""
    n, nz, ny, nx = block.shape
    values = np.empty(8, block.dtype)
    for i in range(n):
        for z in range(out.shape[1]):
            for y in range(out.shape[2]):
                z0, y0 = z * fz, y * fy
                z1, y1 = min(z0 + fz, nz), min(y0 + fy, ny)
                for x in range(out.shape[3]):
                    first = block[i, z0, y0, x * fx]
                    count, equal = 0, True
                    for zi in range(z0, z1):
                        for yi in range(y0, y1):
                            for xi in range(x * fx, min((x + 1) * fx, nx)):
                                values[count] = block[i, zi, yi, xi]
                                equal &= values[count] == first
                                count += 1
                    # inside an object, which is nearly everywhere, all are equal
                    out[i, z, y, x] = first if equal else _most_frequent(values, count)

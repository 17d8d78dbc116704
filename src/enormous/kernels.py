"""The numba kernels: arithmetic on arrays that are already in memory.

Called by the writers of pyramids (one call for each piece of a block) and by
the lessons that compare with a naive version. Every kernel releases the GIL
and uses one thread: threads are the business of whoever calls it. numba is
imported at the first call and compiles once for each machine and dtype.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from enormous.errors import UsageError

Method = Literal["mean", "mode"]
METHODS: tuple[Method, ...] = ("mean", "mode")


def downsample(block: NDArray[Any], factors: Sequence[int], method: str) -> NDArray[Any]:
    """Make the next level of a pyramid: one voxel for each window of one or two along each axis.

    Windows are aligned at the origin of `block`; where the array ends inside a
    window, the window uses the voxels it has.

    Parameters
    ----------
    block : ndarray of bool, integer, float32 or float64
        Any number of axes, any memory order, either byte order.
    factors : sequence of int
        1 (keep) or 2 (halve), one for each axis. Only the last three axes can be halved.
    method : {"mean", "mode"}
        Mean for images: integers round half to even, NaN is ignored. Mode for
        labels: the most frequent value, ties go to the smaller one, NaN is
        ignored. A window of NaN alone gives NaN.

    Returns
    -------
    ndarray
        Shape ``ceil(n / factor)`` along each axis, C order, dtype of `block`
        in native byte order.

    Raises
    ------
    UsageError
        If the method, a factor or the dtype is not one of those above.
    """
    if method not in METHODS:
        raise UsageError(f"unknown method {method!r}; use one of {', '.join(METHODS)}")
    factors = tuple(factors)
    if len(factors) != block.ndim or any(f not in (1, 2) for f in factors):
        raise UsageError(f"factors {factors} do not suit {block.ndim} axes; give 1 or 2 for each")
    if any(f != 1 for f in factors[:-3]):
        raise UsageError(f"factors {factors} halve an axis before the last three; give 1 there")
    if block.dtype.kind not in "buif" or block.dtype in (np.float16, np.longdouble):
        raise UsageError(
            f"cannot downsample {block.dtype}; convert to an integer, float32 or float64"
        )
    native = np.ascontiguousarray(block, dtype=block.dtype.newbyteorder("="))
    shape = tuple(-(-n // f) for n, f in zip(block.shape, factors, strict=True))
    out = np.empty(shape, native.dtype)
    if out.size:
        _fill(_four_axes(native), _four_axes(out), ((1, 1, 1, *factors))[-3:], method)
    return out


def _four_axes(array: NDArray[Any]) -> NDArray[Any]:
    """View as (all leading axes), z, y, x; bool as bytes, which numba's kernels take."""
    if array.dtype == np.bool_:
        array = array.view(np.uint8)
    last = (1, 1, 1, *array.shape)[-3:]
    return array.reshape(-1, *last)


def _fill(block: NDArray[Any], out: NDArray[Any], factors: tuple[int, ...], method: str) -> None:
    from enormous import _kernels_numba as compiled

    fz, fy, fx = factors
    if method == "mode":
        compiled.mode(block, out, fz, fy, fx)
    elif block.dtype.kind == "f":
        compiled.mean_float(block, out, fz, fy, fx)
    elif block.dtype.itemsize == 8:
        compiled.mean_int64(block, out, fz, fy, fx)
    else:
        # eight voxels of 16 bits sum to 19 bits, eight of 32 bits to 35
        row = np.empty(block.shape[3], np.int32 if block.dtype.itemsize < 4 else np.int64)
        compiled.mean_int(block, out, fz, fy, fx, row)

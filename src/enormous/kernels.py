"""The kernels: arithmetic on arrays that are already in memory.

Called by the writers of pyramids (one call for each piece of a block), by the writers
of chunks (which leave out those that hold the fill value alone) and by the lessons
that compare with a naive version. Every kernel releases the GIL and uses one thread:
threads are the business of whoever calls it. numba is imported at the first call and
compiles once for each machine, method and dtype.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from enormous.errors import UsageError

Method = Literal["mean", "mode", "median", "max", "min", "nearest"]
METHODS: tuple[Method, ...] = ("mean", "mode", "median", "max", "min", "nearest")

_BOX_VOXELS = 2**16  # compared at a time: few calls, and what they make stays in the cache
_SLAB_BYTES = 2**22  # copied at a time, where an array must be copied


def downsample(
    block: NDArray[Any],
    factors: Sequence[int],
    method: str,
    *,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Make the next level of a pyramid: one voxel for each window of one or two along each axis.

    Windows are aligned at the origin of `block`; where the array ends inside a
    window, the window uses the voxels it has. NaN is ignored, and a window of NaN
    alone gives NaN.

    Parameters
    ----------
    block : ndarray of bool, integer, float16, float32 or float64
        Any number of axes, any memory order, either byte order. Rows (the last axis)
        without gaps are read as they lie; others are copied, a few MB at a time.
    factors : sequence of int
        1 (keep) or 2 (halve), one for each axis. Only the last three axes can be halved.
    method : {"mean", "mode", "median", "max", "min", "nearest"}
        Mean for images: integers round half to even; floats are summed in float64 and
        rounded once. Mode for labels: the most frequent value, ties go to the smaller
        one. Median: of an even number of voxels the mean of the two in the middle,
        integers half to even. Max and min: for maximum and minimum projections and
        masks. Nearest: the first voxel of the window as it is, NaN included; its
        centre is half a voxel off the window's, so that the level's translation must
        stay that of the level above, and noise is not averaged but aliased: it is for
        reproducing others' pyramids. Of bool, mean and median are the majority, ties
        False, as half rounds to even.
    out : ndarray, optional
        Where to put the result: a view into a larger array, for example, of the
        result's shape and dtype. It must not overlap `block`.

    Returns
    -------
    ndarray
        `out`, or a new array in C order: shape ``ceil(n / factor)`` along each axis,
        dtype of `block` in native byte order.

    Raises
    ------
    UsageError
        If the method, a factor or the dtype is not one of those above, or `out` does
        not suit.
    """
    factors = tuple(factors)
    _check(block, factors, method)
    shape = tuple(-(-n // f) for n, f in zip(block.shape, factors, strict=True))
    dtype = block.dtype.newbyteorder("=")
    if out is None:
        out = np.empty(shape, dtype)
    elif out.shape != shape or out.dtype != dtype or not out.flags.writeable:
        raise UsageError(
            f"out has shape {out.shape} and dtype {out.dtype}; "
            f"give a writeable array of {shape}, {dtype}"
        )
    if method == "nearest":
        out[...] = block[tuple(slice(None, None, f) for f in factors)]
    elif out.size:
        for source, target in _slabs(block, out, factors):
            _fill(source, target, ((1, 1, 1, *factors))[-3:], method)
    return out


def _check(block: NDArray[Any], factors: tuple[int, ...], method: str) -> None:
    if method not in METHODS:
        raise UsageError(f"unknown method {method!r}; use one of {', '.join(METHODS)}")
    if len(factors) != block.ndim or any(f not in (1, 2) for f in factors):
        raise UsageError(f"factors {factors} do not suit {block.ndim} axes; give 1 or 2 for each")
    if any(f != 1 for f in factors[:-3]):
        raise UsageError(f"factors {factors} halve an axis before the last three; give 1 there")
    if block.dtype.kind not in "buif" or block.dtype == np.longdouble:
        raise UsageError(
            f"cannot downsample {block.dtype}; convert to an integer, float32 or float64"
        )


def _slabs(
    block: NDArray[Any], out: NDArray[Any], factors: tuple[int, ...]
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Pieces of both as (leading axis, z, y, x), with rows that the kernels can walk over."""
    extra = max(0, block.ndim - 4)
    for lead in np.ndindex(block.shape[:extra]):
        source, target = (_four_axes(array[lead]) for array in (block, out))
        if _walkable(source) and _walkable(target):
            yield source, target
            continue
        f = ((1, 1, 1, *factors))[-3]
        plane = source[:1, :1].nbytes or 1
        step = max(1, _SLAB_BYTES // plane // f)
        for i, z in np.ndindex(source.shape[0], -(-target.shape[1] // step)):
            piece = source[i : i + 1, z * step * f : (z + 1) * step * f]
            goal = target[i : i + 1, z * step : (z + 1) * step]
            yield from _converted(piece, goal)


def _converted(
    piece: NDArray[Any], goal: NDArray[Any]
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Give copies where the arrays themselves cannot be walked over; bring the result back."""
    half = piece.dtype.kind == "f" and piece.dtype.itemsize == 2
    if not _walkable(piece):
        # float64 holds the sum of eight float16 exactly, so the result is rounded once
        native = np.dtype(np.float32) if half else piece.dtype.newbyteorder("=")
        piece = np.ascontiguousarray(piece, native)
    if _walkable(goal):
        yield piece, goal
        return
    made = np.empty(goal.shape, np.float64 if half else goal.dtype)
    yield piece, made
    goal[...] = made


def _walkable(array: NDArray[Any]) -> bool:
    return bool(
        array.dtype.isnative
        and array.dtype != np.float16
        and array.flags.aligned
        and (array.strides[-1] == array.itemsize or array.shape[-1] == 1)
    )


def _four_axes(array: NDArray[Any]) -> NDArray[Any]:
    """View as (leading axis, z, y, x); bool as bytes, which numba's kernels take."""
    if array.dtype == np.bool_:
        array = array.view(np.uint8)
    return array[(None,) * (4 - array.ndim)]


def _fill(
    source: NDArray[Any], target: NDArray[Any], factors: tuple[int, ...], method: str
) -> None:
    from enormous import _kernels_numba as compiled

    places = (source.ctypes.data, *source.strides[:3], target.ctypes.data, *target.strides[:3])
    walk = compiled.Walk(*places, *source.shape, *target.shape[1:], *factors)
    like, goal = np.empty(0, source.dtype), np.empty(0, target.dtype)
    width, kind = source.shape[3], source.dtype
    number = "float" if kind.kind == "f" else "int"
    kernels: dict[str, tuple[str, list[Any]]] = {
        "mean": (f"mean_{number}", [np.float64 if number == "float" else kind] * 2),
        "median": (f"median_{number}", [kind] * 4),
        "mode": ("mode", []),
        "max": ("largest", [kind]),
        "min": ("smallest", [kind]),
    }
    name, scratch = kernels[method]
    getattr(compiled, name)(walk, like, goal, *(np.empty(width, dtype) for dtype in scratch))


def all_equal(array: NDArray[Any], value: Any) -> bool:
    """Whether every voxel has one value, to the last bit: a chunk that need not be stored.

    Zero and minus zero differ, as reading back the one for the other would lose the
    sign; any NaN equals any other. Stops at the first plane that differs.

    Parameters
    ----------
    array : ndarray
        Any dtype but object; any memory order.
    value : scalar
        The fill value, in the array's dtype or exactly convertible to it.

    Raises
    ------
    UsageError
        If the dtype cannot have this value.
    """
    fill = _as_fill(array.dtype, value)
    if not array.size:
        return True
    if array.dtype.kind == "f" and fill != fill:
        return all(bool(np.isnan(plane).all()) for plane in _planes(array))
    if array.itemsize in (1, 2, 4, 8):
        bits = np.dtype(f"u{array.itemsize}")
        array, fill = array.view(bits), fill.view(bits)
        return all(bool((plane == fill).all()) for plane in _planes(array))
    wanted = np.frombuffer(fill.tobytes(), np.uint8)
    return all(bool((_bytes(plane) == wanted).all()) for plane in _planes(array))


def _bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    """The bytes of each voxel, as rows."""
    flat = np.ascontiguousarray(array).reshape(-1)
    return flat.view(np.uint8).reshape(-1, array.itemsize)


def _planes(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """The first voxel, which mostly decides, then boxes of 2**16 voxels or so."""
    first: Any = (..., *(slice(0, 1),) * array.ndim)
    yield array[first]
    yield from _boxes(array)


def _boxes(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    if array.size <= _BOX_VOXELS:
        yield array
        return
    step = _BOX_VOXELS * array.shape[0] // array.size
    if step == 0:
        for part in array:
            yield from _boxes(part)
    else:
        for start in range(0, array.shape[0], step):
            yield array[start : start + step]


def _as_fill(dtype: np.dtype[Any], value: Any) -> NDArray[Any]:
    """The value as an array without axes, of this dtype."""
    try:
        fill = np.array(value, dtype)
        exact = dtype.kind not in "iub" or fill.item() == value
    except (OverflowError, TypeError, ValueError):
        exact = False
    if dtype.hasobject or not exact or fill.ndim:
        raise UsageError(f"an array of {dtype} cannot have the value {value}")
    return fill

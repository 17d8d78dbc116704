"""Any block of any sample, its ground truth and its masks: the front of the generators.

Called by the lessons and by :mod:`enormous.samples.write`. The generators
compile with numba, so they are imported at the first call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enormous._text import shape_text
from enormous.engine.pool import run_blocks, workers_or_default
from enormous.errors import DataError, UsageError
from enormous.grid import Shape, Tiling
from enormous.samples.catalogue import describe, integers, shape_of

#: Edge of the pieces that threads generate, in voxels.
PIECE = 128


def one_block(
    name: str, shape: Shape, origin: Shape, size: Shape, *, seed: int = 0, **options: Any
) -> NDArray[np.uint16]:
    """One block of a sample, in this thread; arguments are not checked.

    Parameters
    ----------
    name : str
    shape : tuple of int
        Of the whole image, in voxels.
    origin, size : tuple of int
        First voxel and number of voxels of the block.
    seed : int
    **options
        ``noise``, ``channel`` and ``time`` of the heart.

    Returns
    -------
    ndarray of uint16, shape `size`
    """
    if name == "heart":
        heart: Any = import_module("enormous.samples.heart")
        return heart.block(shape, origin, size, seed=seed, **options)  # type: ignore[no-any-return]
    neurons: Any = import_module("enormous.samples.neurons")
    make = neurons.dense_block if name == "dense" else neurons.sparse_block
    return make(shape, origin, size, seed=seed, **options)  # type: ignore[no-any-return]


def generate(
    name: str,
    size: str = "small",
    *,
    shape: Sequence[int] | None = None,
    origin: Sequence[int] | None = None,
    block: Sequence[int] | None = None,
    seed: int = 0,
    workers: int | None = None,
    **options: Any,
) -> NDArray[np.uint16]:
    """Make a sample, or one block of it, in memory.

    Parameters
    ----------
    name : {"heart", "dense", "sparse"}
    size : {"tiny", "small", "full"}
        Longest edge of 64, 200 or 806 voxels.
    shape : sequence of int, optional
        Any other size, ``z, y, x`` in voxels: the same field of view, coarser or finer.
    origin, block : sequence of int, optional
        First voxel and number of voxels of the block wanted; by default the
        whole. A block equals the same block cut from the whole, bit for bit.
    seed : int
        Another seed, another heart: everything random follows from it.
    workers : int, optional
        Threads; by default one for each core.
    **options
        For ``heart``: ``noise=False`` leaves out the detector noise, ``channel=1``
        shows the contrast agent, ``time`` (0, 1, ...) how it washes in.

    Returns
    -------
    ndarray of uint16
        Shape `block`, or that of the whole.

    Raises
    ------
    UsageError
        If a name is unknown or the block is not inside the image.
    DataError
        If it does not fit into memory.

    Examples
    --------
    >>> generate("heart", "tiny").shape
    (64, 50, 50)
    """
    whole, first, wanted = _select(name, size, shape, origin, block)
    check_options(name, options)

    def make(at: Shape, extent: Shape) -> NDArray[Any]:
        return one_block(name, whole, at, extent, seed=seed, **options)

    return _assemble(np.uint16, first, wanted, make, workers)


def mask(
    name: str,
    which: str,
    size: str = "small",
    *,
    shape: Sequence[int] | None = None,
    origin: Sequence[int] | None = None,
    block: Sequence[int] | None = None,
    seed: int = 0,
    workers: int | None = None,
) -> NDArray[np.bool_]:
    """Which voxels belong to something: the truth that a segmentation is scored against.

    Parameters
    ----------
    name : {"heart", "dense", "sparse"}
    which : str
        Of the heart a part, as listed in :data:`enormous.samples.heart_develop.MASKS`
        (``"tissue"``, ``"vessels"``, ...); of the others ``"foreground"``, the neurons.
    size, shape, origin, block, seed, workers
        As for :func:`generate`.

    Returns
    -------
    ndarray of bool

    Raises
    ------
    UsageError
        As for :func:`generate`, or if there is no such mask.
    """
    whole, first, wanted = _select(name, size, shape, origin, block)
    if name == "heart":
        heart: Any = import_module("enormous.samples.heart")

        def make(at: Shape, extent: Shape) -> NDArray[Any]:
            return heart.mask(whole, at, extent, which, seed=seed)  # type: ignore[no-any-return]
    else:
        if which != "foreground":
            raise UsageError(f"{name} has no mask {which!r}; use foreground")

        def make(at: Shape, extent: Shape) -> NDArray[Any]:
            return one_block(name, whole, at, extent, seed=seed) > 0

    return _assemble(np.bool_, first, wanted, make, workers)


def _select(
    name: str,
    size: str,
    shape: Sequence[int] | None,
    origin: Sequence[int] | None,
    block: Sequence[int] | None,
) -> tuple[Shape, Shape, Shape]:
    """Whole shape, first voxel and number of voxels; checked."""
    whole = shape_of(name, size, shape)
    first = (0, 0, 0) if origin is None else _three(origin, "origin")
    rest = tuple(n - o for n, o in zip(whole, first, strict=True))
    wanted = rest if block is None else _three(block, "block")
    for axis, n, o, b in zip("zyx", whole, first, wanted, strict=True):
        if o < 0 or b < 1 or o + b > n:
            raise UsageError(
                f"block {wanted} at {first} is not inside the image {whole} along axis {axis}; "
                "give an origin and a block inside it"
            )
    return whole, first, wanted


def _assemble(
    dtype: Any,
    first: Shape,
    wanted: Shape,
    make: Callable[[Shape, Shape], NDArray[Any]],
    workers: int | None,
) -> NDArray[Any]:
    """Fill an array piece by piece on threads."""
    try:
        out = np.empty(wanted, dtype)
    except MemoryError as error:
        raise DataError(
            f"{shape_text(wanted)} voxels do not fit into memory; make a smaller block, or write "
            "it to disk with enormous.samples.run"
        ) from error
    pieces = Tiling(wanted, (PIECE,) * 3)

    def fill(number: int) -> None:
        part = pieces.slices(pieces.index(number))
        at = tuple(o + s.start for o, s in zip(first, part, strict=True))
        out[part] = make(at, tuple(s.stop - s.start for s in part))

    run_blocks(fill, pieces.n, workers_or_default(workers))
    return out


def _three(numbers: Sequence[int], what: str) -> Shape:
    given = integers(numbers, what)
    if len(given) != 3:
        raise UsageError(f"{what} {given} needs three numbers: Z,Y,X")
    return given


def check_options(name: str, options: dict[str, Any]) -> None:
    """Refuse options that the sample does not have.

    Raises
    ------
    UsageError
    """
    known = ("noise", "channel", "time") if describe(name).name == "heart" else ()
    for option in options:
        if option not in known:
            has = f"it has {', '.join(known)}" if known else "it has none"
            raise UsageError(f"{name} has no option {option!r}; {has}")


def truth(
    name: str, size: str = "full", *, shape: Sequence[int] | None = None, seed: int = 0
) -> Any:
    """What is known about a sample because it was made: see the class it returns.

    Parameters
    ----------
    name : {"heart", "dense", "sparse"}
    size, shape
        As for :func:`generate`: the size at which voxels are counted (dense and sparse).
    seed : int

    Returns
    -------
    enormous.samples.heart.Truth or enormous.samples.neurons.Truth
        Positions are in micrometres from the corner of the field of view, so
        voxel i of n along an axis has its centre at ``(i + 0.5) / n`` of it.
        (The image's OME-Zarr coordinates start at the centre of voxel 0.)
    """
    whole = shape_of(name, size, shape)
    if name == "heart":
        heart: Any = import_module("enormous.samples.heart")
        return heart.truth(seed=seed)
    neurons: Any = import_module("enormous.samples.neurons")
    return neurons.truth(name, shape=whole, seed=seed)

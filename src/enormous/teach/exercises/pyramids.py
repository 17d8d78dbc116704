"""Answers to the exercises of "Pyramids and OME-Zarr"."""

import math
from itertools import product
from typing import Any

from enormous.grid import Grid
from enormous.ome.pyramid import levels_of
from enormous.teach.check import NotAnswered, exercise


@exercise(
    "pyramids-1",
    hint="Which axes does each level halve? Then half the difference of the voxel sizes, per axis.",
)
def translation_of_a_coarse_z() -> tuple[float, ...]:
    base = Grid((500, 2000, 2000), (64, 64, 64), 2)
    return levels_of(base, (4.0, 1.0, 1.0), levels=4)[3].translation


# three decimals are asked for: rounding down, and the estimate by one seventh, are 2 to 5 in
# 10,000 off, and are to hear of it
@exercise(
    "pyramids-2",
    hint="Round up at every level, multiply, add up, and keep three decimals.",
    rtol=1e-4,
)
def bytes_of_all_levels() -> float:
    shape, total = [1999, 1501, 1501], 0
    for _ in range(5):
        total += math.prod(shape) * 2
        shape = [math.ceil(n / 2) for n in shape]
    return total / 1e9


@exercise("pyramids-3", many=True)
def any_factors(halve: Any) -> str:
    import numpy as np

    from enormous.kernels import downsample

    if not callable(halve):
        return "Give the function itself: check('pyramids-3', halve)."
    rng = np.random.default_rng(0)
    for shape, factors in [
        ((4, 6, 8), (2, 2, 2)),
        ((5, 6, 7), (2, 2, 2)),
        ((5, 6, 7), (1, 2, 2)),
        ((3, 5, 5), (2, 1, 1)),
        ((1, 1, 9), (2, 2, 2)),
    ]:
        image = rng.integers(0, 9, shape).astype(np.uint16)
        before = image.copy()
        result = halve(image, factors)
        if result is None or result is ...:
            raise NotAnswered
        where = f"for shape {shape} and factors {factors}"
        expected = downsample(before, factors, "mean")
        if not isinstance(result, np.ndarray) or result.dtype != image.dtype:
            return f"It must return an array of the image's dtype, uint16 here ({where})."
        if result.shape != expected.shape:
            return f"The shape is {result.shape}; round n / factor up along each axis ({where})."
        if not np.array_equal(image, before):
            return f"It changed its input ({where})."
        if not np.array_equal(result, expected):
            off = np.abs(result.astype(int) - expected).max()
            why = "round half to even" if off == 1 else "a window at the edge uses what it has"
            return f"A voxel is off by {off} {where}: {why}."
    return ""


@exercise("pyramids-4", many=True)
def which_was_it(how_made: Any) -> str:
    import numpy as np
    from scipy import ndimage

    from enormous.kernels import downsample

    if not callable(how_made):
        return "Give the function itself: check('pyramids-4', how_made)."
    rng = np.random.default_rng(1)
    for shape, smooth in product([(12, 10, 8), (9, 11, 7)], (False, True)):
        fine = rng.integers(0, 2**16, shape).astype(np.uint16)
        if smooth:
            fine = ndimage.gaussian_filter(fine, 1)
        fine = np.pad(fine, 4)  # a dark margin, as around a scan: there, all methods agree
        mean, stride = downsample(fine, (2, 2, 2), "mean"), fine[::2, ::2, ::2]
        even = np.pad(fine, [(0, n % 2) for n in fine.shape], "edge").astype(float)
        z, y, x = mean.shape
        exact = even.reshape(z, 2, y, 2, x, 2).mean(axis=(1, 3, 5))
        half = z // 2  # mean in one half, strided in the other: one voxel does not tell
        levels = [
            ("mean", mean),
            ("mean", np.floor(exact).astype(fine.dtype)),
            ("mean", np.ceil(exact).astype(fine.dtype)),
            ("stride", stride),
            ("other", downsample(fine, (2, 2, 2), "mode") + 1),
            ("other", np.concatenate([mean[:half], stride[half:]])),
            ("other", np.concatenate([stride[:half], mean[half:]])),
        ]
        if not any(n % 2 for n in fine.shape):  # of odd sizes the usual zoom is striding
            levels.append(("other", ndimage.zoom(fine, 0.5, order=1)))
        for truth, level in levels:
            said = how_made(fine.copy(), level.copy())
            if said is None or said is ...:
                raise NotAnswered
            if said != truth:
                return f"For a level made by {truth!r}, of shape {level.shape}, it said {said!r}."
    return ""

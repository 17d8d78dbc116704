"""Answers to the exercises of "Pyramids that are right"."""

from typing import Any

from enormous.grid import Grid
from enormous.ome.pyramid import levels_of
from enormous.teach.check import NotAnswered, exercise


@exercise(
    "right-pyramids-1",
    hint="Where is the fine voxel, and where is it shown? The difference is the translation.",
    rtol=1e-4,  # to stay at 100, or to go the other way, is 2 and 4 in a hundred off
)
def strided_and_translated() -> float:
    levels = levels_of(Grid((512,) * 3, (32,) * 3, 2), (0.65,) * 3, levels=4)
    return 100 + levels[3].translation[0]


@exercise("right-pyramids-2", many=True)
def test_for_any_tool(where: Any) -> str:
    import numpy as np
    from scipy import ndimage

    if not callable(where):
        return "Give the function itself: check('right-pyramids-2', where)."

    def blurred(a: Any) -> Any:
        return ndimage.gaussian_filter1d(a, 0.7, mode="nearest")[1::2]

    halvings: list[tuple[str, Any]] = [
        ("means", lambda a: a.reshape(-1, 2).mean(axis=1)),
        ("every second voxel", lambda a: a[::2]),
        ("the second of each two", lambda a: a[1::2]),
        ("zoom with pinned corners", lambda a: ndimage.zoom(a, 0.5, order=1)),
        ("means of three and one", lambda a: (a[::2] + 3 * a[1::2]) / 4),
        ("a blur and every second voxel", blurred),
    ]
    for name, halve in halvings:
        taken = halve(np.arange(64.0))
        off = 2 * np.arange(len(taken)) + 0.5 - taken
        result = where(halve)
        if result is None or result is ...:
            raise NotAnswered
        if np.shape(result) != (2,):
            return "Return two numbers: for the first and for the last coarse voxel."
        expected = np.array([off[0], off[-1]])
        got = np.asarray(result, float)
        if np.allclose(got, expected, atol=1e-6):
            continue
        if np.allclose(got, -expected, atol=1e-6):
            return f"Look at the sign, for {name}: shown, less where it is."
        return f"It is wrong for {name}. Feed `halve` values that say where they are."
    return ""


@exercise("right-pyramids-3", many=True)
def mended_labels(mend: Any) -> str:
    import numpy as np

    from enormous.kernels import downsample

    if not callable(mend):
        return "Give the function itself: check('right-pyramids-3', mend)."
    rng = np.random.default_rng(2)
    for shape, box in [
        ((16, 24, 32), np.s_[4:8, 8:16, 12:20]),
        ((16, 24, 32), np.s_[5:6, 9:10, 13:14]),
        ((17, 23, 29), np.s_[3:9, 11:23, 20:29]),
        ((17, 23, 29), np.s_[16:17, 22:23, 28:29]),
    ]:
        levels = [rng.integers(1, 5, shape).astype(np.uint16)]
        for _ in range(3):
            levels.append(downsample(levels[-1], (2, 2, 2), "mode"))
        levels[0][box] = rng.integers(50, 55, levels[0][box].shape)
        right = [levels[0]]
        touched: Any = box
        inside = []
        for level in levels[1:]:
            touched = tuple(slice(s.start // 2, -(-s.stop // 2)) for s in touched)
            source = tuple(slice(2 * s.start, 2 * s.stop) for s in touched)
            # a mark that a fresh level would not have: what is not reached must keep it
            expected = np.full_like(level, 999)
            expected[touched] = downsample(right[-1][source], (2, 2, 2), "mode")
            inside.append(touched)
            right.append(expected)
        given = [level.copy() for level in right]
        for level, where in zip(given[1:], inside, strict=True):
            level[where] = 7
        returned: Any = None
        unreturned = False
        try:
            returned = mend(given, box)
        except NotAnswered:
            unreturned = True  # but it may have done its work
        if all((level[w] == 7).all() for level, w in zip(given[1:], inside, strict=True)):
            if unreturned:
                raise NotAnswered
            return "Nothing changed: write into the arrays of `levels` themselves."
        for d, (level, expected) in enumerate(zip(given, right, strict=True)):
            if level.shape != expected.shape or not np.array_equal(level, expected):
                case = f"on level {d}, for shape {shape} and box {box}"
                if d == 0:
                    return f"It changed level 0 ({case})."
                outside = np.ones(level.shape, bool)
                outside[inside[d - 1]] = False
                if level.shape == expected.shape and (level[outside] != 999).any():
                    return f"It wrote where the change cannot have reached {case}."
                return f"Not all that was touched is right {case}."
        if unreturned or len(returned) != len(given):
            return "The arrays are right. Now return `levels`, too."
    return ""


@exercise(
    "right-pyramids-4",
    hint="Which levels does each way read? Nothing is made from the last one. Subtract.",
    rtol=2e-4,  # level 4 forgotten is 2 in a thousand off, level 5 counted 2.4 in ten thousand
)
def saved_by_bands() -> float:
    size = [2048**3 * 2 / 8**d for d in range(6)]
    by_level = sum(size[:5])
    in_bands = size[0] + size[2]
    return float(by_level - in_bands) / 1e6

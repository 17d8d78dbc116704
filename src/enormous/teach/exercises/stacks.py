"""Answers to the exercises of "From any stack"."""

import math
from typing import Any

from enormous.teach.check import NotAnswered, exercise


@exercise("stacks-1", hint="How many steps lie between 256 numbers?", rtol=1e-3)
def step_and_noise() -> float:
    return (0.7 + 0.1) / 255 / 0.02


@exercise("stacks-2", hint="Each slice once for each chunk across it; round up along y and x.")
def opened_in_all() -> int:
    return 2000 * math.ceil(2500 / 128) * math.ceil(4000 / 128)


@exercise("stacks-3", many=True)
def to_window(window: Any) -> str:
    import numpy as np

    if not callable(window):
        return "Give the function itself: check('stacks-3', to_window)."
    ramp = np.linspace(-1, 2, 24).reshape(2, 3, 4)
    halves = np.array([[[0.5, 1.5, 2.5, 254.5]]])
    holes = np.array([[[np.nan, -5.0, 300.0, np.inf]]])
    ct = np.linspace(-0.3, 1.2, 12, dtype=np.float32).reshape(3, 2, 2)
    for image, low, high, hint in (
        (ramp, 0.0, 1.0, "Clip, scale to 0..255, round, and only then change the dtype."),
        (halves, 0.0, 255.0, "0.5 becomes 0, 1.5 and 2.5 become 2: np.rint does that."),
        (holes, -1.0, 100.0, "NaN becomes 0, and what lies outside 0 or 255."),
        (ct, -0.25, 1.15, "Scale by the window: low becomes 0, high 255."),
    ):
        given = image.copy()
        found = window(given, low, high)
        if found is None or found is ...:
            raise NotAnswered
        if getattr(found, "dtype", None) != np.uint8:
            return f"It returns {getattr(found, 'dtype', type(found).__name__)}, not uint8."
        known = np.where(np.isnan(image), low, image)
        right = np.rint((np.clip(known, low, high) - low) / (high - low) * 255)
        if found.shape != image.shape or (found != right).any():
            return f"It is wrong for values from {image.min():g} to {image.max():g}. {hint}"
        if not np.array_equal(given, image, equal_nan=True):
            return "It changes the image that it was given."
    return ""


@exercise("stacks-4", many=True)
def crack_the_raw_file(crack: Any) -> str:
    import numpy as np
    from scipy import ndimage

    if not callable(crack):
        return "Give the function itself: check('stacks-4', crack)."
    rng = np.random.default_rng(8)
    dtypes = ["u1", "<u2", ">u2", "<f4"]
    for shape, dtype, scale in [
        ((20, 32, 40), "<u2", 60_000),
        ((16, 48, 30), ">u2", 3_000),
        ((24, 36, 40), "u1", 200),
        ((12, 28, 44), "<f4", 1),
    ]:
        image = ndimage.gaussian_filter(rng.normal(size=shape), 3)
        image = (image - image.min()) / (image.max() - image.min())
        data = (image * scale).astype(dtype).tobytes()
        z, y, x = shape
        others = [(z, x, y), (y, z, x), (z, y // 2, x), (z, y, 2 * x), (z, y + 1, x)]
        shapes = sorted({shape, *others})
        with np.errstate(all="ignore"):  # other people's bytes may be any float
            said = crack(data, shapes, dtypes)
        if said is None or said is ...:
            raise NotAnswered
        found = (tuple(said[0]), str(said[1]))
        if found != (shape, dtype):
            return f"It said {found} for a file that is {shape}, {dtype}."
    return ""

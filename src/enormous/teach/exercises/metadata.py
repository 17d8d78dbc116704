"""Answers to the exercises of "Metadata that viewers need"."""

import copy
import math
from collections.abc import Sequence
from typing import Any

from enormous.grid import Grid
from enormous.teach.check import NotAnswered, exercise


@exercise("metadata-1", hint="Pixels for each inch: turn it over. An inch is 25,400 µm.")
def micrometers_of_a_pixel() -> float:
    return 25_400 / 76_200


@exercise(
    "metadata-2",
    hint="How many chunks along y and x does a slice touch, and what is in each of them?",
)
def bytes_of_one_channel() -> int:
    film = Grid((100, 4, 300, 2000, 2000), (1, 4, 64, 64, 64), itemsize=2)
    return film.need((0, 0, 150)).chunk_bytes


_SPELT = {
    "micrometer": ("µm", "μm", "um", "micron", "microns", "µM", " um ", "MICRON", "Micrometer"),
    "nanometer": ("nm", " NM", "nanometer"),
    "millimeter": ("mm", "Millimeter"),
    "": ("pixel", "", "inch of rain", "mum"),
}


@exercise(
    "metadata-3",
    cases=[(text,) for texts in _SPELT.values() for text in texts],
    hint="Make one µ of the two (NFKC), strip, lower, then look it up.",
)
def name_of_unit(text: str) -> str:
    return next(name for name, texts in _SPELT.items() if text in texts)


@exercise("metadata-4", many=True)
def levels_mended(mend: Any) -> str:
    if not callable(mend):
        return "Give the function itself: check('metadata-4', mend)."
    for shape, finest, halved in (
        ((64, 64, 64), (1.0, 1.0, 1.0), [(1, 1, 1)] * 3),
        ((101, 77, 205), (0.8, 0.2, 0.2), [(0, 1, 1), (0, 1, 1), (1, 1, 1)]),
        ((5, 9, 3), (2.5, 1.0, 1.0), [(0, 1, 1), (1, 1, 1), (1, 1, 0)]),
    ):
        shapes, scales = [shape], [finest]
        for axes in halved:
            shapes.append(tuple(math.ceil(n / 2**h) for n, h in zip(shapes[-1], axes, strict=True)))
            scales.append(tuple(s * 2**h for s, h in zip(scales[-1], axes, strict=True)))
        wrong = [{"type": "scale", "scale": list(finest)}]
        given = [
            {"path": f"s{d}", "coordinateTransformations": copy.deepcopy(wrong)}
            for d in range(len(shapes))
        ]
        kept = copy.deepcopy(given)
        made = mend(given, shapes)
        if made is None or made is ...:
            raise NotAnswered
        if given != kept:
            return "It changed the datasets that it was given; return new ones."
        fault = _fault(made, scales)
        if fault:
            return f"{fault} (level 0 has the shape {shape}, voxels of {finest})."
    return ""


def _fault(made: Sequence[dict[str, Any]], scales: Sequence[Sequence[float]]) -> str:
    """What is wrong with mended levels, the first of it; empty if nothing is."""
    if len(made) != len(scales):
        return f"There are {len(made)} levels where {len(scales)} were given"
    for d, (dataset, scale) in enumerate(zip(made, scales, strict=True)):
        if dataset.get("path") != f"s{d}":
            return f"Level {d} has lost its path"
        steps = dataset["coordinateTransformations"]
        if [step["type"] for step in steps] != ["scale", "translation"]:
            return f"Level {d} needs a scale, then a translation"
        if not _near(steps[0]["scale"], scale):
            return f"The scale of level {d} is wrong: which axes were halved so far?"
        moved = [(s - first) / 2 for s, first in zip(scale, scales[0], strict=True)]
        if not _near(steps[1]["translation"], moved):
            return f"The translation of level {d} is wrong: half of what its voxel has gained"
    return ""


def _near(found: Any, right: Any) -> bool:
    return len(found) == len(right) and all(
        math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9) for a, b in zip(found, right, strict=True)
    )

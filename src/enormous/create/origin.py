"""What a conversion keeps of an OME-Zarr input beyond its voxels: its place, and that it is labels.

Called by :mod:`enormous.create.convert`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from enormous.create.scale import Scale
from enormous.create.sources._units import in_one_unit, unit_name
from enormous.create.sources.source import Source
from enormous.create.sources.zarr import ZarrDetail
from enormous.errors import UsageError
from enormous.kernels import METHODS
from enormous.ome.inspect import open_node
from enormous.ome.pyramid import Level
from enormous.ome.read import read_images
from enormous.stores import locate

#: Methods that make numbers which no voxel had: no labels.
NO_LABELS = ("mean", "median")


def as_label(source: Source, label: bool) -> tuple[bool, tuple[str, ...]]:
    """Whether labels are made: as asked for, or as the metadata of the input state; and a line."""
    if label or source.kind != "OME-Zarr label image":
        return label, ()
    line = f"{source.url} says that it is a label image, and so is what is made of it"
    return True, (line,)


def method_of(method: str | None, label: bool) -> str:
    """How levels are made: as asked for, else by mode for labels and by mean for all else.

    Raises
    ------
    UsageError
        If there is no such method, or it would invent labels.
    """
    if method is not None and method not in METHODS:
        raise UsageError(f"unknown method {method!r}; use one of {', '.join(METHODS)}")
    if label and method in NO_LABELS:
        raise UsageError(
            f"the {method} of labels is another label: use mode for a label image, or max, min or "
            "nearest"
        )
    return method or ("mode" if label else "mean")


def moved(
    levels: Sequence[Level], source: Source, scale: Scale
) -> tuple[tuple[Level, ...], tuple[str, ...]]:
    """Levels where the input lies: its translation is added to theirs.

    Parameters
    ----------
    levels : sequence of Level
        With voxel 0 of level 0 at the origin.
    source : Source
    scale : Scale
        What is written, with its units.

    Returns
    -------
    tuple of Level, tuple of str
        A line for each thing that could not be kept.
    """
    at, lines = _origin(source, scale)
    if not any(at):
        return tuple(levels), lines
    return tuple(
        replace(level, translation=tuple(a + b for a, b in zip(level.translation, at, strict=True)))
        for level in levels
    ), lines


def _origin(source: Source, scale: Scale) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """Centre of voxel 0, one number for each axis of the source, in the units of `scale`."""
    nowhere = (0.0,) * len(source.axes)
    if not isinstance(source.detail, ZarrDetail) or not source.kind.startswith("OME-Zarr"):
        return nowhere, ()
    image = read_images(open_node(locate(source.url)), source.url)[0]  # type: ignore[arg-type]
    stated = image.levels[0].translation
    if stated is None or not any(stated):
        return nowhere, ()
    found = {
        letter: (place, unit_name(axis.unit) or axis.unit)
        for letter, place, axis in zip(source.detail.layout.stored, stated, image.axes, strict=True)
    }
    at, lost = [], []
    for letter in source.axes:
        place, unit = found.get(letter, (0.0, None))
        mine = scale.unit if letter in "zyx" else scale.time_unit
        both = in_one_unit((place, 1.0), (unit, mine)) if letter != "c" else ((place, 1.0), None)
        if both is None and place:
            lost.append(f"{place:g} {unit or 'without a unit'} along {letter}")
        at.append(both[0][0] if both else 0.0)
    if not lost:
        return tuple(at), ()
    return nowhere, (
        f"{source.url} lies at {', '.join(lost)}, which cannot be told in "
        f"{scale.unit or 'no unit'}: its place is not kept",
    )

"""Whether a pyramid's arrays agree with one another and with its metadata: pure.

For :mod:`enormous.ome.validate`. OME-Zarr places a voxel by its centre, so a voxel that
averages a window of the level above lies in the middle of that window: its translation is
half the difference of the voxel sizes. A level that takes one voxel of each window instead
may stay at 0, if it says so.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from enormous._text import shape_text
from enormous.ome._validate_report import Findings
from enormous.ome._validate_schema import Dataset, Pyramid
from enormous.ome.read import StoredLevel

#: What a displacement may be before it counts, in voxels of level 0, and for each voxel of
#: level 0 that the level's voxel spans: numbers are rounded when they are written.
_TOLERANCE = 0.02
_RELATIVE = 1e-3

Found = tuple[Dataset, StoredLevel]


def check_levels(findings: Findings, path: str, pyramid: Pyramid, levels: Sequence[Found]) -> None:
    """Dtypes, shapes, scales and translations of the levels that are there.

    Parameters
    ----------
    findings : Findings
    path : str
        Of the image.
    pyramid : Pyramid
    levels : sequence of (Dataset, StoredLevel)
        Those that could be opened and have the dimensions of the axes; the first is level 0.
    """
    first = levels[0][1]
    for (above, before), (dataset, level) in itertools.pairwise(levels):
        if level.dtype != first.dtype:
            message = f"level '{dataset.path}' is {level.dtype}, the finest is {first.dtype}"
            findings.error(path, "dtype", f"{message}: all levels must have one dtype")
        grows = any(n > m for n, m in zip(level.shape, before.shape, strict=True))
        if grows:
            findings.error(
                path,
                "order",
                f"level '{dataset.path}' ({shape_text(level.shape)}) is larger than "
                f"'{above.path}' ({shape_text(before.shape)}): levels go from large to small",
            )
    if pyramid.axes is None or levels[0][0].scale is None:
        return
    unplaced = []
    for item in levels[1:]:
        if item[0].scale is None or not _scale_fits(findings, path, pyramid, levels[0], item):
            continue
        moved = _displacement(pyramid, levels[0][0], item[0])
        if moved is None:
            continue
        if item[0].translation is None and levels[0][0].translation is None:
            unplaced.append((item[0].path, moved))
        else:
            findings.error(path, "translation", _moved_text(pyramid, item[0], levels[0][0], moved))
    if unplaced:
        findings.warn(path, "translation", _unplaced_text(pyramid, unplaced))


def _scale_fits(
    findings: Findings, path: str, pyramid: Pyramid, finest: Found, item: Found
) -> bool:
    """Whether voxel sizes and shapes tell of one extent: n0·s0/s is n, rounded either way.

    Floor (bioformats2raw, ngff-zarr), ceil (this toolkit, Neuroglancer) and rounding each
    stay below one voxel, after any number of halvings.
    """
    assert finest[0].scale is not None
    assert item[0].scale is not None
    assert pyramid.axes is not None
    fits = all(s >= s0 for s, s0 in zip(item[0].scale, finest[0].scale, strict=True))
    if not fits:  # the levels are in the wrong order, which was said
        return False
    for axis, n, s, n0, s0 in zip(
        pyramid.axes, item[1].shape, item[0].scale, finest[1].shape, finest[0].scale, strict=True
    ):
        if min(s, s0) <= 0 or min(n, n0) == 0:
            continue
        if abs(n0 * s0 / s - n) < 1 - 1e-9 or abs(n0 * s0 / (n * s) - 1) < 1e-6:
            continue
        fits = False
        findings.error(
            path,
            "scale",
            f"level '{item[0].path}' has voxels of {s:g} along {axis.name}, but its {n} voxels "
            f"cover the {n0} of {s0:g} of level '{finest[0].path}': they measure "
            f"{n0 * s0 / n:.6g}",
        )
    return fits


@dataclass(frozen=True)
class _Moved:
    """How far a level lies from its place along each axis, and what would place it."""

    voxels: tuple[float, ...]
    translation: tuple[float, ...]


def _displacement(pyramid: Pyramid, finest: Dataset, level: Dataset) -> _Moved | None:
    """In voxels of level 0; None where the level is in its place."""
    assert finest.scale is not None
    assert level.scale is not None
    start = finest.translation or (0.0,) * len(finest.scale)
    found = level.translation or (0.0,) * len(level.scale)
    voxels, right = [], []
    for s, s0, t, t0 in zip(level.scale, finest.scale, found, start, strict=True):
        centre = t0 + (s - s0) / 2
        allowed = [centre, t0] if pyramid.keeps_voxels else [centre]
        off = min(((t - place) / s0 for place in allowed if s0 > 0), key=abs, default=0.0)
        tolerance = _TOLERANCE + _RELATIVE * (s / s0 if s0 > 0 else 0)
        voxels.append(off if abs(off) > tolerance else 0.0)
        right.append(centre)
    return _Moved(tuple(voxels), tuple(right)) if any(voxels) else None


def _moved_text(pyramid: Pyramid, level: Dataset, finest: Dataset, moved: _Moved) -> str:
    far = _far(pyramid, moved)
    stated = "no translation" if level.translation is None else _list(level.translation)
    return (
        f"level '{level.path}' is off its place, in voxels of level '{finest.path}' by {far}: "
        f"its translation is {stated}, voxel centres ask for {_list(moved.translation)}"
    )


def _unplaced_text(pyramid: Pyramid, unplaced: Sequence[tuple[str, _Moved]]) -> str:
    path, moved = unplaced[-1]
    far = _far(pyramid, moved)
    which = f"level '{path}' has" if len(unplaced) == 1 else f"{len(unplaced)} levels have"
    return (
        f"{which} no translation: if levels are averages, '{path}' is off its place, in voxels of "
        f"level 0 by {far}; its translation would be {_list(moved.translation)}"
    )


def _far(pyramid: Pyramid, moved: _Moved) -> str:
    assert pyramid.axes is not None
    return ", ".join(
        f"{off:+.3g} along {axis.name}"
        for axis, off in zip(pyramid.axes, moved.voxels, strict=True)
        if off
    )


def _list(numbers: Sequence[float]) -> str:
    return f"[{', '.join(f'{number:g}' for number in numbers)}]"


def check_label(
    findings: Findings,
    path: str,
    label: tuple[Pyramid, Sequence[Found]],
    image: tuple[Pyramid, Sequence[Found]],
) -> None:
    """Whether a label image lies over its image: its axes, levels and extent."""
    (pyramid, levels), (over, image_levels) = label, image
    if len(pyramid.datasets) != len(over.datasets):
        findings.error(
            path,
            "image-label",
            f"has {len(pyramid.datasets)} levels, its image {len(over.datasets)}: "
            "they must have the same number",
        )
    if pyramid.axes is None or over.axes is None:
        return
    names = [axis.name for axis in over.axes]
    strange = [axis.name for axis in pyramid.axes if axis.name not in names]
    if strange:
        findings.error(path, "image-label", f"has axes that its image has not: {strange}")
    if not levels or not image_levels:
        return
    (mine, level), (its, base) = levels[0], image_levels[0]
    for number, axis in enumerate(pyramid.axes):
        if axis.name not in names:
            continue
        other = names.index(axis.name)
        n, n0 = level.shape[number], base.shape[other]
        if axis.type != "space":
            if n not in (1, n0):
                message = f"has {n} steps along {axis.name}, its image {n0}"
                findings.warn(path, "image-label", message)
        elif mine.scale is not None and its.scale is not None and n != 1:
            s = mine.scale[number] * (pyramid.common[number] if pyramid.common else 1)
            s0 = its.scale[other] * (over.common[other] if over.common else 1)
            if abs(n * s - n0 * s0) > max(s, s0) * (1 + 1e-6):
                crop = mine.translation is not None and mine.translation[number] != 0
                tell = findings.warn if crop else findings.error
                tell(
                    path,
                    "image-label",
                    f"covers {n * s:.6g} along {axis.name} ({n} voxels of {s:g}), its image "
                    f"{n0 * s0:.6g} ({n0} of {s0:g}): they do not lie over one another",
                )

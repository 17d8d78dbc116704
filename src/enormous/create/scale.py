"""How large a voxel is: what the file says, what the person says, and what is not known.

Pure, called by :mod:`enormous.create.convert`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from enormous.create.sources._units import in_one_unit, is_length, unit_name
from enormous.create.sources.source import PIXEL_ONLY, Source
from enormous.errors import UsageError

#: Sizes that differ by more than this are said to differ.
_TOLERANCE = 0.01


@dataclass(frozen=True)
class Scale:
    """Sizes of a voxel along all axes.

    Parameters
    ----------
    spacing : tuple of float
        One for each axis; 1 where nothing is known.
    unit : str or None
        Of the spatial axes.
    time_unit : str or None
    warnings : tuple of str
        One line each.
    """

    spacing: tuple[float, ...]
    unit: str | None
    time_unit: str | None
    warnings: tuple[str, ...] = ()


def scale_of(source: Source, voxel_size: float | Sequence[float] | None, unit: str | None) -> Scale:
    """Decide on the voxel size: the given one, the file's, or 1 without a unit.

    Parameters
    ----------
    source : Source
    voxel_size : float or sequence of float, optional
        One for each spatial axis, or one for all.
    unit : str, optional
        Of the given voxel size, micrometer by default; or of a file's that has none.

    Raises
    ------
    UsageError
        If the size is not one positive number for each spatial axis, or the unit is none that
        OME-Zarr knows.
    """
    named = None if unit is None else unit_name(unit)
    if unit is not None and not is_length(named):
        raise UsageError(
            f"unknown unit {unit!r}; use one such as micrometer, nanometer, millimeter"
        )
    letters = [letter for letter in source.axes if letter in "zyx"]
    before = [letter for letter in source.axes if letter not in "zyx"]
    warnings = []
    if voxel_size is not None:
        size = _given(voxel_size, letters)
        used = named or "micrometer"
        warnings += _difference(source, size, used)
    elif source.voxel_size is not None:
        size, used = source.voxel_size, named or source.unit or ""
        if named and source.unit and named != source.unit:
            raise UsageError(
                f"{source.url} has its voxel size in {source.unit}; leave out the unit {named}, or "
                "give the voxel size as well"
            )
    elif named:
        raise UsageError(
            f"{source.url} does not say how large a voxel is, so the unit {named} is of nothing: "
            f"give the voxel size as well (--voxel-size {','.join(letters).upper()})"
        )
    else:
        size, used = (1.0,) * len(letters), ""
        pixel = dict(source.kept).get(PIXEL_ONLY)
        unknown = f": the distance of planes is not given ({pixel} are)" if pixel else ""
        unknown = unknown or " does not say how large a voxel is"
        warnings.append(
            f"{source.url}{unknown}: scale 1 without a unit is written; "
            f"give --voxel-size {','.join(letters).upper()} if you know"
        )
    time, time_unit = source.interval or (1.0, None)
    ahead = [time if letter == "t" else 1.0 for letter in before]
    return Scale((*ahead, *size), used or None, time_unit, tuple(warnings))


def _given(voxel_size: float | Sequence[float], letters: Sequence[str]) -> tuple[float, ...]:
    try:
        numbers = [voxel_size] if isinstance(voxel_size, (int, float)) else list(voxel_size)
        size = tuple(float(number) for number in numbers)
    except (TypeError, ValueError):
        size = ()
    if len(size) == 1:
        size = size * len(letters)
    if len(size) != len(letters) or not all(0 < number < math.inf for number in size):
        raise UsageError(
            f"voxel size {voxel_size} does not suit the axes {', '.join(letters)}; give one "
            "positive number for each, or one for all"
        )
    return size


def _difference(source: Source, size: Sequence[float], unit: str) -> list[str]:
    """A line if the file says otherwise."""
    if source.voxel_size is None:
        return []
    same_unit = source.unit in (None, unit)
    near = all(
        abs(mine - theirs) <= _TOLERANCE * theirs
        for mine, theirs in zip(size, source.voxel_size, strict=True)
    )
    if same_unit and near:
        return []
    if not same_unit and source.unit and _same(size, unit, source.voxel_size, source.unit):
        return []
    stated = ", ".join(f"{number:g}" for number in source.voxel_size)
    given = ", ".join(f"{number:g}" for number in size)
    return [
        f"the given voxel size {given} {unit} is written, though {source.url} says {stated} "
        f"{source.unit or 'without a unit'}"
    ]


def _same(mine: Sequence[float], unit: str, theirs: Sequence[float], other: str) -> bool:
    """Whether two sizes in different units are one length."""
    for a, b in zip(mine, theirs, strict=True):
        both = in_one_unit((a, b), (unit, other))
        if both is None or abs(both[0][0] - both[0][1]) > _TOLERANCE * both[0][1]:
            return False
    return True

"""Names of units as OME-Zarr spells them, and what they measure.

Called by the modules that take voxel sizes from files. OME-Zarr takes its names from
UDUNITS-2 (https://ngff.openmicroscopy.org/0.5/#axes-md).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_METERS = {
    "angstrom": 1e-10,
    "picometer": 1e-12,
    "nanometer": 1e-9,
    "micrometer": 1e-6,
    "millimeter": 1e-3,
    "centimeter": 1e-2,
    "decimeter": 1e-1,
    "meter": 1.0,
    "kilometer": 1e3,
    "inch": 0.0254,
    "foot": 0.3048,
}
_SECONDS = {
    "nanosecond": 1e-9,
    "microsecond": 1e-6,
    "millisecond": 1e-3,
    "second": 1.0,
    "minute": 60.0,
    "hour": 3600.0,
    "day": 86400.0,
}
_SHORT = {
    "å": "angstrom",
    "pm": "picometer",
    "nm": "nanometer",
    "um": "micrometer",
    "micron": "micrometer",
    "mm": "millimeter",
    "cm": "centimeter",
    "dm": "decimeter",
    "m": "meter",
    "km": "kilometer",
    "in": "inch",
    '"': "inch",
    "ft": "foot",
    "ns": "nanosecond",
    "us": "microsecond",
    "usec": "microsecond",
    "ms": "millisecond",
    "msec": "millisecond",
    "s": "second",
    "sec": "second",
    "min": "minute",
    "h": "hour",
    "hr": "hour",
    "d": "day",
}


def unit_name(text: str | None) -> str | None:
    """OME-Zarr's name of a unit of length or time; None if it is neither (``pixel``).

    Parameters
    ----------
    text : str, optional
        As files have it: ``µm``, ``um``, ``micron``, ``Micrometres``, ``\\u00B5m``.
    """
    if not text:
        return None
    plain = re.sub(r"\\u00([bB]5)", "µ", text).strip().strip("\0")
    plain = plain.replace("µ", "u").replace("μ", "u").lower()
    plain = {"å": "angstrom", "uu": "um"}.get(plain, plain)
    if plain in _SHORT:
        return _SHORT[plain]
    singular = plain.removesuffix("s") if len(plain) > 3 else plain
    singular = singular.replace("metre", "meter")
    singular = {"inche": "inch", "feet": "foot"}.get(singular, singular)
    if singular in _METERS or singular in _SECONDS:
        return singular
    return _SHORT.get(singular)


def is_length(unit: str | None) -> bool:
    """Whether it measures lengths."""
    return unit in _METERS


def is_time(unit: str | None) -> bool:
    """Whether it measures time."""
    return unit in _SECONDS


def in_one_unit(
    sizes: Sequence[float], units: Sequence[str | None]
) -> tuple[tuple[float, ...], str | None] | None:
    """Lengths in the unit of the last one; None where units differ and one is unknown.

    Parameters
    ----------
    sizes : sequence of float
    units : sequence of str or None
        As :func:`unit_name` gives them.
    """
    if len(set(units)) == 1:
        return tuple(sizes), units[-1]
    last = units[-1]
    if last is None or any(unit not in _METERS for unit in units):
        return None
    turned = [
        float(f"{size * _METERS[unit] / _METERS[last]:.12g}") if unit != last else size
        for size, unit in zip(sizes, units, strict=True)
        if unit is not None
    ]
    return tuple(turned), last

"""The OME-Zarr attributes of an image or label image, versions 0.4 (Zarr v2) and 0.5 (Zarr v3).

Pure functions from frozen values to dictionaries: planners (`enormous.samples`,
`enormous.create`) say axes and channels, their last step writes the attributes
when all data is in place, and `enormous.ome.read` describes a file's axes with `Axis`.
Specifications: https://ngff.openmicroscopy.org/0.4/ and
https://ngff.openmicroscopy.org/0.5/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from enormous import __version__
from enormous.errors import UsageError
from enormous.ome.pyramid import Level

Version = Literal["0.4", "0.5"]
ZarrFormat = Literal[2, 3]

#: The OME-Zarr version that each Zarr format carries.
VERSIONS: Mapping[int, Version] = {2: "0.4", 3: "0.5"}

_ORDERS = frozenset(f"{t}{c}{z}yx" for t in ("t", "") for c in ("c", "") for z in ("z", ""))
_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}

#: How each method makes one voxel of a window, and what it does where that is not one value.
ROUNDING: Mapping[str, str] = {
    "mean": "half to even",
    "median": "the mean of the middle two, half to even",
    "mode": "ties to the smaller value",
    "max": "none: a value of the window",
    "min": "none: a value of the window",
    "nearest": "none: the first voxel of the window",
}

_WINDOWS = (
    "Each level is made of the stored level above it: one voxel for each window of factors voxels "
    "aligned at the origin; a window cut off by the edge uses the voxels it has."
)
_STRIDES = (
    "Each level is made of the stored level above it: the first voxel of each window of factors "
    "voxels aligned at the origin, so that voxel 0 of all levels lies at one place."
)

#: Colours of channels where nobody chose them: one is white, several can be told apart.
PALETTE = ("00FFFF", "FF00FF", "FFFF00", "FF4040", "40FF40", "6060FF")


@dataclass(frozen=True)
class Axis:
    """One axis of an image.

    Parameters
    ----------
    name : str
        ``t``, ``c``, ``z``, ``y`` or ``x`` in what we write.
    type : str, optional
        ``space``, ``time``, ``channel`` or whatever a file says.
    unit : str, optional
        As in UDUNITS-2: ``micrometer``. Without it lengths are voxels.
    """

    name: str
    type: str | None = None
    unit: str | None = None


@dataclass(frozen=True)
class Channel:
    """How a viewer shows one channel.

    Parameters
    ----------
    label : str
    window : tuple of float
        Grey levels shown as black and as full colour.
    limits : tuple of float
        Lowest and highest grey level that can occur.
    color : str
        RGB, six hexadecimal digits.
    """

    label: str
    window: tuple[float, float]
    limits: tuple[float, float]
    color: str = "FFFFFF"


def axes_of(
    names: str, unit: str | None = "micrometer", time_unit: str | None = None
) -> tuple[Axis, ...]:
    """Axes from their letters, such as ``"tczyx"``.

    Parameters
    ----------
    names : str
        ``y`` and ``x``, with ``t``, ``c`` and ``z`` before them where there are such.
    unit, time_unit : str or None
        Of the spatial axes and of time, as in UDUNITS-2; None where they are not known.

    Raises
    ------
    UsageError
        If a letter is none of these or stands twice, or they are not in the order that
        OME-Zarr asks for.
    """
    if names not in _ORDERS:
        raise UsageError(f"axes {names!r} are not yx, with t, c and z before them in this order")
    units = {"space": unit, "time": time_unit, "channel": None}
    return tuple(Axis(name, _TYPES[name], units[_TYPES[name]]) for name in names)


def channels_of(
    labels: Sequence[str], dtype: str, window: tuple[float, float] | None = None
) -> tuple[Channel, ...]:
    """Channels shown over the range of their dtype, or over `window`.

    Parameters
    ----------
    labels : sequence of str
        One for each channel.
    dtype : str
        As numpy names it.
    window : tuple of float, optional
        Grey levels shown as black and as full colour. Floats have no range of their own:
        without a window they are shown from 0 to 1.
    """
    kind = np.dtype(dtype)
    limits = (0.0, 1.0)
    if kind.kind in "ui":
        limits = (float(np.iinfo(kind).min), float(np.iinfo(kind).max))
    elif window is not None and kind.kind == "f":
        limits = window
    colors = ("FFFFFF",) if len(labels) == 1 else PALETTE
    return tuple(
        Channel(label, window or limits, limits, colors[i % len(colors)])
        for i, label in enumerate(labels)
    )


def image_attributes(
    version: Version,
    name: str,
    axes: Sequence[Axis],
    levels: Sequence[Level],
    method: str,
    *,
    channels: Sequence[Channel] = (),
    is_label: bool = False,
    label_of: str | None = None,
) -> dict[str, Any]:
    """Attributes of the group that makes a folder an image; written last.

    Parameters
    ----------
    version : {"0.4", "0.5"}
    name : str
        Title of the image.
    axes : sequence of Axis
    levels : sequence of Level
        As written, finest first.
    method : str
        How each level was made of the one above: a key of :data:`ROUNDING`.
    channels : sequence of Channel
        For ``omero``, one for each channel; none for label images.
    is_label : bool
        Makes it a label image. Colours are left to the viewer: a list of thousands helps nobody.
    label_of : str, optional
        Of a label image: the way to the image it was made of, ``../../`` where it lies inside.

    Returns
    -------
    dict
        JSON values. In 0.5 everything stands below ``ome``.

    Raises
    ------
    UsageError
        If the method is not one of those.
    """
    if method not in ROUNDING:
        raise UsageError(f"unknown method {method!r}; use one of {', '.join(ROUNDING)}")
    multiscale: dict[str, Any] = {
        "name": name,
        "axes": [_axis(axis) for axis in axes],
        "datasets": [_dataset(level) for level in levels],
        "type": method,
        "metadata": _provenance(levels, method),
    }
    attributes: dict[str, Any] = {"multiscales": [multiscale]}
    if channels:
        attributes["omero"] = {
            "name": name,
            "channels": [_channel(channel) for channel in channels],
            "rdefs": {"defaultT": 0, "defaultZ": _middle(axes, levels[0]), "model": "color"},
        }
    if is_label:
        attributes["image-label"] = {"source": {"image": label_of}} if label_of else {}
    if version == "0.5":
        return {"ome": {"version": version, **attributes}}
    multiscale["version"] = version
    for key in ("omero", "image-label"):
        if key in attributes:
            attributes[key]["version"] = version
    return attributes


def _middle(axes: Sequence[Axis], level: Level) -> int:
    """The slice that a viewer shows first; a 2-D image has slice 0 alone."""
    depth = [n for axis, n in zip(axes, level.grid.shape, strict=True) if axis.name == "z"]
    return depth[0] // 2 if depth else 0


def _axis(axis: Axis) -> dict[str, str]:
    pairs = {"name": axis.name, "type": axis.type, "unit": axis.unit}
    return {key: value for key, value in pairs.items() if value is not None}


def _dataset(level: Level) -> dict[str, Any]:
    return {
        "path": level.path,
        "coordinateTransformations": [
            {"type": "scale", "scale": list(level.scale)},
            {"type": "translation", "translation": list(level.translation)},
        ],
    }


def _provenance(levels: Sequence[Level], method: str) -> dict[str, Any]:
    """What it takes to make every level again."""
    return {
        "description": _STRIDES if method == "nearest" else _WINDOWS,
        "method": "enormous.kernels.downsample",
        "version": __version__,
        "kwargs": {
            "method": method,
            "rounding": ROUNDING[method],
            "factors": [list(level.factors) for level in levels[1:]],
        },
    }


def _channel(channel: Channel) -> dict[str, Any]:
    return {
        "label": channel.label,
        "color": channel.color,
        "active": True,
        "coefficient": 1,
        "family": "linear",
        "inverted": False,
        "window": {
            "start": channel.window[0],
            "end": channel.window[1],
            "min": channel.limits[0],
            "max": channel.limits[1],
        },
    }

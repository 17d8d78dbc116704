"""The OME-Zarr attributes of an image or label image, versions 0.4 (Zarr v2) and 0.5 (Zarr v3).

Pure functions from frozen values to dictionaries: `enormous.samples.planning`
says axes and channels, `enormous.samples.write` writes the attributes when all
data is in place, and `enormous.ome.read` describes a file's axes with `Axis`.
Specifications: https://ngff.openmicroscopy.org/0.4/ and
https://ngff.openmicroscopy.org/0.5/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from enormous import __version__
from enormous.ome.pyramid import Level

Version = Literal["0.4", "0.5"]
ZarrFormat = Literal[2, 3]

#: The OME-Zarr version that each Zarr format carries.
VERSIONS: Mapping[int, Version] = {2: "0.4", 3: "0.5"}

_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}


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


def axes_of(names: str, unit: str | None = "micrometer") -> tuple[Axis, ...]:
    """Axes from their letters, such as ``"tczyx"``; the spatial ones get `unit`."""
    return tuple(
        Axis(name, _TYPES[name], unit if _TYPES[name] == "space" else None) for name in names
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
        How each level was made of the one above: ``mean`` or ``mode``.
    channels : sequence of Channel
        For ``omero``, one for each channel; none for label images.
    is_label : bool
        Makes it a label image. Colours are left to the viewer: a list of thousands helps nobody.

    Returns
    -------
    dict
        JSON values. In 0.5 everything stands below ``ome``.
    """
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
            "rdefs": {"defaultT": 0, "defaultZ": levels[0].grid.shape[-3] // 2, "model": "color"},
        }
    if is_label:
        attributes["image-label"] = {}
    if version == "0.5":
        return {"ome": {"version": version, **attributes}}
    multiscale["version"] = version
    for key in ("omero", "image-label"):
        if key in attributes:
            attributes[key]["version"] = version
    return attributes


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
    rounding = {"mean": "half to even", "mode": "ties to the smaller value"}
    return {
        "description": (
            "Each level is made of the stored level above it: one voxel for each window of "
            "factors voxels aligned at the origin; a window cut off by the edge uses the voxels "
            "it has."
        ),
        "method": "enormous.kernels.downsample",
        "version": __version__,
        "kwargs": {
            "method": method,
            "rounding": rounding[method],
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

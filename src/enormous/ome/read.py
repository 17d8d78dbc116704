"""Read what a Zarr group or array says about itself: axes, levels, chunks, codecs, labels.

Called by ``enormous info`` and by everything that takes an image as input.
Reads metadata only. Takes OME-Zarr 0.1 to 0.5; where an old version says
nothing, so do we.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from enormous._text import reason_text
from enormous.codecs import Codec
from enormous.errors import DataError
from enormous.grid import Grid, Shape
from enormous.ome.metadata import Axis

if TYPE_CHECKING:
    import zarr


@dataclass(frozen=True)
class StoredLevel:
    """One array as it is stored.

    Parameters
    ----------
    path : str
        Inside the group; empty for a bare array.
    shape, chunks : tuple of int
        In voxels.
    shards : tuple of int or None
    dtype : str
        As numpy names it: ``uint16``.
    itemsize : int
        Bytes of one voxel.
    codec : str
        As :class:`enormous.codecs.Codec` spells it, or what the file says.
    zarr_format : int
    fill_value : object
        What a chunk that is not stored consists of.
    chunk_key : str
        A regular expression that the names of its chunks or shards fit, below `path`.
    scale, translation : tuple of float or None
        Voxel size and centre of voxel 0, in the units of the axes.
    """

    path: str
    shape: Shape
    chunks: Shape
    shards: Shape | None
    dtype: str
    itemsize: int
    codec: str
    zarr_format: int
    fill_value: object
    chunk_key: str
    scale: tuple[float, ...] | None = None
    translation: tuple[float, ...] | None = None

    @property
    def grid(self) -> Grid:
        """The level's chunk arithmetic."""
        return Grid(self.shape, self.chunks, self.itemsize, self.shards)


@dataclass(frozen=True)
class Image:
    """One multiscale image of a group.

    Parameters
    ----------
    version : str or None
        Of OME-Zarr.
    name : str or None
    axes : tuple of Axis
        Empty where the version has none (0.1, 0.2).
    levels : tuple of StoredLevel
        Finest first.
    method : str or None
        How the levels were made: ``type`` of the multiscales.
    is_label : bool
    labels : tuple of str
        Names of the label images stored with it.
    """

    version: str | None
    name: str | None
    axes: tuple[Axis, ...]
    levels: tuple[StoredLevel, ...]
    method: str | None
    is_label: bool
    labels: tuple[str, ...]


def ome_attributes(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """What stands below ``ome`` (0.5), or the attributes themselves (before)."""
    inner = attributes.get("ome")
    return inner if isinstance(inner, Mapping) else attributes


def read_images(group: zarr.Group, where: str = "") -> tuple[Image, ...]:
    """Every multiscale image of a group; none if it is not an image.

    Parameters
    ----------
    group : zarr.Group
    where : str
        Path or URL for error messages.

    Returns
    -------
    tuple of Image

    Raises
    ------
    DataError
        If the metadata does not fit the specification or a level is missing.
    """
    ome = ome_attributes(dict(group.attrs))
    multiscales = ome.get("multiscales")
    if multiscales is None:
        return ()
    if not isinstance(multiscales, Sequence) or isinstance(multiscales, str):
        raise DataError(f"{where}: 'multiscales' is not a list; the OME-Zarr metadata is damaged")
    try:
        labels = read_labels(group, where)
    except (TypeError, AttributeError) as error:
        raise DataError(f"{where}/labels: its list of labels is damaged ({error})") from error
    return tuple(_image(group, ome, entry, labels, where) for entry in multiscales)


def child_node(
    group: zarr.Group, path: str, where: str = ""
) -> zarr.Array[Any] | zarr.Group | None:
    """The array or group below a group; None where there is neither.

    Parameters
    ----------
    group : zarr.Group
    path : str
    where : str
        Path or URL of the group for error messages.

    Raises
    ------
    DataError
        If its metadata is damaged.
    """
    try:
        return group[path]
    except KeyError:
        return None
    except Exception as error:  # damaged metadata fails in as many ways as there are fields
        raise DataError(f"{where}/{path} cannot be opened as Zarr: {reason_text(error)}") from error


def read_labels(group: zarr.Group, where: str = "") -> tuple[str, ...]:
    """Names of the label images below ``labels``, as its metadata lists them."""
    import zarr

    folder = child_node(group, "labels", where)
    if not isinstance(folder, zarr.Group):
        return ()
    names = ome_attributes(dict(folder.attrs)).get("labels", ())
    return tuple(str(name) for name in names)


def _image(
    group: zarr.Group,
    ome: Mapping[str, Any],
    entry: Mapping[str, Any],
    labels: tuple[str, ...],
    where: str,
) -> Image:
    try:
        axes = tuple(_axis(axis) for axis in entry.get("axes", ()))
        levels = tuple(_level(group, entry, dataset, where) for dataset in entry["datasets"])
        version = ome.get("version", entry.get("version"))
        _check_dimensions(axes, levels)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(
            f"{where}: the OME-Zarr metadata is damaged ({type(error).__name__}: {error})"
        ) from error
    return Image(
        version=version,
        name=entry.get("name"),
        axes=axes,
        levels=levels,
        method=entry.get("type"),
        is_label="image-label" in ome,
        labels=labels,
    )


def _check_dimensions(axes: Sequence[Axis], levels: Sequence[StoredLevel]) -> None:
    """Levels there must be, all with the dimensions that the axes name, if any are named."""
    if not levels:
        raise ValueError("it names no levels")
    for level in levels:
        if axes and len(level.shape) != len(axes):
            letters = ", ".join(str(axis.name) for axis in axes)
            raise ValueError(
                f"the axes are {letters} but level '{level.path}' has {len(level.shape)} dimensions"
            )
        if len(level.shape) != len(levels[0].shape):
            raise ValueError("the levels have different numbers of dimensions")


def _axis(axis: Any) -> Axis:
    if isinstance(axis, str):  # 0.3
        return Axis(axis)
    return Axis(axis["name"], axis.get("type"), axis.get("unit"))


def _level(
    group: zarr.Group, entry: Mapping[str, Any], dataset: Mapping[str, Any], where: str
) -> StoredLevel:
    import zarr

    path = dataset["path"]
    if not isinstance(path, str):
        raise TypeError(f"the path of a level is {path!r}")
    array = child_node(group, path, where)
    if not isinstance(array, zarr.Array):
        raise DataError(f"{where}: level '{path}' is named in the metadata but is not there")
    steps = [
        *dataset.get("coordinateTransformations", ()),
        *entry.get("coordinateTransformations", ()),
    ]
    scale, translation = compose(steps, array.ndim) if steps else (None, None)
    return describe_array(array, path, scale, translation)


def compose(
    steps: Sequence[Mapping[str, Any]], ndim: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Scale and translation of a list of transformations, applied in order.

    Raises
    ------
    ValueError
        If one is of another kind, or does not have one finite number for each axis.
    """
    scale, translation = (1.0,) * ndim, (0.0,) * ndim
    for step in steps:
        kind = step["type"]
        if kind == "identity":
            continue
        if kind not in ("scale", "translation") or kind not in step:
            raise ValueError(f"transformation {dict(step)} is neither a scale nor a translation")
        numbers = tuple(float(v) for v in step[kind])
        if len(numbers) != ndim:
            raise ValueError(f"{kind} {numbers} does not suit {ndim} axes")
        if not all(map(math.isfinite, numbers)):
            raise ValueError(f"{kind} {numbers} is not finite")
        if kind == "scale":
            scale = tuple(s * v for s, v in zip(scale, numbers, strict=True))
            translation = tuple(t * v for t, v in zip(translation, numbers, strict=True))
        else:
            translation = tuple(t + v for t, v in zip(translation, numbers, strict=True))
    return scale, translation


def describe_array(
    array: zarr.Array[Any],
    path: str = "",
    scale: tuple[float, ...] | None = None,
    translation: tuple[float, ...] | None = None,
) -> StoredLevel:
    """A Zarr array's shape, layout and codec, from its metadata."""
    stored = array.metadata.to_dict()
    return StoredLevel(
        path=path,
        shape=array.shape,
        chunks=array.chunks,
        shards=array.shards,
        dtype=str(array.dtype),
        itemsize=array.dtype.itemsize,
        codec=codec_name(stored, array.dtype.itemsize),
        zarr_format=array.metadata.zarr_format,
        fill_value=array.fill_value,
        chunk_key=chunk_key_pattern(stored, len(array.shape)),
        scale=scale,
        translation=translation,
    )


def chunk_key_pattern(stored: Mapping[str, Any], ndim: int) -> str:
    """A regular expression for the names of an array's chunks, from its metadata."""
    if stored["zarr_format"] == 2:
        separator, default = stored.get("dimension_separator") or ".", False
    else:
        encoding = stored["chunk_key_encoding"]
        default = encoding["name"] == "default"
        separator = encoding.get("configuration", {}).get("separator", "/" if default else ".")
    numbers = re.escape(separator).join(["[0-9]+"] * ndim)
    if default:
        return f"c{re.escape(separator)}{numbers}" if ndim else "c"
    return numbers or "0"


def codec_name(stored: Mapping[str, Any], itemsize: int) -> str:
    """Our name for the codec in an array's metadata; where we have none, the file's own."""
    if stored["zarr_format"] == 2:
        raw = [*(stored.get("filters") or ()), stored.get("compressor")]
        configs = [c if c is None or isinstance(c, Mapping) else c.get_config() for c in raw]
        named = [_or_raw(lambda c=c: Codec.from_v2(c, itemsize), c, "id") for c in configs]
        return " + ".join(named)
    return _or_raw(lambda: Codec.from_v3(stored["codecs"]), {"codecs": stored["codecs"]}, "codecs")


def _or_raw(name: Any, raw: Mapping[str, Any] | None, key: str) -> str:
    try:
        return str(name())
    except DataError:  # a codec that others wrote: shown as it stands in the file
        value = (raw or {}).get(key)
        if isinstance(value, (list, tuple)):
            return " + ".join(str(c.get("name", c)) for c in value)
        return str(value)

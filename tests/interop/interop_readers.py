"""Programs that open an OME-Zarr image, each behind one function: what it shows of a path.

Called by `test_opens_elsewhere` and `interop_record`. A reader gets nothing but the path, as
a person would give it, and uses its own public calls; it raises what the program raises.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

#: What a reader can tell, by field of `Shown`, as the table calls it.
MATTERS = {
    "levels": "values of every level",
    "scales": "voxel sizes",
    "translations": "translations",
    "axes": "axes",
    "units": "units",
    "channels": "channel names",
    "windows": "grey windows",
    "is_label": "image or label image",
    "labels": "label images inside",
}


@dataclass(frozen=True)
class Shown:
    """What a reader makes of an image; None is what it does not tell."""

    levels: Sequence[Any] | None = None  # of array-likes, finest first
    scales: Sequence[Sequence[float]] | None = None  # of all levels, or of level 0 alone
    translations: Sequence[Sequence[float]] | None = None
    axes: str | None = None
    units: tuple[str | None, ...] | None = None
    channels: tuple[str, ...] | None = None
    windows: Sequence[tuple[float, float]] | None = None
    is_label: bool | None = None
    labels: Mapping[str, Shown] | None = None  # inside it, by name


@dataclass(frozen=True)
class Reader:
    """A program, and which fields of `Shown` it fills."""

    package: str  # as it is installed
    open: Callable[[Path], Shown]
    tells: frozenset[str]


def with_zarr(path: Path) -> Shown:
    """zarr-python: arrays and attributes; it knows nothing of OME."""
    import zarr

    store = zarr.storage.ZipStore(path) if path.suffix == ".zip" else path
    group = zarr.open_group(store, mode="r")
    return Shown(levels=[group[key][...] for key in sorted(group.array_keys())])


def with_zarrs(path: Path) -> Shown:
    """zarr-python with the codecs of the Rust library zarrs, and no way back to its own."""
    import zarr
    import zarrs  # noqa: F401  # registers its pipeline

    chosen = {"codec_pipeline.path": "zarrs.ZarrsCodecPipeline", "codec_pipeline.strict": True}
    with zarr.config.set(chosen):
        return with_zarr(path)


def with_tensorstore(path: Path) -> Shown:
    """tensorstore, which finds out by itself what format an array is."""
    import tensorstore as ts

    kept: dict[str, Any] = {"driver": "file", "path": f"{path}/"}
    if path.suffix == ".zip":
        kept = {"driver": "zip", "base": {"driver": "file", "path": str(path)}}
    keys = ts.KvStore.open(kept).result().list().result()
    nodes = (b"/zarr.json", b"/.zarray")  # of arrays; those of labels lie deeper
    paths = [key.removesuffix(end).decode() for key in keys for end in nodes if key.endswith(end)]
    names = sorted(path for path in paths if "/" not in path and path != "labels")
    arrays = [_open_tensorstore(kept, name) for name in names]
    axes = "".join(arrays[0].domain.labels)
    return Shown(levels=[array.read().result() for array in arrays], axes=axes or None)


def _open_tensorstore(kept: Mapping[str, Any], name: str) -> Any:
    import tensorstore as ts

    below = {**kept, "path": f"{kept.get('path', '')}{name}/"}
    return ts.open({"driver": "auto", "kvstore": below}, read=True).result()


def with_dask(path: Path) -> Shown:
    """dask.array, told the name of each array."""
    import dask.array as da
    import zarr

    store = zarr.storage.ZipStore(path) if path.suffix == ".zip" else str(path)
    names = sorted(zarr.open_group(store, mode="r").array_keys())
    return Shown(levels=[da.from_zarr(store, component=name).compute() for name in names])


def with_ome_zarr_py(path: Path) -> Shown:
    """ome-zarr-py's reader: the first node of a location, with its metadata."""
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Label, Reader

    node, *others = Reader(parse_url(str(path)))()
    inside = [one for one in others if one.load(Label) is not None]
    shown = _of_node(node)
    return replace(shown, labels={one.metadata["name"]: _of_node(one) for one in inside})


def _of_node(node: Any) -> Shown:
    from ome_zarr.reader import Label

    told = node.metadata
    transforms = told["coordinateTransformations"]
    return Shown(
        levels=[np.asarray(level) for level in node.data],
        scales=[_transform(t, "scale") for t in transforms],
        translations=[_transform(t, "translation") for t in transforms],
        axes="".join(axis["name"] for axis in told["axes"]),
        units=tuple(axis.get("unit") for axis in told["axes"]),
        channels=tuple(told.get("channel_names", ())),
        windows=[tuple(pair) for pair in told.get("contrast_limits", ())],
        is_label=node.first(Label) is not None,
    )


def _transform(transforms: Sequence[Mapping[str, Any]], kind: str) -> Sequence[float]:
    found: list[Sequence[float]] = [t[kind] for t in transforms if t["type"] == kind]
    return found[0]


def with_ngff_zarr(path: Path) -> Shown:
    """ngff-zarr, with its own check of the metadata against the specification."""
    from ngff_zarr import from_ngff_zarr

    image = from_ngff_zarr(str(path), validate=True)
    first = image.images[0]
    units = first.axes_units or {}
    omero = image.metadata.omero
    shown = omero.channels if omero else []
    return Shown(
        levels=[np.asarray(level.data) for level in image.images],
        scales=[[level.scale[a] for a in level.dims] for level in image.images],
        translations=[[level.translation[a] for a in level.dims] for level in image.images],
        axes="".join(first.dims),
        units=tuple(units.get(axis) for axis in first.dims),
        channels=tuple(channel.label for channel in shown),
        windows=[(channel.window.start, channel.window.end) for channel in shown],
    )


def with_models(path: Path) -> Shown:
    """ome-zarr-models: metadata checked and typed, no voxels."""
    import zarr
    from ome_zarr_models import open_ome_zarr

    def shown(group: zarr.Group) -> Shown:
        model = open_ome_zarr(group)
        attributes = getattr(model.attributes, "ome", model.attributes)
        told = _of_models(attributes, type(model).__name__ == "ImageLabel")
        listed = getattr(model, "labels", None)
        names = getattr(listed.attributes, "ome", listed.attributes).labels if listed else ()
        return replace(told, labels={name: shown(group[f"labels/{name}"]) for name in names})

    store = zarr.storage.ZipStore(path) if path.suffix == ".zip" else path
    return shown(zarr.open_group(store, mode="r"))


def with_yaozarrs(path: Path) -> Shown:
    """yaozarrs: the store checked as a whole, and voxels through tensorstore."""
    import yaozarrs

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it warns of what it would rather not see
        group = yaozarrs.validate_zarr_store(f"zip::{path}" if path.suffix == ".zip" else str(path))
        return _of_group(group)


def _of_group(group: Any) -> Shown:
    attributes = group.ome_metadata()
    shown = _of_models(attributes, type(attributes).__name__ == "LabelImage")
    paths = [dataset.path for dataset in attributes.multiscales[0].datasets]
    arrays = [group[name].to_tensorstore().read().result() for name in paths]
    listed = group.get("labels")
    names = listed.ome_metadata().labels if listed else ()
    return replace(shown, levels=arrays, labels={name: _of_group(listed[name]) for name in names})


def _of_models(attributes: Any, is_label: bool) -> Shown:
    """What both pydantic libraries call by the same names."""
    from ome_zarr_models.v04.omero import Omero

    multiscale = attributes.multiscales[0]
    parts = [dataset.coordinateTransformations for dataset in multiscale.datasets]
    omero = getattr(attributes, "omero", None)
    if isinstance(omero, Mapping):  # ome-zarr-models leaves that of 0.5 as it is
        omero = Omero.model_validate(omero)
    shown = omero.channels if omero else []
    return Shown(
        scales=[p[0].scale for p in parts],
        translations=[p[1].translation for p in parts],
        axes="".join(axis.name for axis in multiscale.axes),
        units=tuple(getattr(axis, "unit", None) for axis in multiscale.axes),
        channels=tuple(channel.label for channel in shown),
        windows=[(channel.window.start, channel.window.end) for channel in shown],
        is_label=is_label,
    )


def with_napari(path: Path) -> Shown:
    """napari's plugin, which makes layers of a path; no window is opened.

    A layer has one voxel size for all levels, and a channel is a layer.
    """
    from napari_ome_zarr import napari_get_reader

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # None instead of a reader says it as well
        read = napari_get_reader(str(path))
    if read is None:
        raise ValueError("no reader for this path")
    layer, *others = read(str(path))
    inside = {
        told["name"].rpartition("/")[2]: (levels, told, kind) for levels, told, kind in others
    }
    shown = {name: _of_layer(*one) for name, one in inside.items()}
    return replace(_of_layer(*layer), labels=shown)


def _of_layer(levels: Any, told: Mapping[str, Any], kind: str) -> Shown:
    at, scale = told.get("channel_axis"), list(told["scale"])
    move, units = list(told["affine"].translate), list(told.get("units", ()))
    names, windows = told.get("name", ()), told.get("contrast_limits", ())
    axes = list(told["axis_labels"])
    if kind == "labels":
        names = ()  # that of the layer
    elif at is None:
        names, windows = (names,), [windows]
    else:
        for kept, one in ((scale, 1.0), (move, 0.0), (units, None), (axes, "c")):
            kept.insert(at, one)
    return Shown(
        levels=[np.asarray(level) for level in levels],
        scales=[scale],
        translations=[move],
        axes="".join(axes),
        units=tuple(units),
        channels=tuple(name.split(": ")[-1] for name in names),
        windows=[tuple(pair) for pair in windows],
        is_label=kind == "labels",
    )


ALL = frozenset(MATTERS)
READERS: Mapping[str, Reader] = {
    "zarr": Reader("zarr", with_zarr, frozenset({"levels"})),
    "zarr with zarrs": Reader("zarrs", with_zarrs, frozenset({"levels"})),
    "tensorstore": Reader("tensorstore", with_tensorstore, frozenset({"levels", "axes"})),
    "dask": Reader("dask", with_dask, frozenset({"levels"})),
    "ome-zarr-py": Reader("ome-zarr", with_ome_zarr_py, ALL),
    "ngff-zarr": Reader("ngff-zarr", with_ngff_zarr, ALL - {"is_label", "labels"}),
    "ome-zarr-models": Reader("ome-zarr-models", with_models, ALL - {"levels"}),
    "yaozarrs": Reader("yaozarrs", with_yaozarrs, ALL),
    "napari-ome-zarr": Reader("napari-ome-zarr", with_napari, ALL),
}

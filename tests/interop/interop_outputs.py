"""One small output of every kind that the toolkit writes, and what went into it.

Called by `test_opens_elsewhere` and `interop_record`. Sizes are odd, and no two axes of an
output have one voxel size unless that is what it is for: a reader that swaps axes is seen.
"""

from __future__ import annotations

import os
import re
import shutil
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from enormous import samples
from enormous.create import convert, pyramid

Array = np.ndarray[Any, Any]

SHAPE = (41, 53, 70)
VOXEL = (2.5, 0.7, 0.65)
SMALL = {"chunks": 16, "voxel_size": VOXEL, "workers": 2}


@dataclass(frozen=True)
class Output:
    """An image on disk, and what a reader must see in it."""

    name: str
    path: Path
    voxels: Array  # of level 0, as they went in
    axes: str
    voxel_size: tuple[float, ...]  # of level 0, one for each axis
    unit: str
    version: str = "0.5"
    channels: tuple[str, ...] = ()  # none for label images
    is_label: bool = False
    time_unit: str | None = None
    labels: Mapping[str, Output] = field(default_factory=dict)  # inside it, by name

    @property
    def zipped(self) -> bool:
        """Whether it is one file."""
        return self.path.suffix == ".zip"

    @cached_property
    def levels(self) -> list[Array]:
        """Voxels of all levels: the first as they went in, the others as zarr reads them."""
        group = self.open()
        count = len(list(group.array_keys()))
        return [self.voxels, *(np.asarray(group[str(d)]) for d in range(1, count))]

    @property
    def units(self) -> tuple[str | None, ...]:
        """One for each axis."""
        known = {"t": self.time_unit, "c": None}
        return tuple(known.get(axis, self.unit) for axis in self.axes)

    @property
    def scales(self) -> list[tuple[float, ...]]:
        """Voxel size of each level: twice as long for each halving that its shape shows."""
        whole = np.array(self.voxels.shape)
        halvings = [np.round(np.log2(whole / level.shape)) for level in self.levels]
        return [tuple(np.array(self.voxel_size) * 2.0**h) for h in halvings]

    @property
    def translations(self) -> list[tuple[float, ...]]:
        """Centre of voxel 0 of each level, where that of level 0 is the origin."""
        return [tuple((np.array(s) - self.voxel_size) / 2) for s in self.scales]

    @cached_property
    def windows(self) -> list[tuple[float, float]]:
        """Grey levels shown as black and as full colour, as they stand in the metadata."""
        attributes = dict(self.open().attrs)
        shown = attributes.get("ome", attributes).get("omero", {"channels": []})
        return [(c["window"]["start"], c["window"]["end"]) for c in shown["channels"]]

    def open(self) -> zarr.Group:
        """The image as zarr opens it."""
        store = zarr.storage.ZipStore(self.path) if self.zipped else self.path
        return zarr.open_group(store, mode="r")


def make_all(folder: Path) -> dict[str, Output]:
    """Write every output below `folder`, which exists.

    Each lies three folders deep in one of its own: napari's reader makes files two above a
    label image.
    """
    made: dict[str, Output] = {}
    for name, make in KINDS.items():
        place = folder / re.sub(r"\W+", "-", name) / "a" / "b"
        place.mkdir(parents=True)
        made[name] = make(name, place)
    return made


def random_voxels(shape: tuple[int, ...], dtype: str) -> Array:
    """Noise over the whole range of an integer dtype: every error shows."""
    limits = np.iinfo(dtype)
    numbers = np.random.default_rng(7)
    return numbers.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def grey() -> Array:
    return random_voxels(SHAPE, "uint16")


def labels() -> Array:
    """Boxes with one number each, some above 16 bits, on background."""
    z, y, x = np.indices(SHAPE)
    return np.where((z + y) % 7 < 5, (z // 6 * 100 + y // 9 * 10 + x // 8) * 701, 0).astype("u4")


def floats() -> Array:
    return (grey() / np.float32(7) - 3000).astype("f4")


def bools() -> Array:
    return grey() > 30000


def mostly_empty() -> Array:
    """Chunks and whole shards of zeros, which are not stored."""
    voxels = grey()
    voxels[:, :, 20:] = 0
    voxels[:20] = 0
    return voxels


def of(voxels: Callable[[], Array], **arguments: Any) -> Callable[[str, Path], Output]:
    """Make an output by converting `voxels`."""

    def make(name: str, place: Path) -> Output:
        given = {**SMALL, **arguments}
        array = voxels()
        np.save(place / "scan.npy", array)
        path = place / "scan.ome.zarr"
        convert.run(place / "scan.npy", path, **given)
        axes = given.get("axes", "zyx"[-array.ndim :])
        return Output(
            name=name,
            path=path,
            voxels=array,
            axes=axes,
            voxel_size=(1.0,) * (len(axes) - len(given["voxel_size"])) + given["voxel_size"],
            unit=given.get("unit", "micrometer"),
            version="0.4" if given.get("zarr_format") == 2 else "0.5",
            channels=() if given.get("label") else _channels(axes, array),
            is_label=given.get("label", False),
        )

    return make


def with_labels(**arguments: Any) -> Callable[[str, Path], Output]:
    """Make an image, and a label image that becomes part of it."""

    def make(name: str, place: Path) -> Output:
        output = of(grey, **arguments)(name, place)
        array, path = labels(), output.path / "labels" / "cells"
        np.save(place / "cells.npy", array)
        convert.run(place / "cells.npy", path, label=True, chunks=16, workers=2)
        inside = replace(
            output, name=f"{name}: cells", path=path, voxels=array, channels=(), is_label=True
        )
        return replace(output, labels={"cells": inside})

    return make


def _channels(axes: str, array: Array) -> tuple[str, ...]:
    if "c" not in axes:
        return ("scan",)
    return tuple(f"channel {i}" for i in range(array.shape[axes.index("c")]))


def zipped(make: Callable[[str, Path], Output]) -> Callable[[str, Path], Output]:
    """Pack an output into one file, uncompressed, root metadata first."""

    def pack(name: str, place: Path) -> Output:
        output = make(name, place)
        path = output.path.with_suffix(".zarr.zip")
        files = sorted((p for p in output.path.rglob("*") if p.is_file()), key=_root_first)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            for file in files:
                archive.write(file, file.relative_to(output.path).as_posix())
        shutil.rmtree(output.path)
        return replace(output, path=path)

    return pack


def _root_first(path: Path) -> tuple[int, str]:
    return len(path.parts), os.fspath(path)


def remade(name: str, place: Path) -> Output:
    """Levels made anew by ``enormous pyramid`` below a level 0 that was there."""
    output = of(grey, levels=1, shards="none")(name, place)
    pyramid.run(output.path, levels=3, method="max", factors=(1, 2, 2), workers=2)
    return output


def sample(zarr_format: int) -> Callable[[str, Path], Output]:
    """Make the sample that ``enormous sample heart`` makes, with channels and time."""

    def make(name: str, place: Path) -> Output:
        path = place / "heart.ome.zarr"
        samples.run(
            "heart", path, shape=(19, 15, 17), channels=2, timepoints=2, chunks=8,
            zarr_format=zarr_format, workers=2,
        )  # fmt: skip
        voxels = np.asarray(zarr.open_group(path, mode="r")["0"])
        assert np.array_equal(voxels[0, 0], samples.generate("heart", shape=voxels.shape[-3:]))
        return Output(
            name=name,
            path=path,
            voxels=voxels,
            axes="tczyx",
            voxel_size=(1.0, 1.0, *samples.voxel_size("heart", voxels.shape[-3:])),
            unit="micrometer",
            time_unit="second",
            version="0.5" if zarr_format == 3 else "0.4",
            channels=("phase contrast", "contrast agent"),
        )

    return make


CHANNELS = {"axes": "czyx", "voxel_size": (1.5, 0.5, 0.4)}
TIME = {"axes": "tczyx", "voxel_size": (1.5, 0.5, 0.4)}
FLAT = {"voxel_size": (0.4, 0.3), "unit": "nanometer"}
V2 = {"zarr_format": 2}

KINDS: Mapping[str, Callable[[str, Path], Output]] = {
    "0.5, chunks alone": of(grey, shards="none"),
    "0.5, shards that halve": of(grey, shards=None, chunks=8),
    "0.5, equal shards": of(grey, shards=32),
    "0.4": of(grey, **V2),
    "0.5, label image": of(labels, label=True),
    "0.4, label image": of(labels, label=True, **V2),
    "0.5, labels inside an image": with_labels(),
    "0.4, labels inside an image": with_labels(**V2),
    "0.5, channels": of(lambda: random_voxels((2, 19, 33, 31), "uint8"), **CHANNELS),
    "0.4, channels": of(lambda: random_voxels((2, 19, 33, 31), "uint8"), **CHANNELS, **V2),
    "0.5, channels and time": of(lambda: random_voxels((3, 2, 9, 33, 31), "int16"), **TIME),
    "0.4, channels and time": of(lambda: random_voxels((3, 2, 9, 33, 31), "int16"), **TIME, **V2),
    "0.5, two axes": of(lambda: random_voxels((53, 70), "uint16"), **FLAT),
    "0.4, two axes": of(lambda: random_voxels((53, 70), "uint16"), **FLAT, **V2),
    "0.5, floats": of(floats),
    "0.4, floats": of(floats, **V2),
    "0.5, bools": of(bools),
    "0.4, bools": of(bools, **V2),
    "0.5, blosc-lz4, bitshuffle": of(grey, codec="blosc-lz4:5:bitshuffle"),
    "0.4, blosc-lz4, bitshuffle": of(grey, codec="blosc-lz4:5:bitshuffle", **V2),
    "0.5, zstd": of(grey, codec="zstd"),
    "0.4, zstd": of(grey, codec="zstd", **V2),
    "0.5, gzip": of(grey, codec="gzip"),
    "0.4, gzip": of(grey, codec="gzip", **V2),
    "0.5, no codec": of(grey, codec="none"),
    "0.4, no codec": of(grey, codec="none", **V2),
    "0.5, chunks never stored": of(mostly_empty),
    "0.4, chunks never stored": of(mostly_empty, **V2),
    "0.5, pyramid made anew": remade,
    "0.5, sample": sample(3),
    "0.4, sample": sample(2),
    "0.5, zip": zipped(of(grey)),
    "0.4, zip": zipped(of(grey, **V2)),
}

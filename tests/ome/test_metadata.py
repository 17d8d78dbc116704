"""ome/metadata.py and ome/read.py: what is written is what is read, in 0.4 and 0.5."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import zarr

from enormous.errors import DataError, UsageError
from enormous.grid import Grid
from enormous.ome.metadata import (
    ROUNDING,
    VERSIONS,
    Channel,
    axes_of,
    channels_of,
    image_attributes,
)
from enormous.ome.pyramid import Level, layout, levels_of
from enormous.ome.read import compose, read_images

VOXEL = (1.0, 5.0, 2.0, 2.0)


def make_levels(sharded: bool) -> tuple[Level, ...]:
    shards = 32 if sharded else "none"
    return levels_of(layout((2, 20, 61, 60), 2, VOXEL, chunks=16, shards=shards), VOXEL)


def write(folder: Path, zarr_format: Any, **options: Any) -> zarr.Group:
    levels = make_levels(sharded=zarr_format == 3)
    attributes = image_attributes(
        VERSIONS[zarr_format], "scan", axes_of("czyx"), levels, "mean", **options
    )
    group = zarr.create_group(str(folder), zarr_format=zarr_format, attributes=attributes)
    for level in levels:
        group.create_array(
            level.path,
            shape=level.grid.shape,
            chunks=level.grid.chunks,
            shards=level.grid.shards,
            dtype="uint16",
        )
    return zarr.open_group(str(folder), mode="r")


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_what_is_written_is_read(tmp_path: Path, zarr_format: int) -> None:
    group = write(tmp_path / "image.zarr", zarr_format)
    (image,) = read_images(group)
    levels = make_levels(sharded=zarr_format == 3)
    assert image.version == VERSIONS[zarr_format]
    assert image.axes == axes_of("czyx")
    assert (image.name, image.method, image.is_label, image.labels) == ("scan", "mean", False, ())
    assert [lv.grid for lv in image.levels] == [lv.grid for lv in levels]
    assert [lv.scale for lv in image.levels] == [lv.scale for lv in levels]
    assert [lv.translation for lv in image.levels] == [lv.translation for lv in levels]
    assert {lv.dtype for lv in image.levels} == {"uint16"}


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_the_specification_is_kept(tmp_path: Path, zarr_format: int) -> None:
    channel = Channel("phase contrast", (10.0, 200.0), (0.0, 255.0))
    folder = tmp_path / "image.zarr"
    write(folder, zarr_format, channels=[channel, channel])
    if zarr_format == 3:
        ome = json.loads((folder / "zarr.json").read_text())["attributes"]["ome"]
        assert ome["version"] == "0.5"
        assert "version" not in ome["multiscales"][0]
    else:
        ome = json.loads((folder / ".zattrs").read_text())
        assert ome["multiscales"][0]["version"] == ome["omero"]["version"] == "0.4"
    (entry,) = ome["multiscales"]
    assert [axis["name"] for axis in entry["axes"]] == ["c", "z", "y", "x"]
    assert [axis["type"] for axis in entry["axes"]] == ["channel", "space", "space", "space"]
    assert [axis.get("unit") for axis in entry["axes"]] == [None, *["micrometer"] * 3]
    for dataset in entry["datasets"]:
        # exactly one scale, then at most one translation, one number for each axis
        kinds = [step["type"] for step in dataset["coordinateTransformations"]]
        assert kinds == ["scale", "translation"]
        assert all(len(step[step["type"]]) == 4 for step in dataset["coordinateTransformations"])
    factors = entry["metadata"]["kwargs"]["factors"]
    assert factors == [list(lv.factors) for lv in make_levels(True)[1:]]
    assert factors[0] == [1, 1, 2, 2]  # z is coarser
    assert entry["type"] == entry["metadata"]["kwargs"]["method"] == "mean"
    windows = [c["window"] for c in ome["omero"]["channels"]]
    assert windows == [{"start": 10.0, "end": 200.0, "min": 0.0, "max": 255.0}] * 2


def test_transformations_are_applied_in_order() -> None:
    steps: list[dict[str, Any]] = [
        {"type": "scale", "scale": [2, 3]},
        {"type": "translation", "translation": [1, 1]},
        {"type": "identity"},
        {"type": "scale", "scale": [10, 10]},
    ]
    assert compose(steps, 2) == ((20.0, 30.0), (10.0, 10.0))


def test_old_versions_are_read_as_far_as_they_speak(tmp_path: Path) -> None:
    entry = {"version": "0.3", "axes": ["y", "x"], "datasets": [{"path": "a"}]}
    group = zarr.create_group(tmp_path, zarr_format=2, attributes={"multiscales": [entry]})
    group.create_array("a", shape=(4, 4), chunks=(2, 2), dtype="uint8")
    (image,) = read_images(group)
    assert image.version == "0.3"
    assert [axis.name for axis in image.axes] == ["y", "x"]
    assert (image.levels[0].scale, image.method) == (None, None)


def test_every_multiscale_is_read_and_labels_are_named(tmp_path: Path) -> None:
    entry = {"version": "0.4", "axes": [], "datasets": [{"path": "0"}]}
    group = zarr.create_group(tmp_path, zarr_format=2, attributes={"multiscales": [entry, entry]})
    group.create_array("0", shape=(4, 4), chunks=(2, 2), dtype="uint8")
    group.create_group("labels", attributes={"labels": ["cells"]})
    images = read_images(group)
    assert len(images) == 2
    assert images[0].labels == ("cells",)


@pytest.mark.parametrize(
    "entry",
    [
        {"datasets": [{"path": "9"}]},
        {"datasets": [{}]},
        {"datasets": 3},
        {},
        "text",
        {"axes": [{"type": "space"}], "datasets": []},
        {"datasets": [{"path": "0", "coordinateTransformations": [{"type": "affine"}]}]},
        {
            "datasets": [
                {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1]}]}
            ]
        },
    ],
)
def test_damaged_metadata_is_told_in_one_line(tmp_path: Path, entry: Any) -> None:
    group = zarr.create_group(tmp_path, attributes={"ome": {"multiscales": [entry]}})
    group.create_array("0", shape=(4, 4), chunks=(2, 2), dtype="uint8")
    with pytest.raises(DataError, match="metadata") as told:
        read_images(group, "scan.zarr")
    assert "\n" not in str(told.value)
    assert "scan.zarr" in str(told.value)


@pytest.mark.parametrize("method", ROUNDING)
def test_every_method_says_what_it_takes_to_make_the_levels_again(method: str) -> None:
    attributes = image_attributes("0.5", "a", axes_of("czyx"), make_levels(True), method)
    (entry,) = attributes["ome"]["multiscales"]
    kwargs = entry["metadata"]["kwargs"]
    assert entry["type"] == kwargs["method"] == method
    assert kwargs["rounding"] == ROUNDING[method]
    # only striding leaves voxel 0 of all levels at one place
    assert ("first voxel" in entry["metadata"]["description"]) == (method == "nearest")
    with pytest.raises(UsageError, match=f"use one of .*{method}"):
        image_attributes("0.5", "a", axes_of("czyx"), make_levels(True), "cubic")


@pytest.mark.parametrize(("names", "middle"), [("yx", 0), ("cyx", 0), ("zyx", 15), ("tczyx", 15)])
def test_a_viewer_starts_in_the_middle_of_the_depth(names: str, middle: int) -> None:
    shape = tuple({"z": 31}.get(name, 4) for name in names)
    ones = (1,) * len(shape)
    level = Level("0", Grid(shape, shape, 2), ones, (1.0,) * len(shape), (0.0,) * len(shape))
    channels = channels_of(["a", "b"], "uint16")
    attributes = image_attributes("0.4", "a", axes_of(names), [level], "mean", channels=channels)
    assert attributes["omero"]["rdefs"]["defaultZ"] == middle
    assert len({channel["color"] for channel in attributes["omero"]["channels"]}) == 2


def test_axes_have_the_units_they_are_given_and_the_order_of_the_specification() -> None:
    units = [axis.unit for axis in axes_of("tcyx", "nanometer", "second")]
    assert units == ["second", None, "nanometer", "nanometer"]
    assert [axis.unit for axis in axes_of("tyx", None)] == [None, None, None]
    for names in ("", "x", "xy", "ctyx", "zyxc", "zzyx", "qyx", "zx"):
        with pytest.raises(UsageError, match="axes"):
            axes_of(names)


def test_channels_are_shown_over_their_range_or_the_window() -> None:
    (one,) = channels_of(["a"], "int8")
    assert (one.window, one.limits, one.color) == ((-128.0, 127.0), (-128.0, 127.0), "FFFFFF")
    (one,) = channels_of(["a"], "uint16", (10.0, 300.0))
    assert (one.window, one.limits) == ((10.0, 300.0), (0.0, 65535.0))
    (one,) = channels_of(["a"], "float32", (-1.0, 3.0))
    assert one.window == one.limits == (-1.0, 3.0)
    (one,) = channels_of(["a"], "float32")
    assert one.window == (0.0, 1.0)

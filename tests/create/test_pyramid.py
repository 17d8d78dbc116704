"""New levels for an image that is there: right, in its own manner, and safe at every moment."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import enormous
from enormous.create import convert, pyramid, stages
from enormous.errors import UsageError
from enormous.kernels import METHODS, downsample
from enormous.ome.inspect import inspect
from enormous.ome.validate import validate

few = settings(
    max_examples=25,
    deadline=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def level_0(
    folder: Path,
    voxels: Any,
    *,
    path: str = "0",
    zarr_format: int = 3,
    axes: str = "zyx",
    more: dict[str, Any] | None = None,
    **array: Any,
) -> None:
    """An image of one level, as another program would write it."""
    kinds = {"t": "time", "c": "channel"}
    v3 = zarr_format == 3
    if v3:
        array["dimension_names"] = list(axes)
    ndim = voxels.ndim
    entry = {
        "axes": [{"name": a, "type": kinds.get(a, "space")} for a in axes],
        "datasets": [
            {
                "path": path,
                "coordinateTransformations": [
                    {"type": "scale", "scale": [2.0] * ndim},
                    {"type": "translation", "translation": [7.0] * ndim},
                ],
            }
        ],
        "name": "theirs",
        "foreign": {"kept": True},
    }
    attributes: dict[str, Any] = {"multiscales": [entry], **(more or {})}
    if v3:
        attributes = {"ome": {"version": "0.5", **attributes}, "theirs": 1}
    else:
        entry["version"] = "0.4"
    zarr.create_group(str(folder), zarr_format=zarr_format, attributes=attributes, overwrite=True)
    created = zarr.create_array(
        str(folder / path), shape=voxels.shape, dtype=voxels.dtype, zarr_format=zarr_format, **array
    )
    created[...] = voxels


def expected_levels(plan: Any, voxels: Any) -> list[Any]:
    made = [voxels]
    for level in plan.spec.target.levels[1:]:
        made.append(downsample(made[-1], level.factors, plan.spec.target.method))
    return made


def check(folder: Path, plan: Any, voxels: Any) -> None:
    group = zarr.open_group(str(folder), mode="r")
    for level, expected in zip(plan.spec.target.levels, expected_levels(plan, voxels), strict=True):
        np.testing.assert_array_equal(group[level.path], expected)
    assert not [name for name in os.listdir(folder.parent) if name.startswith(".")]


@few
@given(data=st.data())
def test_new_levels_are_right_and_follow_level_0(tmp_path: Path, data: st.DataObject) -> None:
    zarr_format = data.draw(st.sampled_from([2, 3]))
    axes = data.draw(st.sampled_from(["yx", "zyx", "tyx", "czyx", "tczyx"]))
    shape = tuple(data.draw(st.integers(2 if a in "yx" else 1, 17)) for a in axes)
    chunks = tuple(data.draw(st.integers(1, n)) for n in shape)
    array: dict[str, Any] = {"chunks": chunks, "fill_value": data.draw(st.sampled_from([0, 3]))}
    if zarr_format == 3 and data.draw(st.booleans()):
        array["shards"] = tuple(c * data.draw(st.integers(1, 3)) for c in chunks)
    elif zarr_format == 2:
        separator = data.draw(st.sampled_from([".", "/"]))
        array["chunk_key_encoding"] = {"name": "v2", "separator": separator}
    voxels = np.random.default_rng(data.draw(st.integers(0, 9))).integers(0, 9, shape, np.uint16)
    method = data.draw(st.sampled_from([None, *METHODS]))
    path = data.draw(st.sampled_from(["0", "s0", "full", "scale0/image"]))
    folder = tmp_path / "image.zarr"
    shutil.rmtree(folder, ignore_errors=True)
    level_0(folder, voxels, path=path, zarr_format=zarr_format, axes=axes, **array)
    before = zarr.open_array(str(folder / path), mode="r").metadata.to_dict()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "BLOCK_BYTES", data.draw(st.sampled_from([1, 1000, 2**28])))
        plan = pyramid.plan(folder, method=method)
    enormous.run(plan, scheduler="sync")
    check(folder, plan, voxels)
    for level in plan.spec.target.levels[1:]:
        kept = zarr.open_array(str(folder / level.path), mode="r").metadata.to_dict()
        for key in ("dimension_names", "chunk_key_encoding", "dimension_separator", "fill_value"):
            assert kept.get(key) == before.get(key)
        space = [a in "zyx" for a in axes]
        assert all(f == 1 for f, s in zip(level.factors, space, strict=True) if not s)
    image = inspect(folder).images[0]
    for level in image.levels:
        assert level.scale is not None
        moved = [0 if method == "nearest" else (s - 2.0) / 2 for s in level.scale]
        assert level.translation == tuple(7.0 + m for m in moved)
    # level 0 has the separator it has, and the others follow
    faults = [fault for fault in validate(folder).faults if fault.rule != "separator"]
    assert not [fault for fault in faults if fault.severity == "error"]


@pytest.fixture
def voxels() -> Any:
    return np.random.default_rng(1).integers(0, 4000, (20, 18, 22), np.uint16)


@pytest.fixture
def image(tmp_path: Path, voxels: Any) -> Path:
    """One level, and around it what other programs keep there."""
    folder = tmp_path / "image.zarr"
    more = {"omero": {"channels": [{"label": "theirs", "color": "FF0000", "active": True}]}}
    level_0(folder, voxels, more=more, chunks=(8, 8, 8))
    zarr.create_group(str(folder / "labels"), attributes={"ome": {"labels": []}})
    return folder


def test_all_else_is_kept(image: Path, voxels: Any) -> None:
    before = json.loads((image / "zarr.json").read_bytes())["attributes"]
    level = {p.name: p.read_bytes() for p in (image / "0").rglob("*") if p.is_file()}
    pyramid.run(image)
    after = json.loads((image / "zarr.json").read_bytes())["attributes"]
    assert after.pop("enormous")["pyramid"]["created"]
    entries = after["ome"]["multiscales"][0], before["ome"]["multiscales"][0]
    assert entries[0]["datasets"][0] == entries[1]["datasets"][0]
    assert len(entries[0]["datasets"]) == 3
    for entry in entries:
        for key in ("datasets", "type", "metadata"):
            entry.pop(key, None)
    assert after == before
    assert {p.name: p.read_bytes() for p in (image / "0").rglob("*") if p.is_file()} == level
    assert (image / "labels/zarr.json").is_file()
    # the recorded method is taken the next time
    plan = pyramid.plan(image, overwrite=True)
    assert plan.spec.target.method == "mean"
    pyramid.run(image, overwrite=True, method="median", levels=2)
    assert pyramid.plan(image, overwrite=True).spec.target.method == "median"
    assert sorted(n for n in os.listdir(image) if n.isdigit()) == ["0", "1"]


def test_labels_are_halved_by_mode(tmp_path: Path, voxels: Any) -> None:
    level_0(tmp_path / "l.zarr", voxels, more={"image-label": {}}, chunks=(8, 8, 8))
    assert pyramid.plan(tmp_path / "l.zarr").spec.target.method == "mode"


def test_a_pyramid_is_that_of_convert(tmp_path: Path, voxels: Any) -> None:
    np.save(tmp_path / "a.npy", voxels)
    for out, levels in (("whole", 3), ("one", 1)):
        convert.run(
            tmp_path / "a.npy", tmp_path / out, voxel_size=(2, 1, 1), chunks=4, levels=levels
        )
    pyramid.run(tmp_path / "one", levels=3)
    for level in ("1", "2"):
        files = sorted(p for p in (tmp_path / "whole" / level).rglob("*") if p.is_file())
        for path in files:
            other = tmp_path / "one" / path.relative_to(tmp_path / "whole")
            assert path.read_bytes() == other.read_bytes()
    found = [
        json.loads((tmp_path / name / "zarr.json").read_bytes())["attributes"]["ome"]["multiscales"]
        for name in ("whole", "one")
    ]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        ({"zarr_format": 2, "compressors": numcodecs.LZ4()}, "uint16"),
        ({"zarr_format": 2, "filters": [numcodecs.Delta("<i4")]}, "int32"),
        ({"zarr_format": 2, "order": "F"}, ">u2"),
        ({"zarr_format": 3, "serializer": zarr.codecs.BytesCodec(endian="big")}, "uint16"),
        ({"zarr_format": 3, "fill_value": float("nan")}, "float32"),
        ({"zarr_format": 3, "compressors": None}, "float64"),
    ],
    ids=str,
)
def test_whatever_level_0_is_stored_in_is_read(
    tmp_path: Path, voxels: Any, array: dict[str, Any], dtype: str
) -> None:
    folder, voxels = tmp_path / "i.zarr", voxels.astype(dtype)
    zarr_format = array.pop("zarr_format")
    level_0(folder, voxels, zarr_format=zarr_format, chunks=(8, 8, 8), **array)
    plan = pyramid.plan(folder)
    enormous.run(plan, scheduler="sync")
    check(folder, plan, voxels)
    foreign = "LZ4" in str(array) or "Delta" in str(array)
    assert len(dict(plan.facts)["warnings"]) == foreign


def _none(image: Path) -> Path:
    return image


def _bare(image: Path) -> Path:
    return image / "0"


def _group(image: Path) -> Path:
    return image / "labels"


def _nothing(image: Path) -> Path:
    return image / "nothing"


def _in_the_way(image: Path) -> Path:
    (image / "1").mkdir()
    return image


def _old(image: Path) -> Path:
    path = image / "zarr.json"
    path.write_text(path.read_text().replace('"version": "0.5"', '"version": "0.3"'))
    return image


def _listed(image: Path) -> Path:
    pyramid.run(image)
    return image


@pytest.mark.parametrize(
    ("make", "options", "words"),
    [
        (_bare, {}, "enormous convert"),
        (_group, {}, "no image"),
        (_nothing, {}, "does not exist"),
        (_in_the_way, {}, "in the way"),
        (_old, {}, "too old"),
        (_listed, {}, "--overwrite"),
        (_none, {"levels": 1}, "give 2 or more"),
        (_none, {"levels": 30}, "levels"),
        (_none, {"method": "average"}, "unknown method"),
        (_none, {"factors": (2, 2)}, "factors"),
    ],
)
def test_what_will_not_do_is_refused(
    image: Path, make: Callable[[Path], Path], options: dict[str, Any], words: str
) -> None:
    given = make(image)
    before = sorted(image.parent.rglob("*"))
    with pytest.raises(UsageError, match=words) as told:
        pyramid.run(given, **options)
    assert "\n" not in str(told.value)
    assert sorted(image.parent.rglob("*")) == before


def test_an_axis_that_is_not_space_is_never_halved(tmp_path: Path) -> None:
    voxels = np.zeros((6, 9, 9), np.uint8)
    level_0(tmp_path / "t.zarr", voxels, axes="tyx", chunks=(1, 4, 4))
    with pytest.raises(UsageError, match="not space"):
        pyramid.plan(tmp_path / "t.zarr", factors=(2, 2, 2))
    levels = pyramid.plan(tmp_path / "t.zarr", factors=(1, 2, 2)).spec.target.levels
    assert [level.grid.shape for level in levels] == [(6, 9, 9), (6, 5, 5), (6, 3, 3)]

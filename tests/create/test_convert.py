"""Every stored level is what the definition says, whatever the layout and whoever made it."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import enormous
from enormous import samples
from enormous.create import convert, stages
from enormous.create.finish import name_of, title_of
from enormous.create.sources.zarr import ZarrReader
from enormous.create.values import FieldOfView
from enormous.engine import finish
from enormous.engine.plan import Plan
from enormous.errors import UsageError
from enormous.kernels import METHODS, downsample
from enormous.ome.inspect import inspect
from enormous.ome.validate import validate

pytestmark = pytest.mark.filterwarnings("ignore:.*how large a voxel is")

few = settings(
    max_examples=40,
    deadline=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def digest(folder: Path) -> dict[str, str]:
    """Every file below a folder and what is in it."""
    return {
        os.path.relpath(path, folder): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def level_by_level(voxels: NDArray[Any], plan: Plan) -> Iterator[NDArray[Any]]:
    """The definition: each level from the whole of the one above."""
    for level in plan.spec.target.levels:
        if level.path != "0":
            voxels = downsample(voxels, level.factors, plan.spec.target.method)
        yield voxels


def check_levels(out: Path, plan: Plan, voxels: NDArray[Any]) -> None:
    group = zarr.open_group(str(out), mode="r")
    for level, expected in zip(plan.spec.target.levels, level_by_level(voxels, plan), strict=True):
        np.testing.assert_array_equal(group[level.path], expected)


DTYPES = ("bool", "uint8", "int16", "uint16", "uint32", "int64", "uint64", "float32", "float64")


def voxels_of(shape: tuple[int, ...], dtype: str, seed: int) -> NDArray[Any]:
    """Noise with holes of zeros and, in floats, of NaN: empty chunks and odd windows."""
    random = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        made = random.normal(size=shape).astype(kind)
        made[random.random(shape) < 0.1] = np.nan
    elif kind.kind == "b":
        made = random.random(shape) < 0.5
    else:
        info = np.iinfo(kind)
        made = random.integers(info.min, info.max, shape, kind, endpoint=True)
    made[tuple(slice(n // 2) for n in shape)] = 0
    return np.ascontiguousarray(made)


@st.composite
def layouts(draw: st.DrawFn, ndim: int) -> dict[str, Any]:
    """Chunks and shards of any kind, for both formats."""
    zarr_format = draw(st.sampled_from([2, 3, 3]))
    chunks = tuple(draw(st.sampled_from([1, 2, 3, 3, 4, 5, 8])) for _ in range(ndim))
    kind = draw(st.sampled_from(["none", "halving", "forced"])) if zarr_format == 3 else "none"
    options: dict[str, Any] = {"zarr_format": zarr_format, "chunks": chunks}
    if kind == "none":
        options["shards"] = "none"
    elif kind == "forced":
        options["shards"] = tuple(c * draw(st.sampled_from([1, 2, 2, 3])) for c in chunks)
    return options


@few
@given(data=st.data())
def test_levels_equal_the_definition(tmp_path: Path, data: st.DataObject) -> None:
    ndim = data.draw(st.sampled_from([2, 3, 3, 3, 4, 5]), label="axes")
    space = tuple(data.draw(st.integers(1, 25)) for _ in range(min(ndim, 3)))
    shape = (*(data.draw(st.integers(1, 3)) for _ in range(ndim - 3)), *space)
    options = data.draw(layouts(ndim), label="layout")
    options["chunks"] = tuple(map(min, options["chunks"], shape))
    if isinstance(options.get("shards"), tuple):
        shards = options["shards"]
        options["shards"] = tuple(
            max(1, s // c) * c for s, c in zip(shards, options["chunks"], strict=True)
        )
    voxel = data.draw(st.sampled_from([1.0, (4.0, 1.0, 1.0), (0.5, 1.0, 2.0)]), label="voxel")
    if isinstance(voxel, tuple):
        voxel = voxel[-len(space) :]
    dtype = data.draw(st.sampled_from(DTYPES), label="dtype")
    method = data.draw(st.sampled_from(METHODS), label="method")
    voxels = voxels_of(shape, dtype, data.draw(st.integers(0, 99)))
    scan, out = tmp_path / "scan.npy", tmp_path / "image.zarr"
    if data.draw(st.booleans(), label="read in chunks"):  # else in planes
        scan = tmp_path / "scan.zarr"
        natural = tuple(data.draw(st.integers(1, n)) for n in shape)
        zarr.create_array(scan, data=voxels, chunks=natural, overwrite=True)
    else:
        np.save(scan, voxels)
    with pytest.MonkeyPatch.context() as patch:
        # tiny blocks and slabs, and now and then slabs in a file
        patch.setattr(stages, "BLOCK_BYTES", data.draw(st.sampled_from([1, 1, 2000, 2**28])))
        patch.setattr(stages, "LEAST_SLAB_BYTES", data.draw(st.sampled_from([1, 2**25])))
        patch.setattr(stages, "SLAB_BYTES", data.draw(st.sampled_from([100, 2**28])))
        patch.setattr(stages, "SPOOL_BYTES", data.draw(st.sampled_from([0, 2**31, 2**31])))
        plan = convert.plan(
            scan,
            out,
            voxel_size=voxel,
            method=method,
            axes={2: "yx", 3: "zyx", 4: "czyx", 5: "tczyx"}[ndim],
            overwrite=True,
            **options,
        )
    enormous.run(plan, scheduler="sync")
    check_levels(out, plan, voxels)
    kinds = [type(stage.detail).__name__ for stage in plan.stages]
    event(f"{kinds.count('BandWork')} bands, {min(2, kinds.count('PackWork'))} packed")
    assert not [name for name in os.listdir(out) if name.startswith(".") and "z" not in name]


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """Noise of 70 x 37 x 29 voxels: several blocks where blocks are small."""
    path = tmp_path / "scan.npy"
    np.save(path, voxels_of((70, 37, 29), "uint16", 1))
    return path


SEVERAL: dict[str, Any] = {"chunks": 8, "shards": 16, "voxel_size": 1.0}


def small_blocks(scan: Path, out: Path, **options: Any) -> Plan:
    """A plan with bands and packing, at one and the same time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "BLOCK_BYTES", 1)
        patch.setattr(stages, "LEAST_SLAB_BYTES", 1)
        plan = convert.plan(scan, out, **{**SEVERAL, **options})
    return replace(plan, created="2026-01-01T00:00:00+00:00")


@pytest.mark.parametrize("scheduler", ["threads", "processes", "shares"])
def test_bytes_do_not_depend_on_who_writes_them(tmp_path: Path, scan: Path, scheduler: str) -> None:
    options: dict[str, Any] = {"window": (1000, 50000), "dtype": "uint8", "mask_fov": True}
    enormous.run(small_blocks(scan, tmp_path / "one", **options), scheduler="sync")
    plan = small_blocks(scan, tmp_path / "other", **options)
    kinds = [type(stage.detail).__name__ for stage in plan.stages]
    assert {"BandWork", "PackWork"} == set(kinds)
    assert len(kinds) > 2
    assert plan.stages[0].blocks.n > 3
    if scheduler == "shares":
        for number in range(1, len(plan.stages) + 1):
            for share in range(3, 0, -1):
                enormous.run(plan, scheduler="sync", stage=number, share=(share, 3))
        finish(tmp_path / "other")
    else:
        enormous.run(plan, scheduler=scheduler, workers=3)
    assert digest(tmp_path / "one") == digest(tmp_path / "other")
    assert sorted(os.listdir(tmp_path)) == ["one", "other", "scan.npy"]


def test_each_slice_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    voxels = voxels_of((23, 40, 30), "uint8", 2)
    for z, plane in enumerate(voxels):
        tifffile.imwrite(tmp_path / f"s{z:03}.tif", plane, compression="zlib")
    seen: list[int] = []
    decode = tifffile.TiffPage.asarray

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(int(Path(self.parent.filehandle.path).stem[1:]))
        return decode(self, *args, **kwargs)

    plan = convert.plan(tmp_path / "s*.tif", tmp_path / "o.zarr", chunks=8, shards=16)
    monkeypatch.setattr(tifffile.TiffPage, "asarray", counted)
    enormous.run(plan, workers=3)
    check_levels(tmp_path / "o.zarr", plan, voxels)
    assert plan.stages[0].reads == voxels.nbytes
    assert not seen or sorted(seen) == list(range(23))


@settings(few, max_examples=20)
@given(data=st.data())
def test_what_is_read_is_what_the_plan_says(tmp_path: Path, data: st.DataObject) -> None:
    shape = tuple(data.draw(st.integers(1, 24)) for _ in range(3))
    natural = tuple(data.draw(st.integers(1, n)) for n in shape)
    chunks = tuple(data.draw(st.integers(1, n)) for n in shape)
    voxels = voxels_of(shape, "uint16", 3)
    zarr.create_array(tmp_path / "in.zarr", data=voxels, chunks=natural, overwrite=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "BLOCK_BYTES", data.draw(st.sampled_from([1, 2000])))
        patch.setattr(stages, "LEAST_SLAB_BYTES", 1)
        out, size = tmp_path / "o.zarr", data.draw(st.sampled_from([1.0, (3.0, 1.0, 1.0)]))
        plan = convert.plan(
            tmp_path / "in.zarr", out, chunks=chunks, voxel_size=size, axes="zyx", overwrite=True
        )
    read: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        feed = ZarrReader.read

        def counted(self: Any, region: Any) -> Any:
            # whole chunks, as they are decoded, cut off where the array ends
            sides = [
                min(-(-s.stop // c) * c, n) - s.start // c * c
                for s, c, n in zip(region, natural, shape, strict=True)
            ]
            read.append(int(np.prod(sides)) * 2)
            return feed(self, region)

        patch.setattr(ZarrReader, "read", counted)
        enormous.run(plan, scheduler="sync")
    assert sum(read) == plan.stages[0].reads
    check_levels(out, plan, voxels)
    if all(c % n == 0 or n >= size for c, n, size in zip(chunks, natural, shape, strict=True)):
        assert plan.stages[0].reads == voxels.nbytes


def test_landmarks_stay_where_they_are(tmp_path: Path) -> None:
    """A bead of the heart lies at one place on all levels, within half a voxel of each."""
    shape = samples.shape_of("heart", "small")
    voxel = samples.voxel_size("heart", shape)
    np.save(tmp_path / "heart.npy", samples.generate("heart", "small"))
    out = tmp_path / "o.zarr"
    convert.run(tmp_path / "heart.npy", out, voxel_size=voxel, chunks=32, levels=3)
    truth = samples.truth("heart")
    image = inspect(out).images[0]
    group = zarr.open_group(str(out), mode="r")
    for level in image.levels:
        assert level.scale is not None
        assert level.translation is not None
        size, origin = np.array(level.scale), np.array(level.translation)
        voxels = group[level.path][...].astype(float)
        for name, centre in truth.landmarks.items():
            if not name.startswith("bead"):
                continue
            # OME-Zarr counts from the centre of voxel 0 of level 0
            expected = (np.array(centre) - np.array(voxel) / 2 - origin) / size
            half = np.ceil((truth.bead_radius + size) / size).astype(int)
            low = np.maximum(np.round(expected).astype(int) - half, 0)
            box = voxels[tuple(slice(a, a + 2 * h + 1) for a, h in zip(low, half, strict=True))]
            weight = np.clip(box - np.median(box) - 5 * truth.noise_sigma, 0, None)
            found = [
                (weight.sum(axis=tuple({0, 1, 2} - {a})) * np.arange(box.shape[a])).sum()
                for a in range(3)
            ]
            assert np.abs(np.array(found) / weight.sum() + low - expected).max() < 0.5


def attributes(out: Path) -> dict[str, Any]:
    return dict(zarr.open_group(str(out), mode="r").attrs)


def test_windows_and_masks_are_told_and_counted(tmp_path: Path) -> None:
    values = np.random.default_rng(4).normal(0.5, 0.5, (9, 40, 34)).astype(np.float32)
    values[0, 20, 17] = np.nan
    np.save(tmp_path / "ct.npy", values)
    made = convert.run(
        tmp_path / "ct.npy",
        tmp_path / "o.zarr",
        chunks=8,
        window=(0, 1),
        dtype="uint8",
        mask_fov=True,
        scheduler="sync",
    )
    inside = np.zeros((40, 34), bool)
    FieldOfView(40, 34).mask(inside, slice(0, 40), slice(0, 34), True)
    inside = ~inside
    assert made.clipped is not None
    assert made.clipped.nan == 1
    half = 0.5 / 255
    assert made.clipped.below == np.count_nonzero(values[:, inside] < -half)
    assert made.clipped.above == np.count_nonzero(values[:, inside] > 1 + half)
    stored = zarr.open_array(str(tmp_path / "o.zarr/0"), mode="r")[...]
    assert not stored[:, ~inside].any()
    back = np.clip(values[:, inside], 0, 1)
    assert (
        np.nanmax(np.abs(stored[:, inside] / 255 - np.where(np.isnan(back), 0, back))) < half * 1.01
    )
    assert made.masked == 9 * np.count_nonzero(~inside)
    # all touched chunks are measured where they are few, so the figure is exact
    plain = convert.run(
        tmp_path / "ct.npy", tmp_path / "p.zarr", chunks=8, window=(0, 1), dtype="uint8"
    )
    fewer = (plain.objects[0] - made.objects[0]) * made.plan.spec.target.levels[0].grid.index_bytes
    assert made.saved_bytes + fewer == plain.stored_bytes[0] - made.stored_bytes[0]
    told = attributes(tmp_path / "o.zarr")["enormous"]
    assert told["source"]["name"] == "ct.npy"
    assert told["created"] == made.plan.created
    assert told["window"]["low"] == 0
    assert str(tmp_path) not in json.dumps(told)


def test_zeros_inside_the_circle_of_a_mask_are_values_like_others(tmp_path: Path) -> None:
    values = np.tile(np.arange(100, 140, dtype=np.uint16), (6, 40, 1))
    values[:, 10:30, 12:28] = 0  # air in the middle of a bone
    np.save(tmp_path / "ct.npy", values)
    made = convert.run(tmp_path / "ct.npy", tmp_path / "o.zarr", chunks=16, mask_fov=True)
    assert made.masked > 0
    (channel,) = attributes(tmp_path / "o.zarr")["ome"]["omero"]["channels"]
    assert (channel["window"]["start"], channel["window"]["end"]) == (0, 139)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_viewers_are_shown_the_middle_of_the_histogram(tmp_path: Path, dtype: str) -> None:
    values = np.random.default_rng(5).normal(100, 20, (2, 12, 30, 30))
    values[1] /= 2
    values = values.clip(0, 250).astype(dtype)
    np.save(tmp_path / "a.npy", values)
    convert.run(tmp_path / "a.npy", tmp_path / "o.zarr", axes="czyx", chunks=16)
    found = attributes(tmp_path / "o.zarr")["ome"]["omero"]["channels"]
    assert len(found) == 2
    for channel, data in zip(found, values, strict=True):
        ordered = np.sort(data.ravel())
        window = channel["window"]
        assert window["start"] == ordered[round(0.001 * (data.size - 1))]
        assert window["end"] == ordered[round(0.999 * (data.size - 1))]
        limits = (values.min(), values.max())
        if dtype != "float32":
            limits = (np.iinfo(dtype).min, np.iinfo(dtype).max)
        assert (window["min"], window["max"]) == limits


def test_label_images_are_made_only_when_asked_for(tmp_path: Path, scan: Path) -> None:
    convert.run(scan, tmp_path / "image", voxel_size=1)
    convert.run(scan, tmp_path / "labels", voxel_size=1, label=True)
    assert "image-label" not in attributes(tmp_path / "image")["ome"]
    told = attributes(tmp_path / "labels")["ome"]
    assert "image-label" in told
    assert "omero" not in told
    assert told["multiscales"][0]["type"] == "mode"
    mask = np.load(scan) > 30000
    np.save(tmp_path / "mask.npy", mask)
    convert.run(tmp_path / "mask.npy", tmp_path / "mask", voxel_size=1, label=True)
    stored = zarr.open_array(str(tmp_path / "mask/0"), mode="r")
    assert stored.dtype == np.uint8
    np.testing.assert_array_equal(stored, mask)
    for name in ("image", "labels", "mask"):
        assert not validate(tmp_path / name).faults


@pytest.mark.parametrize(
    ("url", "name", "title"),
    [
        ("/data/scan 7", "scan 7", "scan 7"),
        ("/data/scan/*.tif", "*.tif", "scan"),
        ("/data/a.ome.tif", "a.ome.tif", "a"),
        ("/data/a.nii.gz", "a.nii.gz", "a"),
        ("/data/a.h5:/raw/data", "a.h5:/raw/data", "a"),
        ("https://host/b/c.ome.zarr/", "c.ome.zarr", "c"),
        ("/data/2.5um_heart.v2_scan", "2.5um_heart.v2_scan", "2.5um_heart.v2_scan"),
    ],
)
def test_images_are_named_after_the_input(scan: Path, url: str, name: str, title: str) -> None:
    spec = convert.plan(scan, scan.with_name("o"), voxel_size=1).spec
    assert name_of(url) == name
    assert title_of(replace(spec, source=replace(spec.source, url=url))) == title


def test_voxel_sizes_are_taken_given_or_said_to_be_unknown(tmp_path: Path, scan: Path) -> None:
    with pytest.warns(UserWarning, match="how large a voxel is"):
        plan = convert.plan(scan, tmp_path / "o")
    assert plan.spec.target.levels[0].scale == (1, 1, 1)
    assert all(axis.unit is None for axis in plan.spec.axes)
    voxels = np.load(scan)
    tifffile.imwrite(
        tmp_path / "a.tif",
        voxels,
        imagej=True,
        resolution=(2, 2),
        metadata={"spacing": 3, "unit": "um", "axes": "ZYX"},
    )
    plan = convert.plan(tmp_path / "a.tif", tmp_path / "o", levels=2)
    assert plan.spec.target.levels[0].scale == (3, 0.5, 0.5)
    assert plan.spec.axes[0].unit == "micrometer"
    # isotropic voxels only from the level at which all are equal
    assert plan.spec.target.levels[1].factors == (1, 2, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        convert.plan(tmp_path / "a.tif", tmp_path / "o", voxel_size=(3.01, 0.5, 0.5))
        convert.plan(tmp_path / "a.tif", tmp_path / "o", voxel_size=(3000, 500, 500), unit="nm")
    with pytest.warns(UserWarning, match="is written, though"):
        convert.plan(tmp_path / "a.tif", tmp_path / "o", voxel_size=(3.1, 0.5, 0.5))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"zarr_format": 4}, "no Zarr format"),
        ({"zarr_format": 2, "shards": 64}, "no shards"),
        ({"window": (0, 1)}, "--dtype"),
        ({"window": (1, 0), "dtype": "uint8"}, "the lower one first"),
        ({"dtype": "uint8"}, "--window"),
        ({"label": True, "window": (0, 1), "dtype": "uint8"}, "label image"),
        ({"method": "average"}, "unknown method"),
        ({"voxel_size": (1, 1)}, "does not suit the axes"),
        ({"voxel_size": 0}, "positive number"),
        ({"voxel_size": 1, "unit": "furlongs"}, "unknown unit"),
        ({"levels": 99}, "levels"),
        ({"chunks": 99}, "larger than the array"),
        ({"factors": (3, 1, 1)}, "factors"),
        ({"codec": "magic"}, "unknown codec"),
    ],
    ids=str,
)
def test_what_will_not_do_is_refused_before_anything_is_written(
    tmp_path: Path, scan: Path, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words) as refused:
        convert.plan(scan, tmp_path / "o", **{"voxel_size": 1, **options})
    assert "\n" not in str(refused.value)
    assert os.listdir(tmp_path) == ["scan.npy"]


def test_nothing_is_replaced_unasked(tmp_path: Path, scan: Path) -> None:
    out = tmp_path / "o.zarr"
    convert.run(scan, out, voxel_size=1)
    before = digest(out)
    for place in (out, out / "0", out / "0" / "new", scan, scan / "new"):
        with pytest.raises(UsageError):
            convert.plan(scan, place)
    # an input is never its own output, nor below it
    with pytest.raises(UsageError):
        convert.plan(out / "0", out, overwrite=True)
    with pytest.raises(UsageError):
        convert.plan(out, out, overwrite=True)
    with pytest.raises(UsageError, match="array"):
        convert.plan(scan, out / "0", overwrite=True)
    assert digest(out) == before
    convert.run(scan, out, voxel_size=2, overwrite=True)
    assert digest(out) != before
    assert sorted(os.listdir(tmp_path)) == ["o.zarr", "scan.npy"]


def test_chunks_of_nothing_are_not_stored(tmp_path: Path) -> None:
    voxels = np.zeros((32, 32, 32), np.float32)
    voxels[:16, :16, :16] = 1
    voxels[20, 20, 20] = -0.0  # which is not the fill value, to the last bit
    np.save(tmp_path / "a.npy", voxels)
    made = convert.run(tmp_path / "a.npy", tmp_path / "o", chunks=16, shards="none", levels=2)
    assert made.objects == (2, 1)
    stored = zarr.open_array(str(tmp_path / "o/0"), mode="r")[...]
    assert np.array_equal(np.signbit(stored), np.signbit(voxels))


def test_planes_that_are_larger_than_memory_are_read_in_rows(tmp_path: Path) -> None:
    shape, path = (300, 40_000, 30_000), tmp_path / "huge.npy"
    header = np.lib.format.header_data_from_array_1_0(np.empty(0, np.uint16))
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, {**header, "shape": shape})
        file.truncate(file.tell() + 2 * int(np.prod(shape)))  # a hole: no disk is needed
    plan = convert.plan(path, tmp_path / "o.zarr", voxel_size=1, workers=2)
    facts = dict(plan.facts)
    assert facts["read_factor"] == 1
    assert "slabs" not in facts
    assert plan.peak_bytes(1) < 1.5e9

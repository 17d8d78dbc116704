"""What a conversion keeps: place and kind of its input, what lies at OUT; what it counts."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from enormous.create import convert, pyramid, stages
from enormous.engine import output, run
from enormous.engine.work import Work
from enormous.errors import DataError, UsageError
from enormous.ome.read import read_images

VOXELS = np.random.default_rng(0).integers(1, 60000, (24, 40, 32), np.uint16)


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    np.save(tmp_path / "scan.npy", VOXELS)
    return tmp_path / "scan.npy"


def image(
    folder: Path, translation: tuple[float, ...], unit: str | None, scale: float = 2.0, **ome: Any
) -> Path:
    """An OME-Zarr image of one level, somewhere."""
    group = zarr.create_group(folder)
    group.create_array("0", data=VOXELS, chunks=(8, 8, 8))
    axes = [{"name": n, "type": "space", **({"unit": unit} if unit else {})} for n in "zyx"]
    moves = [
        {"type": "scale", "scale": [scale] * 3},
        {"type": "translation", "translation": list(translation)},
    ]
    datasets = [{"path": "0", "coordinateTransformations": moves}]
    entry = {"name": "i", "axes": axes, "datasets": datasets}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [entry], **ome}
    return folder


def places(folder: Path) -> list[tuple[float, ...] | None]:
    (found,) = read_images(zarr.open_group(folder, mode="r"))
    return [level.translation for level in found.levels]


@pytest.mark.parametrize(
    ("options", "factor", "size"),
    [({}, 1, 2), ({"voxel_size": 4000, "unit": "nm"}, 1000, 4000), ({"voxel_size": 3}, 1, 3)],
    ids=str,
)
def test_an_image_stays_where_it_is(
    tmp_path: Path, options: dict[str, Any], factor: int, size: float
) -> None:
    place = (1000.123456789, -20.0, 3.5)
    image(tmp_path / "i", place, "micrometer")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that another size was given
        convert.run(tmp_path / "i", tmp_path / "o", chunks=8, levels=2, **options)
    moved = [tuple(factor * at + half for at in place) for half in (0, size / 2)]
    for found, expected in zip(places(tmp_path / "o"), moved, strict=True):
        assert found == pytest.approx(expected, rel=1e-12)


def test_a_place_that_cannot_be_told_is_told_of(tmp_path: Path) -> None:
    image(tmp_path / "i", (1000, 0, 0), None, scale=1)
    with pytest.warns(UserWarning, match=r"1000 without a unit along z.*not kept"):
        convert.run(tmp_path / "i", tmp_path / "o", voxel_size=2, levels=1)
    assert places(tmp_path / "o") == [(0, 0, 0)]
    with pytest.warns(UserWarning, match="how large a voxel is"):
        convert.run(tmp_path / "i", tmp_path / "p", levels=1)
    assert places(tmp_path / "p") == [(1000, 0, 0)]


def test_labels_stay_labels(tmp_path: Path, scan: Path) -> None:
    image(tmp_path / "i", (0, 0, 0), "micrometer", **{"image-label": {}})
    with pytest.warns(UserWarning, match="it is a label image, and so is what is made of it"):
        made = convert.run(tmp_path / "i", tmp_path / "o", chunks=8, levels=2)
    told = zarr.open_group(tmp_path / "o", mode="r").attrs["ome"]
    assert isinstance(told, dict)
    assert "image-label" in told
    assert made.plan.spec.target.method == "mode"
    level_1 = zarr.open_array(tmp_path / "o/1", mode="r")[...]
    assert np.isin(level_1, VOXELS).all()
    for call in (
        lambda how: convert.plan(scan, tmp_path / "p", voxel_size=1, label=True, method=how),
        lambda how: convert.plan(tmp_path / "i", tmp_path / "p", method=how),
        lambda how: pyramid.plan(tmp_path / "i", method=how),
    ):
        for method in ("mean", "median"):
            with pytest.raises(UsageError, match=f"the {method} of labels is another label"):
                call(method)
    assert convert.plan(
        scan, tmp_path / "p", voxel_size=1, label=True, method="max"
    ).spec.target.method == ("max")


def test_labels_of_a_person_are_not_replaced(tmp_path: Path, scan: Path) -> None:
    out = tmp_path / "o.zarr"
    convert.run(scan, out, voxel_size=1, levels=2)
    convert.run(scan, out / "labels" / "mine", voxel_size=1, label=True)
    with pytest.raises(
        UsageError, match=r"label images that would be lost \(mine\): move .*labels"
    ):
        convert.plan(scan, out, voxel_size=1, overwrite=True)
    convert.run(scan, out / "labels" / "mine", voxel_size=1, label=True, overwrite=True)
    (out / "labels").rename(tmp_path / "labels")
    convert.run(scan, out, voxel_size=1, overwrite=True)
    assert (tmp_path / "labels" / "mine").is_dir()


def test_a_unit_of_nothing_is_refused(tmp_path: Path, scan: Path) -> None:
    with pytest.raises(UsageError, match=r"the unit nanometer is of nothing.*voxel size as well"):
        convert.plan(scan, tmp_path / "o", unit="nm")


def test_an_output_may_lie_beside_the_slices(tmp_path: Path) -> None:
    folder = tmp_path / "slices"
    folder.mkdir()
    for z, plane in enumerate(VOXELS):
        tifffile.imwrite(folder / f"s{z:02}.tif", plane)
    convert.run(folder, folder / "o.zarr", voxel_size=1)
    convert.run(folder, folder / "p.zarr", voxel_size=1)
    for name in ("o.zarr", "p.zarr"):
        stored = zarr.open_array(folder / name / "0", mode="r")
        np.testing.assert_array_equal(stored, VOXELS)


def test_what_may_not_fit_is_said(
    tmp_path: Path, scan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "free_bytes", lambda _: 10_000)
    words = r"kB needed if nothing is empty or can be compressed, 10\.0 kB free"
    with pytest.warns(UserWarning, match=words):
        plan = convert.plan(scan, tmp_path / "o", voxel_size=1, codec="none")
    assert any("free" in line for line in dict(plan.facts)["warnings"])
    assert plan.as_dict(1)["free_bytes"] == 10_000
    image(tmp_path / "i", (0, 0, 0), "micrometer")
    assert any("free" in line for line in dict(pyramid.plan(tmp_path / "i").facts)["warnings"])
    # slabs in a file are written to their last byte, whatever becomes of them
    monkeypatch.setattr(stages, "SPOOL_BYTES", 0)
    with pytest.warns(UserWarning, match=words):
        plan = convert.plan(scan, tmp_path / "o", voxel_size=1)
    assert plan.certain_bytes > 10_000
    with pytest.raises(DataError, match="not enough space"):
        run(plan)
    assert "page cache" in dict(plan.facts)["slabs"]


def test_objects_are_those_that_stay(
    tmp_path: Path, scan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "BLOCK_BYTES", 1)
    plan = convert.plan(scan, tmp_path / "o", voxel_size=1, chunks=8, shards=16, levels=2)
    assert any(stage.function is stages.pack_block for stage in plan.stages)
    run(plan)
    assert plan.objects == sum(len(names) for _, _, names in os.walk(tmp_path / "o"))
    scratch = plan.spec.target.levels[1].grid.padded_bytes
    assert plan.scratch_bytes == scratch
    month = plan.as_dict(1)["cost"]["month_usd"]
    assert month == pytest.approx((plan.disk_bytes - scratch) / 1e9 * 0.023)


@pytest.mark.parametrize(
    "options",
    [
        {"chunks": 8, "shards": 16},
        {"chunks": 8, "shards": "none"},
        {"chunks": (5, 7, 9), "shards": "none", "factors": (1, 2, 2)},
        {"chunks": 16, "shards": 32, "method": "median"},
        {"chunks": 8, "mask_fov": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["npy", "zarr", "slices"])
@pytest.mark.parametrize("least", [2**10, 2**25])
def test_a_block_has_no_more_pieces_than_its_stage_says(
    tmp_path: Path,
    scan: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    kind: str,
    least: int,
) -> None:
    monkeypatch.setattr(stages, "LEAST_SLAB_BYTES", least)
    monkeypatch.setattr("enormous.create.writing.PIECE_BYTES", 2**12)
    monkeypatch.setattr(stages, "PIECE_BYTES", 2**12)
    source = scan
    if kind == "zarr":
        source = tmp_path / "a.zarr"
        zarr.create_array(source, data=VOXELS, chunks=(7, 11, 13))
    elif kind == "slices":
        source = tmp_path / "slices"
        source.mkdir()
        for z, plane in enumerate(VOXELS):
            tifffile.imwrite(source / f"s{z:02}.tif", plane, compression="zlib")
    most: dict[str, int] = {}
    real = Work.each

    def each(self: Work, piece: Any, count: int) -> None:
        if self.stage is not None:
            most[self.stage.title] = max(count, most.get(self.stage.title, 0))
        real(self, piece, count)

    monkeypatch.setattr(Work, "each", each)
    plan = convert.plan(source, tmp_path / "o", voxel_size=1, levels=2, workers=2, **options)
    run(plan, scheduler="sync")
    assert most
    for stage in plan.stages:
        if stage.title in most:
            assert stage.pieces is not None
            assert most[stage.title] <= stage.pieces <= 8 * most[stage.title]


def test_many_workers_have_little_to_do_in_a_small_block(tmp_path: Path, scan: Path) -> None:
    plan = convert.plan(scan, tmp_path / "o", voxel_size=1, chunks=24, workers=64)
    assert plan.peak_bytes(64) < plan.peak_bytes(1) + 10**8

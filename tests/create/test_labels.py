"""Labels that are converted into an image: listed, over the image, and nowhere else."""

from __future__ import annotations

import json
import shutil
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import enormous
from enormous.create import convert, labels
from enormous.engine import finish
from enormous.errors import DataError, EnormousError, UsageError
from enormous.ome.inspect import inspect
from enormous.ome.validate import validate

SHAPE = (21, 33, 38)
VOXEL = (2.5, 0.7, 0.65)
both_formats = pytest.mark.parametrize("zarr_format", [3, 2])


def save(path: Path, shape: tuple[int, ...] = SHAPE) -> Path:
    """A mask of zeros and ones."""
    np.save(path, (np.indices(shape).sum(0) % 5 < 2).astype("u1"))
    return path


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    return save(tmp_path / "mask.npy")


def make_image(path: Path, zarr_format: int = 3, **options: Any) -> Path:
    given = {"voxel_size": VOXEL, "chunks": 8, **options}
    convert.run(save(path.with_suffix(".npy")), path, zarr_format=zarr_format, workers=2, **given)
    return path


def add(mask: Path, image: Path, name: str, **options: Any) -> Path:
    out = image / "labels" / name
    convert.run(mask, out, label=True, chunks=8, workers=2, **options)
    return out


def inner(folder: Path) -> dict[str, Any]:
    """What OME-Zarr says of a group on disk."""
    v3 = folder / "zarr.json"
    if v3.exists():
        found: dict[str, Any] = json.loads(v3.read_text())["attributes"]["ome"]
    else:
        assert (folder / ".zgroup").is_file()
        found = json.loads((folder / ".zattrs").read_text())
    return found


def listed(image: Path) -> list[str]:
    names: list[str] = inner(image / "labels")["labels"]
    return names


@both_formats
def test_labels_become_part_of_the_image(tmp_path: Path, mask: Path, zarr_format: int) -> None:
    image = make_image(tmp_path / "a.ome.zarr", zarr_format)
    before = {path: path.read_bytes() for path in image.rglob("*") if path.is_file()}
    cells = add(mask, image, "cells")
    add(mask, image, "nuclei")
    assert listed(image) == ["cells", "nuclei"]
    assert inner(cells)["image-label"]["source"] == {"image": "../../"}
    assert {path: path.read_bytes() for path in before} == before
    report = validate(image)
    assert (report.faults, report.checked["label images"]) == ((), 2)
    found = inspect(image)
    (stored,) = found.images
    assert stored.labels == ("cells", "nuclei")
    for _, label in found.labels:
        assert label.is_label
        assert label.version == ("0.5" if zarr_format == 3 else "0.4")
        for mine, its in zip(label.levels, stored.levels, strict=True):
            assert (mine.shape, mine.scale, mine.translation) == (
                its.shape, its.scale, its.translation,
            )  # fmt: skip
    np.testing.assert_array_equal(zarr.open_group(image)["labels/cells/0"][...], np.load(mask))
    assert not [path for path in (image / "labels").iterdir() if path.name[:2] in (".c", ".n")]


@both_formats
def test_a_list_that_is_there_keeps_what_it_says(
    tmp_path: Path, mask: Path, zarr_format: int
) -> None:
    image = make_image(tmp_path / "a.ome.zarr", zarr_format)
    told: dict[str, Any] = {"labels": ["old"], "note": 1}
    attributes = {"ome": told, "mine": 2} if zarr_format == 3 else {**told, "mine": 2}
    zarr.create_group(image / "labels", zarr_format=zarr_format, attributes=attributes)
    add(mask, image, "cells")
    group = dict(zarr.open_group(image / "labels", mode="r").attrs)
    assert listed(image) == ["old", "cells"]
    assert (inner(image / "labels")["note"], group["mine"]) == (1, 2)
    assert inner(image / "labels").get("version") == ("0.5" if zarr_format == 3 else None)


@both_formats
def test_a_label_is_replaced_and_stays_listed_once(
    tmp_path: Path, mask: Path, zarr_format: int
) -> None:
    image = make_image(tmp_path / "a.ome.zarr", zarr_format)
    cells = add(mask, image, "cells")
    with pytest.raises(UsageError, match="exists"):
        add(mask, image, "cells")
    np.save(mask, 1 - np.load(mask))
    add(mask, image, "cells", overwrite=True)
    np.testing.assert_array_equal(zarr.open_group(cells)["0"][...], np.load(mask))
    assert listed(image) == ["cells"]
    (cells / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"notes\.txt"):
        add(mask, image, "cells", overwrite=True)


@pytest.mark.parametrize("how", ["resume", "finish", "overwrite"])
@both_formats
def test_a_run_that_ended_before_the_list_goes_on(
    tmp_path: Path, mask: Path, zarr_format: int, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = make_image(tmp_path / "a.ome.zarr", zarr_format)
    add(mask, image, "first")
    with monkeypatch.context() as patch:

        def killed(*_: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(labels.LabelList, "add", killed)
        with pytest.raises(KeyboardInterrupt):
            add(mask, image, "cells")
    assert (image / "labels" / "cells" / "0").is_dir()
    assert listed(image) == ["first"]
    if how == "finish":
        finish(image / "labels" / "cells")
    else:
        add(mask, image, "cells", **{how: True})
    assert listed(image) == ["first", "cells"]
    assert validate(image).faults == ()
    assert sorted(p.name for p in (image / "labels").iterdir() if p.is_dir()) == ["cells", "first"]


def test_labels_made_at_one_time_are_all_listed(
    tmp_path: Path, mask: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = make_image(tmp_path / "a.ome.zarr", levels=1)
    plans = [convert.plan(mask, image / "labels" / name, label=True, chunks=8) for name in "abc"]
    together = threading.Barrier(len(plans))
    swap, add_name = labels.swap, labels.LabelList.add

    def swap_together(*arguments: Any) -> None:
        swap(*arguments)
        together.wait(30)

    def add_slowly(self: labels.LabelList, name: str) -> None:
        time.sleep(0.1)  # between reading and writing
        add_name(self, name)

    monkeypatch.setattr(labels, "swap", swap_together)
    monkeypatch.setattr(labels.LabelList, "add", add_slowly)
    with ThreadPoolExecutor(len(plans)) as pool:
        for done in [pool.submit(enormous.run, plan, scheduler="sync") for plan in plans]:
            done.result()
    assert sorted(listed(image)) == ["a", "b", "c"]


@both_formats
def test_a_copy_of_all_metadata_tells_of_the_labels(
    tmp_path: Path, mask: Path, zarr_format: int
) -> None:
    image = make_image(tmp_path / "a.ome.zarr", zarr_format)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the copy is no part of the specification
        zarr.consolidate_metadata(image, zarr_format=zarr_format)
        add(mask, image, "cells")
    group = zarr.open_consolidated(image, mode="r", zarr_format=zarr_format)
    assert group["labels/cells/0"].shape == SHAPE
    assert inspect(image).images[0].labels == ("cells",)


def test_outputs_elsewhere_in_an_image_are_refused(tmp_path: Path, mask: Path) -> None:
    image = make_image(tmp_path / "a.ome.zarr")
    add(mask, image, "cells")
    before = sorted(image.rglob("*"))
    goes = str(image / "labels" / "NAME")
    for place in ("x", "labels", "labels/a/b", "labels/cells/labels/a", "labels/cells/x", "1x/2"):
        for label in (True, False):
            for overwrite in (True, False):
                with pytest.raises(UsageError, match="only its labels do") as told:
                    convert.plan(mask, image / place, label=label, overwrite=overwrite)
                assert goes in str(told.value)
                assert "\n" not in str(told.value)
    with pytest.raises(UsageError, match="existing Zarr array"):
        convert.plan(mask, image / "0" / "x", label=True)
    for overwrite in (True, False):
        with pytest.raises(UsageError, match=r"is for a label image of .*--label"):
            convert.plan(mask, image / "labels" / "x", overwrite=overwrite)
    for name in (".x", "__x", "zarr.json"):
        with pytest.raises(UsageError, match="cannot be the name of labels"):
            convert.plan(mask, image / "labels" / name, label=True)
    assert sorted(image.rglob("*")) == before


def test_links_lead_into_images_but_not_out(tmp_path: Path, mask: Path) -> None:
    image = make_image(tmp_path / "a.ome.zarr")
    (tmp_path / "link.ome.zarr").symlink_to(image)
    add(mask, tmp_path / "link.ome.zarr", "cells")
    assert listed(image) == ["cells"]
    other = make_image(tmp_path / "b.ome.zarr")
    (tmp_path / "elsewhere").mkdir()
    (other / "labels").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="leads out of the image"):
        add(mask, other, "cells")


@both_formats
def test_format_and_levels_are_those_of_the_image(
    tmp_path: Path, mask: Path, zarr_format: int
) -> None:
    image = make_image(tmp_path / "a.ome.zarr", zarr_format, levels=3, factors=(1, 2, 2))
    with pytest.raises(UsageError, match=f"is Zarr format {zarr_format}, and so are its labels"):
        add(mask, image, "cells", zarr_format=5 - zarr_format)
    with pytest.raises(UsageError, match="has 3 levels, and labels must have as many"):
        add(mask, image, "cells", levels=2)
    cells = add(mask, image, "cells", zarr_format=zarr_format, levels=3)
    shapes = [level.shape for level in inspect(image).images[0].levels]
    assert [zarr.open_group(cells)[str(d)].shape for d in range(3)] == shapes
    assert shapes[2][0] == SHAPE[0]  # not what "auto" would have made
    if zarr_format == 2:
        with pytest.raises(UsageError, match="no shards"):
            add(mask, image, "other", shards=16)


def old(image: Path) -> None:
    path = image / ".zattrs"
    path.write_text(path.read_text().replace('"0.4"', '"0.3"'))


def no_list(image: Path) -> None:
    zarr.create_group(image / "labels", attributes={"ome": {"labels": {"a": 1}}})


def other_format(image: Path) -> None:
    zarr.create_group(image / "labels", zarr_format=2, attributes={"labels": ["a"]})


@pytest.mark.parametrize(
    ("zarr_format", "change", "said"),
    [
        (2, old, r"is OME-Zarr 0\.3"),
        (3, no_list, "its list of labels"),
        (3, other_format, "not of Zarr format 3"),
    ],
)
def test_images_that_labels_cannot_go_into(
    tmp_path: Path, mask: Path, zarr_format: int, change: Callable[[Path], None], said: str
) -> None:
    image = make_image(tmp_path / "a.ome.zarr", zarr_format)
    change(image)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(EnormousError, match=said):
        add(mask, image, "cells")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("shape", "options", "said"),
    [
        ((21, 33, 36), {}, r"covers 23\.4 along x \(36 voxels of 0\.65\), the image .* 24\.7"),
        ((21, 33, 38), {"voxel_size": (2.5, 0.7, 0.6)}, "along x"),
        ((21, 33, 38), {"voxel_size": (2.5, 0.7, 0.65), "unit": "nm"}, "along z"),
        ((21, 17, 19), {}, "along y"),
        ((33, 38), {}, "has the axes yx, the image .* has zyx"),
        ((2, 21, 33, 38), {"axes": "tzyx"}, "no others than the image"),
        ((1, 33, 38), {}, "along z"),
    ],
)
def test_what_does_not_lie_over_the_image_is_refused(
    tmp_path: Path, shape: tuple[int, ...], options: dict[str, Any], said: str
) -> None:
    image = make_image(tmp_path / "a.ome.zarr")
    mask = save(tmp_path / "mask.npy", shape)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError, match=said) as told:
        add(mask, image, "cells", **options)
    assert "\n" not in str(told.value)
    assert sorted(tmp_path.rglob("*")) == before


@given(st.data())
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_labels_cover_the_image_but_for_a_voxel(tmp_path: Path, data: st.DataObject) -> None:
    """As windows of any size do, cut off or reaching out; and centres follow from corners."""
    image = tmp_path / "a.ome.zarr"
    if not image.exists():
        make_image(image, levels=1)
    times = [data.draw(st.sampled_from([1, 1, 2, 3, 4, 0.5])) for _ in SHAPE]
    off = [data.draw(st.integers(-2, 2)) for _ in SHAPE]
    shape = tuple(max(1, -int(-n // t) + o) for n, t, o in zip(SHAPE, times, off, strict=True))
    mask = save(tmp_path / "mask.npy", shape)
    size = tuple(v * t for v, t in zip(VOXEL, times, strict=True))
    beyond = [n * t - n0 for n, t, n0 in zip(shape, times, SHAPE, strict=True)]
    fits = all(-1 <= b <= max(1, t - 1) for b, t in zip(beyond, times, strict=True))
    if not fits:
        with pytest.raises(UsageError, match="labels lie over the whole image"):
            convert.plan(mask, image / "labels" / "a", label=True, voxel_size=size)
        return
    plan = convert.plan(mask, image / "labels" / "a", label=True, voxel_size=size)
    (level,) = plan.spec.target.levels
    corners = np.array(level.translation) - np.array(level.scale) / 2
    np.testing.assert_allclose(corners, -np.array(VOXEL) / 2)


def test_voxel_sizes_are_in_the_unit_of_the_image_and_in_its_place(
    tmp_path: Path, mask: Path
) -> None:
    image = make_image(tmp_path / "a.ome.zarr", unit="nm")
    path = image / "zarr.json"
    document = json.loads(path.read_text())
    for dataset in document["attributes"]["ome"]["multiscales"][0]["datasets"]:
        at = dataset["coordinateTransformations"][1]["translation"]
        dataset["coordinateTransformations"][1]["translation"] = [a + 10 for a in at]
    path.write_text(json.dumps(document))
    stored = inspect(image).images[0]
    for name, options in {
        "silent": {},
        "given": {"voxel_size": VOXEL},
        "converted": {"voxel_size": tuple(v / 1000 for v in VOXEL), "unit": "micrometer"},
    }.items():
        add(mask, image, name, **options)
        label = dict(inspect(image).labels)[name]
        assert [axis.unit for axis in label.axes] == ["nanometer"] * 3
        for mine, its in zip(label.levels, stored.levels, strict=True):
            assert mine.scale is not None
            assert mine.translation is not None
            np.testing.assert_allclose(mine.scale, its.scale)  # type: ignore[arg-type]
            np.testing.assert_allclose(mine.translation, its.translation)  # type: ignore[arg-type]
    assert validate(image).faults == ()


def test_an_image_without_a_unit_has_labels_without_one(tmp_path: Path, mask: Path) -> None:
    with pytest.warns(UserWarning, match="how large a voxel is"):
        image = make_image(tmp_path / "a.ome.zarr", voxel_size=None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it was said of the image
        add(mask, image, "cells")
        add(mask, image, "given", voxel_size=1)
    for _, label in inspect(image).labels:
        assert {axis.unit for axis in label.axes} == {None}
        assert label.levels[0].scale == (1, 1, 1)
    with pytest.raises(UsageError, match="without a unit: give --voxel-size"):
        add(mask, image, "other", voxel_size=1, unit="um")


def test_time_is_that_of_the_image(tmp_path: Path) -> None:
    image = tmp_path / "a.ome.zarr"
    save(tmp_path / "a.npy", (3, 2, *SHAPE))
    convert.run(tmp_path / "a.npy", image, voxel_size=VOXEL, chunks=8, axes="tczyx")
    path = image / "zarr.json"
    document = json.loads(path.read_text())
    entry = document["attributes"]["ome"]["multiscales"][0]
    entry["axes"][0]["unit"] = "second"
    for dataset in entry["datasets"]:
        dataset["coordinateTransformations"][0]["scale"][0] = 30.0
    path.write_text(json.dumps(document))
    add(save(tmp_path / "t.npy", (3, *SHAPE)), image, "moving", axes="tzyx")
    add(save(tmp_path / "s.npy"), image, "still")
    found = dict(inspect(image).labels)
    assert [found["moving"].axes[0].unit, found["moving"].levels[1].scale[0]] == ["second", 30.0]  # type: ignore[index]
    assert validate(image).faults == ()
    with pytest.raises(UsageError, match=r"has 2 steps along t, the image .* has 3"):
        add(save(tmp_path / "u.npy", (2, *SHAPE)), image, "short", axes="tzyx")


def test_an_image_that_is_gone_or_a_place_that_was_taken_is_told_of(
    tmp_path: Path, mask: Path
) -> None:
    image = make_image(tmp_path / "a.ome.zarr")
    out = image / "labels" / "cells"
    plan = convert.plan(mask, out, label=True, chunks=8)
    out.mkdir(parents=True)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="exists"):
        enormous.run(plan, scheduler="sync")
    assert [path.name for path in (image / "labels").iterdir()] == ["cells"]
    shutil.rmtree(image)
    with pytest.raises(DataError, match="cannot be read"):
        enormous.run(plan, scheduler="sync")

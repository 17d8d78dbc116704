"""samples/write.py and planning.py: what is on disk is what was generated, planned and promised."""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore as ts
import zarr
from numpy.typing import NDArray

import enormous
from enormous import samples
from enormous.create.stages import metadata_objects
from enormous.errors import DataError, UsageError
from enormous.ome.validate import validate
from enormous.samples import blocks, catalogue

SHAPE = (37, 30, 41)


def by_tensorstore(path: Path, zarr_format: int) -> NDArray[Any]:
    driver = "zarr3" if zarr_format == 3 else "zarr"
    spec = {"driver": driver, "kvstore": {"driver": "file", "path": f"{path}/"}}
    return np.asarray(ts.open(spec, open=True).result().read().result())


def tree(top: Path) -> dict[str, bytes]:
    return {str(p.relative_to(top)): p.read_bytes() for p in top.rglob("*") if p.is_file()}


def next_level(image: NDArray[Any], factors: tuple[int, ...], method: str) -> NDArray[Any]:
    """From the words of the definition."""
    shape = [math.ceil(n / f) for n, f in zip(image.shape, factors, strict=True)]
    out = np.empty(shape, image.dtype)
    for at in itertools.product(*map(range, shape)):
        cut = tuple(slice(i * f, i * f + f) for i, f in zip(at, factors, strict=True))
        window = image[cut].ravel().tolist()
        if method == "mean":
            out[at] = round(Fraction(sum(window), len(window)))
        else:
            counts = Counter(window)
            out[at] = min(v for v in counts if counts[v] == max(counts.values()))
    return out


@pytest.mark.parametrize("name", samples.NAMES)
@pytest.mark.parametrize(("zarr_format", "shards"), [(2, None), (3, "none"), (3, 32), (3, None)])
def test_both_readers_get_what_was_generated(
    tmp_path: Path, name: str, zarr_format: int, shards: Any
) -> None:
    out = tmp_path / "image.zarr"
    written = samples.run(
        name, out, shape=SHAPE, zarr_format=zarr_format, chunks=16, shards=shards, levels=3
    )
    target = written.plan.spec.target
    group = zarr.open_group(str(out), mode="r")
    levels = [np.asarray(group[str(d)]) for d in range(3)]
    np.testing.assert_array_equal(levels[0], samples.generate(name, shape=SHAPE))
    method = "mean" if name == "heart" else "mode"
    for d in (1, 2):
        expected = next_level(levels[d - 1], target.levels[d].factors, method)
        np.testing.assert_array_equal(levels[d], expected)
    for d, level in enumerate(levels):
        np.testing.assert_array_equal(by_tensorstore(out / str(d), zarr_format), level)
        assert group[str(d)].shards == target.levels[d].grid.shards
    assert os.listdir(tmp_path) == ["image.zarr"]
    # what was planned is what is there
    files = [path for path in out.rglob("*") if path.is_file()]
    metadata = [
        path for path in files if path.name in ("zarr.json", ".zarray", ".zattrs", ".zgroup")
    ]
    assert len(metadata) == metadata_objects(target, 3)
    assert sum(written.objects) == len(files) - len(metadata)
    assert len(files) <= written.plan.objects
    assert sum(written.stored_bytes) == sum(p.stat().st_size for p in {*files} - {*metadata})


@pytest.mark.parametrize("name", ["heart", "dense"])
def test_bytes_do_not_depend_on_who_makes_them(tmp_path: Path, name: str) -> None:
    runs: list[dict[str, Any]] = [
        {"workers": 1},
        {"workers": 3},
        {"scheduler": "sync"},
        {"scheduler": "processes", "workers": 2},
    ]
    found = []
    for number, options in enumerate(runs):
        out = tmp_path / str(number)
        enormous.run(samples.plan(name, out, shape=SHAPE, chunks=16, shards=32), **options)
        found.append(tree(out))
    assert len(found[0]) > 8
    assert all(other == found[0] for other in found)


def test_channels_and_time_points_stand_before_space(tmp_path: Path) -> None:
    out = tmp_path / "i.zarr"
    samples.run("heart", out, shape=SHAPE, channels=2, timepoints=3, chunks=(16, 16, 41), levels=2)
    image = zarr.open_group(str(out), mode="r")["0"]
    assert (image.shape, image.chunks) == ((3, 2, *SHAPE), (1, 1, 16, 16, 41))
    for t, c in ((0, 0), (2, 0), (1, 1)):
        expected = samples.generate("heart", shape=SHAPE, channel=c, time=t)
        np.testing.assert_array_equal(image[t, c], expected)
    ome: Any = zarr.open_group(str(out), mode="r").attrs["ome"]
    assert ome["multiscales"][0]["axes"][0] == {"name": "t", "type": "time", "unit": "second"}
    assert validate(out).faults == ()
    for wrong in ({"channels": 3}, {"channels": 0}, {"timepoints": 0}):
        with pytest.raises(UsageError):
            samples.plan("heart", tmp_path / "x", shape=SHAPE, **wrong)
    with pytest.raises(UsageError, match="heart"):
        samples.plan("dense", tmp_path / "x", shape=SHAPE, channels=2)


def test_a_plan_writes_nothing_and_counts_a_petabyte_at_once(tmp_path: Path) -> None:
    plan = samples.plan("heart", tmp_path / "a" / "b", shape=(100_000,) * 3, workers=4)
    assert plan.spec.target.levels[0].grid.nbytes == 2 * 10**15
    assert plan.reads < 2 * 10**15 / 60  # generated; the next band reads level 2
    assert plan.stages[0].blocks.n == math.ceil(100_000 / 512) ** 3
    assert plan.peak_bytes(4) < 2 * 10**9
    assert json.loads(json.dumps(plan.as_dict(4)))["objects"] == plan.objects
    assert not os.listdir(tmp_path)


def test_an_output_is_replaced_only_when_asked_and_complete(tmp_path: Path) -> None:
    out = tmp_path / "image.zarr"
    samples.run("sparse", out, shape=SHAPE)
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    with pytest.raises(UsageError, match="overwrite"):
        samples.run("dense", out, shape=SHAPE)

    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("power cut")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("enormous.samples.blocks.one_block", fails)
        with pytest.raises(RuntimeError, match="power cut"):
            samples.run("dense", out, shape=SHAPE, overwrite=True)
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before
    samples.run("dense", out, shape=SHAPE, overwrite=True)
    assert "dense" in str(zarr.open_group(str(out), mode="r").attrs.asdict())
    assert os.listdir(tmp_path) == ["image.zarr"]


def group_of_arrays(folder: Path, zarr_format: Any) -> zarr.Group:
    group = zarr.create_group(folder, zarr_format=zarr_format)
    group.create_array("mine", data=np.ones((4, 4)))
    return group


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_other_peoples_folders_are_never_replaced(tmp_path: Path, zarr_format: int) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    samples.run("sparse", photos, shape=SHAPE)  # an empty folder is nobody's
    other, attributes, thesis = (tmp_path / name for name in ("other", "attributes", "thesis"))
    for folder in (other, attributes, thesis):
        folder.mkdir()
    (other / "wedding.jpg").write_bytes(b"1")
    (attributes / ".zattrs").write_text('{"multiscales": [{"datasets": []}]}')
    (attributes / "thesis.tex").write_text("years")
    group_of_arrays(tmp_path / "group", zarr_format)
    (tmp_path / "group" / "notes.txt").write_text("days")
    (thesis / "zarr.json").write_text("{")
    (thesis / "thesis.tex").write_text("years")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    arrays = (photos / "0", photos / "0" / "new", tmp_path / "group" / "mine")
    for out in (other, other / "wedding.jpg", attributes, tmp_path / "group", thesis, *arrays):
        with pytest.raises(UsageError):
            samples.run("sparse", out, shape=SHAPE, overwrite=True)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_an_image_is_replaced_unless_something_else_is_in_it(
    tmp_path: Path, zarr_format: int
) -> None:
    out = tmp_path / "image.zarr"

    def make() -> None:
        samples.run("sparse", out, shape=SHAPE, chunks=16, zarr_format=zarr_format, overwrite=True)

    make()
    foreign = ("notes.txt", "0/notes.txt", "mine/c/0", "labels/a.csv", "labels/x/0", "0/c/0.tif")
    for name in foreign:
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"years")
        with pytest.raises(UsageError, match=re.escape(f"holds {name}")):
            make()
        path.unlink()
    (out / "0" / "link").symlink_to(tmp_path)
    with pytest.raises(UsageError, match="holds 0/link"):
        make()
    (out / "0" / "link").unlink()
    samples.run("dense", tmp_path / "cells", shape=SHAPE, zarr_format=zarr_format)
    with pytest.raises(UsageError, match=r"inside the image .*/labels/NAME"):
        samples.plan("dense", out / "cells", shape=SHAPE)
    zarr.create_group(out / "labels", zarr_format=zarr_format, attributes={"labels": ["cells"]})
    (tmp_path / "cells").rename(out / "labels" / "cells")
    for listed in (True, False):  # nobody can make them again
        if not listed:
            shutil.rmtree(out / "labels" / "cells" / "0")
            (out / "labels" / ("zarr.json" if zarr_format == 3 else ".zattrs")).unlink()
        with pytest.raises(UsageError, match=r"label images that would be lost \(cells\)"):
            make()
    shutil.rmtree(out / "labels" / "cells")
    make()
    assert not (out / "labels").exists()
    assert os.listdir(tmp_path) == ["image.zarr"]


def test_what_appears_during_a_run_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "image.zarr"
    samples.run("sparse", out, shape=SHAPE)
    real = blocks.one_block

    def meanwhile(*arguments: Any, **options: Any) -> NDArray[Any]:
        (out / "thesis.tex").write_text("years")
        return real(*arguments, **options)

    monkeypatch.setattr(blocks, "one_block", meanwhile)
    with pytest.raises(UsageError, match=r"holds thesis\.tex.*--resume"):
        samples.run("dense", out, shape=SHAPE, overwrite=True)
    assert (out / "thesis.tex").read_text() == "years"
    (out / "thesis.tex").unlink()
    monkeypatch.setattr(blocks, "one_block", None)  # what is done is not made again
    samples.run("dense", out, shape=SHAPE, overwrite=True, resume=True)
    assert "dense" in str(zarr.open_group(str(out), mode="r").attrs.asdict())
    assert os.listdir(tmp_path) == ["image.zarr"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_no_link_leads_into_an_array(tmp_path: Path, overwrite: bool) -> None:
    samples.run("sparse", tmp_path / "image.zarr", shape=SHAPE)
    array = tmp_path / "image.zarr" / "0"
    for name, target in (
        ("whole", array),
        ("chunks", array / "c"),
        ("dangling", array / "new.zarr"),
        ("loop", tmp_path / "loop"),
    ):
        (tmp_path / name).symlink_to(target)
    before = sorted(tmp_path.rglob("*"))
    for out in ("whole", "chunks", "dangling", "loop", "whole/new.zarr", "chunks/new.zarr"):
        with pytest.raises(UsageError):
            samples.run("sparse", tmp_path / out, shape=SHAPE, overwrite=overwrite)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_link_stays_and_its_target_is_written(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "far" / "image.zarr")
    with pytest.raises(UsageError, match=r"/far does not exist"):
        samples.run("sparse", tmp_path / "link", shape=SHAPE)
    (tmp_path / "far").mkdir()
    for overwrite in (False, True):
        samples.run("sparse", tmp_path / "link", shape=SHAPE, overwrite=overwrite)
        assert (tmp_path / "link").is_symlink()
        assert sorted(os.listdir(tmp_path)) == ["far", "link"]
        assert os.listdir(tmp_path / "far") == ["image.zarr"]


def test_a_failure_leaves_no_folders_that_were_made_for_it(tmp_path: Path) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("enormous.create.writing.downsample", fails)
        with pytest.raises(DataError, match="no space left"):
            samples.run("sparse", tmp_path / "a/b/c.zarr", shape=SHAPE, chunks=16)
    assert not os.listdir(tmp_path)


def test_too_little_memory_is_told_with_the_way_out(tmp_path: Path) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise MemoryError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("enormous.samples.blocks.one_block", fails)
        with pytest.raises(DataError, match="fewer workers"):
            samples.run("sparse", tmp_path / "c.zarr", shape=SHAPE)
    assert not os.listdir(tmp_path)


def test_what_certainly_does_not_fit_is_not_started(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not enough space: at least"):
        samples.run("heart", tmp_path / "x.zarr", shape=(50_000,) * 3)
    # what is not compressed takes all of its bytes
    free = shutil.disk_usage(tmp_path).free
    edge = round((free / 2) ** (1 / 3)) + 100
    options: dict[str, Any] = {"shape": (edge,) * 3, "levels": 1, "codec": "none"}
    with pytest.raises(DataError, match="not enough space"):
        samples.run("dense", tmp_path / "x.zarr", **options)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("transposed", [False, True])
def test_the_published_scan_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, transposed: bool
) -> None:
    data = np.random.default_rng(0).integers(0, 9000, SHAPE).astype("uint16")
    stored = data.T if transposed else data
    zarr.create_array(tmp_path / "original", data=stored, chunks=(16, 16, 16), zarr_format=2)
    heart = replace(catalogue.describe("heart"), full_shape=SHAPE)
    monkeypatch.setitem(catalogue._SAMPLES, "heart", heart)
    monkeypatch.setitem(catalogue.SIZES, "full", max(SHAPE))
    monkeypatch.setattr("enormous.samples.real.fetch", lambda name, **_: tmp_path / "original")
    samples.run("heart", tmp_path / "copy", size="full", source="real", chunks=16)
    np.testing.assert_array_equal(zarr.open_group(str(tmp_path / "copy"))["0"], data)
    with pytest.raises(UsageError, match="one shape"):
        samples.plan("heart", tmp_path / "x", size="tiny", source="real")


@pytest.mark.parametrize("name", samples.NAMES)
def test_blocks_are_cut_from_the_whole(name: str) -> None:
    whole = samples.generate(name, "tiny", workers=2)
    assert whole.shape == samples.shape_of(name, "tiny")
    block = samples.generate(name, "tiny", origin=(5, 7, 11), block=(20, 13, 9))
    np.testing.assert_array_equal(block, whole[5:25, 7:20, 11:20])
    for origin, size in (((60, 0, 0), (5, 1, 1)), ((0, 0, 0), (0, 1, 1)), ((-1, 0, 0), (1, 1, 1))):
        with pytest.raises(UsageError, match="not inside"):
            samples.generate(name, "tiny", origin=origin, block=size)


@pytest.mark.parametrize("wrong", [(2.7, 9, 9), ("9", 9, 9), 9])
def test_what_is_no_whole_number_is_refused(tmp_path: Path, wrong: Any) -> None:
    for arguments in ({"shape": wrong}, {"origin": wrong}, {"block": wrong}):
        with pytest.raises(UsageError, match="whole numbers"):
            samples.generate("heart", "tiny", **arguments)
    with pytest.raises(UsageError, match="whole numbers"):
        samples.plan("heart", tmp_path / "x", shape=wrong)
    block = samples.generate("sparse", shape=np.array([9, 9, 9]), block=(np.int64(2), 3, 4))
    assert block.shape == (2, 3, 4)


def test_masks_tell_what_the_image_shows() -> None:
    sparse = samples.generate("sparse", "tiny")
    np.testing.assert_array_equal(samples.mask("sparse", "foreground", "tiny"), sparse > 0)
    inside = samples.mask("heart", "fov", "tiny")
    heart = samples.generate("heart", "tiny", noise=False)
    assert len(np.unique(heart[~inside])) == 1  # the corners are constant
    assert len(np.unique(heart[inside])) > 1000
    with pytest.raises(UsageError):
        samples.mask("sparse", "vessels", "tiny")
    with pytest.raises(UsageError, match="no option 'noise'"):
        samples.generate("dense", "tiny", noise=False)


def test_every_size_shows_the_same_field_of_view() -> None:
    for name in samples.NAMES:
        view = samples.describe(name).field_of_view
        for size, longest in samples.SIZES.items():
            shape = samples.shape_of(name, size)
            assert max(shape) == longest
            voxel = samples.voxel_size(name, shape)
            assert [n * v for n, v in zip(shape, voxel, strict=True)] == pytest.approx(view)
            assert max(voxel) / min(voxel) < 1.05
    assert samples.voxel_size("heart", (806, 629, 629)) == pytest.approx((200.64,) * 3)


_MEASURED = """
import json, resource, sys
import enormous
from enormous import samples
name, out, limited, options = *sys.argv[1:3], sys.argv[3] == "limited", json.loads(sys.argv[4])
samples.generate(name, "tiny")  # compile, or load what is compiled
plan = samples.plan(name, out, **options)
said = plan.peak_bytes(options["workers"])
with open("/proc/self/clear_refs", "w") as refs:
    refs.write("5")  # forget the peak so far: compiling may have taken more than writing will
if limited:
    resource.setrlimit(resource.RLIMIT_DATA, (said, said))
enormous.run(plan, workers=options["workers"])
with open("/proc/self/status") as status:
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
print(said, peak * 1024, plan.writes)
"""


def measured(name: str, out: Path, limited: bool, **options: Any) -> tuple[int, int, int]:
    """Peak memory that the plan says and that the run took, and bytes written; in a process."""
    arguments = (name, str(out), "limited" if limited else "free", json.dumps(options))
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said, peak, written = map(int, done.stdout.split())
    return said, peak, written


linux_only = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="peaks are read, and limits bind, on Linux only"
)


@linux_only
@pytest.mark.slow
def test_a_sample_larger_than_memory_is_written_within_what_the_plan_says(tmp_path: Path) -> None:
    out = tmp_path / "large.zarr"
    said, peak, written = measured(
        "sparse", out, True, shape=(1280, 512, 512), codec="none", shards=256, chunks=64, workers=2
    )
    assert written > 1.2 * said
    assert peak < said
    first = zarr.open_group(str(out), mode="r")["0"]
    expected = samples.generate(
        "sparse", shape=first.shape, origin=(512, 0, 0), block=(1, 512, 512)
    )
    np.testing.assert_array_equal(first[512:513], expected)


@linux_only
@pytest.mark.slow
@pytest.mark.parametrize("name", ["heart", "dense"])
@pytest.mark.parametrize("more", [{"workers": 2}, {"workers": 8, "zarr_format": 2}], ids=str)
def test_the_memory_a_plan_says_is_enough_and_not_far_from_the_truth(
    tmp_path: Path, name: str, more: dict[str, Any]
) -> None:
    said, peak, _ = measured(name, tmp_path / "x.zarr", False, shape=(400, 312, 312), **more)
    assert peak < said < 4 * peak

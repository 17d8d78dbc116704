"""A conversion that is killed, or meets a broken slice, goes on to the same bytes."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from enormous.create import convert, pyramid, stages
from enormous.engine import finish, run
from enormous.errors import DataError

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs signals")

OPTIONS: dict[str, Any] = {"voxel_size": 1, "chunks": 8, "shards": 16}


def digest(folder: Path) -> dict[str, str]:
    """Every file below a folder and what is in it; times of making left out."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = re.sub(rb'"created": ?"[^"]*"', b"", path.read_bytes())
            found[os.path.relpath(path, folder)] = hashlib.sha256(data).hexdigest()
    return found


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """Ninety-six slices with more than one block of 16 in them."""
    folder = tmp_path / "slices"
    folder.mkdir()
    random = np.random.default_rng(0)
    for z in range(96):
        plane = random.integers(0, 60000, (50, 40), np.uint16)
        tifffile.imwrite(folder / f"s{z:03}.tif", plane, compression="zlib")
    return folder


_CHILD = """
import json, sys, time
from enormous.create import convert, stages, writing
stages.BLOCK_BYTES = 1
stack, out, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
make = stages.band_block
def slow(work, number):
    make(work, number)
    time.sleep(0.05)
slow.__module__, slow.__qualname__ = make.__module__, make.__qualname__
writing.band_block = stages.band_block = slow
convert.run(stack, out, **options)
"""


@pytest.mark.parametrize("blocks", [1, 3, 6])
def test_a_killed_conversion_is_resumed_to_the_same_bytes(
    tmp_path: Path, stack: Path, monkeypatch: pytest.MonkeyPatch, blocks: int
) -> None:
    monkeypatch.setattr(stages, "BLOCK_BYTES", 1)
    more = {**OPTIONS, "window": (1000, 50000), "dtype": "uint8", "mask_fov": True}
    whole, out = tmp_path / "whole", tmp_path / "o.zarr"
    convert.run(stack, whole, **more)
    child = subprocess.Popen([sys.executable, "-c", _CHILD, str(stack), str(out), json.dumps(more)])
    deadline = time.monotonic() + 120
    records = list(tmp_path.glob(".o.zarr.partial-*/.records"))
    while time.monotonic() < deadline and child.poll() is None:
        records = list(tmp_path.glob(".o.zarr.partial-*/.records/*.json"))
        if len(records) >= blocks:
            break
        time.sleep(0.005)
    child.kill()
    child.wait()
    assert blocks <= len(records) < 6 + 1
    assert not out.exists()
    done = run(convert.plan(stack, out, **more), resume=True)
    assert done.resumed >= blocks - 2  # two at a time are in the making
    assert digest(out) == digest(whole)
    assert sorted(os.listdir(tmp_path)) == ["o.zarr", "slices", "whole"]


def test_a_slice_that_breaks_in_mid_run_can_be_mended(
    tmp_path: Path, stack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "BLOCK_BYTES", 1)
    convert.run(stack, tmp_path / "whole", **OPTIONS)
    bad, out = stack / "s070.tif", tmp_path / "o.zarr"
    good = bad.read_bytes()
    with tifffile.TiffFile(bad) as tif:
        start, count = tif.pages[0].dataoffsets[0], tif.pages[0].databytecounts[0]
    # the header is whole and every byte is there: only decoding tells
    bad.write_bytes(good[:start] + b"\xff" * count + good[start + count :])
    with pytest.raises(DataError, match=r"s070\.tif.*--resume") as told:
        convert.run(stack, out, workers=1, **OPTIONS)
    assert "\n" not in str(told.value)
    assert not out.exists()
    time.sleep(0.01)
    bad.write_bytes(good)
    made = run(convert.plan(stack, out, workers=1, **OPTIONS), workers=1, resume=True)
    assert made.resumed == 4
    assert digest(out) == digest(tmp_path / "whole")


class Meddler:
    """Told of progress, it changes a file once a block is done."""

    def __init__(self, change: Any, after: int = 1) -> None:
        self.change, self.left = change, after

    def begin(self, title: str, total: int, done: int) -> None: ...

    def advance(self, nbytes: int) -> None:
        self.left -= 1
        if not self.left:
            self.change()

    def end(self) -> None: ...


class Enough(Exception):
    """What ends a run in these tests."""


def enough() -> None:
    raise Enough


def rewrite(path: Path) -> None:
    """As a copy over it does: same size, another time."""
    time.sleep(0.01)
    path.write_bytes(bytes(reversed(path.read_bytes())))


def one_file(folder: Path, kind: str) -> tuple[Path, Path, dict[str, Any]]:
    """What to convert, the file of it that will change, and how to convert it."""
    voxels = np.random.default_rng(0).integers(0, 60000, (96, 50, 40), np.uint16)
    options: dict[str, Any] = {**OPTIONS, "workers": 1}
    path = folder / f"scan.{kind}"
    if kind == "raw":
        voxels.tofile(path)
        options |= {"shape": voxels.shape, "source_dtype": "uint16"}
    elif kind == "npy":
        np.save(path, voxels)
    elif kind in ("tif", "zlib.tif"):
        tifffile.imwrite(path, voxels, compression="zlib" if kind == "zlib.tif" else None)
    elif kind == "h5":
        import h5py

        with h5py.File(path, "w") as file:
            file.create_dataset("data", data=voxels, chunks=(16, 50, 40))
    else:
        import zarr

        zarr.create_array(str(path), data=voxels, chunks=(16, 50, 40))
        return path, path / "zarr.json", options
    return path, path, options


KINDS = ["raw", "npy", "tif", "zlib.tif", "h5", "zarr"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_input_that_changes_in_mid_run_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(stages, "BLOCK_BYTES", 1)
    path, file, options = one_file(tmp_path, kind)
    plan = convert.plan(path, tmp_path / "o.zarr", **options)

    def change() -> None:
        os.utime(file, ns=(1, 1)) if kind in ("h5", "zarr", "zlib.tif") else rewrite(file)

    with pytest.raises(DataError, match=rf"{file} has changed since") as told:
        run(plan, workers=1, progress=Meddler(change))
    assert "\n" not in str(told.value)
    assert not (tmp_path / "o.zarr").exists()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("call", [{"resume": True}, {"stage": 1, "share": (2, 2)}], ids=str)
def test_an_input_that_changed_before_a_run_goes_on_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, call: dict[str, Any]
) -> None:
    monkeypatch.setattr(stages, "BLOCK_BYTES", 1)
    path, file, options = one_file(tmp_path, kind)
    plan = convert.plan(path, tmp_path / "o.zarr", **options)
    if "stage" in call:
        run(plan, stage=1, share=(1, 2), workers=1)
    else:
        with pytest.raises(Enough):
            run(plan, workers=1, progress=Meddler(enough, 2))
    before = file.stat()
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 10**9))
    with pytest.raises(DataError, match=rf"{file} has changed since blocks were made of it"):
        run(convert.plan(path, tmp_path / "o.zarr", **options), workers=1, **call)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))  # and it was the same after all
    run(convert.plan(path, tmp_path / "o.zarr", **options), workers=1, **call)


def test_a_slice_is_another_only_for_the_blocks_that_read_it(
    tmp_path: Path, stack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "BLOCK_BYTES", 1)
    out = tmp_path / "o.zarr"

    def plan() -> Any:
        return convert.plan(stack, out, workers=1, **OPTIONS)

    with pytest.raises(Enough):  # one block of sixteen slices is done
        run(plan(), workers=1, progress=Meddler(enough))
    deep = plan().stages[0].blocks.tile[0]
    os.utime(stack / f"s{deep - 1:03}.tif", ns=(1, 1))
    with pytest.raises(DataError, match=rf"s{deep - 1:03}\.tif has changed since blocks"):
        run(plan(), workers=1, resume=True)
    run(plan(), workers=1)  # anew
    out.rename(tmp_path / "whole")
    with pytest.raises(Enough):
        run(plan(), workers=1, progress=Meddler(enough))
    os.utime(stack / f"s{deep:03}.tif", ns=(7, 7))  # mended: known by this time from now on
    with pytest.raises(Enough):
        run(plan(), workers=1, resume=True, progress=Meddler(enough))
    os.utime(stack / f"s{deep:03}.tif", ns=(9, 9))
    with pytest.raises(DataError, match=rf"s{deep:03}\.tif has changed since blocks"):
        run(plan(), workers=1, resume=True)
    os.utime(stack / f"s{deep:03}.tif", ns=(7, 7))
    run(plan(), workers=1, resume=True)
    assert digest(out) == digest(tmp_path / "whole")


def test_headers_are_checked_before_anything_is_written(tmp_path: Path, stack: Path) -> None:
    (stack / "s040.tif").unlink()
    with pytest.raises(DataError, match=r"0*40"):
        convert.plan(stack, tmp_path / "o.zarr", **OPTIONS)
    assert os.listdir(tmp_path) == ["slices"]


_FEW_FILES = """
import resource, sys
from enormous.cli import main
hard = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
main(["convert", sys.argv[1], sys.argv[1] + ".zarr", "--voxel-size", "1", "--chunks", "2",
      "--shards", "4", "--levels", "2", "--workers", "2"])
"""


def test_wide_slices_need_more_open_files_than_shells_allow(tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).integers(0, 99, (4, 70, 70), np.uint8)
    np.save(tmp_path / "a.npy", voxels)
    call = [sys.executable, "-c", _FEW_FILES, str(tmp_path / "a.npy")]
    refused = subprocess.run([*call, "300"], capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "ulimit -Hn" in refused.stderr
    assert os.listdir(tmp_path) == ["a.npy"]
    done = subprocess.run([*call, "4096"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    import zarr

    stored = zarr.open_array(str(tmp_path / "a.npy.zarr/0"), mode="r")
    np.testing.assert_array_equal(stored, voxels)


class PowerCut(Exception):
    """What a test raises where a machine could stop."""


def cut_at(patch: pytest.MonkeyPatch, step: int) -> None:
    """Let the power fail before one of the steps that publishing takes."""
    steps = iter(range(10**6))

    def before(function: Any) -> Any:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if next(steps) == step:
                raise PowerCut
            return function(*args, **kwargs)

        return wrapped

    patch.setattr(Path, "rename", before(Path.rename))
    from enormous.create import image_files

    patch.setattr(image_files, "write_object", before(image_files.write_object))


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("through", ["resume", "finish", "the same call"])
def test_new_levels_move_in_whatever_happens(
    tmp_path: Path, stack: Path, zarr_format: int, through: str
) -> None:
    import zarr

    from enormous.ome.validate import validate

    options = {"voxel_size": 1, "chunks": 8, "shards": "none", "zarr_format": zarr_format}
    convert.run(stack, tmp_path / "whole", method="max", levels=3, **options)
    expected = [zarr.open_array(str(tmp_path / "whole" / str(d)), mode="r")[...] for d in range(3)]
    step = 0
    while True:
        image = tmp_path / f"image{step}"
        convert.run(stack, image, levels=5, **options)
        zarr.consolidate_metadata(str(image))
        failed = False
        with pytest.MonkeyPatch.context() as patch:
            cut_at(patch, step)
            try:
                pyramid.run(image, method="max", levels=3, overwrite=True)
            except PowerCut:
                failed = True
        if not failed:
            break
        # at every moment there is an image, and all that it lists is there and right
        assert not [f for f in validate(image).faults if f.severity == "error"]
        if through == "finish":
            finish(image)
        elif through == "the same call":  # what was half in its place is completed, not dropped
            pyramid.run(image, method="max", levels=3, overwrite=True)
        else:
            run(pyramid.plan(image, method="max", levels=3, overwrite=True), resume=True)
        _check(image, expected)
        step += 1
    assert step > 6  # list level 0, move old ones out, new ones in, list all
    _check(image, expected)


def _check(image: Path, expected: list[Any]) -> None:
    import zarr

    group = zarr.open_group(str(image), mode="r")  # by its consolidated metadata
    names = [name for name in os.listdir(image) if name.isdigit()]
    assert sorted(names) == ["0", "1", "2"]
    for number, voxels in enumerate(expected):
        np.testing.assert_array_equal(group[str(number)], voxels)
    assert not [n for n in os.listdir(image.parent) if n.startswith(f".{image.name}.")]

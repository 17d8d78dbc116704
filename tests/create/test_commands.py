"""``enormous convert`` and ``enormous pyramid``: what they print, and their exit codes."""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

import enormous.engine.run  # noqa: F401 (patched)
from enormous.cli import main


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(0, 1, (40, 30, 20)).astype("f4"))
    return tmp_path / "a.npy"


def call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    assert isinstance(left.value.code, int)
    return left.value.code


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_convert_says_what_it_made(
    tmp_path: Path, scan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--chunks", 8, "--window", "-1,1", "--dtype", "uint8", "--mask-fov"]
    assert call("convert", scan, tmp_path / "o", *options) == 0
    shown = capsys.readouterr()
    assert "warning: " in shown.err
    assert "how large a voxel is" in shown.err
    lines = shown.out.splitlines()
    assert lines[0].startswith(f"{tmp_path / 'o'}: 40×30×20 uint8, 4 levels by mean")
    assert lines[1].startswith("window: ")
    assert lines[2].startswith("mask: ")
    assert len(lines) == 3
    size = ["--voxel-size", "2,1,1", "--unit", "nm"]
    assert call("convert", scan, tmp_path / "p", *options, *size, "--json") == 0
    shown = capsys.readouterr()
    assert not shown.err
    found = json.loads(shown.out)
    assert found["clipped"]["below"] > 0
    assert found["masked"]["voxels"] > 0
    assert found["levels"][1]["voxel_size"] == [2, 2, 2]
    assert found["unit"] == "nanometer"
    assert sum(level["stored_objects"] for level in found["levels"]) > 4
    assert call("convert", scan, tmp_path / "q", *size, "--quiet") == 0
    assert capsys.readouterr() == ("", "")


def test_pixels_without_a_distance_of_planes_are_told_as_that(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    for n in range(3):
        tifffile.imwrite(
            tmp_path / "in" / f"s{n}.tif",
            np.ones((8, 8), "u2"),
            resolution=(1e4 / 359, 1e4 / 359),
            resolutionunit="CENTIMETER",
        )
    assert call("convert", tmp_path / "in", tmp_path / "o") == 0
    line = (
        f"warning: {tmp_path}/in: the distance of planes is not given (y 359, x 359 micrometer "
        "are): scale 1 without a unit is written; give --voxel-size Z,Y,X if you know\n"
    )
    assert capsys.readouterr().err == line


def test_a_dry_run_writes_nothing(
    tmp_path: Path, scan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("convert", scan, tmp_path / "o", "--voxel-size", 1, "--dry-run") == 0
    assert "nothing is written" in capsys.readouterr().out
    assert call("convert", scan, tmp_path / "o", "--voxel-size", 1, "--dry-run", "--json") == 0
    found = told(capsys)
    assert found["dry_run"] is True
    assert found["reads"] == 40 * 30 * 20 * 4
    assert found["peak_memory_bytes"] > 0
    assert os.listdir(tmp_path) == ["a.npy"]


def test_shares_are_finished(
    tmp_path: Path, scan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--voxel-size", 1, "--chunks", 8, "--shards", "none"]
    assert call("convert", scan, tmp_path / "o", *options, "--stage", 1, "--share", "1/1") == 0
    assert not (tmp_path / "o").exists()
    assert call("finish", tmp_path / "o") == 0
    assert call("convert", scan, tmp_path / "p", *options) == 0
    one, other = (zarr.open_group(str(tmp_path / name), mode="r") for name in "op")
    for level in ("0", "1", "2"):
        np.testing.assert_array_equal(one[level], other[level])


def test_a_wrong_call_is_one_line_and_code_2(
    tmp_path: Path, scan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[list[object]] = [
        ["convert", tmp_path / "nothing", tmp_path / "o"],
        ["convert", scan, tmp_path / "o", "--window", "1"],
        ["convert", scan, tmp_path / "o", "--window", "a,b", "--dtype", "uint8"],
        ["convert", scan, tmp_path / "o", "--voxel-size", "large"],
        ["convert", scan, tmp_path / "o", "--factors", "2,2"],
        ["convert", scan, scan],
        ["pyramid", tmp_path / "nothing"],
    ]
    for arguments in calls:
        assert call(*arguments) == 2
        shown = capsys.readouterr()
        assert not shown.out
        assert shown.err.startswith("error: ")
        assert shown.err.count("\n") == 1
    assert os.listdir(tmp_path) == ["a.npy"]


def test_pyramid_says_what_it_made(
    tmp_path: Path, scan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "o"
    assert call("convert", scan, out, "--voxel-size", 1, "--chunks", 8, "--levels", 1) == 0
    capsys.readouterr()
    assert call("pyramid", out, "--dry-run", "--json") == 0
    assert len(told(capsys)["levels"]) == 4
    assert call("pyramid", out, "--method", "max", "--levels", 3) == 0
    assert "3 levels by max" in capsys.readouterr().out
    assert call("pyramid", out) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert call("pyramid", out, "--overwrite", "--json", "--factors", "1,2,2") == 0
    assert told(capsys)["levels"][1]["shape"] == [40, 15, 10]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--share", "1/2"], "a share is one of a stage"),
        (["--stage", 99], "there is no stage 99"),
        (["--stage", 1, "--share", "3/2"], "there is no share 3/2"),
        (["--stage", 1, "--share", "half"], "is not a share"),
        (["--scheduler", "banana"], "unknown scheduler 'banana'"),
        (["--workers", 0], "worker"),
    ],
)
def test_a_dry_run_refuses_what_the_run_refuses(
    tmp_path: Path, scan: Path, capsys: pytest.CaptureFixture[str], options: list[Any], said: str
) -> None:
    for more in ([], ["--dry-run"], ["--dry-run", "--json"]):
        assert call("convert", scan, tmp_path / "o", "--voxel-size", 1, *options, *more) == 2
        shown = capsys.readouterr()
        assert (shown.out, shown.err.count("\n")) == ("", 1)
        assert said in shown.err


def test_a_wrong_share_is_told_before_any_warning(
    tmp_path: Path, scan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("convert", scan, tmp_path / "o", "--share", "1/2") == 2  # and no voxel size
    assert capsys.readouterr().err.startswith("error: a share is one of a stage")


def test_quiet_leaves_the_json_that_was_asked_for(
    tmp_path: Path, scan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("convert", scan, tmp_path / "o", "--quiet", "--json") == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["levels"][0]["stored_objects"] > 0
    assert shown.err == ""  # though the voxel size is not known
    assert call("pyramid", tmp_path / "o", "--overwrite", "--quiet", "--json") == 0
    assert told(capsys)["operation"] == "pyramid"


def test_resume_says_where_there_is_nothing_to_resume(
    tmp_path: Path, scan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size = ["--voxel-size", 1]
    assert call("convert", scan, tmp_path / "o", *size, "--resume") == 0
    line = f"warning: {tmp_path / 'o'}: nothing to resume; all blocks are made anew\n"
    assert capsys.readouterr().err == line
    begun = [*size, "--chunks", 8, "--shards", "none"]
    assert call("convert", scan, tmp_path / "p", *begun, "--stage", 1, "--share", "1/2") == 0
    assert call("convert", scan, tmp_path / "p", *begun, "--resume") == 0
    assert "nothing to resume" not in capsys.readouterr().err
    assert call("convert", scan, tmp_path / "q", *size, "--resume", "--quiet") == 0
    assert capsys.readouterr().err == ""


def test_nothing_stored_has_no_ratio(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "void.npy", np.zeros((8, 8, 8), "u2"))
    assert call("convert", tmp_path / "void.npy", tmp_path / "o", "--voxel-size", 1) == 0
    assert "0 bytes in 0 objects (ratio -)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--window", "5,1", "--dtype", "uint8"], "the lower one first"),
        (["--window", "1,5"], "needs --dtype"),
        (["--axes", "qqq"], "axes 'qqq': give y, x"),
        (["--source-order", "middle"], "byte order 'middle' is not known"),
        (["--shape", "139,120,-119", "--source-dtype", "uint16"], "positive numbers of voxels"),
        (["--method", "best"], "unknown method 'best'"),
        (["--codec", "zip"], "zip"),
    ],
)
def test_what_is_wrong_in_any_place_is_told_before_that_the_place_is_taken(
    tmp_path: Path, scan: Path, capsys: pytest.CaptureFixture[str], options: list[Any], said: str
) -> None:
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / "thesis.tex").write_text("mine")
    assert call("convert", scan, tmp_path / "o", *options) == 2
    told_ = capsys.readouterr().err
    assert said in told_
    assert "exists" not in told_


def test_what_the_engine_warns_of_is_one_line_and_quiet_is_quiet(
    tmp_path: Path,
    scan: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def tells(*_: Any) -> None:
        warnings.warn("OUT is on\na full disk", stacklevel=2)

    monkeypatch.setattr(sys.modules["enormous.engine.run"], "check_space", tells)
    size = ["--voxel-size", 1]
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert call("convert", scan, tmp_path / "o", *size) == 0
        assert capsys.readouterr().err == "warning: OUT is on a full disk\n"
        assert call("convert", scan, tmp_path / "p", *size, "--quiet") == 0
    assert capsys.readouterr().err == ""

"""``enormous validate``: one line for each fault, JSON, exit codes 0, 1 and 2."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from counting_server import serving

from enormous import samples

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    samples.run("heart", tmp_path / "a.zarr", shape=(20, 18, 16), chunks=8, levels=2)
    return tmp_path / "a.zarr"


def displace(scan: Path) -> None:
    """Set the translation of level 1 to zero, and forget all units."""
    text = (scan / "zarr.json").read_text()
    metadata = json.loads(text)
    (entry,) = metadata["attributes"]["ome"]["multiscales"]
    entry["datasets"][1]["coordinateTransformations"][1]["translation"] = [0, 0, 0]
    for axis in entry["axes"]:
        del axis["unit"]
    (scan / "zarr.json").write_text(json.dumps(metadata))


def test_a_valid_image_in_one_line(run: Run, scan: Path) -> None:
    code, stdout, stderr = run("validate", scan)
    assert (code, stderr) == (0, "")
    assert stdout.startswith(f"{scan}: OME-Zarr 0.5 image: no faults in 1 image, 2 levels")
    assert stdout.count("\n") == 1
    assert run("validate", scan, "--quiet") == (0, "", "")


def test_each_fault_in_one_line_with_its_path(run: Run, scan: Path) -> None:
    displace(scan)
    (scan / "0/zarr.json").write_text("{")
    code, stdout, stderr = run("validate", scan)
    assert (code, stderr) == (1, "")
    *faults, summary = stdout.splitlines()
    assert [line.split(": ")[:2] for line in faults] == [["warning", "."], ["error", "0"]]
    assert faults[1].endswith("[zarr]")
    assert "1 error, 1 warning" in summary


def test_warnings_leave_the_exit_code_at_zero_and_quiet_leaves_them_out(
    run: Run, scan: Path
) -> None:
    displace(scan)
    code, stdout, _ = run("validate", scan, "--quiet")
    assert code == 1
    (line,) = stdout.splitlines()
    assert "along z, -0.5 along y, -0.5 along x" in line
    assert line.endswith("[translation]")
    text = (scan / "zarr.json").read_text().replace("[0, 0, 0]", "[NaN, 0, 0]")
    (scan / "zarr.json").write_text(text)
    assert "[transformations]" in run("validate", scan)[1]


def test_json_is_the_whole_of_stdout(run: Run, scan: Path) -> None:
    displace(scan)
    code, stdout, stderr = run("validate", scan, "--json")
    report = json.loads(stdout)
    assert (code, stderr, report["valid"], report["version"]) == (1, "", False, "0.5")
    assert [fault["rule"] for fault in report["faults"]] == ["units", "translation"]
    assert set(report["faults"][0]) == {"severity", "path", "rule", "message"}
    assert report["checked"]["levels"] == 2


def test_a_damaged_root_is_a_fault_with_its_path(run: Run, scan: Path) -> None:
    for content, said in ((b"{", "is not JSON"), (b"{}", "has node_type None"), (b"\xff", "JSON")):
        (scan / "zarr.json").write_bytes(content)
        code, stdout, stderr = run("validate", scan)
        assert (code, stderr) == (1, "")
        first, last = stdout.splitlines()
        assert first.startswith("error: .: zarr.json ")
        assert first.endswith(" [zarr]")
        assert said in first
        assert last == f"{scan}: unknown: 1 error, 0 warnings"
        code, stdout, stderr = run("validate", scan, "--json")
        report = json.loads(stdout)
        assert (code, stderr, report["valid"], report["kind"]) == (1, "", False, "unknown")
        assert [(f["path"], f["rule"]) for f in report["faults"]] == [("", "zarr")]


def test_what_a_server_cannot_tell_is_said(run: Run, scan: Path) -> None:
    with serving(scan.parent) as served:
        code, stdout, _ = run("validate", f"{served.url}/a.zarr")
        assert code == 0
        assert "note: a plain server cannot be listed: no chunks were counted" in stdout
        assert run("validate", f"{served.url}/b.zarr")[0] == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["validate"], 2, "Missing argument"),
        (["validate", "missing"], 2, "does not exist"),
        (["validate", "ftp://x/y.zarr"], 2, "unknown scheme"),
        (["validate", "."], 1, "is not Zarr"),
        (["validate", "a.zarr/0/c"], 1, "is not Zarr"),
        (["validate", "a.zarr/0/zarr.json"], 2, "is a file"),
    ],
)
def test_wrong_calls_are_one_line(
    run: Run,
    scan: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    said: str,
) -> None:
    monkeypatch.chdir(scan.parent)
    got, stdout, stderr = run(*arguments)
    assert (got, stdout, stderr.count("\n")) == (code, "", 1)
    assert said in stderr


def test_the_program_itself_ends_with_those_codes(scan: Path) -> None:
    command = [sys.executable, "-m", "enormous", "validate", str(scan)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    displace(scan)
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1

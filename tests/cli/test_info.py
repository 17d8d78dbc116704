"""``enormous info`` of plates, collections and served images; the rest is in test_cli.py."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import zarr
from counting_server import serving

from enormous.cli import main

ENTRY = {
    "axes": [{"name": name, "type": "space", "unit": "nanometer"} for name in "yx"],
    "datasets": [
        {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [2.0, 2.0]}]}
    ],
}


def info(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.raises(SystemExit) as left:
        main(["info", *map(str, arguments)])
    assert left.value.code == 0
    return capsys.readouterr().out


def write_image(group: zarr.Group, path: str) -> None:
    image = group.create_group(path, attributes={"ome": {"version": "0.5", "multiscales": [ENTRY]}})
    image.create_array("0", shape=(8, 8), chunks=(4, 4), dtype="uint8")[:4] = 1


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    wells = [{"path": "A/1", "rowIndex": 0, "columnIndex": 0}]
    names = {"rows": [{"name": "A"}], "columns": [{"name": str(i)} for i in range(1, 13)]}
    attributes = {"ome": {"version": "0.5", "plate": {"name": "drugs", **names, "wells": wells}}}
    group = zarr.create_group(tmp_path / "p.zarr", attributes=attributes)
    images = [{"path": "0"}, {"path": "1"}]
    group.create_group("A/1", attributes={"ome": {"version": "0.5", "well": {"images": images}}})
    for field in "01":
        write_image(group, f"A/1/{field}")
    return tmp_path / "p.zarr"


def test_a_plate_tells_its_size_and_its_first_field(
    capsys: pytest.CaptureFixture[str], plate: Path
) -> None:
    stdout = info(capsys, plate)
    assert "'drugs': 1 row × 12 columns, 1 well, 2 fields of view" in stdout
    assert stdout.count("first field A/1/0") == 1
    assert re.search(r"\b2 of 4\b", stdout)  # half of the chunks hold nothing
    told = json.loads(info(capsys, plate, "--json"))
    assert told["plate"] == {"name": "drugs", "rows": 1, "columns": 12, "wells": 1, "fields": 2}
    (level,) = told["members"]["A/1/0"][  # one image, one level
        "levels"
    ]
    assert (level["objects"], level["objects_at_most"]) == (2, 4)


def test_what_a_server_cannot_list_is_said(capsys: pytest.CaptureFixture[str], plate: Path) -> None:
    with serving(plate.parent) as served:
        stdout = info(capsys, f"{served.url}/p.zarr")
        assert "fields not counted over HTTP" in stdout
        assert "objects and bytes are not known" in stdout
        assert "not known" in info(capsys, f"{served.url}/p.zarr/A/1/0")


def test_a_collection_lists_its_images(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    layout = {"ome": {"version": "0.5", "bioformats2raw.layout": 3}}
    group = zarr.create_group(tmp_path / "c.zarr", attributes=layout)
    for name in "01":
        write_image(group, name)
    stdout = info(capsys, tmp_path / "c.zarr")
    assert "collection" in stdout.splitlines()[0]
    assert [line for line in stdout.splitlines() if line.startswith("image")] == [
        *("image 0", "image 1"),
    ]

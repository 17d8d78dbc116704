"""ome/validate.py: labels, plates, wells and collections, followed down to their arrays."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from counting_server import serving
from stores_of import (
    CHANNEL,
    MAKERS,
    VERSIONS,
    entry_of,
    errors,
    get_attributes,
    image,
    peers_accept,
    plate,
    set_attributes,
    steps,
    warned,
    write_array,
    write_group,
    write_image,
    write_label,
)

from enormous.ome.validate import validate

every_version = pytest.mark.parametrize("version", VERSIONS)


@every_version
def test_labels_lie_over_their_image(tmp_path: Path, version: str) -> None:
    folder = image(tmp_path / "a.zarr", version)
    cells = folder / "labels/cells"

    def wrong_size(entry: dict[str, Any]) -> None:
        for level, factor in ((0, 1), (1, 2)):
            steps(entry, level)[0]["scale"] = [2 * 64, factor, factor]

    attributes, entry = entry_of(cells)
    original = json.dumps(attributes)
    wrong_size(entry)
    set_attributes(cells, version, attributes)
    report = validate(folder)
    assert errors(report) == [("labels/cells", "image-label")]
    assert "covers 384 along z" in report.errors[0].message

    attributes = json.loads(original)
    attributes.get("ome", attributes)["multiscales"][0]["datasets"].pop()
    set_attributes(cells, version, attributes)
    assert "has 1 levels, its image 2" in validate(folder).errors[0].message

    set_attributes(cells, version, json.loads(original))
    for level, size in (("0", (3, 9, 8)), ("1", (3, 5, 4))):
        shutil.rmtree(cells / level)
        write_array(cells / level, version, "zyx", size, "float32")
    assert errors(validate(folder)) == [
        ("labels/cells/0", "image-label"),
        ("labels/cells/1", "image-label"),
    ]


@every_version
def test_label_lists_and_folders_agree(tmp_path: Path, version: str) -> None:
    folder = image(tmp_path / "a.zarr", version)
    write_label(folder / "labels/unlisted", version)
    assert warned(validate(folder)) == [("labels/unlisted", "labels")]
    write_group(folder / "labels", version, labels=["cells", "gone", "unlisted"])
    assert errors(validate(folder)) == [("labels/gone", "labels")]
    write_group(folder / "labels", version)
    assert ("labels", "labels") in errors(validate(folder))


@every_version
def test_labels_in_a_folder_that_is_no_group_are_told_of(tmp_path: Path, version: str) -> None:
    folder = image(tmp_path / "a.zarr", version)
    (folder / "labels" / ".cells.partial-12345678" / "0").mkdir(parents=True)
    assert validate(folder).faults == ()
    for name in ("zarr.json", ".zgroup", ".zattrs"):
        (folder / "labels" / name).unlink(missing_ok=True)
    archive = shutil.make_archive(str(tmp_path / "a"), "zip", folder)
    for place in (folder, archive):
        report = validate(place)
        assert warned(report) == [("labels", "labels")]
        assert report.ok
        assert report.warnings[0].message.startswith("is a folder, not a group that lists cells: ")
    with serving(tmp_path) as served:
        report = validate(f"{served.url}/a.zarr")
    assert report.faults == ()
    assert any("label images that no list names were not looked for" in n for n in report.notes)
    shutil.rmtree(folder / "labels" / "cells")
    assert validate(folder).faults == ()


@every_version
def test_the_source_of_a_label_is_an_image(tmp_path: Path, version: str) -> None:
    folder = image(tmp_path / "a.zarr", version)
    for source, found in (("../../", []), ("../..", []), ("..", [("", "image-label")])):
        write_label(folder / "labels/cells", version, source={"image": source})
        assert errors(validate(folder / "labels/cells")) == found
        inside = [("labels/cells", rule) for _, rule in found]
        assert errors(validate(folder)) == inside


def test_channels_are_as_many_as_are_described(tmp_path: Path) -> None:
    folder = write_image(tmp_path / "a.zarr", "0.5", omero={"channels": [CHANNEL]})
    assert warned(validate(folder)) == [("", "omero")]
    folder = write_image(tmp_path / "b.zarr", "0.5", "zyx", omero={"channels": [CHANNEL]})
    assert validate(folder).faults == ()


@every_version
def test_plates_are_followed_down_to_their_arrays(tmp_path: Path, version: str) -> None:
    folder = plate(tmp_path / "a.zarr", version)
    assert dict(validate(folder).checked)["wells"] == 2
    shutil.rmtree(folder / "B/2/0/1")
    assert errors(validate(folder)) == [("B/2/0/1", "array")]
    shutil.rmtree(folder / "B/2/0")
    assert errors(validate(folder)) == [("B/2/0", "well")]
    shutil.rmtree(folder / "B")
    report = validate(folder)
    assert (errors(report), warned(report)) == ([("B/2", "plate")], [("B", "plate")])
    write_group(folder / "A/1", version, well={"images": [{"path": "0", "acquisition": 3}]})
    assert ("A/1", "well") in errors(validate(folder))


def test_indices_of_a_well_name_its_row_and_column(tmp_path: Path) -> None:
    folder = plate(tmp_path / "a.zarr", "0.5")
    attributes = get_attributes(folder)
    attributes["ome"]["plate"]["wells"][1]["rowIndex"] = 0
    set_attributes(folder, "0.5", attributes)
    assert errors(validate(folder)) == [("", "plate")]
    assert peers_accept(folder)


@every_version
def test_collections_without_a_list_are_numbered(tmp_path: Path, version: str) -> None:
    folder = MAKERS["collection"](tmp_path / "a.zarr", version)
    shutil.rmtree(folder / "OME")
    (folder / "OME").mkdir()
    (folder / "OME/METADATA.ome.xml").write_text("<OME/>")
    report = validate(folder)
    assert (report.faults, report.checked["images"]) == ((), 2)
    assert any("METADATA.ome.xml" in note for note in report.notes)
    shutil.rmtree(folder / "1/0")
    assert errors(validate(folder)) == [("1/0", "array")]
    for name in "01":
        shutil.rmtree(folder / name)
    assert errors(validate(folder)) == [("", "collection")]

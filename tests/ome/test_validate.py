"""ome/validate.py: faults that arrays and files show, beyond what metadata alone can tell."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from counting_server import serving
from hypothesis import given, settings
from hypothesis import strategies as st
from stores_of import (
    MAKERS,
    VERSIONS,
    change,
    errors,
    multiscale,
    peers_accept,
    set_attributes,
    steps,
    warned,
    write_array,
    write_group,
    write_image,
)

from enormous import samples, stores
from enormous.errors import DataError, UsageError
from enormous.ome.metadata import VERSIONS as BY_FORMAT
from enormous.ome.metadata import axes_of, image_attributes
from enormous.ome.pyramid import layout, levels_of
from enormous.ome.validate import validate

every_version = pytest.mark.parametrize("version", VERSIONS)


@every_version
@pytest.mark.parametrize("kind", MAKERS)
def test_valid_stores_have_no_faults_wherever_they_lie(
    tmp_path: Path, kind: str, version: str
) -> None:
    folder = MAKERS[kind](tmp_path / "a.zarr", version)
    report = validate(folder)
    assert (report.faults, report.version) == ((), version)
    assert report.kind == kind
    shutil.make_archive(str(tmp_path / "a"), "zip", folder)
    zipped = validate(tmp_path / "a.zip")
    assert (zipped.faults, zipped.checked) == ((), report.checked)
    store, _ = stores.locate(f"memory://validate-{kind}-{version}").bytes(create=True)
    for file in folder.rglob("*"):
        if file.is_file():
            store.put(file.relative_to(folder).as_posix(), file.read_bytes())
    in_memory = validate(f"memory://validate-{kind}-{version}")
    assert (in_memory.faults, in_memory.checked) == ((), report.checked)
    stores.forget(f"memory://validate-{kind}-{version}")
    with serving(tmp_path) as served:
        far = validate(f"{served.url}/a.zarr")
    assert far.faults == ()
    assert {**far.checked, "objects": report.checked["objects"]} == report.checked
    assert any("cannot be listed" in note for note in far.notes)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("name", ["heart", "dense"])
def test_what_the_toolkit_writes_is_valid(tmp_path: Path, name: str, zarr_format: int) -> None:
    out = tmp_path / "a.zarr"
    samples.run(name, out, shape=(20, 37, 33), zarr_format=zarr_format, chunks=8, levels=3)
    assert validate(out).faults == ()


# -- translations ----------------------------------------------------------------------------


@every_version
def test_translations_of_zero_are_an_error_that_says_how_far(tmp_path: Path, version: str) -> None:
    folder = write_image(tmp_path / "a.zarr", version)
    report = change(folder, version, lambda entry: steps(entry, 1)[1].update(translation=[0] * 4))
    assert errors(report) == [("", "translation")]
    assert "-0.5 along y, -0.5 along x" in report.errors[0].message
    assert "[0, 0, 0.5, 0.5]" in report.errors[0].message
    assert peers_accept(folder)


@every_version
def test_absent_translations_are_allowed_with_a_warning(tmp_path: Path, version: str) -> None:
    folder = write_image(tmp_path / "a.zarr", version)

    def edit(entry: dict[str, Any]) -> None:
        for level in (0, 1):
            del steps(entry, level)[1]

    report = change(folder, version, edit)
    assert (errors(report), warned(report)) == ([], [("", "translation")])
    assert "-0.5 along y" in report.warnings[0].message
    # but where level 0 is placed, the others must be
    report = change(
        folder,
        version,
        lambda entry: steps(entry, 0).append({"type": "translation", "translation": [0, 0, 7, 0]}),
    )
    assert errors(report) == [("", "translation")]
    assert "-7.5 along y" in report.errors[0].message


@pytest.mark.parametrize(
    ("kind", "metadata"),
    [
        ("nearest", {}),
        ("subsampling", {}),
        ("custom", {"method": "striding"}),
        ("dask_image_nearest", {}),
    ],
)
@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_levels_that_pick_voxels_may_stay_at_zero(
    tmp_path: Path, kind: str, metadata: dict[str, str], shift: float
) -> None:
    folder = write_image(tmp_path / "a.zarr", "0.5")

    def edit(entry: dict[str, Any]) -> None:
        entry.update(type=kind, metadata=metadata)
        steps(entry, 1)[1]["translation"] = [0, 0, shift, shift]

    assert change(folder, "0.5", edit).faults == ()
    moved = change(folder, "0.5", lambda entry: steps(entry, 1)[1].update(translation=[0, 0, 3, 3]))
    assert errors(moved) == [("", "translation")]


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 90)] * 3),
    voxel=st.tuples(*[st.floats(0.01, 40)] * 3),
    rounding=st.sampled_from([math.floor, math.ceil, round]),
    stretched=st.booleans(),
    off=st.floats(-3, 3),
)
def test_pyramids_of_every_tool_are_placed_as_they_say(
    tmp_path_factory: pytest.TempPathFactory,
    shape: tuple[int, ...],
    voxel: tuple[float, ...],
    rounding: Callable[[float], int],
    stretched: bool,
    off: float,
) -> None:
    """Floor, ceil or rounded shapes, with factors of two or the ratio of the shapes."""
    folder = tmp_path_factory.mktemp("a")
    sizes, factors = [shape], [(1.0,) * 3]
    while len(sizes) < 4:
        sizes.append(tuple(max(1, rounding(n / 2)) for n in sizes[-1]))
        factors.append(
            tuple(n / m for n, m in zip(shape, sizes[-1], strict=True))
            if stretched
            else (2.0 ** (len(sizes) - 1),) * 3
        )
    entry = multiscale("zyx", 4)
    for level, factor in enumerate(factors):
        scale, translation = steps(entry, level)
        scale["scale"] = [v * f for v, f in zip(voxel, factor, strict=True)]
        translation["translation"] = [v * (f - 1) / 2 for v, f in zip(voxel, factor, strict=True)]
    write_group(folder, "0.5", multiscales=[entry])
    for level, size in enumerate(sizes):
        write_array(folder / str(level), "0.5", "zyx", size)
    assert validate(folder).faults == ()

    steps(entry, 3)[1]["translation"][2] += off * voxel[2]
    write_group(folder, "0.5", multiscales=[entry])
    allowed = 0.02 + 1e-3 * factors[3][2]
    if abs(off) < 0.99 * allowed:
        assert validate(folder).ok
    elif abs(off) > 1.01 * allowed:
        assert errors(validate(folder)) == [("", "translation")]


# -- voxel sizes and shapes ------------------------------------------------------------------


@every_version
def test_a_level_with_the_voxel_size_of_level_0_is_found(tmp_path: Path, version: str) -> None:
    folder = write_image(tmp_path / "a.zarr", version)

    def edit(entry: dict[str, Any]) -> None:
        steps(entry, 1)[0]["scale"] = [1, 2, 1, 1]
        steps(entry, 1)[1]["translation"] = [0, 0, 0, 0]

    report = change(folder, version, edit)
    assert errors(report) == [("", "scale")] * 2
    assert "they measure 1.8" in report.errors[0].message
    assert peers_accept(folder)


@pytest.mark.parametrize("scale", [[1, 2, 0, 1], [1, 2, -1, 1]])
def test_voxels_have_a_size(tmp_path: Path, scale: list[float]) -> None:
    folder = write_image(tmp_path / "a.zarr", "0.5")
    report = change(folder, "0.5", lambda entry: steps(entry, 0)[0].update(scale=scale))
    assert ("", "scale") in errors(report)
    report = change(folder, "0.5", lambda entry: steps(entry, 0)[0].update(scale=[0, 2, 1, 1]))
    assert warned(report) == [("", "scale")]  # a channel has none: bioformats2raw may write 0


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999", "true", '"1"'])
def test_scales_are_finite_numbers(tmp_path: Path, value: str) -> None:
    folder = write_image(tmp_path / "a.zarr", "0.5")
    text = (folder / "zarr.json").read_text().replace('"scale": [1.0', f'"scale": [{value}', 1)
    (folder / "zarr.json").write_text(text)
    assert ("", "transformations") in errors(validate(folder))


def test_levels_go_from_fine_to_coarse(tmp_path: Path) -> None:
    folder = write_image(tmp_path / "a.zarr", "0.5")
    report = change(folder, "0.5", lambda entry: entry["datasets"].reverse())
    assert {rule for _, rule in errors(report)} == {"order"}


# -- arrays ----------------------------------------------------------------------------------


def remove_level(folder: Path, version: str) -> None:
    shutil.rmtree(folder / "1")


def make_group(folder: Path, version: str) -> None:
    shutil.rmtree(folder / "1")
    write_group(folder / "1", version)


def cut_dimension(folder: Path, version: str) -> None:
    shutil.rmtree(folder / "1")
    write_array(folder / "1", version, "zyx", (3, 5, 4))


def other_dtype(folder: Path, version: str) -> None:
    shutil.rmtree(folder / "1")
    write_array(folder / "1", version, "czyx", (2, 3, 5, 4), "float32")


def other_format(folder: Path, version: str) -> None:
    shutil.rmtree(folder / "1")
    write_array(folder / "1", "0.4" if version == "0.5" else "0.5", "czyx", (2, 3, 5, 4))


def grow(folder: Path, version: str) -> None:
    shutil.rmtree(folder / "1")
    write_array(folder / "1", version, "czyx", (2, 3, 10, 4))


def unknown_codec(folder: Path, version: str) -> None:
    name, key = ("zarr.json", "codecs") if version == "0.5" else (".zarray", "compressor")
    metadata = json.loads((folder / "1" / name).read_text())
    metadata[key] = [{"name": "q"}] if version == "0.5" else {"id": "q"}
    (folder / "1" / name).write_text(json.dumps(metadata))


def not_json(folder: Path, version: str) -> None:
    (folder / "1" / ("zarr.json" if version == "0.5" else ".zarray")).write_text("{")


@every_version
@pytest.mark.parametrize(
    ("damage", "rule", "where"),
    [
        (remove_level, "array", "1"),
        (make_group, "array", "1"),
        (cut_dimension, "dimensions", "1"),
        (other_dtype, "dtype", ""),
        (other_format, "zarr-format", "1"),
        (grow, "order", ""),
        (unknown_codec, "array", "1"),
        (not_json, "zarr", "1"),
    ],
)
def test_arrays_that_do_not_keep_what_the_metadata_says(
    tmp_path: Path, version: str, damage: Callable[[Path, str], None], rule: str, where: str
) -> None:
    folder = write_image(tmp_path / "a.zarr", version)
    damage(folder, version)
    found = errors(validate(folder))
    assert (where, rule) in found
    # one damage, one complaint; a larger level has a voxel size to match as well
    assert {r for _, r in found} <= {rule, "names", "separator", "scale"}


def test_dimension_names_are_those_of_the_axes(tmp_path: Path) -> None:
    folder = write_image(tmp_path / "a.zarr", "0.5")
    metadata = json.loads((folder / "0/zarr.json").read_text())
    for names in (["c", "z", "x", "y"], None):
        metadata["dimension_names"] = names
        (folder / "0/zarr.json").write_text(json.dumps(metadata))
        assert errors(validate(folder)) == [("0", "names")]


def test_chunks_of_0_4_lie_in_folders(tmp_path: Path) -> None:
    folder = write_image(tmp_path / "a.zarr", "0.4")
    metadata = json.loads((folder / "0/.zarray").read_text())
    metadata["dimension_separator"] = "."
    (folder / "0/.zarray").write_text(json.dumps(metadata))
    # and now no reader finds the chunk that is there
    assert sorted(errors(validate(folder))) == [("0", "separator"), ("0", "stray")]


def test_files_that_no_reader_asks_for_are_told(tmp_path: Path) -> None:
    folder = write_image(tmp_path / "a.zarr", "0.5")
    (folder / "0/.DS_Store").write_bytes(b"x")
    chunk = folder / "0/c/0/0/0/0"
    chunk.with_name("7").write_bytes(chunk.read_bytes())
    report = validate(folder)
    assert (errors(report), warned(report)) == ([], [("0", "stray")] * 2)
    assert "1 chunk outside its shape" in report.warnings[1].message
    chunk.unlink()  # an empty level beside a stray file is still no fault of the array
    chunk.with_name("7").unlink()
    assert validate(folder).ok


def test_bare_arrays_and_groups(tmp_path: Path) -> None:
    write_image(tmp_path / "a.zarr", "0.5")
    assert validate(tmp_path / "a.zarr/0").faults == ()
    assert validate(tmp_path / "a.zarr/0").kind == "array"
    set_attributes(tmp_path / "a.zarr", "0.5", {})
    (tmp_path / "a.zarr/0/zarr.json").write_text('{"zarr_format": 3, "node_type": "array"}')
    report = validate(tmp_path / "a.zarr")
    assert errors(report) == [("", "metadata"), ("0", "array")]
    for name, kind in (("missing", UsageError), ("", DataError), ("a.zarr/zarr.json", UsageError)):
        with pytest.raises(kind) as told:
            validate(tmp_path / name)
        assert "\n" not in str(told.value)


# -- versions --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "attributes", "rule"),
    [
        ("0.5", {"multiscales": [multiscale()]}, "version"),
        ("0.5", {"ome": {"multiscales": [multiscale()]}}, "version"),
        ("0.5", {"ome": {"version": "0.4", "multiscales": [multiscale()]}}, "version"),
        ("0.5", {"ome": {"version": "0.9", "multiscales": [multiscale()]}}, "version"),
        ("0.4", {"ome": {"version": "0.5", "multiscales": [multiscale()]}}, "version"),
        ("0.4", {"multiscales": [{**multiscale(), "version": "0.5"}]}, "version"),
        (
            "0.5",
            {"ome": {"version": "0.5", "multiscales": [{**multiscale(), "version": "0.4"}]}},
            "version",
        ),
    ],
)
def test_versions_stand_where_they_belong(
    tmp_path: Path, version: str, attributes: dict[str, Any], rule: str
) -> None:
    folder = write_image(tmp_path / "a.zarr", version)
    set_attributes(folder, version, attributes)
    assert ("", rule) in errors(validate(folder))


def test_two_formats_side_by_side_are_told(tmp_path: Path) -> None:
    folder = write_image(tmp_path / "a.zarr", "0.5")
    (folder / ".zgroup").write_text('{"zarr_format": 2}')
    assert warned(validate(folder)) == [("", "zarr-format")]


@pytest.mark.parametrize("version", ["0.1", "0.2", "0.3"])
def test_old_versions_are_checked_as_far_as_they_go(tmp_path: Path, version: str) -> None:
    folder = write_image(tmp_path / "a.zarr", "0.4")
    entry: dict[str, Any] = {"version": version, "datasets": [{"path": "0"}, {"path": "1"}]}
    entry |= {"type": "mean"} | ({"axes": ["c", "z", "y", "x"]} if version == "0.3" else {})
    set_attributes(folder, "0.4", {"multiscales": [entry]})
    report = validate(folder)
    assert (report.version, errors(report), warned(report)) == (version, [], [("", "version")])
    assert "is old" in report.warnings[0].message
    entry["datasets"].append({"path": "2"})
    set_attributes(folder, "0.4", {"multiscales": [entry]})
    assert errors(validate(folder)) == [("2", "array")]


# -- good citizens ---------------------------------------------------------------------------


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.filterwarnings("ignore")
def test_files_of_ome_zarr_py_are_valid(tmp_path: Path, zarr_format: int) -> None:
    from ome_zarr.format import FormatV04, FormatV05
    from ome_zarr.writer import write_image as write

    fmt = FormatV05() if zarr_format == 3 else FormatV04()
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=fmt.zarr_format)
    write(np.ones((9, 70, 65), "uint16"), group, axes="zyx", fmt=fmt)
    report = validate(tmp_path / "a.zarr")
    assert report.version == BY_FORMAT[zarr_format]
    assert (errors(report), {rule for _, rule in warned(report)}) == (
        [],
        {"units", "multiscales", "translation"},
    )


@every_version
@pytest.mark.filterwarnings("ignore")
def test_files_of_ngff_zarr_are_valid(tmp_path: Path, version: str) -> None:
    import ngff_zarr

    voxels = np.ones((9, 70, 65), "uint16")
    scan = ngff_zarr.to_ngff_image(voxels, dims=["z", "y", "x"], scale={"z": 2, "y": 1, "x": 1})
    made = ngff_zarr.to_multiscales(
        scan, scale_factors=[2, 4], method=ngff_zarr.Methods.DASK_IMAGE_GAUSSIAN
    )
    ngff_zarr.to_ngff_zarr(str(tmp_path / "a.zarr"), made, version=version)
    assert errors(validate(tmp_path / "a.zarr")) == []


@pytest.mark.parametrize("method", ["mean", "nearest"])
def test_planned_metadata_is_valid(tmp_path: Path, method: str) -> None:
    voxel = (5.0, 2.0, 2.0)
    levels = levels_of(layout((20, 61, 60), 1, voxel, chunks=16, shards="none"), voxel)
    attributes = image_attributes("0.5", "a", axes_of("zyx"), levels, method)
    (tmp_path / "a.zarr").mkdir()
    set_attributes(tmp_path / "a.zarr", "0.5", attributes)
    for level in levels:
        write_array(tmp_path / "a.zarr" / level.path, "0.5", "zyx", level.grid.shape)
    assert validate(tmp_path / "a.zarr").faults == ()

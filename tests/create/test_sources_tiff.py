"""sources/tiff.py and slices.py with TIFF: values, metadata, and what is refused by name."""

from __future__ import annotations

import os
import shutil
import sys
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from enormous.create.sources import open_reader, open_source
from enormous.create.sources._files import RandomFile
from enormous.engine.freeze import freeze, thaw
from enormous.errors import DataError, MissingExtra, UsageError

RNG = np.random.default_rng(7)
QUICK = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
DTYPES = ("bool", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "f2", "f4", "f8")


def voxels(shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return RNG.normal(0, 100, shape).astype(kind)
    if kind.kind == "b":
        return RNG.integers(0, 2, shape).astype(bool)
    limits = np.iinfo(kind)
    return RNG.integers(limits.min, limits.max, shape, kind, endpoint=True)


def boxes(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[slice, ...]:
    box = []
    for n in shape:
        start = draw(st.integers(0, n - 1))
        box.append(slice(start, draw(st.integers(start + 1, n))))
    return tuple(box)


def check_values(url: Any, expected: NDArray[Any], box: tuple[slice, ...], **how: Any) -> Any:
    """The source has these voxels, whole and in a box, with one thread and with several."""
    source = open_source(url, **how)
    assert thaw(freeze(source)) == source  # as a journal and another process have it
    assert source.shape == expected.shape
    assert source.dtype == expected.dtype.newbyteorder("=").name
    for workers in (1, 3):
        reader = open_reader(source, workers)
        try:
            whole = reader.read(tuple(slice(0, n) for n in expected.shape))
            assert whole.flags.c_contiguous
            assert whole.dtype == source.dtype
            np.testing.assert_array_equal(whole, expected)
            np.testing.assert_array_equal(reader.read(box), expected[box])
        finally:
            reader.close()
    return source


@st.composite
def written_pages(draw: st.DrawFn) -> tuple[NDArray[Any], dict[str, Any], tuple[slice, ...]]:
    """Voxels (z, c, y, x), how they are written, and a box of them as c, z, y, x."""
    dtype = draw(st.sampled_from(DTYPES))
    samples = 1 if dtype in ("bool", "u8") else draw(st.sampled_from((1, 1, 3)))
    shape = (draw(st.integers(2, 4)), samples, draw(st.integers(3, 40)), draw(st.integers(3, 40)))
    how: dict[str, Any] = {"byteorder": draw(st.sampled_from("<>"))}
    choices: list[dict[str, Any]] = [{}, {"compression": "zlib"}, {"compression": "packbits"}]
    if dtype != "bool":
        choices += [{"compression": "lzw"}, {"compression": "zstd"}]
    if dtype in ("u1", "u2", "u4", "i2"):
        choices += [{"compression": "zlib", "predictor": True}]
    if dtype in ("f4", "f8"):
        choices += [{"compression": "zlib", "predictor": 3}]
    how |= draw(st.sampled_from(choices))
    cut: list[dict[str, Any]] = [{}, {"rowsperstrip": draw(st.integers(1, 9))}]
    if dtype != "bool":
        cut += [{"tile": (16, 32)}]
    how |= draw(st.sampled_from(cut))
    if samples == 3:
        how["photometric"] = "rgb"
        how["planarconfig"] = draw(st.sampled_from(("contig", "separate")))
    else:
        how["photometric"] = "minisblack"
    data = voxels(shape, dtype)
    return data, how, boxes(draw, (samples, shape[0], *shape[2:]))


def pages_of(data: NDArray[Any], how: dict[str, Any]) -> list[NDArray[Any]]:
    if data.shape[1] == 1:
        return [page[0] for page in data]
    contig = how["planarconfig"] == "contig"
    return [np.moveaxis(page, 0, -1) if contig else page for page in data]


def presented(data: NDArray[Any]) -> NDArray[Any]:
    """As a source has it: z, y, x, or c, z, y, x."""
    return data[:, 0] if data.shape[1] == 1 else np.moveaxis(data, 1, 0)


@given(written_pages())
@QUICK
def test_slices_have_the_voxels_that_were_written(
    tmp_path: Path, case: tuple[NDArray[Any], dict[str, Any], tuple[slice, ...]]
) -> None:
    data, how, box = case
    folder = tmp_path / uuid.uuid4().hex
    folder.mkdir()
    for z, page in enumerate(pages_of(data, how)):
        tifffile.imwrite(folder / f"s{z + 8}.tif", page, **how)  # s10 sorts after s9
    box = box[1:] if data.shape[1] == 1 else box
    source = check_values(folder, presented(data), box)
    rgb = data.shape[1] == 3
    assert source.axes == ("czyx" if rgb else "zyx")
    assert source.channels == (("red", "green", "blue") if rgb else ())
    assert source.natural == ((3,) if rgb else ()) + (1, *data.shape[2:])
    shutil.rmtree(folder)


@given(written_pages(), st.booleans())
@QUICK
def test_stacks_have_the_voxels_that_were_written(
    tmp_path: Path, case: tuple[NDArray[Any], dict[str, Any], tuple[slice, ...]], together: bool
) -> None:
    data, how, box = case
    path = tmp_path / f"{uuid.uuid4().hex}.tif"
    if together:
        tifffile.imwrite(path, np.stack(pages_of(data, how)), bigtiff=True, **how)
    else:
        with tifffile.TiffWriter(path, byteorder=how["byteorder"]) as writer:
            rest = {key: value for key, value in how.items() if key != "byteorder"}
            for page in pages_of(data, how):
                writer.write(page, metadata=None, contiguous=False, **rest)
    check_values(path, presented(data), box[1:] if data.shape[1] == 1 else box)
    path.unlink()


@given(
    st.sampled_from(("TZCYX", "ZCYX", "TCYX", "ZTCYX", "CZYX", "ZYX", "CYX", "TYX", "YX")),
    st.sampled_from((None, "zlib")),
    st.data(),
)
@QUICK
def test_ome_tiff_is_presented_in_our_order_with_its_metadata(
    tmp_path: Path, axes: str, compression: str | None, data: st.DataObject
) -> None:
    sizes = {"T": 2, "C": 3, "Z": 4, "Y": 11, "X": 13}
    stored = voxels(tuple(sizes[x] for x in axes), "u2")
    metadata = {
        "axes": axes,
        "PhysicalSizeX": 650.0,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 0.7,
        "PhysicalSizeYUnit": "µm",
        "PhysicalSizeZ": 0.002,
        "PhysicalSizeZUnit": "mm",
        "TimeIncrement": 4.5,
        "TimeIncrementUnit": "min",
        "Channel": {"Name": ["DAPI", "GFP", "RFP"][: sizes["C"] if "C" in axes else 1]},
    }
    path = tmp_path / f"{uuid.uuid4().hex}.ome.tif"
    tifffile.imwrite(
        path, stored, metadata=metadata, compression=compression, photometric="minisblack"
    )
    wanted = "".join(x for x in "TCZYX" if x in axes)
    expected = stored.transpose([axes.index(x) for x in wanted])
    if "Z" not in wanted and len(wanted) > 2:
        expected, wanted = np.expand_dims(expected, -3), f"{wanted[:-2]}ZYX"
    box = data.draw(st.composite(boxes)(expected.shape))
    source = check_values(path, expected, box)
    assert (source.kind, source.axes) == ("OME-TIFF", wanted.lower())
    assert source.unit == "nanometer"
    assert source.voxel_size == ((2000, 700, 650) if "Z" in wanted else (700, 650))
    assert source.interval == ((4.5, "minute") if "T" in axes else None)
    assert source.channels == (("DAPI", "GFP", "RFP") if "C" in axes else ())
    path.unlink()


def test_imagej_hyperstacks_bring_spacing_and_interval(tmp_path: Path) -> None:
    data = voxels((2, 3, 2, 9, 8), "u2")  # TZCYX
    for name, more in (("a", {}), ("b", {"compression": "zlib"})):
        path = tmp_path / f"{name}.tif"
        metadata = {"axes": "TZCYX", "spacing": 3.0, "unit": "micron", "finterval": 0.25}
        tifffile.imwrite(path, data, imagej=True, resolution=(2.0, 4.0), metadata=metadata, **more)
        source = check_values(path, np.moveaxis(data, 2, 1), np.s_[1:2, 0:2, 1:3, 2:7, 3:8])
        assert (source.kind, source.axes) == ("ImageJ TIFF", "tczyx")
        assert (source.voxel_size, source.unit) == ((3.0, 0.25, 0.5), "micrometer")
        assert source.interval == (0.25, "second")
    plain = tmp_path / "plain.tif"
    tifffile.imwrite(plain, data[0, :, 0], imagej=True, resolution=(2.0, 4.0))
    assert open_source(plain).voxel_size is None  # no unit: the numbers mean nothing


def test_resolution_without_the_distance_of_planes_is_kept_not_used(tmp_path: Path) -> None:
    page = voxels((8, 9), "u2")
    how: dict[str, Any] = {"resolution": (20_000, 10_000), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(tmp_path / "one.tif", page, **how)
    one = open_source(tmp_path / "one.tif")
    assert (one.voxel_size, one.unit, one.axes) == ((1.0, 0.5), "micrometer", "yx")
    (tmp_path / "many").mkdir()
    for n in range(3):
        tifffile.imwrite(tmp_path / f"many/{n}.tif", page, **how)
    many = open_source(tmp_path / "many")
    assert (many.voxel_size, many.unit) == (None, None)
    assert dict(many.kept)["pixel size (the distance of planes is not given)"] == (
        "y 1, x 0.5 micrometer"
    )
    tifffile.imwrite(tmp_path / "screen.tif", page, resolution=(72, 72), resolutionunit="INCH")
    assert open_source(tmp_path / "screen.tif").voxel_size is None


def test_a_set_of_ome_files_is_read_from_any_and_not_without_one(tmp_path: Path) -> None:
    data = voxels((2, 5, 6), "u2")
    names = ["a.ome.tif", "b.ome.tif"]
    ids = [f"urn:uuid:{uuid.uuid4()}" for _ in names]
    parts = "".join(
        f'<TiffData FirstC="{n}" IFD="0" PlaneCount="1">'
        f'<UUID FileName="{names[n]}">{ids[n]}</UUID></TiffData>'
        for n in range(2)
    )
    for n, name in enumerate(names):
        xml = (
            '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="{ids[n]}"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" '
            'Type="uint16" SizeX="6" SizeY="5" SizeZ="1" SizeC="2" SizeT="1" PhysicalSizeX="2" '
            f'PhysicalSizeY="2">{parts}</Pixels></Image></OME>'
        )
        tifffile.imwrite(
            tmp_path / name, data[n], description=xml, metadata=None, compression="zlib"
        )
    source = check_values(tmp_path / "b.ome.tif", data[:, None], np.s_[1:2, 0:1, 2:4, 1:6])
    assert source.voxel_size == (2, 2, 2)
    with pytest.raises(UsageError, match=r"a\.ome\.tif is one of 2 files of an OME-TIFF set"):
        open_source(tmp_path)
    (tmp_path / "a.ome.tif").unlink()
    with pytest.raises(DataError, match=r"b\.ome\.tif is incomplete: page 0 of 2 is missing"):
        open_source(tmp_path / "b.ome.tif")


def test_further_series_and_levels_are_told(tmp_path: Path) -> None:
    data = voxels((2, 64, 64), "u2")
    with tifffile.TiffWriter(tmp_path / "p.ome.tif") as writer:
        writer.write(data, subifds=1, tile=(32, 32), metadata={"axes": "CYX"})
        writer.write(data[:, ::2, ::2], subfiletype=1, tile=(32, 32))
        writer.write(data[0, :7, :7], metadata={"axes": "YX"})
    source = check_values(tmp_path / "p.ome.tif", data[:, None], np.s_[0:1, 0:1, 30:34, 5:50])
    kept = dict(source.kept)
    assert kept["levels in the file"] == "2, the finest taken"
    assert kept["series in the file"] == "2, the first taken"


def test_axes_may_be_given_and_must_be_where_unclear(tmp_path: Path) -> None:
    data = voxels((2, 3, 5, 6), "u2")
    tifffile.imwrite(tmp_path / "q.tif", data, photometric="minisblack")
    with pytest.raises(UsageError, match=r"q\.tif is 2×3×5×6 with axes QQYX: say what they are"):
        open_source(tmp_path / "q.tif")
    check_values(tmp_path / "q.tif", data, np.s_[1:2, 1:3, 0:5, 2:6], axes="tzyx")
    check_values(tmp_path / "q.tif", data.swapaxes(0, 1), np.s_[1:3, 1:2, 0:5, 2:6], axes="zcyx")


# --- what does not fit


def stack(folder: Path, count: int = 5, **how: Any) -> NDArray[Any]:
    folder.mkdir()
    data = voxels((count, 20, 30), "u2")
    for z, page in enumerate(data):
        tifffile.imwrite(folder / f"slice_{z:04}.tif", page, **how)
    return data


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_truncated_slice_is_named_before_anything_is_read(
    tmp_path: Path, compression: str | None
) -> None:
    stack(tmp_path / "s", compression=compression)
    victim = tmp_path / "s/slice_0003.tif"
    victim.write_bytes(victim.read_bytes()[:-10])
    with pytest.raises(DataError, match=r"slice_0003\.tif is truncated: its header promises"):
        open_source(tmp_path / "s")
    for keep in (0, 3, 100):
        victim.write_bytes(victim.read_bytes()[:keep])
        with pytest.raises(DataError, match=r"slice_0003\.tif"):
            open_source(tmp_path / "s")


def test_a_slice_unlike_the_others_is_named(tmp_path: Path) -> None:
    stack(tmp_path / "s")
    victim = tmp_path / "s/slice_0000.tif"  # the first: the others are still the usual
    for odd in (voxels((20, 31), "u2"), voxels((20, 30), "u1"), voxels((20, 30, 3), "u2")):
        tifffile.imwrite(victim, odd)
        with pytest.raises(DataError, match=r"slice_0000\.tif is .*, the other slices are 20×30"):
            open_source(tmp_path / "s")
    tifffile.imwrite(victim, voxels((2, 20, 30), "u2"), photometric="minisblack")
    with pytest.raises(UsageError, match=r"slice_0000\.tif holds several pages"):
        open_source(tmp_path / "s")
    palette = np.zeros((3, 256), "u2")
    tifffile.imwrite(victim, voxels((20, 30), "u1"), photometric="palette", colormap=palette)
    with pytest.raises(DataError, match=r"slice_0000\.tif has a palette"):
        open_source(tmp_path / "s")
    tifffile.imwrite(victim, voxels((20, 30), "f4").astype("c8"))
    with pytest.raises(DataError, match=r"(?s)slice_0000\.tif"):
        open_source(tmp_path / "s")


def test_a_slice_that_changes_or_breaks_later_is_named_by_read(tmp_path: Path) -> None:
    stack(tmp_path / "s", compression="zlib")
    source = open_source(tmp_path / "s")
    reader = open_reader(source, 2)
    victim = tmp_path / "s/slice_0002.tif"
    everything = np.s_[0:5, 0:20, 0:30]
    content, times = victim.read_bytes(), victim.stat().st_mtime_ns
    broken = content[:300] + bytes(200) + content[500:]
    victim.write_bytes(broken)
    with pytest.raises(DataError, match=r"slice_0002\.tif has changed"):
        reader.read(everything)
    os.utime(victim, ns=(times, times))  # as a failing disk would have it
    with pytest.raises(DataError, match=r"slice_0002\.tif cannot be decoded"):
        reader.read(everything)
    reader.read(np.s_[3:5, 0:20, 0:30])
    victim.unlink()
    with pytest.raises(DataError, match=r"slice_0002\.tif could be read before"):
        reader.read(everything)
    reader.close()


def test_a_page_unlike_the_others_is_not_left_out_in_silence(tmp_path: Path) -> None:
    data = voxels((4, 20, 30), "u2")
    for name, odd, how in (("a", data[1, :9], {}), ("b", data[3], {"compression": "zlib"})):
        path = tmp_path / f"{name}.tif"
        with tifffile.TiffWriter(path) as writer:
            writer.write(data[0], metadata=None)
            if name == "a":
                writer.write(odd, metadata=None)
            writer.write(data[2], metadata=None)
            if name == "b":
                writer.write(odd, metadata=None, **how)
        with pytest.raises(DataError, match=rf"{name}\.tif: page {1 + (name == 'b')} is unlike"):
            open_source(path)
    many = voxels((12, 20, 30), "u2")
    for odd, how in (
        (many[4, :9], {}),
        (many[4].T, {}),
        (many[4].view("i2"), {}),
        (many[4], {"compression": "zlib"}),
    ):
        with tifffile.TiffWriter(tmp_path / "m.tif") as writer:
            for z, page in enumerate(many):
                writer.write(odd if z == 4 else page, metadata=None, **(how if z == 4 else {}))
        with pytest.raises(DataError, match=r"m\.tif: (page 4|a page) is unlike the first"):
            open_source(tmp_path / "m.tif")
    with tifffile.TiffWriter(tmp_path / "c.tif") as writer:  # a small picture of all behind it
        for page in data:
            writer.write(page, metadata=None)
        writer.write(data[0, ::4, ::4], metadata=None, subfiletype=1)
    source = check_values(tmp_path / "c.tif", data, np.s_[1:4, 3:9, 0:30])
    assert dict(source.kept)["series in the file"] == "2, the first taken"


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_truncated_stack_is_refused(tmp_path: Path, compression: str | None) -> None:
    path = tmp_path / "v.tif"
    data = voxels((5, 20, 30), "u2")
    for how in ({"imagej": True}, {"ome": True}, {"metadata": None}, {}):
        tifffile.imwrite(path, data, photometric="minisblack", compression=compression, **how)
        content = path.read_bytes()
        for keep in (len(content) - 300, len(content) // 2, 20):
            path.write_bytes(content[:keep])
            if "imagej" in how and compression is None and keep > data.nbytes + 400:
                # ImageJ needs the first header only: all voxels are there
                check_values(path, data[:, None], np.s_[4:5, 0:1, 1:20, 0:30])
                continue
            with pytest.raises(DataError, match=r"v\.tif") as caught:
                open_source(path)
            assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("compression", "dtype", "samples"),
    [("jpeg", "u1", 1), ("jpeg", "u1", 3), ("jpeg2000", "u2", 1), ("webp", "u1", 3)],
)
def test_codecs_that_lose_detail_give_what_tifffile_gives(
    tmp_path: Path, compression: str, dtype: str, samples: int
) -> None:
    smooth = np.add.outer(np.arange(90), np.arange(70)).astype(dtype)
    page = smooth if samples == 1 else np.stack([smooth, smooth // 2, 200 - smooth // 2], -1)
    path = tmp_path / "p.tif"
    tifffile.imwrite(path, page.astype(dtype), tile=(32, 32), compression=compression)
    expected = tifffile.imread(path)
    if samples == 3:
        expected = np.moveaxis(expected, -1, 0)[:, None]
    box = (*(slice(0, n) for n in expected.shape[:-2]), slice(20, 61), slice(31, 66))
    check_values(path, expected, box)


def test_only_the_tiles_that_a_box_touches_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = voxels((2, 256, 1024), "u2")
    tifffile.imwrite(tmp_path / "t.tif", data, tile=(128, 128), compression="zlib")
    reader = open_reader(open_source(tmp_path / "t.tif"))
    read: list[int] = []
    real = RandomFile.read_into

    def counted(self: RandomFile, buffer: memoryview, offset: int) -> None:
        read.append(len(buffer))
        real(self, buffer, offset)

    monkeypatch.setattr(RandomFile, "read_into", counted)
    box = np.s_[1:2, 120:140, 0:16]
    np.testing.assert_array_equal(reader.read(box), data[box])
    assert sum(read) < 3 * 128 * 128 * 2  # two tiles of 16, and not even their neighbours
    reader.close()


def test_a_missing_package_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for suffix, package in ((".tif", "tifffile"), (".h5", "h5py"), (".nii", "nibabel")):
        path = tmp_path / f"a{suffix}"
        path.write_bytes(b"")
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, package, None)
            with pytest.raises(MissingExtra, match=f"{package} is not installed.*export"):
                open_source(path)

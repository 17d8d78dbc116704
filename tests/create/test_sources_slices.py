"""sources/slices.py: names, PNG and JPEG 2000, and inputs that nobody reads."""

from __future__ import annotations

import errno
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from enormous.create.sources import open_reader, open_source
from enormous.create.sources._names import in_order
from enormous.errors import DataError, EnormousError, UsageError

RNG = np.random.default_rng(11)


@given(st.integers(0, 5000), st.integers(1, 40), st.integers(2, 60), st.randoms(), st.data())
@settings(max_examples=60, deadline=None)
def test_order_is_that_of_the_numbers_and_a_gap_is_named(
    first: int, step: int, count: int, chance: Any, data: st.DataObject
) -> None:
    names = [f"Scan_B4 slice{first + step * n}.tif" for n in range(count)]
    mixed = list(names)
    chance.shuffle(mixed)
    assert list(in_order(mixed, "folder")) == names
    if count > 4:
        gone = data.draw(st.integers(1, count - 2))
        mixed.remove(names[gone])
        with pytest.raises(DataError, match=f"slice {first + step * gone} is missing between "):
            in_order(mixed, "folder")


def test_names_that_do_not_make_one_stack_are_refused() -> None:
    grid = [f"img_z{z:03}_c{c}.tif" for z in range(3) for c in range(2)]
    with pytest.raises(UsageError, match="several numbers vary"):
        in_order(grid, "folder")
    assert len(in_order([f"s_{n:03}_{n * 17 + 3}s.tif" for n in range(4)], "folder")) == 4
    with pytest.raises(UsageError, match=r"mean\.tif is not named like the others"):
        in_order(["mean.tif", "s1.tif", "s2.tif", "s3.tif"], "folder")
    with pytest.raises(DataError, match="have the same number"):
        in_order(["s1.tif", "s01.tif", "s2.tif"], "folder")
    assert in_order(["left.tif", "back.tif"], "folder") == ("back.tif", "left.tif")


POSITIONS = [f"s_{n:04}_z{650 * n:06}.tif" for n in range(20)]
TIMES = [f"s_{n:04}_2024{100 + n + n // 7 + n // 11}.tif" for n in range(20)]


@pytest.mark.parametrize("names", [POSITIONS, POSITIONS[::-1], TIMES])
@pytest.mark.parametrize("gone", [{7}, {7, 8}, {3, 12, 13}])
def test_a_gap_is_found_where_two_numbers_vary(names: list[str], gone: set[int]) -> None:
    assert len(in_order(names, "folder")) == 20
    left = [name for name in names if int(name[2:6]) not in gone]
    with pytest.raises(DataError, match=rf"slice {min(gone)} is missing between s_.*as a list in"):
        in_order(left, "folder")


def test_one_number_that_counts_settles_what_the_others_do() -> None:
    jumps = [f"s_{n:02}_{12_00_50 + 10 * n + 40 * (n > 0)}.tif" for n in range(9)]
    assert len(in_order(jumps, "folder")) == 9
    descending = [f"s_{n:02}_z{9000 - 500 * n}.tif" for n in range(9)]
    assert len(in_order(descending, "folder")) == 9
    with pytest.raises(DataError, match="slice 4 is missing"):
        in_order(descending[:4] + descending[5:], "folder")
    tiles = [f"block{n // 4}_s{n:02}.tif" for n in range(9)]
    assert len(in_order(tiles, "folder")) == 9
    with pytest.raises(DataError, match="slice 6 is missing"):
        in_order(tiles[:6] + tiles[7:], "folder")


@pytest.mark.parametrize("number", [0, 3, 5])
@pytest.mark.parametrize("how", ["", "*.tif"])
def test_a_slice_that_is_a_broken_link_is_no_missing_plane(
    tmp_path: Path, number: int, how: str
) -> None:
    for n, page in enumerate(image((6, 4, 5), "u2")):
        tifffile.imwrite(tmp_path / f"a{n}.tif", page)
    (tmp_path / "folder.tif").mkdir()
    (tmp_path / "notes.txt").symlink_to("/annex/notes")
    given_ = str(tmp_path / how) if how else str(tmp_path)
    assert open_source(given_).shape == (6, 4, 5)
    (tmp_path / f"a{number}.tif").unlink()
    (tmp_path / f"a{number}.tif").symlink_to("/annex/objects/xyz")
    with pytest.raises(DataError, match=rf"a{number}\.tif leads to /annex/objects/xyz, which can"):
        open_source(given_)


def test_a_folder_that_may_not_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> list[str]:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    monkeypatch.setattr(os, "listdir", refuse)  # root may list all: no mode would do
    monkeypatch.setattr(os, "access", lambda *_: False)
    for asked in (tmp_path, f"{tmp_path}/*.tif"):
        with pytest.raises(DataError, match=rf"{tmp_path} cannot be read: [Pp]ermission denied$"):
            open_source(asked)


def png(path: Path, image: NDArray[Any]) -> None:
    if image.dtype != bool:
        path.write_bytes(imagecodecs.png_encode(image))
        return
    rows = b"".join(b"\0" + np.packbits(row).tobytes() for row in image)
    head = struct.pack(">IIBBBBB", image.shape[1], image.shape[0], 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    body = b"".join(
        struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def jp2(path: Path, image: NDArray[Any]) -> None:
    kind = "j2k" if path.suffix == ".j2k" else "jp2"
    path.write_bytes(imagecodecs.jpeg2k_encode(image, level=0, reversible=True, codecformat=kind))


def image(shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    return RNG.integers(0, 2 if dtype == "bool" else 250, shape).astype(dtype)


@pytest.mark.parametrize(
    ("suffix", "dtype", "samples"),
    [
        ("png", "bool", 1),
        ("png", "u1", 1),
        ("png", "u2", 1),
        ("png", "u1", 3),
        ("png", "u2", 4),
        ("png", "u1", 2),
        ("jp2", "u1", 1),
        ("jp2", "u2", 1),
        ("jp2", "i2", 1),
        ("jp2", "u1", 3),
        ("j2k", "u2", 1),
    ],
)
def test_slices_in_png_and_jpeg_2000(tmp_path: Path, suffix: str, dtype: str, samples: int) -> None:
    shape = (4, 21, 33) if samples == 1 else (4, 21, 33, samples)
    data = image(shape, dtype)
    write = png if suffix == "png" else jp2
    for z, page in enumerate(data):
        write(tmp_path / f"s{z + 8}.{suffix}", page)
    for clutter in (".hidden.png", "Thumbs.db", "scan.log", "notes.txt", "info.json"):
        (tmp_path / clutter).write_bytes(b"no image")
    expected = data if samples == 1 else np.moveaxis(data, -1, 0)
    source = open_source(tmp_path)
    assert source.dtype == data.dtype.name
    assert source.axes == ("zyx" if samples == 1 else "czyx")
    names = {2: ("grey", "alpha"), 3: ("red", "green", "blue")}
    assert source.channels[:3] == names.get(min(samples, 3), ())
    reader = open_reader(source, 2)
    whole = tuple(slice(0, n) for n in source.shape)
    np.testing.assert_array_equal(reader.read(whole), expected)
    box = (*whole[:-3], slice(1, 3), slice(4, 21), slice(7, 20))
    np.testing.assert_array_equal(reader.read(box), expected[box])
    reader.close()
    one = open_source(tmp_path / f"s9.{suffix}")
    assert one.shape == (samples, 1, 21, 33)[(2 if samples == 1 else 0) :]
    victim = tmp_path / f"s10.{suffix}"
    content = victim.read_bytes()
    for keep in (len(content) - 3, len(content) // 2, 10, 0):
        victim.write_bytes(content[:keep])
        with pytest.raises(DataError, match=rf"s10\.{suffix} is (truncated|not a)"):
            open_source(tmp_path)
    middle = len(content) // 2
    victim.write_bytes(content[:middle] + bytes(9) + content[middle + 9 :])
    source = open_source(tmp_path)
    if suffix == "png":  # JPEG 2000 has no checksums
        with pytest.raises(DataError, match=r"s10\.png cannot be decoded"):
            open_reader(source).read(whole)


def test_pixels_of_png_may_have_a_size(tmp_path: Path) -> None:
    plain = imagecodecs.png_encode(image((5, 6), "u1"))
    for per_meter, size in ((2_000_000, (0.5, 0.5)), (2835, None)):  # 72 dots per inch
        body = struct.pack(">IIB", per_meter, per_meter, 1)
        chunk = struct.pack(">I", 9) + b"pHYs" + body
        chunk += struct.pack(">I", zlib.crc32(b"pHYs" + body))
        (tmp_path / "p.png").write_bytes(plain[:33] + chunk + plain[33:])
        source = open_source(tmp_path / "p.png")
        assert source.voxel_size == size
        assert source.unit == (size and "micrometer")


def test_a_glob_a_list_and_a_single_file(tmp_path: Path) -> None:
    data = image((6, 4, 5), "u2")
    for n, page in enumerate(data):
        tifffile.imwrite(tmp_path / f"a{n}.tif", page)
        png(tmp_path / f"b{n}.png", page)
    with pytest.raises(UsageError, match=r"holds 6 TIFF and 6 PNG files: give a glob such as"):
        open_source(tmp_path)
    source = open_source(str(tmp_path / "a*.tif"))
    assert (source.kind, source.shape) == ("TIFF slices", (6, 4, 5))
    some = [tmp_path / f"a{n}.tif" for n in (5, 0, 3)]
    reader = open_reader(open_source(some))
    np.testing.assert_array_equal(reader.read(np.s_[0:3, 0:4, 0:5]), data[[5, 0, 3]])
    moments = open_source(str(tmp_path / "a*.tif"), axes="tyx")
    assert (moments.axes, moments.shape, moments.natural) == (
        "tzyx", (6, 1, 4, 5), (1, 1, 4, 5),
    )  # fmt: skip
    np.testing.assert_array_equal(
        open_reader(moments).read(np.s_[2:4, 0:1, 0:4, 0:5]), data[2:4, None]
    )
    with pytest.raises(UsageError, match=r"x\*\.tif matches no file"):
        open_source(str(tmp_path / "x*.tif"))
    with pytest.raises(UsageError, match=r"the list of slices is empty"):
        open_source([])


def test_palettes_are_refused_not_read_as_intensities(tmp_path: Path) -> None:
    good = bytearray(imagecodecs.png_encode(image((5, 6), "u1")))
    good[25] = 3
    (tmp_path / "p.png").write_bytes(good)
    with pytest.raises(DataError, match=r"p\.png has a palette"):
        open_source(tmp_path / "p.png")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a.czi", "bioformats2raw"),
        ("a.nd2", "bioformats2raw"),
        ("a.ims", "HDF5"),
        ("a.txm", "OLE"),
        ("a.dcm", "dcm2niix"),
        ("a.nrrd", "not read yet"),
        ("a.mrc", "not read yet"),
        ("a.jpg", "lost detail"),
        ("a.raw", r"shape \(Z,Y,X\)"),
        ("a.xyz", "folders of TIFF"),
        ("nothing.tif", "does not exist"),
        ("nothing", "does not exist"),
    ],
)
def test_what_is_not_read_is_refused_in_one_line(tmp_path: Path, name: str, said: str) -> None:
    path = tmp_path / name
    if not name.startswith("nothing"):
        path.write_bytes(b"something")
    with pytest.raises(UsageError, match=said) as caught:
        open_source(path)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_folders_without_slices_say_what_they_hold(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="but nothing"):
        open_source(tmp_path)
    (tmp_path / "1.dcm").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"but 1 × \.dcm; DICOM, not read yet"):
        open_source(tmp_path)
    with pytest.raises(EnormousError):
        open_source("https://127.0.0.1:9/scan.tif")


def one_slice(folder: Path, suffix: str, data: NDArray[Any]) -> Path:
    folder.mkdir()
    path = folder / f"s1{suffix}"
    if suffix == ".png":
        png(path, data)
    elif suffix == ".jp2":
        path.write_bytes(imagecodecs.jpeg2k_encode(data, level=0))
    else:
        packed = "zlib" if suffix == ".tiff" else None
        tifffile.imwrite(path, data, compression=packed, resolution=(2e4, 1e4), resolutionunit=3)
    return path


@pytest.mark.parametrize("suffix", [".tif", ".tiff", ".png", ".jp2"])
def test_a_stack_of_one_slice_is_a_stack(tmp_path: Path, suffix: str) -> None:
    data = image((40, 50), "u2")
    path = one_slice(tmp_path / "scan", suffix, data)
    for stack in (path.parent, str(path.with_stem("*")), [path]):
        source = open_source(stack)
        assert (source.axes, source.shape, len(source.natural)) == ("zyx", (1, 40, 50), 3)
        np.testing.assert_array_equal(
            open_reader(source).read(np.s_[0:1, 3:20, 0:50]), data[None, 3:20]
        )
        # a plane of unknown depth is as deep as it is high
        assert source.voxel_size == ((1.0, 1.0, 0.5) if suffix.startswith(".tif") else None)
        assert open_source(stack, axes="yx").axes == "yx"
    assert (open_source(path).axes, open_source(path).shape) == ("yx", (40, 50))


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_one_colour_slice_has_its_depth_once(tmp_path: Path, suffix: str) -> None:
    data = image((40, 50, 3), "u1")
    path = one_slice(tmp_path / "scan", suffix, data)
    source = open_source(path.parent)
    assert (source.axes, source.shape) == ("czyx", (3, 1, 40, 50))
    read = open_reader(source).read(np.s_[1:3, 0:1, 0:40, 0:50])
    np.testing.assert_array_equal(read, np.moveaxis(data, -1, 0)[1:, None])

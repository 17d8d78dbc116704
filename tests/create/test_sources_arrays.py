"""sources: NumPy, raw, HDF5, NIfTI and Zarr; values in every box, metadata, refusals."""

from __future__ import annotations

import gzip
import json
import shutil
import sys
import threading
import uuid
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numcodecs import Delta
from numpy.typing import NDArray

from enormous.create.sources import open_reader, open_source
from enormous.create.sources._files import RandomFile, read_box, stamp
from enormous.create.sources._units import in_one_unit, unit_name
from enormous.engine.freeze import freeze, thaw
from enormous.errors import DataError, EnormousError, UsageError

RNG = np.random.default_rng(3)
QUICK = settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
DTYPES = ("?", "u1", "<u2", ">u2", ">i4", "<u8", "<f2", ">f4", "<f8")


def voxels(shape: tuple[int, ...], dtype: str = "u2") -> NDArray[Any]:
    return RNG.integers(0, 2 if dtype == "?" else 200, shape).astype(dtype)


def whole(shape: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(0, n) for n in shape)


@st.composite
def a_box(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[slice, ...]:
    starts = [draw(st.integers(0, n - 1)) for n in shape]
    return tuple(slice(a, draw(st.integers(a + 1, n))) for a, n in zip(starts, shape, strict=True))


def check_values(url: Any, expected: NDArray[Any], box: Any = None, **how: Any) -> Any:
    """The source has these voxels, in another process too."""
    source = thaw(freeze(open_source(url, **how)))
    assert source == open_source(url, **how)  # the same input, the same plan
    assert source.shape == expected.shape
    assert len(source.natural) == len(source.axes) == len(source.shape)
    reader = open_reader(source, 2)
    found = reader.read(whole(expected.shape))
    assert found.dtype == source.dtype == expected.dtype.newbyteorder("=").name
    np.testing.assert_array_equal(found, expected)
    box = box or tuple(slice(n // 3, n - n // 4) for n in expected.shape)
    np.testing.assert_array_equal(reader.read(box), expected[box])
    reader.close()
    return source


@given(st.lists(st.integers(1, 7), min_size=1, max_size=4), st.integers(1, 90_000), st.data())
@QUICK
def test_boxes_of_arrays_in_files(
    tmp_path: Path, shape: list[int], wide: int, data: st.DataObject
) -> None:
    """Runs, cropped rows and batches of rows: all ways of read_box."""
    sizes = (*shape, wide) if data.draw(st.booleans()) else (wide, *shape)
    if np.prod(sizes) > 3_000_000:
        sizes = tuple(shape)
    dtype = np.dtype(data.draw(st.sampled_from(DTYPES)))
    array = voxels(sizes, dtype.str)
    path = tmp_path / "flat"
    path.write_bytes(b"head" + array.tobytes())
    box = data.draw(a_box(sizes))
    order = data.draw(st.permutations(range(len(sizes))))
    # memory in another order of axes than the file's
    out = np.empty([array[box].shape[i] for i in order], dtype.newbyteorder("="))
    out = out.transpose(np.argsort(order))
    with RandomFile(stamp(str(path))) as file:
        read_box(file, 4, dtype, sizes, box, out)
    np.testing.assert_array_equal(out, array[box])


@given(
    st.sampled_from(("yx", "zyx", "tczyx", "czyx", "tzyx", "xyz", "zyxc", "cyx")),
    st.sampled_from(DTYPES),
    st.booleans(),
    st.data(),
)
@QUICK
def test_npy_and_raw_in_any_order_of_axes(
    tmp_path: Path, axes: str, dtype: str, fortran: bool, data: st.DataObject
) -> None:
    shape = tuple(data.draw(st.integers(2, 9)) for _ in axes)
    stored = voxels(shape, dtype)
    wanted = "".join(x for x in "tczyx" if x in axes)
    expected = stored.transpose([axes.index(x) for x in wanted])
    if axes == "cyx":
        expected, wanted = expected[:, None], "czyx"
    path = tmp_path / f"{uuid.uuid4().hex}.npy"
    np.save(path, np.asfortranarray(stored) if fortran else stored)
    box = data.draw(a_box(expected.shape))
    usual = axes in ("yx", "zyx", "tczyx")
    source = check_values(path, expected, box, **({} if usual else {"axes": axes}))
    assert (source.axes, source.voxel_size, source.unit) == (wanted, None, None)
    raw = path.with_suffix(".raw")
    raw.write_bytes(bytes(12) + stored.tobytes())
    how = {"dtype": stored.dtype.name, "order": "big" if dtype[0] == ">" else "little"}
    check_values(raw, expected, box, shape=shape, axes=axes, offset=12, **how)
    for file in (path, raw):
        file.unlink()


@pytest.mark.parametrize("shape", [(1, 4, 5), (1, 1, 1, 4, 5)])
def test_an_array_of_one_slice_is_a_stack(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "a.npy", voxels(shape))
    zarr.create_array(tmp_path / "a.zarr", data=voxels(shape))
    for name in ("a.npy", "a.zarr"):
        source = open_source(tmp_path / name)
        assert (source.axes, source.shape) == ("zyx", (1, 4, 5))


def test_npy_and_raw_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, voxels((2, 3, 4, 5)))
    with pytest.raises(UsageError, match=r"a\.npy is 2×3×4×5 and does not name its axes"):
        open_source(path)
    with pytest.raises(UsageError, match=r"name 3 axes but .* has 4"):
        open_source(path, axes="zyx")
    with pytest.raises(UsageError, match="each once"):
        open_source(path, axes="zzyx")
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(DataError, match=r"a\.npy is truncated"):
        open_source(path, axes="czyx")
    for bad, said in (
        (np.zeros((3, 4, 5), "c8"), "complex numbers"),
        (np.zeros((3, 4, 5), [("r", "u1"), ("g", "u1")]), "records"),
        (np.zeros((0, 4, 5)), "holds no voxels"),
        (np.array([[["a"]]], object), "Python objects"),
    ):
        np.save(path, bad, allow_pickle=True)
        with pytest.raises(DataError, match=said):
            open_source(path)
    raw = tmp_path / "a.raw"
    raw.write_bytes(bytes(119))
    with pytest.raises(DataError, match=r"has 119 bytes, but 3×4×5 .* uint16 make 120"):
        open_source(raw, shape=(3, 4, 5), dtype="uint16")
    with pytest.raises(UsageError, match="no header"):
        open_source(raw, shape=(3, 4, 5))
    with pytest.raises(UsageError, match="'uint17' is not known"):
        open_source(raw, shape=(3, 4, 5), dtype="uint17")
    for how, said in (
        ({"shape": (3, 4, -5)}, "shape 3,4,-5: give positive"),
        ({"shape": (3, 4, 5), "offset": -1}, "offset -1: give the bytes"),
    ):
        with pytest.raises(UsageError, match=said):
            open_source(raw, dtype="uint16", **how)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="is a folder; shape, dtype, byte order and offset are of"):
        open_source(tmp_path, shape=(3, 4, 5), dtype="uint16")


# --- HDF5


@given(st.sampled_from(DTYPES), st.sampled_from((None, True, (3, 4, 5))), st.data())
@QUICK
def test_hdf5_values(tmp_path: Path, dtype: str, chunks: Any, data: st.DataObject) -> None:
    array = voxels((7, 9, 11), dtype)
    path = tmp_path / f"{uuid.uuid4().hex}.h5"
    how = {"compression": "gzip", "shuffle": True} if chunks else {}
    with h5py.File(path, "w") as file:
        file.create_dataset("a/b", data=array, chunks=chunks, **how)
    source = check_values(path, array, data.draw(a_box(array.shape)))
    assert source.natural == (chunks if isinstance(chunks, tuple) else source.natural)
    path.unlink()


def test_hdf5_datasets_and_what_their_attributes_say(tmp_path: Path) -> None:
    path = tmp_path / "scan.h5"
    stack, movie = voxels((4, 5, 6)), voxels((2, 4, 5, 6, 3))
    tags = {
        "axes": [
            {"key": "t"},
            {"key": "z", "resolution": 2.0, "unit": "um"},
            {"key": "y", "resolution": 0.5, "unit": "um"},
            {"key": "x", "resolution": 0.5, "unit": "um"},
            {"key": "c"},
        ]
    }
    with h5py.File(path, "w") as file:
        file["raw/stack"] = stack
        file["raw/stack"].attrs["element_size_um"] = (3.0, 2.0, 1.0)
        file["movie"] = movie
        file["movie"].attrs["axistags"] = json.dumps(tags)
        file["dims"] = voxels((4, 5, 6, 3))
        for n, label in enumerate("zyxc"):
            file["dims"].dims[n].label = label
        file["angles"] = np.zeros(9)
    source = check_values(f"{path}:/raw/stack", stack)
    assert (source.voxel_size, source.unit) == ((3.0, 2.0, 1.0), "micrometer")
    assert source.url == f"{path}:/raw/stack"
    source = check_values(path, movie.transpose(0, 4, 1, 2, 3), dataset="movie")
    assert (source.axes, source.voxel_size) == ("tczyx", (2.0, 0.5, 0.5))
    assert open_source(path, dataset="dims").axes == "czyx"
    with pytest.raises(UsageError, match=r"several arrays; .*/dims 4×5×6×3, /movie 2×4×5×6×3, "):
        open_source(path)
    with pytest.raises(UsageError, match=r"scan\.h5:none is not there; its arrays are: /dims"):
        open_source(f"{path}:none")
    with pytest.raises(UsageError, match=r"scan\.h5:/raw is a group"):
        open_source(f"{path}:/raw")
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(DataError, match=r"scan\.h5 cannot be read as HDF5"):
        open_source(path)


def test_hdf5_parts_that_are_missing_are_not_read_as_zeros(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "part.h5", "w") as file:
        file["d"] = voxels((3, 4, 5))
    virtual = h5py.VirtualLayout((3, 4, 5), "u2")
    virtual[:] = h5py.VirtualSource("part.h5", "d", (3, 4, 5))
    with h5py.File(tmp_path / "all.h5", "w") as file:
        file.create_virtual_dataset("d", virtual)
    check_values(tmp_path / "all.h5", h5py.File(tmp_path / "part.h5")["d"][:])
    (tmp_path / "part.h5").unlink()
    with pytest.raises(DataError, match=r"part\.h5 is missing"):
        open_source(tmp_path / "all.h5")


def test_hdf5_packed_with_an_unknown_filter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_dataset(
            "d", (8, 8, 8), "u2", chunks=True, compression=32_777, allow_unknown_filter=True
        )
    with pytest.raises(DataError, match=r"b\.h5:/d is packed with filter 32777 .*hdf5plugin"):
        open_source(tmp_path / "b.h5")


# --- NIfTI


@given(st.sampled_from(("u1", "<i2", ">i2", "<u2", ">f4")), st.booleans(), st.data())
@QUICK
def test_nifti_values(tmp_path: Path, dtype: str, packed: bool, data: st.DataObject) -> None:
    stored = voxels((5, 6, 7, 2)[: data.draw(st.integers(2, 4))], dtype)  # x, y, z, t
    path = tmp_path / f"{uuid.uuid4().hex}.nii{'.gz' if packed else ''}"
    header = nibabel.Nifti1Header(endianness=dtype[0] if dtype[0] in "<>" else "<")
    header.set_data_dtype(dtype)
    nibabel.save(nibabel.Nifti1Image(stored, np.diag([0.5, 0.6, 2, 1]), header), path)
    expected = stored.T
    source = check_values(path, expected, data.draw(a_box(expected.shape)))
    assert source.axes == {2: "yx", 3: "zyx", 4: "tzyx"}[stored.ndim]
    path.unlink()


def test_nifti_metadata_and_scaling(tmp_path: Path) -> None:
    stored = voxels((5, 6, 7, 2), "<i2")
    image = nibabel.Nifti1Image(stored, np.diag([-0.5, 0.6, 2, 1]))
    image.header.set_xyzt_units("mm", "msec")
    image.header["pixdim"][4] = 40
    path = tmp_path / "a.nii"
    nibabel.save(image, path)
    source = open_source(path)
    assert (source.voxel_size, source.unit) == ((2.0, 0.6, 0.5), "millimeter")
    assert (source.interval, source.dtype) == ((40.0, "millisecond"), "int16")
    assert dict(source.kept)["directions of x, y, z"] == "LAS"
    image.header.set_slope_inter(0.25, -3)
    with open(path, "r+b") as file:
        file.write(image.header.binaryblock)
    check_values(path, nibabel.load(path).get_fdata(dtype=np.float32).T)
    nibabel.save(nibabel.Nifti1Image(stored[..., 0], np.eye(4)), path)
    assert open_source(path).voxel_size is None  # as it is written where nothing is known


def test_nifti_that_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    nibabel.save(nibabel.Nifti1Image(voxels((50, 60, 70), "<i2"), np.eye(4)), path)
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(DataError, match=r"a\.nii is truncated"):
        open_source(path)
    path.write_bytes(content[:200])
    with pytest.raises(DataError, match=r"a\.nii is not a NIfTI image"):
        open_source(path)
    packed = tmp_path / "b.nii.gz"
    half = len(content) // 2  # of two members, as bgzip and pigz write
    packed.write_bytes(gzip.compress(content[:half]) + gzip.compress(content[half:]))
    check_values(packed, np.asanyarray(nibabel.load(packed).dataobj).T)
    good = packed.read_bytes()
    for broken in (good[:-4], good[: len(good) // 2], gzip.compress(content[:-1])):
        packed.write_bytes(broken)
        with pytest.raises(DataError, match=r"b\.nii\.gz is (damaged|truncated)"):
            open_reader(open_source(packed))
    packed.write_bytes(good[:-8] + bytes(8))  # its sum of bits
    with pytest.raises(DataError, match=r"b\.nii\.gz is damaged"):
        open_reader(open_source(packed))
    rgb = np.zeros((4, 5, 6), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nibabel.save(nibabel.Nifti1Image(rgb, np.eye(4)), path)
    with pytest.raises(DataError, match="records"):
        open_source(path)


# --- Zarr


@given(st.sampled_from(DTYPES), st.sampled_from((2, 3)), st.booleans(), st.data())
@QUICK
def test_zarr_arrays(
    tmp_path: Path, dtype: str, zarr_format: Any, shards: bool, data: st.DataObject
) -> None:
    array = voxels((9, 10, 11), dtype)
    how: dict[str, Any] = {"shards": (8, 8, 8)} if shards and zarr_format == 3 else {}
    path = tmp_path / uuid.uuid4().hex
    made = zarr.create_array(
        path, shape=array.shape, dtype=dtype, chunks=(4, 4, 4), zarr_format=zarr_format, **how
    )
    made[:8] = array[:8]
    array[8:] = 0  # chunks that are not there are the fill value
    source = check_values(path, array, data.draw(a_box(array.shape)))
    assert (source.kind, source.natural) == (f"Zarr v{zarr_format} array", (4, 4, 4))
    shutil.rmtree(path)


def ome_zarr(root: Any, version: str, axes: str, scale: list[float]) -> NDArray[Any]:
    """An OME-Zarr image of one level, its axes in any order."""
    sizes = {"t": 2, "c": 3, "z": 4, "y": 9, "x": 8}
    array = voxels(tuple(sizes[x] for x in axes))
    types = {"t": "time", "c": "channel"}
    units = {"t": "second", "z": "micrometer", "y": "micrometer", "x": "nanometer"}
    named = [
        {"name": x, "type": types.get(x, "space")} | ({"unit": units[x]} if x != "c" else {})
        for x in axes
    ]
    levels = [{"path": "s0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}]
    content = {
        "multiscales": [{"axes": named, "datasets": levels, "name": "heart", "version": version}],
        "omero": {"channels": [{"label": n} for n in ("a", "b", "c")]},
    }
    group = zarr.create_group(root, zarr_format=2 if version == "0.4" else 3)
    group.create_array("s0", data=array, chunks=(2,) * len(axes))
    group.attrs.update(content if version == "0.4" else {"ome": {"version": version, **content}})
    return array


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_from_everywhere(tmp_path: Path, served: str, version: str) -> None:
    scale = [1.5, 1.0, 2.0, 0.5, 250.0]
    array = ome_zarr(tmp_path / "i.zarr", version, "tczyx", scale)
    shutil.make_archive(str(tmp_path / "i"), "zip", tmp_path / "i.zarr")
    memory = f"memory://source-{version}"
    from enormous import stores

    copied = ome_zarr(stores.locate(memory).zarr("w"), version, "tczyx", scale)
    for url in (tmp_path / "i.zarr", tmp_path / "i.zip", f"{served}/i.zarr", memory):
        source = check_values(url, copied if url == memory else array)
        assert (source.kind, source.axes) == ("OME-Zarr image", "tczyx")
        assert (source.voxel_size, source.unit) == ((2000.0, 500.0, 250.0), "nanometer")
        assert (source.interval, source.channels) == ((1.5, "second"), ("a", "b", "c"))
        assert source.natural == (2,) * 5
    stores.forget(memory)
    one = ome_zarr(tmp_path / "x.zarr", version, "xyz", [250.0, 0.5, 2.0])
    source = check_values(tmp_path / "x.zarr", one.T)
    assert (source.axes, source.unit) == ("zyx", "nanometer")
    assert source.voxel_size == (2000.0, 500.0, 250.0)


def test_zarr_that_only_zarr_can_read_and_groups_without_an_image(tmp_path: Path) -> None:
    array = voxels((6, 7, 8), "<u2")
    zarr.create_array(
        tmp_path / "d.zarr", data=array, chunks=(3, 3, 3), zarr_format=2, filters=Delta("<u2")
    )
    check_values(tmp_path / "d.zarr", array)
    group = zarr.create_group(tmp_path / "g.zarr")
    group.create_array("raw", data=array)
    with pytest.raises(UsageError, match=r"g\.zarr is a Zarr group without an image; .*: raw"):
        open_source(tmp_path / "g.zarr")
    check_values(tmp_path / "g.zarr", array, dataset="raw")
    named = zarr.create_array(tmp_path / "n.zarr", data=array, dimension_names=("x", "y", "z"))
    assert named.shape == (6, 7, 8)
    check_values(tmp_path / "n.zarr", array.T)
    with pytest.raises(UsageError, match="does not exist"):
        open_source(tmp_path / "none.zarr")
    victim = next(p for p in (tmp_path / "n.zarr/c").rglob("*") if p.is_file())
    source = open_source(tmp_path / "n.zarr")
    victim.write_bytes(victim.read_bytes()[:9])
    with pytest.raises(DataError, match=r"n\.zarr cannot be read") as caught:
        open_reader(source).read(whole(source.shape))
    assert "\n" not in str(caught.value)


# --- in general


def test_threads_share_a_reader(tmp_path: Path) -> None:
    array = voxels((40, 30, 20))
    np.save(tmp_path / "a.npy", array)
    zarr.create_array(tmp_path / "a.zarr", data=array, chunks=(7, 7, 7))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("d", data=array, chunks=(7, 7, 7), compression="gzip")
    for name in ("a.npy", "a.zarr", "a.h5"):
        reader = open_reader(open_source(tmp_path / name), 2)
        wrong: list[object] = []

        def look(start: int, reader: Any = reader, wrong: list[object] = wrong) -> None:
            for z in range(start, 40, 4):
                box = (slice(z, z + 1), slice(3, 29), slice(0, 20))
                try:
                    if not np.array_equal(reader.read(box), array[box]):
                        wrong.append(z)
                except EnormousError as error:
                    wrong.append(error)

        threads = [threading.Thread(target=look, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        reader.close()
        assert wrong == []


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("µm", "micrometer"),
        ("μm", "micrometer"),
        ("\\u00B5m", "micrometer"),
        ("um", "micrometer"),
        ("micron", "micrometer"),
        ("Microns", "micrometer"),
        ("micrometres", "micrometer"),
        ("NM", "nanometer"),
        ("mm", "millimeter"),
        ("Å", "angstrom"),
        ("inches", "inch"),
        ("sec", "second"),
        ("ms", "millisecond"),
        ("pixel", None),
        ("", None),
        (None, None),
    ],
)
def test_units(text: str | None, name: str | None) -> None:
    assert unit_name(text) == name


def test_sizes_in_one_unit() -> None:
    assert in_one_unit((1, 2), ("millimeter", "micrometer")) == ((1000, 2), "micrometer")
    assert in_one_unit((1, 2), (None, None)) == ((1, 2), None)
    assert in_one_unit((1, 2), (None, "micrometer")) is None

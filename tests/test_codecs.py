"""Codec names: to metadata and back, and arrays that both libraries read."""

import itertools
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore as ts
import zarr
from hypothesis import given
from hypothesis import strategies as st

from enormous.codecs import NAMES, SHUFFLES, Codec, own_bytes, raw_bytes
from enormous.errors import DataError, UsageError

SPELLED = [
    *NAMES,
    "blosc-zstd:5:bitshuffle",
    "blosc-lz4:1:noshuffle",
    "blosc-zstd:0",
    "gzip:1",
    "zstd:-5",
]
CODECS = st.one_of(
    st.builds(
        Codec,
        st.sampled_from([n for n in NAMES if n.startswith("blosc-")]),
        st.integers(0, 9),
        st.sampled_from(SHUFFLES),
    ),
    st.builds(Codec, st.just("gzip"), st.integers(0, 9)),
    st.builds(Codec, st.just("zstd"), st.integers(-131072, 22)),
    st.just(Codec("none")),
)


def voxels(dtype: str) -> np.ndarray:
    shape = (20, 17, 9)  # no axis is a multiple of the chunk
    ramp = np.add.outer(np.arange(20), np.arange(17 * 9)).reshape(shape)
    return (ramp + np.random.default_rng(0).integers(0, 4, shape)).astype(dtype)


def create_zarr(path: Path, codec: Codec, zarr_format: Any, dtype: str) -> zarr.Array:
    return zarr.create_array(
        path,
        shape=(20, 17, 9),
        chunks=(8, 8, 8),
        dtype=dtype,
        zarr_format=zarr_format,
        compressors=codec.zarr(zarr_format, np.dtype(dtype).itemsize),
    )


def create_tensorstore(path: Path, codec: Codec, zarr_format: Any, dtype: str) -> ts.TensorStore:
    kind = np.dtype(dtype)
    metadata: dict[str, Any] = {"shape": [20, 17, 9]}
    if zarr_format == 2:
        metadata |= {"chunks": [8, 8, 8], "dtype": kind.str}
    else:
        grid = {"name": "regular", "configuration": {"chunk_shape": [8, 8, 8]}}
        metadata |= {"chunk_grid": grid, "data_type": kind.name}
    endian: Any = "big" if kind.str.startswith(">") else "little"
    metadata |= codec.tensorstore(zarr_format, kind.itemsize, endian)
    spec = {
        "driver": {2: "zarr", 3: "zarr3"}[zarr_format],
        "kvstore": {"driver": "file", "path": f"{path}/"},
        "metadata": metadata,
    }
    return ts.open(spec, create=True).result()


def open_tensorstore(path: Path, zarr_format: int) -> ts.TensorStore:
    kvstore = {"driver": "file", "path": f"{path}/"}
    return ts.open({"driver": {2: "zarr", 3: "zarr3"}[zarr_format], "kvstore": kvstore}).result()


def stored_name(path: Path, zarr_format: int, itemsize: int) -> Codec:
    if zarr_format == 2:
        return Codec.from_v2(json.loads((path / ".zarray").read_text())["compressor"], itemsize)
    return Codec.from_v3(json.loads((path / "zarr.json").read_text())["codecs"])


@pytest.mark.parametrize(("text", "zarr_format"), list(itertools.product(SPELLED, (2, 3))))
def test_each_library_reads_what_the_other_wrote(
    tmp_path: Path, text: str, zarr_format: int
) -> None:
    codec = Codec.parse(text)
    for dtype in ("<u2", "|u1"):
        image = voxels(dtype)
        itemsize = image.dtype.itemsize

        by_zarr = tmp_path / f"zarr{itemsize}"
        create_zarr(by_zarr, codec, zarr_format, dtype)[...] = image
        read = open_tensorstore(by_zarr, zarr_format).read().result()
        np.testing.assert_array_equal(read, image)
        assert stored_name(by_zarr, zarr_format, itemsize) == codec

        by_tensorstore = tmp_path / f"tensorstore{itemsize}"
        create_tensorstore(by_tensorstore, codec, zarr_format, dtype)[...] = image
        np.testing.assert_array_equal(zarr.open_array(by_tensorstore, mode="r")[...], image)
        assert stored_name(by_tensorstore, zarr_format, itemsize) == codec


@pytest.mark.parametrize(("text", "zarr_format"), list(itertools.product(SPELLED, (2, 3))))
def test_encode_and_decode_agree_with_a_stored_chunk(
    tmp_path: Path, text: str, zarr_format: int
) -> None:
    codec = Codec.parse(text)
    image = voxels("<u2")
    create_zarr(tmp_path / "a", codec, zarr_format, "<u2")[...] = image
    file = tmp_path / "a" / ("0.0.0" if zarr_format == 2 else "c/0/0/0")
    chunk = image[:8, :8, :8].tobytes()
    stored, encoded = file.read_bytes(), codec.encode(chunk[::-1], itemsize=2)
    assert codec.decode(stored) == chunk
    if codec.is_blosc:  # byte 3 of a Blosc frame: the item size by which it shuffles
        assert (stored[3], encoded[3]) == (2, 2)

    file.write_bytes(encoded)
    first = zarr.open_array(tmp_path / "a", mode="r")[:8, :8, :8]
    assert np.ascontiguousarray(first).tobytes() == chunk[::-1]


def test_big_endian_and_shards(tmp_path: Path) -> None:
    image = voxels(">u2")
    codec = Codec("blosc-zstd")
    create_tensorstore(tmp_path / "big", codec, 3, ">u2")[...] = image.astype("=u2")
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "big", mode="r")[...], image)

    sharded = zarr.create_array(
        tmp_path / "sharded",
        shape=(16, 16, 16),
        chunks=(8, 8, 8),
        shards=(16, 16, 16),
        dtype="<u2",
        compressors=codec.zarr(3, 2),
    )
    sharded[...] = 7
    assert stored_name(tmp_path / "sharded", 3, 2) == codec  # found inside sharding_indexed


@pytest.mark.parametrize("name", NAMES)
def test_encode_gives_the_same_bytes_at_another_time(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    data = bytes(range(256)) * 16
    first = Codec(name).encode(data, itemsize=2)
    monkeypatch.setattr(time, "time", lambda: 2e9)
    assert Codec(name).encode(data, itemsize=2) == first
    assert Codec(name).decode(first) == data


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["<u2", ">u2", "<f8", "?"])
def test_arrays_and_buffers_of_every_kind_are_taken_in_c_order(name: str, dtype: str) -> None:
    codec = Codec(name)
    image = voxels("u2").astype(dtype)
    expected = codec.encode(image.tobytes(), itemsize=2)
    wide = np.zeros((20, 17, 12), dtype)
    wide[..., :9] = image
    same = [
        image,
        image.data,  # a memoryview, of big-endian items too
        np.asfortranarray(image),
        wide[..., :9],
        bytearray(image.tobytes()),
        memoryview(image.tobytes()),
    ]
    assert [codec.encode(data, itemsize=2) for data in same] == [expected] * len(same)
    for stored in (expected, memoryview(expected), np.frombuffer(expected, "u1")):
        assert codec.decode(stored) == image.tobytes()


def test_an_array_that_lies_in_c_order_is_not_copied() -> None:
    image = voxels(">u2")
    view = raw_bytes(image[3:])
    assert view.nbytes == image[3:].nbytes
    image[3, 0, 0] += 1
    assert bytes(view) == image[3:].tobytes()
    data = image.tobytes()
    assert own_bytes(data) is data
    assert Codec("none").encode(data) is data


THREADS_OF_BLOSC = """
import os
import numpy as np
import numcodecs
from enormous.codecs import Codec

def threads():
    return len(os.listdir("/proc/self/task"))

chunk = np.random.default_rng(0).integers(0, 999, (64, 64, 64), dtype="u2")
numcodecs.blosc.use_threads = True  # as it is in the main thread, unless told otherwise
numcodecs.blosc.set_nthreads(8)
before = threads()
encoded = Codec("blosc-zstd").encode(chunk, itemsize=2)
assert Codec("blosc-zstd").decode(encoded) == chunk.tobytes()
ours = threads() - before
numcodecs.blosc.use_threads = True
numcodecs.get_codec({"id": "blosc", "cname": "zstd"}).encode(chunk)
print(ours, threads() - before > ours)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_blosc_starts_no_threads_of_its_own() -> None:
    command = [sys.executable, "-c", THREADS_OF_BLOSC]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.split() == ["0", "True"]  # none by us; they are seen where there are some


@pytest.mark.parametrize("text", ["blosc-zstd:9", "zstd:15", "gzip:9"])
def test_threads_go_on_while_one_encodes(text: str) -> None:
    codec = Codec.parse(text)
    image = np.random.default_rng(0).integers(0, 999, 2**20, dtype="u2")
    made: list[bytes] = []
    thread = threading.Thread(target=lambda: made.append(codec.encode(image, itemsize=2)))
    start = time.perf_counter()
    thread.start()
    longest = last = 0.0
    while thread.is_alive():
        now = time.perf_counter() - start
        longest, last = max(longest, now - last), now
        time.sleep(0.001)
    took = time.perf_counter() - start
    assert codec.decode(made[0]) == image.tobytes()
    assert longest < took / 2


@given(CODECS, st.sampled_from([1, 2, 4, 8]))
def test_names_survive_every_round_trip(codec: Codec, itemsize: int) -> None:
    assert Codec.parse(str(codec)) == codec
    assert Codec.from_v2(codec.v2()) == codec
    assert Codec.from_v3(codec.v3(itemsize)) == codec
    assert Codec.from_v3(codec.tensorstore(3, itemsize)["codecs"]) == codec


def test_defaults_are_as_published() -> None:
    assert str(Codec.parse("blosc-zstd")) == "blosc-zstd:3:shuffle"
    assert str(Codec.parse("Blosc-LZ4:bitshuffle")) == "blosc-lz4:3:bitshuffle"
    assert [str(Codec(n)) for n in ("gzip", "zstd", "none")] == ["gzip:6", "zstd:3", "none"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lz4", "unknown codec 'lz4': use one of blosc-blosclz, blosc-lz4"),
        ("", "unknown codec ''"),
        ("blosc-zstd:10", "no level 10: use 0 to 9"),
        ("zstd:23", "use -131072 to 22"),
        ("zstd:--3", "has no shuffle"),
        ("zstd:3:shuffle", "only the blosc codecs do"),
        ("none:1", "has no level"),
        ("blosc-zstd:3:bytes", "use one of noshuffle, shuffle, bitshuffle"),
        ("blosc-zstd:3:shuffle:9", "is not name[:level][:shuffle]"),
    ],
)
def test_a_wrong_name_is_one_line_that_says_what_to_write(text: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        Codec.parse(text)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_metadata_without_a_name_here_is_the_datas_matter() -> None:
    for compressor in ({"id": "lz4", "acceleration": 1}, {"id": "blosc", "cname": "snappy"}):
        with pytest.raises(DataError, match="unknown codec"):
            Codec.from_v2(compressor)
    automatic = {"id": "blosc", "cname": "zstd", "clevel": 5, "shuffle": -1}
    assert Codec.from_v2(automatic, itemsize=1).shuffle == "bitshuffle"
    assert Codec.from_v2(automatic, itemsize=2).shuffle == "shuffle"
    with pytest.raises(DataError, match="itemsize"):
        Codec.from_v2(automatic)
    with pytest.raises(DataError, match="two compressors"):
        Codec.from_v3([*Codec("gzip").v3(2), *Codec("zstd").v3(2)])


@pytest.mark.parametrize("name", [n for n in NAMES if n != "none"])
def test_bytes_of_another_codec_are_refused(name: str) -> None:
    with pytest.raises(DataError, match=f"is not {name}"):
        Codec(name).decode(b"not compressed at all" * 9)

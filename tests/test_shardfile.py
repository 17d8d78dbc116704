"""shardfile.py against zarr and tensorstore, which read what it wrote and wrote what it reads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import tensorstore as ts
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from enormous.codecs import Codec
from enormous.errors import DataError, UsageError
from enormous.grid import Shape
from enormous.shardfile import EMPTY, ShardReader, ShardWriter, is_partial, pack, write_object

CODEC = Codec("blosc-zstd")
FILL = 7
EDGE = 3  # voxels along each axis of a chunk


def create(path: Path, counts: Shape, missing_shards: int = 0) -> zarr.Array:
    """An array of one shard (and more along the first axis, never written)."""
    shard = tuple(EDGE * n for n in counts)
    return zarr.create_array(
        path,
        shape=(shard[0] * (1 + missing_shards), *shard[1:]),
        chunks=(EDGE,) * len(counts),
        shards=shard,
        dtype="<u2",
        fill_value=FILL,
        compressors=CODEC.zarr(3, 2),
    )


def key(path: Path, counts: Shape) -> Path:
    return path.joinpath("c", *["0"] * len(counts))


def chunk(number: int, ndim: int) -> np.ndarray[Any, Any]:
    size = EDGE**ndim
    return (np.arange(size, dtype="<u2") + 100 * number + 1).reshape((EDGE,) * ndim)


def whole(counts: Shape, present: set[int]) -> np.ndarray[Any, Any]:
    image = np.full([EDGE * n for n in counts], FILL, "<u2")
    for number in present:
        image[region(counts, number)] = chunk(number, len(counts))
    return image


def region(counts: Shape, number: int) -> tuple[slice, ...]:
    return tuple(slice(i * EDGE, (i + 1) * EDGE) for i in np.unravel_index(number, counts))


def place(counts: Shape, number: int) -> Shape:
    return tuple(int(i) for i in np.unravel_index(number, counts))


def encoded(number: int, ndim: int) -> bytes:
    return CODEC.encode(chunk(number, ndim).tobytes(), itemsize=2)


def read_tensorstore(path: Path) -> Any:
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{path}/"}}
    return ts.open(spec).result().read().result()


def files(folder: Path) -> list[str]:
    return [os.path.join(at, name) for at, _, names in os.walk(folder) for name in names]


@st.composite
def subsets(draw: st.DrawFn) -> tuple[Shape, set[int], list[int]]:
    """Chunks per axis, which of them are stored, and an order in which all are put."""
    counts = tuple(draw(st.lists(st.integers(1, 3), min_size=1, max_size=4)))
    n = int(np.prod(counts))
    present = draw(st.sets(st.integers(0, n - 1)))
    return counts, present, draw(st.permutations(range(n)))


@settings(deadline=None, max_examples=60)
@given(subsets(), st.booleans(), st.booleans())
def test_both_libraries_read_what_we_wrote(
    case: tuple[Shape, set[int], list[int]], ordered: bool, tell_of_empty: bool
) -> None:
    counts, present, order = case
    ndim = len(counts)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a"
        array = create(path, counts)
        file = key(path, counts)
        with ShardWriter(file, counts, ordered=ordered) as shard:
            for number in order:
                if number in present:
                    shard.put(place(counts, number), encoded(number, ndim))
                elif tell_of_empty:
                    shard.put(place(counts, number), None)
        expected = whole(counts, present)
        np.testing.assert_array_equal(array[...], expected)
        np.testing.assert_array_equal(read_tensorstore(path), expected)
        assert file.exists() == bool(present)
        assert shard.nbytes == (file.stat().st_size if present else 0)
        assert len(files(path)) == 1 + bool(present)  # nothing temporary is left

        with ShardReader(file, counts) as reader:
            found = dict(reader.items())
            assert list(found) == [place(counts, n) for n in sorted(present)]
            for number in range(len(order)):
                at = place(counts, number)
                assert reader.get(at) == (encoded(number, ndim) if number in present else None)
                assert found.get(at) == reader.get(at)
            offsets = reader.index.reshape(-1, 2)[sorted(present), 0]
            if ordered:  # the file does not depend on who came first
                assert (np.diff(offsets.astype(np.int64)) > 0).all()


@settings(deadline=None, max_examples=30)
@given(subsets(), st.booleans())
def test_we_read_what_both_libraries_wrote(
    case: tuple[Shape, set[int], list[int]], by_zarr: bool
) -> None:
    counts, present, _ = case
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a"
        array = create(path, counts, missing_shards=1)
        image = whole(counts, present)
        if by_zarr:
            array[: image.shape[0]] = image
        else:
            spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{path}/"}}
            ts.open(spec).result()[: image.shape[0]].write(image).result()
        with ShardReader(key(path, counts), counts) as reader:
            stored = {np.ravel_multi_index(at, counts): data for at, data in reader.items()}
            assert set(stored) == present
            for number, data in stored.items():
                values = np.frombuffer(CODEC.decode(data), "<u2").reshape((EDGE,) * len(counts))
                np.testing.assert_array_equal(values, chunk(int(number), len(counts)))
        missing = path.joinpath("c", "1", *["0"] * (len(counts) - 1))
        with ShardReader(missing, counts) as reader:
            assert (reader.index == EMPTY).all()
            assert list(reader.items()) == []


@settings(deadline=None, max_examples=30)
@given(st.data(), st.booleans())
def test_small_shards_are_packed_as_they_are(data: st.DataObject, gaps: bool) -> None:
    small: Shape = tuple(data.draw(st.lists(st.integers(1, 2), min_size=3, max_size=3)))
    tiles: Shape = tuple(data.draw(st.lists(st.integers(1, 2), min_size=3, max_size=3)))
    counts = tuple(s * t for s, t in zip(small, tiles, strict=True))
    n = int(np.prod(counts))
    present = data.draw(st.sets(st.integers(0, n - 1)))
    with TemporaryDirectory() as folder:
        pieces = []
        for tile in np.ndindex(tiles):
            origin = tuple(s * t for s, t in zip(small, tile, strict=True))
            file = Path(folder) / "scratch" / "-".join(map(str, tile))
            with ShardWriter(file, small) as shard:
                for at in np.ndindex(small):
                    number = int(np.ravel_multi_index(np.add(origin, at), counts))
                    if number in present:
                        shard.put(at, encoded(number, 3))
            if gaps and file.exists():  # the specification allows them
                _spread(file, small)
            pieces.append((origin, ShardReader(file, small)))
        path = Path(folder) / "a"
        array = create(path, counts)
        nbytes = pack(key(path, counts), counts, pieces)
        for _, reader in pieces:
            reader.close()
        np.testing.assert_array_equal(array[...], whole(counts, present))
        np.testing.assert_array_equal(read_tensorstore(path), whole(counts, present))
        assert nbytes == (key(path, counts).stat().st_size if present else 0)
        # nothing but the chunks and the index is carried over
        chunks = sum(len(encoded(number, 3)) for number in present)
        assert nbytes == (chunks + 16 * n + 4 if present else 0)


def _spread(file: Path, counts: Shape) -> None:
    """Write the shard anew with bytes between its chunks that nobody points at."""
    with ShardReader(file, counts) as reader:
        chunks = dict(reader.items())
        body, index = b"", reader.index.copy().reshape(-1, 2)
    for at, data in reversed(chunks.items()):
        body += b"gap"
        index[np.ravel_multi_index(at, counts)] = len(body), len(data)
        body += data
    import google_crc32c

    raw = index.astype("<u8").tobytes()
    file.write_bytes(body + raw + google_crc32c.value(raw).to_bytes(4, "little"))


def test_the_file_is_the_same_whatever_threads_put_first(tmp_path: Path) -> None:
    counts = (4, 4, 4)
    written = []
    for seed in range(3):
        numbers = np.random.default_rng(seed).permutation(64).tolist()
        file = tmp_path / str(seed)
        with ShardWriter(file, counts) as shard:

            def work(part: list[int], shard: ShardWriter = shard) -> None:
                for number in part:
                    shard.put(place(counts, number), None if number % 5 == 0 else b"x" * number)

            threads = [threading.Thread(target=work, args=(numbers[i::4],)) for i in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        written.append(file.read_bytes())
    assert written[0] == written[1] == written[2]


def test_a_chunk_held_back_is_not_the_callers_buffer(tmp_path: Path) -> None:
    buffer = bytearray(b"second")
    with ShardWriter(tmp_path / "s", (2,)) as shard:
        shard.put((1,), memoryview(buffer))
        buffer[:] = b"reused"
        shard.put((0,), np.frombuffer(b"firsts", "<u2"))
    with ShardReader(tmp_path / "s", (2,)) as reader:
        assert dict(reader.items()) == {(0,): b"firsts", (1,): b"second"}


def _fail_after(file: Path, data: bytes) -> None:
    with ShardWriter(file, (2,)) as shard:
        shard.put((0,), data)
        raise KeyError


def _swallow_errors(file: Path) -> None:
    with ShardWriter(file, (2,)) as shard:
        shard.put((0,), b"12345")
        with suppress(OSError):
            shard.put((1,), b"12345")


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    file = tmp_path / "new" / "c" / "0"
    with pytest.raises(KeyError):
        _fail_after(file, b"half")
    assert files(tmp_path) == []
    with ShardWriter(file, (2,)) as shard:
        shard.put((0,), b"old")
    with pytest.raises(KeyError):
        _fail_after(file, b"new")
    with ShardReader(file, (2,)) as reader:
        assert dict(reader.items()) == {(0,): b"old"}
    with ShardWriter(file, (2,)) as shard:
        pass  # the shard has become empty
    assert files(tmp_path) == []


def test_a_full_disk_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = iter(range(99))

    def write(descriptor: int, view: Any, write: Any = os.write) -> int:
        if next(calls) == 2:
            raise OSError(28, "No space left on device")
        return int(write(descriptor, view[:3]))  # short writes happen, too

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(OSError, match="space"):
        write_object(tmp_path / "s", b"1234567890")
    assert files(tmp_path) == []
    calls = iter(range(99))
    with pytest.raises(DataError, match="could not be"):
        _swallow_errors(tmp_path / "s")
    assert files(tmp_path) == []
    calls = iter(range(3, 99))
    write_object(tmp_path / "whole", b"0123456789")
    assert (tmp_path / "whole").read_bytes() == b"0123456789"


def test_a_killed_process_leaves_no_file_under_the_final_name(tmp_path: Path) -> None:
    program = """
        import sys, time
        from enormous.shardfile import ShardWriter
        with ShardWriter(sys.argv[1], (3,)) as shard:
            shard.put((0,), b"x" * 100000)
            print("ready", flush=True)
            time.sleep(60)
    """
    file = tmp_path / "c" / "0"
    command = [sys.executable, "-c", textwrap.dedent(program), str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGKILL)
    (left,) = os.listdir(file.parent)
    assert is_partial(left)
    assert not is_partial("0")
    with ShardWriter(file, (3,)) as shard:
        shard.put((1,), b"whole")
    assert sorted(os.listdir(file.parent)) == [left, "0"]


def test_a_reader_never_sees_half_a_shard(tmp_path: Path) -> None:
    file, stop, wrong = tmp_path / "s", threading.Event(), []

    def look() -> None:
        while not stop.is_set():
            with ShardReader(file, (4,)) as reader:
                values = [data[:1] for _, data in reader.items()]
                if len(set(values)) > 1 or len(values) not in (0, 4):
                    wrong.append(values)

    watcher = threading.Thread(target=look)
    watcher.start()
    end = time.monotonic() + 0.3
    letters: Iterator[bytes] = iter(bytes([n % 250 + 1]) for n in range(10**9))
    while time.monotonic() < end:
        letter = next(letters)
        with ShardWriter(file, (4,)) as shard:
            for number in range(4):
                shard.put((number,), letter * 5000)
    stop.set()
    watcher.join()
    assert wrong == []


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda data: data[:30], "30 bytes are too short"),
        (lambda data: data[:-3] + b"abc", "checksum"),
        (lambda data: data[:10], "too short"),
        (lambda data: b"", "0 bytes are too short"),
    ],
)
def test_damage_is_told_with_the_files_name(tmp_path: Path, damage: Any, says: str) -> None:
    file = tmp_path / "shard"
    with ShardWriter(file, (2, 2)) as shard:
        shard.put((1, 1), b"chunk")
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(DataError, match=says) as told:
        ShardReader(file, (2, 2))
    assert str(file) in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("offset", "nbytes"),
    [(0, 6), (5, 1), (6, 0), (EMPTY, 3), (3, EMPTY), (EMPTY - 1, 2), (2**63, 2**63), (100, 1)],
)
def test_an_index_that_points_outside_is_told(tmp_path: Path, offset: int, nbytes: int) -> None:
    import google_crc32c

    raw = np.array([[EMPTY, EMPTY], [offset, nbytes]], "<u8").tobytes()
    file = tmp_path / "shard"
    file.write_bytes(b"chunk" + raw + google_crc32c.value(raw).to_bytes(4, "little"))
    with pytest.raises(DataError, match=r"chunk \(1,\) lies outside"):
        ShardReader(file, (2,))


def test_wrong_calls(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "s", (2, 2)) as shard:
        shard.put((1, 0), b"late")
        for again in (b"twice", None):
            with pytest.raises(UsageError, match="put each once"):
                shard.put((1, 0), again)
        for outside in ((2, 0), (0, -1), (0,)):
            with pytest.raises(UsageError):
                shard.put(outside, b"nowhere")
        with pytest.raises(UsageError, match="without bytes"):
            shard.put((0, 0), b"")
    with pytest.raises(UsageError, match="inside `with`"):
        shard.put((0, 1), b"too late")
    with ShardReader(tmp_path / "s", (2, 2)) as reader:
        assert dict(reader.items()) == {(1, 0): b"late"}
        with pytest.raises(UsageError):
            reader.get((2, 0))
        with pytest.raises(UsageError), ShardWriter(tmp_path / "big", (2, 2)) as big:
            big._copy((1, 0), reader)
        with pytest.raises(UsageError, match="put each once"):
            pack(tmp_path / "big", (4, 4), [((0, 0), reader), ((0, 0), reader)])
    assert not (tmp_path / "big").exists()
    with pytest.raises(UsageError, match="closed"):
        reader.get((1, 0))


def test_one_chunk_as_an_object(tmp_path: Path) -> None:
    file = tmp_path / "c" / "0" / "0"
    write_object(file, None)  # nothing there to remove
    assert files(tmp_path) == []
    write_object(file, b"one")
    write_object(file, np.arange(3, dtype="<u2").reshape(3, 1))
    assert file.read_bytes() == bytes([0, 0, 1, 0, 2, 0])
    assert os.listdir(file.parent) == ["0"]
    write_object(file, None)
    assert files(tmp_path) == []

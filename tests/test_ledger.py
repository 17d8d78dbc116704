"""The ledger against a server that counts for itself: every figure must agree."""

import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import obstore
import pytest
import tensorstore as ts
import zarr
from counting_server import Served, serving
from hypothesis import example, given, settings
from hypothesis import strategies as st
from zarr.storage import LocalStore, MemoryStore, ObjectStore

from enormous.errors import UsageError
from enormous.ledger import Counts, KeyCounts, Ledger

CHUNK = 16**3 * 2  # bytes of an uncompressed chunk
INDEX = 16 * 8 + 4  # bytes of the index of 8 chunks in a shard

# From 3.3 on, zarr merges ranges of one shard that are less than 1 MiB apart.
ZARR_MERGES = hasattr(zarr.abc.store.Store, "get_ranges")

ALL = np.s_[...]
PLANE = np.s_[5]  # 16 chunks: 4 in each of 4 shards, every second one in the shard's order
VOXEL = np.s_[3, 3, 3]
PAIR = np.s_[0:32, 0:16, 0:16]  # 2 chunks that lie side by side in one shard
COLUMN = np.s_[0:64, 5, 5]  # such a pair in each of 2 shards

# (array, selection) -> requests, bytes
ONE_BY_ONE = {
    ("plain", "ALL"): (64, 64 * CHUNK),
    ("plain", "PLANE"): (16, 16 * CHUNK),
    ("plain", "VOXEL"): (1, CHUNK),
    ("plain", "COLUMN"): (4, 4 * CHUNK),
    ("sharded", "ALL"): (8, 8 * (8 * CHUNK + INDEX)),  # whole shards: no index read
    ("sharded", "PLANE"): (4 + 16, 4 * INDEX + 16 * CHUNK),
    ("sharded", "VOXEL"): (2, INDEX + CHUNK),
    ("sharded", "PAIR"): (1 + 2, INDEX + 2 * CHUNK),
    ("sharded", "COLUMN"): (2 + 4, 2 * INDEX + 4 * CHUNK),
    ("holes", "ALL"): (64, CHUNK),
    ("holes", "PLANE"): (16, CHUNK),
}
# tensorstore merges ranges that touch, and no others
TOUCHING_MERGED = ONE_BY_ONE | {
    ("sharded", "PAIR"): (1 + 1, INDEX + 2 * CHUNK),
    ("sharded", "COLUMN"): (2 + 2, 2 * INDEX + 4 * CHUNK),
}
# zarr from 3.3 on reads across the gaps: 7 chunks to get 4
NEAR_MERGED = TOUCHING_MERGED | {("sharded", "PLANE"): (4 + 4, 4 * INDEX + 4 * 7 * CHUNK)}

BY_ZARR = NEAR_MERGED if ZARR_MERGES else ONE_BY_ONE


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("arrays")
    image = np.random.default_rng(0).integers(1, 60000, (64, 64, 64)).astype("<u2")
    options: dict[str, Any] = {"shape": image.shape, "dtype": "<u2", "compressors": None}
    zarr.create_array(folder / "plain", chunks=(16, 16, 16), **options)[...] = image
    sharded = zarr.create_array(
        folder / "sharded", chunks=(16, 16, 16), shards=(32, 32, 32), **options
    )
    sharded[...] = image
    holes = zarr.create_array(folder / "holes", chunks=(16, 16, 16), **options)
    holes[:16, :16, :16] = image[:16, :16, :16]
    (folder / "bytes").write_bytes(bytes(range(256)) * 16)
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Served]:
    with serving(folder) as served:
        yield served


@pytest.fixture(autouse=True)
def clean(server: Served) -> None:
    server.requests.clear()


def http_store(server: Served) -> Any:
    return obstore.store.HTTPStore.from_url(server.url, client_options={"allow_http": True})


@pytest.mark.parametrize(("name", "selection"), list(BY_ZARR))
def test_zarr_over_http_counts_as_the_server_does(
    server: Served, name: str, selection: str
) -> None:
    ledger = Ledger()
    store = ledger.wrap(ObjectStore(http_store(server), read_only=True))
    array = zarr.open_array(store, path=name, mode="r")
    assert (ledger.metadata_reads, ledger.metadata_bytes) == (server.gets, server.sent)
    assert ledger.reads == 0

    server.requests.clear()
    with ledger.measure() as access:
        array[globals()[selection]]
    assert (access.reads, access.read_bytes) == (server.gets, server.sent)
    assert (access.reads, access.read_bytes) == BY_ZARR[name, selection]
    assert access.missing == server.missing
    assert access.metadata_reads == 0


@pytest.mark.parametrize(("name", "selection"), list(TOUCHING_MERGED))
def test_tensorstore_over_http_counts_as_the_server_does(
    server: Served, name: str, selection: str
) -> None:
    kvstore = {"driver": "http", "base_url": f"{server.url}/", "path": f"{name}/"}
    array = ts.open({"driver": "zarr3", "kvstore": kvstore}).result()
    server.requests.clear()
    ledger = Ledger()
    with ledger.tensorstore() as access:
        array[globals()[selection]].read().result()
    assert (access.reads, access.read_bytes) == (server.gets, server.sent)
    assert (access.reads, access.read_bytes) == TOUCHING_MERGED[name, selection]
    assert ledger.total() == access
    assert list(access.keys) == ["tensorstore:http"]


@pytest.mark.parametrize(("name", "selection"), list(ONE_BY_ONE))
def test_a_folder_is_read_as_a_server_is(folder: Path, name: str, selection: str) -> None:
    ledger = Ledger()
    array = zarr.open_array(ledger.wrap(LocalStore(folder)), path=name, mode="r")
    with ledger.measure() as access:
        array[globals()[selection]]
    assert (access.reads, access.read_bytes) == BY_ZARR[name, selection]

    kvstore = {"driver": "file", "path": f"{folder / name}/"}
    tensor = ts.open({"driver": "zarr3", "kvstore": kvstore}).result()
    with ledger.tensorstore() as access:
        tensor[globals()[selection]].read().result()
    requests, nbytes = TOUCHING_MERGED[name, selection]
    if name == "holes":  # this driver does not count files that are not there
        requests = 1
    assert (access.reads, access.read_bytes) == (requests, nbytes)


def test_the_breakdown_names_chunks_and_holes(folder: Path) -> None:
    ledger = Ledger()
    array = zarr.open_array(ledger.wrap(LocalStore(folder)), path="holes", mode="r")
    with ledger.measure() as access:
        array[0:32, 0, 0]
    assert access.keys == {
        "holes/c/0/0/0": KeyCounts(reads=1, read_bytes=CHUNK),
        "holes/c/1/0/0": KeyCounts(reads=1, missing=1),
    }
    assert repr(access) == f"Counts(reads=2, read_bytes={CHUNK}, missing=1)"
    assert json.loads(json.dumps(access.as_dict()))["keys"]["holes/c/1/0/0"]["missing"] == 1


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_writes_are_what_is_then_stored(tmp_path: Path, zarr_format: Any) -> None:
    ledger = Ledger()
    store = ledger.wrap(LocalStore(tmp_path))
    image = np.arange(20**3, dtype="u2").reshape(20, 20, 20)
    array = zarr.create_array(
        store, name="a", shape=image.shape, chunks=(8, 8, 8), dtype="u2", zarr_format=zarr_format
    )
    assert ledger.writes == 0
    assert ledger.metadata_writes > 0
    with ledger.measure() as access:
        array[...] = image
    files = [f for f in tmp_path.rglob("*") if f.is_file() and f.name[0] not in ".z"]
    assert access.writes == len(files) == 27
    assert access.write_bytes == sum(f.stat().st_size for f in files)
    with ledger.measure() as access:
        array[:8, :8, :8] = 0  # the fill value: zarr drops the chunk
    assert access.deletes == 1
    with ledger.measure() as access:
        assert array.nbytes_stored() > 0
    assert (access.reads, access.lists) == (0, 1)


def test_tensorstore_writes_are_what_is_then_stored(tmp_path: Path) -> None:
    ledger = Ledger()
    spec = {"driver": "zarr", "kvstore": {"driver": "file", "path": f"{tmp_path}/"}}
    with ledger.tensorstore():
        array = ts.open(
            spec, create=True, dtype=ts.uint16, shape=[16, 16], chunk_layout=None
        ).result()
        array[...] = 1
    files = [f for f in tmp_path.rglob("*") if f.is_file()]
    assert (ledger.writes, ledger.write_bytes) == (len(files), sum(f.stat().st_size for f in files))


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 900)), min_size=1, max_size=8),
    st.sampled_from([0, 1, 50, 400, 1 << 20]),
)
@example([(0, 10), (10, 10)], 0)  # touching ranges travel together even so
@example([(0, 10), (60, 10)], 50)  # just near enough
@example([(0, 10), (61, 10)], 50)  # just not
def test_byte_ranges_count_as_the_server_does(
    server: Served, ranges: list[tuple[int, int]], coalesce: int
) -> None:
    server.requests.clear()
    ledger = Ledger()
    starts, lengths = zip(*ranges, strict=True)
    store = ledger.bytes(http_store(server))
    parts = store.get_ranges("bytes", starts=starts, lengths=lengths, coalesce=coalesce)
    assert [bytes(p) for p in parts] == [(bytes(range(256)) * 16)[a : a + n] for a, n in ranges]
    assert (ledger.reads, ledger.read_bytes) == (server.gets, server.sent)


def test_a_byte_store_counts_every_call(server: Served, tmp_path: Path) -> None:
    ledger = Ledger()
    store = ledger.bytes(http_store(server))
    assert len(store.get("bytes").bytes()) == 4096
    assert len(store.get("bytes", options={"range": {"suffix": 7}}).bytes()) == 7
    assert len(store.get_range("bytes", start=10, length=5)) == 5
    with pytest.raises(FileNotFoundError):
        store.get_range("nothing", start=0, end=1)
    assert (ledger.reads, ledger.read_bytes) == (server.gets, server.sent) == (4, 4108)
    assert ledger.missing == server.missing == 1

    local = ledger.bytes(obstore.store.LocalStore(tmp_path))
    with ledger.measure() as access:
        local.put("a/c/0", bytes(20))
        local.put("a/zarr.json", b"{}")
        assert local.head("a/c/0")["size"] == 20
        assert {found["path"] for found in local.list("a").collect()} == {"a/c/0", "a/zarr.json"}
        assert len(local.get_ranges("a/c/0", starts=[0, 4], ends=[4, 8])) == 2  # not merged
        local.delete("a/c/0")
    assert (access.writes, access.write_bytes, access.metadata_writes) == (1, 20, 1)
    assert (access.heads, access.lists, access.deletes, access.reads) == (1, 1, 1, 2)
    with pytest.raises(UsageError, match="puts of bytes"):
        local.put("b", iter([b"1"]))


KEYS = st.sampled_from(["c/0", "c/1", "0/zarr.json"])
RECORDS = st.lists(
    st.tuples(st.sampled_from(["get", "put", "head"]), KEYS, st.integers(0, 99)), max_size=20
)


def counted(records: list[tuple[Any, str, int]]) -> Counts:
    ledger = Ledger()
    for operation, key, nbytes in records:
        ledger.record(operation, key, nbytes)
    return ledger.total()


@given(RECORDS, RECORDS)
def test_counts_add_subtract_and_pickle(one: Any, other: Any) -> None:
    both = counted(one) + counted(other)
    assert both == counted(one + other)
    assert both - counted(other) == counted(one)
    assert pickle.loads(pickle.dumps(both)) == both
    assert both.reads + both.metadata_reads == sum(record[0] == "get" for record in one + other)
    assert both.read_bytes == sum(k.read_bytes for k in both.keys.values())


@pytest.mark.parametrize("shared", [False, True])
def test_threads_lose_no_count(tmp_path: Path, shared: bool) -> None:
    ledger = Ledger(tmp_path if shared else None)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: ledger.record("get", f"c/{n % 3}", n), range(2000)))
    assert (ledger.reads, ledger.read_bytes) == (2000, sum(range(2000)))
    ledger.reset()
    assert ledger.total() == Counts()
    ledger.record("get", "c/0", 5)
    assert ledger.read_bytes == 5


def read_plane(store: Any) -> int:
    zarr.open_array(store, path="plain", mode="r")[5]
    return os.getpid()


def test_worker_processes_are_summed(tmp_path: Path, folder: Path) -> None:
    ledger = Ledger(tmp_path)
    store = ledger.wrap(LocalStore(folder, read_only=True))
    context = multiprocessing.get_context("spawn")
    with ledger.measure() as access:
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            pids = set(pool.map(read_plane, [store] * 4))
        read_plane(store)
    assert os.getpid() not in pids
    assert (access.reads, access.read_bytes) == (5 * 16, 5 * 16 * CHUNK)
    assert len(access.keys) == 16


def test_a_ledger_starts_at_zero_in_a_used_folder_and_its_copies_with_it(tmp_path: Path) -> None:
    old = Ledger(tmp_path)
    old.record("get", "c/0", 100)
    with next(tmp_path.glob("*.ledger")).open("ab") as file:
        file.write(b'["get", "c/0", 1, ')  # in flight while the next ledger starts
    ledger = Ledger(tmp_path)
    assert ledger.total() == Counts()
    with next(tmp_path.glob("*.ledger")).open("ab") as file:
        file.write(b"7, 0]\n")
    assert (ledger.reads, ledger.read_bytes) == (1, 7)
    ledger.record("get", "c/0", 30)
    copy = pickle.loads(pickle.dumps(ledger))
    copy.record("get", "c/1", 2)
    assert copy.total() == ledger.total()
    assert (copy.reads, copy.read_bytes) == (3, 39)
    ledger.reset()
    later = pickle.loads(pickle.dumps(ledger))
    later.record("get", "c/2", 5)
    assert (later.read_bytes, ledger.read_bytes) == (5, 5)
    assert (copy.read_bytes, old.read_bytes) == (44, 144)  # nobody told them


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_killed_worker_keeps_its_counts(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from enormous.ledger import Ledger\n"
        "ledger = Ledger(sys.argv[1])\n"
        "for n in range(5): ledger.record('get', 'c/0', 10)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    ledger = Ledger(tmp_path)
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert (ledger.reads, ledger.read_bytes) == (5, 50)
    with next(tmp_path.glob("*.ledger")).open("ab") as file:
        file.write(b'["get", "c/0", 1, 1')  # a line that is only half there yet
        file.flush()
        assert ledger.reads == 5
        file.write(b"0, 0]\n")
    assert (ledger.reads, ledger.read_bytes) == (6, 60)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_worker_writes_to_its_own_file(tmp_path: Path) -> None:
    code = (
        "import os, sys; from enormous.ledger import Ledger\n"
        "ledger = Ledger(sys.argv[1])\n"
        "ledger.record('get', 'c/0', 1)\n"
        "if os.fork() == 0: ledger.record('get', 'c/0', 2); os._exit(0)\n"
        "assert os.wait()[1] == 0\n"
        "assert (ledger.reads, ledger.read_bytes) == (2, 3), ledger"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert len(list(tmp_path.glob("*.ledger"))) == 2


def test_a_pickled_ledger_without_a_folder_counts_for_itself(folder: Path) -> None:
    ledger = Ledger()
    ledger.record("get", "c/0", 1)
    copy = pickle.loads(pickle.dumps(ledger.wrap(LocalStore(folder))))
    read_plane(copy)
    assert ledger.reads == 1
    assert copy.ledger.reads == 1 + 16
    assert (ledger + copy.ledger).reads == 2 + 16


def test_only_stores_are_wrapped(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"not str: open the path or URL first"):
        Ledger().wrap(str(folder))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "use", [lambda s: s.get_partial_values, lambda s: s._get_many], ids=["partial", "many"]
)
def test_bulk_reads_of_the_store_interface_are_counted(use: Callable[[Any], Any]) -> None:
    from zarr.abc.store import RangeByteRequest
    from zarr.core.buffer import default_buffer_prototype
    from zarr.core.sync import sync

    prototype = default_buffer_prototype()
    plain = MemoryStore({"a": prototype.buffer.from_bytes(b"0123456789")})
    ledger = Ledger()
    method = use(ledger.wrap(plain))
    asked = [("a", RangeByteRequest(2, 5)), ("a", None), ("b", None)]

    async def read() -> list[bytes | None]:
        if method.__name__ == "_get_many":
            values = [v async for _, v in method([(k, prototype, r) for k, r in asked])]
        else:
            values = await method(prototype, asked)
        return [None if value is None else value.to_bytes() for value in values]

    assert sync(read()) == [b"234", b"0123456789", None]
    assert (ledger.reads, ledger.read_bytes, ledger.missing) == (3, 13, 1)

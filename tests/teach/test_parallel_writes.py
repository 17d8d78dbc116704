"""Races that are forced: two writers of one object always meet, one alone goes on."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

pytest.importorskip("zarr")
import zarr

from enormous.errors import DataError
from enormous.teach import parallel_writes
from enormous.teach.parallel_writes import Meeting, two_processes

LAYOUTS = {"chunk": {"chunks": (8, 4, 4)}, "shard": {"chunks": (4, 4, 4), "shards": (8, 4, 4)}}


def written_by_two(path, layout, halves, patience=30.0):
    """Let two threads write ones at a time; the array, and how many times they met."""
    made = zarr.create_array(path, shape=(16, 4, 4), dtype="uint16", **layout)
    store = Meeting(made.store, patience)
    array = zarr.open_array(store, mode="r+")
    threads = [
        threading.Thread(target=array.__setitem__, args=(half, np.uint16(1))) for half in halves
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return made[:], store.met


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_two_writers_of_one_object_lose_one_half(tmp_path, layout):
    found, met = written_by_two(tmp_path / "a.zarr", layout, (slice(0, 4), slice(4, 8)))
    assert met == 1
    assert sorted([found[:4].sum(), found[4:8].sum()]) == [0, 64]


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_writers_of_two_objects_never_meet_and_lose_nothing(tmp_path, layout):
    halves = (slice(0, 8), slice(8, 16))
    found, met = written_by_two(tmp_path / "a.zarr", layout, halves, patience=0.05)
    assert met == 0
    assert (found == 1).all()


def test_a_writer_alone_waits_as_long_as_it_was_told(tmp_path):
    made = zarr.create_array(tmp_path / "a.zarr", shape=(4,), chunks=(4,), dtype="uint16")
    store = Meeting(made.store, patience=0.2)
    array = zarr.open_array(store, mode="r+")  # metadata do not wait
    for value in (1, 2):  # who has left is not met
        begin = time.monotonic()
        array[:] = np.uint16(value)
        assert time.monotonic() - begin >= 0.2
    assert store.met == 0
    assert (made[:] == 2).all()


def test_two_processes_with_tensorstore_lose_nothing(tmp_path):
    assert two_processes("tensorstore", tmp_path, 20) == (0, 0)


def test_two_processes_with_zarr_write_round_after_round(tmp_path):
    lost = two_processes("zarr", tmp_path, 20)  # how many is luck
    assert 0 <= min(lost) <= max(lost) <= 20
    for name in ("chunk", "shard"):
        assert 20 in zarr.open_array(tmp_path / name, mode="r")[:]


def test_a_process_that_dies_is_said_in_a_line(tmp_path, monkeypatch):
    monkeypatch.setattr(parallel_writes.sys, "executable", "/bin/true")
    with pytest.raises(DataError, match="before its time"):
        two_processes("zarr", tmp_path / "a.zarr", 1)

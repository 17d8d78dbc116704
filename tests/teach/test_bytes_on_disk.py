from __future__ import annotations

import ctypes
import mmap
import os

import pytest

from enormous.teach.bytes_on_disk import forget, resident_pages


def test_pages_just_read_are_in_memory_and_pages_forgotten_are_not(tmp_path) -> None:
    path = tmp_path / "scan.raw"
    content = os.urandom(300 * mmap.PAGESIZE + 1)
    path.write_bytes(content)
    assert path.read_bytes() == content
    held = resident_pages(path)
    if held is None:
        pytest.skip("this system does not tell")
    assert held == 301  # just written and read: all of them, the begun one too
    if not forget(path):
        pytest.skip("the file system here does not forget on request")
    assert resident_pages(path) == 0
    with path.open("rb", buffering=0) as file:
        file.seek(200 * mmap.PAGESIZE)
        file.read(1)
    assert 1 <= resident_pages(path) <= 301
    assert path.read_bytes() == content


def test_looking_reads_nothing(tmp_path) -> None:
    path = tmp_path / "scan.raw"
    path.write_bytes(bytes(64 * mmap.PAGESIZE))
    if not forget(path):
        pytest.skip("the file system here does not forget on request")
    assert [resident_pages(path) for _ in range(3)] == [0, 0, 0]


def test_an_empty_file_has_no_pages(tmp_path) -> None:
    (tmp_path / "empty").touch()
    assert resident_pages(tmp_path / "empty") == 0


def test_a_system_that_cannot_tell_is_no_error(tmp_path, monkeypatch) -> None:
    path = tmp_path / "scan.raw"
    path.write_bytes(b"scan")

    def no_library(name):
        raise TypeError("as on Windows")

    monkeypatch.setattr(ctypes, "CDLL", no_library)
    assert resident_pages(path) is None
    assert forget(path) is False
    monkeypatch.delattr(os, "posix_fadvise", raising=False)
    assert forget(path) is False

"""Pyramids of three makers, read as one: what was written or said, and nothing added."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest

from enormous.kernels import downsample
from enormous.teach.right_pyramids import in_memory, step_by_step, written

IMAGE = np.random.default_rng(0).integers(0, 2**16, (12, 16, 20)).astype(np.uint16)


def test_a_call_gets_the_metadata_of_a_mean():
    levels = step_by_step(lambda a: downsample(a, (2, 2, 2), "mean"))(IMAGE)
    assert [level.array.shape for level in levels] == [(12, 16, 20), (6, 8, 10), (3, 4, 5)]
    assert [level.scale.tolist() for level in levels] == [[1] * 3, [2] * 3, [4] * 3]
    assert [level.translation.tolist() for level in levels] == [[0] * 3, [0.5] * 3, [1.5] * 3]


def test_what_was_written_is_read_and_the_folder_is_gone():
    write_image = pytest.importorskip("ome_zarr.writer").write_image
    seen = []

    def write(path: str) -> None:
        seen.append(Path(path))
        write_image(IMAGE, path, axes="zyx", scale_factors=[{"z": 1, "y": 2, "x": 2}])

    levels = written(write)
    assert np.array_equal(levels[0].array, IMAGE)
    assert levels[1].array.shape == (12, 8, 10)
    assert levels[1].scale.tolist() == [1, 2, 2]
    assert levels[1].translation.tolist() == [0, 0, 0]  # it writes none
    assert not seen[0].exists()


def test_nothing_is_left_behind_when_writing_fails(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def write(path: str) -> None:
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        written(write)
    assert list(tmp_path.iterdir()) == []


def test_levels_in_memory_keep_their_axes_in_order():
    ngff_zarr = pytest.importorskip("ngff_zarr")
    image = ngff_zarr.to_ngff_image(
        IMAGE, dims=list("zyx"), scale={"z": 3.0, "y": 1.0, "x": 2.0}, translation={}
    )
    factors = [{"z": 1, "y": 2, "x": 2}]
    image.translation = dict.fromkeys("zyx", 0.0)
    method = ngff_zarr.Methods.DASK_BIN_SHRINK
    levels = in_memory(ngff_zarr.to_multiscales(image, factors, method=method))
    assert levels[1].array.shape == (12, 8, 10)
    assert levels[1].scale.tolist() == [3, 2, 4]
    assert levels[1].translation.tolist() == [0, 0.5, 1]

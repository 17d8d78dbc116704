"""grid.py against brute force: every voxel visited, every set counted."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enormous.errors import UsageError
from enormous.grid import (
    CHUNK_MAX_BYTES,
    CHUNK_VOXELS,
    Grid,
    Tiling,
    boxes,
    check_new,
    default_layout,
    mean_touched,
    normalize,
)


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    ndim = draw(st.integers(1, 3))
    axes = st.lists(st.integers(1, 11), min_size=ndim, max_size=ndim)
    chunks = draw(st.lists(st.integers(1, 6), min_size=ndim, max_size=ndim))
    times = draw(st.none() | st.lists(st.integers(1, 3), min_size=ndim, max_size=ndim))
    shards = tuple(c * k for c, k in zip(chunks, times, strict=True)) if times else None
    return Grid(tuple(draw(axes)), tuple(chunks), draw(st.sampled_from([1, 2, 4])), shards)


def selections(shape: tuple[int, ...]) -> st.SearchStrategy[tuple[int | slice, ...]]:
    return st.tuples(*(st.integers(-n, n - 1) | st.slices(n) for n in shape))


@given(st.data())
def test_need_equals_counting_voxel_by_voxel(data: st.DataObject) -> None:
    grid = data.draw(grids())
    selection = data.draw(selections(grid.shape))
    flags = np.zeros(grid.shape, bool)
    flags[selection] = True
    voxels = [tuple(v) for v in np.argwhere(flags)]
    chunk_of = {tuple(i // c for i, c in zip(v, grid.chunks, strict=True)) for v in voxels}
    shard = grid.shards or grid.chunks
    object_of = {tuple(i // s for i, s in zip(v, shard, strict=True)) for v in voxels}
    need = grid.need(selection)
    assert need.voxels == len(voxels)
    assert need.nbytes == len(voxels) * grid.itemsize
    assert need.chunks == len(chunk_of)
    assert need.objects == len(object_of)
    assert need.chunk_bytes == len(chunk_of) * math.prod(grid.chunks) * grid.itemsize
    assert set(itertools.product(*grid.by_chunk.touched(selection))) == chunk_of
    if grid.shards:
        inner = math.prod(s // c for s, c in zip(grid.shards, grid.chunks, strict=True))
        assert need.requests == len(chunk_of) + len(object_of)
        assert need.index_bytes == len(object_of) * (16 * inner + 4)
    else:
        assert (need.requests, need.index_bytes) == (len(chunk_of), 0)
    if voxels:
        assert need.amplification == need.chunk_bytes / need.nbytes
        assert grid.need_points(voxels) == need
    else:
        assert math.isnan(need.amplification)


@given(grids())
def test_boxes_tile_the_array_once_and_ids_invert(grid: Grid) -> None:
    owners = np.zeros(grid.shape, int)
    for tile in (grid.chunks, grid.shards or grid.chunks):
        owners[...] = 0
        for box in boxes(grid.shape, tile):
            owners[box] += 1
        assert (owners == 1).all()
        tiling = Tiling(grid.shape, tile)
        assert [tiling.number(tiling.index(i)) for i in range(tiling.n)] == list(range(tiling.n))
    assert grid.padded_bytes >= grid.nbytes
    assert grid.padded_bytes == grid.n_chunks * grid.chunk_bytes


@given(st.data())
def test_mean_amplification_is_the_mean_over_all_places(data: st.DataObject) -> None:
    length, chunk = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 12))
    box = data.draw(st.integers(1, length))
    grid = Grid((length,), (chunk,), 2)
    counts = [grid.need(slice(p, p + box)).chunks for p in range(length - box + 1)]
    assert mean_touched(length, chunk, box) == Fraction(sum(counts), len(counts))
    assert grid.mean_amplification((box,)) == Fraction(sum(counts) * chunk, len(counts) * box)


def test_mean_amplification_far_from_edges_is_the_textbook_formula() -> None:
    chunk, box = 64, 100
    length = 10**6 * chunk + box - 1  # a whole number of chunk-sized cycles of places
    assert mean_touched(length, chunk, box) * Fraction(chunk, box) == Fraction(box + chunk - 1, box)


def test_a_petabyte_is_counted_without_listing_it() -> None:
    grid = Grid((10**5, 10**5, 10**5), (128, 128, 128), 1, (512, 512, 512))
    assert grid.nbytes == 10**15
    assert grid.need((0, slice(None), slice(None))).chunks == 782**2
    assert grid.by_chunk.index(grid.n_chunks - 1) == (781, 781, 781)


@given(st.data())
def test_default_rule_holds_its_promises(data: st.DataObject) -> None:
    ndim = data.draw(st.integers(1, 5))
    shape = tuple(data.draw(st.lists(st.integers(1, 5000), min_size=ndim, max_size=ndim)))
    itemsize = data.draw(st.sampled_from([1, 2, 4, 8, 16]))
    voxel = data.draw(st.none() | st.lists(st.floats(0.01, 100), min_size=ndim, max_size=ndim))
    layout = default_layout(shape, itemsize, voxel)
    check_new(shape, layout.chunks, layout.shards)
    assert math.prod(layout.chunks) <= CHUNK_VOXELS
    assert math.prod(layout.chunks) * itemsize <= CHUNK_MAX_BYTES
    assert all(c == 1 for c in layout.chunks[:-3])
    grid = Grid(shape, layout.chunks, itemsize, layout.shards)
    assert grid.n_objects <= grid.n_chunks


@given(st.data())
def test_numpy_integers_count_as_pythons_do(data: st.DataObject) -> None:
    sizes = st.integers(1, 2**62)  # products far beyond what numpy's integers hold
    shape, chunks = data.draw(st.tuples(sizes, sizes, sizes)), data.draw(st.tuples(sizes, sizes))
    chunks, times = (*chunks, data.draw(sizes)), data.draw(st.none() | st.integers(1, 4))
    shards = tuple(c * times for c in chunks) if times and max(chunks) < 2**60 else None
    points = [tuple(data.draw(st.integers(0, n - 1)) for n in shape)]
    box = tuple(data.draw(st.integers(1, n)) for n in shape)

    def figures(grid: Grid, points: list, box: tuple) -> tuple:
        number = grid.by_chunk.number(grid.by_chunk.index(grid.n_chunks - 1))
        selection = (points[0][0], slice(points[0][1], None), ...)
        return (
            *(grid, hash(grid), grid.nbytes, grid.padded_bytes, grid.index_bytes, grid.n_objects),
            *(number, grid.need(selection), grid.need_points(points)),
            *(grid.mean_amplification(box), mean_touched(shape[0], chunks[0], box[0])),
            default_layout(grid.shape, grid.itemsize),
        )

    numpys = (np.array(shape), list(np.array(chunks)), np.int64(2))
    theirs = Grid(*numpys, None if shards is None else np.array(shards))
    assert figures(theirs, list(np.array(points)), np.array(box)) == figures(
        Grid(shape, chunks, 2, shards), points, box
    )
    assert {type(n) for n in (*theirs.shape, *theirs.chunks, *theirs.by_object.tile)} == {int}
    assert default_layout(np.array(shape), np.int64(2), np.ones(3)) == default_layout(shape, 2)


def test_default_rule_in_the_usual_cases() -> None:
    assert default_layout((4000,) * 3, 2)[:2] == ((128,) * 3, (512,) * 3)
    assert default_layout((2000, 4000, 4000), 2, (4.0, 1.0, 1.0)).chunks == (32, 256, 256)
    assert default_layout((64, 50, 50), 2)[:2] == ((64, 50, 50), None)
    assert default_layout((3, 2, 900, 800, 800), 2)[:2] == (
        (1, 1, 128, 128, 128),
        (1, 1, 512, 512, 512),
    )


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: Grid((8, 8), (4,), 2), "one number for each axis"),
        (lambda: Grid((8, -8), (4, 4), 2), "axis below 0"),
        (lambda: Grid((8, 8), (4, 0), 2), "axis below 1"),
        (lambda: Grid((8, 8), (4, 4), 0), "itemsize 0"),
        (lambda: Grid((8.0, 8), (4, 4), 2), "shape .* not made of whole numbers"),
        (lambda: Grid((8, 8), 4, 2), "chunk 4 is not made of whole numbers"),
        (lambda: Grid((8, 8), (4, 4), 2.0), "itemsize 2.0 is not a whole number"),
        (lambda: Grid((8, 8), (4, 4), 2, (8,)), "shard .* one number for each axis"),
        (lambda: Grid((8, 8), (4, 4), 2).need((None, 1)), "index None along axis 0"),
        (lambda: Grid((8, 8), (4, 4), 2).need(([1, 2], 1)), r"index \[1, 2\] along axis 0"),
        (lambda: Grid((8, 8), (4, 4), 2).need(np.ones((8, 8))), "along axis 0"),
        (lambda: Grid((8, 8), (4, 4), 2).need(slice(0, 8, 0)), "along axis 0"),
        (lambda: Grid((8, 8), (4, 4), 2).need_points([(1,)]), "one number for each axis"),
        (lambda: Grid((8, 8), (4, 4), 2).mean_amplification((1,)), "one number for each axis"),
        (lambda: Grid((8, 8), (4, 4), 2, (8, 6)), r"try \(8, 8\)"),
        (lambda: Grid((8, 8), (4, 4), 2).need((8, 0)), "outside axis 0, which has 8"),
        (lambda: Grid((8, 8), (4, 4), 2).mean_amplification((9, 1)), "does not fit"),
        (lambda: normalize((8, 8), (0, 0, 0)), "more indices"),
        (lambda: normalize((8, 8), (..., ...)), "more than one"),
        (lambda: Tiling((8,), (4,)).index(2), "boxes 0 to 1"),
        (lambda: Tiling((8,), (4,)).index(-1), "box -1"),
        (lambda: Tiling((8,), (4,)).number((2,)), "is not one of"),
        (lambda: Tiling((8,), (4,)).number((0, 0)), "one number for each axis"),
        (lambda: Tiling((8,), (4,)).slices((-1,)), "is not one of"),
        (lambda: mean_touched(8, 0, 2), "chunk 0"),
        (lambda: check_new((8, 8), (9, 8)), r"use at most \(8, 8\)"),
        (lambda: check_new((0, 8), (1, 8)), "1 or more"),
        (lambda: default_layout((8, 8), 2, (1.0, 0.0)), "one positive number"),
        (lambda: default_layout((8, 8), 2, np.ones(3)), "one positive number"),
        (lambda: default_layout((8, 8), 2, 1.0), "one positive number"),
        (lambda: default_layout((8, 8), 0), "itemsize 0"),
    ],
)
def test_a_wrong_layout_is_one_line_that_says_what_to_do(wrong, says: str) -> None:
    with pytest.raises(UsageError, match=says) as error:
        wrong()
    assert "\n" not in str(error.value)

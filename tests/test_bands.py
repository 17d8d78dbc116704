"""bands.py: every object has one owner, blocks cover everything, windows stay whole."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enormous.bands import Band, bands
from enormous.errors import UsageError
from enormous.grid import Grid, Shape
from enormous.kernels import downsample
from enormous.ome.pyramid import layout, levels_of


@dataclass(frozen=True)
class Level:
    grid: Grid
    factors: Shape


@st.composite
def pyramids(draw: st.DrawFn) -> list[Level]:
    """Levels cut up by any rule, each on its own: more than `levels_of` would ever make."""
    ndim = draw(st.integers(2, 5))
    shape = [
        draw(st.sampled_from([0, 1, 1, 2, 3]) if axis < ndim - 3 else st.integers(0, 21))
        for axis in range(ndim)
    ]
    sharding = draw(st.sampled_from(["none", "halved", "forced", "forced", "wild"]))
    # forced shards of an even number of chunks are what is packed
    numbers = [1, 2] if sharding == "forced" else [1, 2, 2, 3, 4]
    chunk = [draw(st.sampled_from(numbers)) for _ in shape]
    per_shard = [draw(st.sampled_from([1, 2, 2, 3, 4, 4])) for _ in shape]
    levels: list[Level] = []
    for number in range(draw(st.integers(1, 5))):
        factors = tuple(
            draw(st.sampled_from([1, 2, 2])) if number and axis >= ndim - 3 else 1
            for axis in range(ndim)
        )
        shape = [-(-n // f) for n, f in zip(shape, factors, strict=True)]
        cut = [max(1, min(c, n)) for c, n in zip(chunk, shape, strict=True)]
        if sharding == "wild":
            cut = [draw(st.integers(1, 4)) for _ in shape]
            per_shard = [draw(st.integers(1, 3)) for _ in shape]
        if sharding == "halved" and number:
            per_shard = [max(1, k // f) for k, f in zip(per_shard, factors, strict=True)]
        shards = tuple(c * k for c, k in zip(cut, per_shard, strict=True))
        grid = Grid(tuple(shape), tuple(cut), 2, None if sharding == "none" else shards)
        levels.append(Level(grid, factors))
    return levels


@st.composite
def divided(draw: st.DrawFn) -> tuple[list[Level], tuple[Band, ...], Shape | None, int]:
    levels = draw(pyramids())
    base = draw(st.none() | st.tuples(*[st.integers(0, n + 3) for n in levels[0].grid.shape]))
    most = draw(st.sampled_from([0, 0, 64, 512, 4096, 10**9]))
    return levels, bands(levels, base=base, most_bytes=most), base, most


def boxes(ranges: tuple[range, ...]) -> list[Shape]:
    return list(itertools.product(*ranges))


@settings(deadline=None, max_examples=400)
@given(divided())
def test_every_object_has_one_owner(case: Any) -> None:
    levels, made, _, _ = case
    assert [d for band in made for d in band.levels] == list(range(len(levels)))
    for band in made:
        assert set(band.packed) < set(band.levels) or not band.packed
        assert band.first not in band.packed
        for d in band.levels:
            grid = levels[d].grid
            chunks, objects = Counter[Shape](), Counter[Shape]()
            voxels = np.zeros(grid.shape, int)
            for block in range(band.blocks.n):
                region = band.region(d, block)
                voxels[region] += 1
                chunks.update(boxes(band.chunks(d, block)))
                if d not in band.packed:
                    owned = boxes(band.objects(d, block))
                    objects.update(owned)
                    for index in owned:  # whole objects, each inside the block's region
                        inside = zip(grid.by_object.slices(index), region, strict=True)
                        assert all(r.start <= s.start <= s.stop <= r.stop for s, r in inside)
            assert (voxels == 1).all()
            assert set(chunks.values()) <= {1}
            assert chunks.total() == grid.n_chunks
            if d not in band.packed:
                assert set(objects.values()) <= {1}
                assert objects.total() == grid.n_objects
        assert band.n_objects == sum(levels[d].grid.n_objects for d in band.levels)


@settings(deadline=None, max_examples=200)
@given(divided())
def test_regions_are_the_halves_of_one_another(case: Any) -> None:
    """A block of a level is computed from its block one level up alone, and is all of it."""
    levels, made, _, _ = case
    for band in made:
        for block, d in itertools.product(range(band.blocks.n), band.levels):
            here = band.region(d, block)
            if d == 0:
                with pytest.raises(UsageError, match="level 0"):
                    band.source(block)
                continue
            above = band.source(block) if d == band.first else band.region(d - 1, block)
            for a, h, f in zip(above, here, levels[d].factors, strict=True):
                assert (a.start, h.stop - h.start) == (h.start * f, -(-(a.stop - a.start) // f))


@settings(deadline=None, max_examples=300)
@given(divided())
def test_blocks_are_as_large_as_allowed_and_asked_for(case: Any) -> None:
    levels, made, base, most = case
    for band in made:
        start = levels[band.first].grid
        asked = base if base is not None and band.first == 0 else (1,) * len(start.shape)
        least = []
        sizes = zip(start.shape, start.by_object.tile, asked, band.blocks.tile, strict=True)
        for _, tile, b, edge in sizes:
            assert edge % tile == 0
            least.append(-(-max(b, 1) // tile) * tile)
            assert edge >= least[-1]
        smallest = math.prod(min(e, n) for e, n in zip(least, start.shape, strict=True)) * 2
        assert smallest <= band.block_bytes <= max(smallest, most)
        assert band.block_bytes == max(
            (2 * math.prod(s.stop - s.start for s in band.region(band.first, block))
             for block in range(band.blocks.n)),
            default=0,
        )  # fmt: skip
        if band.last + 1 < len(levels):  # it ended for a reason
            after = levels[band.last + 1]
            scale = [s * f for s, f in zip(band.scales[-1], after.factors, strict=True)]
            sizes = zip(start.shape, band.blocks.tile, after.grid.chunks, scale, strict=True)
            assert any(edge < n and edge % (c * f) for n, edge, c, f in sizes)


@settings(deadline=None, max_examples=400)
@given(divided())
def test_packed_shards_are_made_of_their_pieces(case: Any) -> None:
    levels, made, _, _ = case
    for band, d in ((one, d) for one in made for d in one.packed):
        grid = levels[d].grid
        made_by_blocks = [p for block in range(band.blocks.n) for p in band.pieces(d, block)]
        assert len({(p.block, p.shard) for p in made_by_blocks}) == len(made_by_blocks)
        assert len(made_by_blocks) == band.n_pieces(d)
        packed, per_shard = [], [s // c for s, c in zip(grid.shards, grid.chunks, strict=True)]
        chunks = Counter[Shape]()
        for shard in np.ndindex(grid.by_object.counts):
            pieces = list(band.pack_sources(d, shard))
            assert pieces
            packed += pieces
            for piece in pieces:
                assert piece.shard == shard
                for at in np.ndindex(piece.counts):
                    inside = tuple(o + i for o, i in zip(piece.origin, at, strict=True))
                    assert all(i < k for i, k in zip(inside, per_shard, strict=True))
                    chunks[
                        tuple(s * k + i for s, k, i in zip(shard, per_shard, inside, strict=True))
                    ] += 1
        assert sorted(packed) == sorted(made_by_blocks)
        assert set(chunks) == set(np.ndindex(grid.by_chunk.counts))
        assert set(chunks.values()) == {1}
        with pytest.raises(UsageError, match="packed"):
            band.objects(d, 0)


@settings(deadline=None, max_examples=60)
@given(divided(), st.integers(0, 9))
def test_block_by_block_is_level_by_level(case: Any, seed: int) -> None:
    levels, made, _, _ = case
    image = np.random.default_rng(seed).integers(0, 65536, levels[0].grid.shape).astype("u2")
    stored = [image]
    for level in levels[1:]:
        stored.append(downsample(stored[-1], level.factors, "mean"))
    for band in made:
        for block in range(band.blocks.n):
            if band.first:
                start = levels[band.first]
                piece = downsample(
                    stored[band.first - 1][band.source(block)], start.factors, "mean"
                )
            else:
                piece = image[band.region(0, block)]
            for d in band.levels:
                if d > band.first:
                    piece = downsample(piece, levels[d].factors, "mean")
                np.testing.assert_array_equal(piece, stored[d][band.region(d, block)])


def divide(shape: Shape, **how: Any) -> list[tuple[int, int, Shape, tuple[int, ...]]]:
    scale, base = (1.0,) * len(shape), how.pop("base", None)
    keep = isinstance(how.get("shards"), int)
    levels = levels_of(layout(shape, 2, scale, **how), scale, keep_shards=keep)
    return [(b.first, b.last, b.blocks.tile, b.packed) for b in bands(levels, base=base)]


def test_the_usual_layouts() -> None:
    shape, cube, rest = (2000, 1500, 1500), (512,) * 3, (3, 4, (256,) * 3, ())
    assert divide(shape) == [(0, 2, cube, ()), rest]
    assert divide(shape, chunks=128, shards="none") == [(0, 2, cube, ()), rest]
    assert divide(shape, shards=512) == [(0, 2, cube, (1, 2)), rest]
    # a block of whole slices makes every shard of a slice's levels
    slabs = divide(shape, base=(1, *shape[1:]))
    assert slabs == [(0, 2, (512, 1536, 1536), ()), rest]


def test_a_petabyte_is_divided_at_once() -> None:
    shape = (80_000, 80_000, 80_000)
    scale = (1.0,) * 3
    levels = levels_of(layout(shape, 2, scale, shards=512), scale, keep_shards=True)
    first = bands(levels)[0]
    assert (first.blocks.n, first.packed) == (157**3, (1, 2))
    assert first.n_pieces(1) == 157**3
    assert len(list(first.pack_sources(1, (78, 3, 3)))) == 4  # the last along z has one block
    assert first.region(2, first.blocks.n - 1) == (slice(19968, 20000),) * 3


def test_wrong_calls() -> None:
    level = Level(Grid((9, 9), (4, 4), 1, (8, 8)), (1, 1))
    with pytest.raises(UsageError, match="level 0 at least"):
        bands([])
    with pytest.raises(UsageError, match="does not suit the axes"):
        bands([level], base=(1, 1, 1))
    (band,) = bands([level])
    with pytest.raises(UsageError, match="not in this band"):
        band.region(1, 0)
    with pytest.raises(UsageError, match="not packed"):
        next(band.pieces(0, 0))
    with pytest.raises(UsageError, match="not packed"):
        next(band.pack_sources(0, (0, 0)))

"""ome/pyramid.py: geometry that holds for every shape, and layouts as asked for."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enormous.errors import UsageError
from enormous.grid import Shape
from enormous.ome.pyramid import auto_factors, layout, levels_of

spaces = st.tuples(*[st.integers(1, 700)] * 3)
voxels = st.tuples(*[st.sampled_from([0.25, 0.5, 0.9, 1.0, 1.3, 2.0, 8.0])] * 3)
leading = st.sampled_from([(), (2,), (3, 2)])


@given(spaces, voxels, leading, st.integers(1, 64), st.booleans())
def test_levels_lie_over_one_another(
    space: Shape, voxel: tuple[float, ...], lead: Shape, edge: int, keep: bool
) -> None:
    shape, scale = lead + space, (1.0,) * len(lead) + voxel
    base = layout(shape, 2, scale, chunks=min(edge, max(space)), shards=None)
    levels = levels_of(base, scale, keep_shards=keep)
    assert levels[0].grid == base
    assert max(levels[-1].grid.shape[-3:]) <= max(base.chunks)
    for d, level in enumerate(levels):
        assert level.path == str(d)
        # the upper left corners of all levels are one point in space
        corners = [t - s / 2 for t, s in zip(level.translation, level.scale, strict=True)]
        assert corners == pytest.approx([-s / 2 for s in scale])
        assert all(c <= n for c, n in zip(level.grid.chunks, level.grid.shape, strict=True))
    for above, level in itertools.pairwise(levels):
        assert level.grid.shape == tuple(
            math.ceil(n / f) for n, f in zip(above.grid.shape, level.factors, strict=True)
        )
        assert level.scale == tuple(s * f for s, f in zip(above.scale, level.factors, strict=True))
        assert level.factors[: len(lead)] == (1,) * len(lead)
        assert max(level.factors) == 2


@given(spaces, voxels)
def test_only_the_finest_axes_are_halved(space: Shape, voxel: tuple[float, ...]) -> None:
    factors = auto_factors(space, voxel)
    halved = [v for v, f in zip(voxel, factors, strict=True) if f == 2]
    kept = [v for v, f, n in zip(voxel, factors, space, strict=True) if f == 1 and n > 1]
    assert all(f == 1 for f, n in zip(factors, space, strict=True) if n == 1)
    if halved and kept:
        assert max(halved) < min(kept)
        # oblong voxels come nearer to cubes: what is kept is at least 1.4 times the finest,
        # what is halved less than that, so no ratio beyond two is made
        after = [v * f for v, f, n in zip(voxel, factors, space, strict=True) if n > 1]
        before = [v for v, n in zip(voxel, space, strict=True) if n > 1]
        ratio = max(before) / min(before)
        assert max(after) / min(after) <= max(2.0, ratio / math.sqrt(2)) + 1e-9


@pytest.mark.parametrize("voxel", [(200.64,) * 3, (0.033, 0.032, 0.032), (808.58, 808.99, 808.99)])
def test_nearly_equal_voxels_count_as_equal(voxel: tuple[float, ...]) -> None:
    assert auto_factors((100, 100, 100), voxel) == (2, 2, 2)


def test_a_shard_makes_whole_shards_of_the_next_level() -> None:
    levels = levels_of(layout((2000, 1500, 1500), 2, (1.0,) * 3), (1.0,) * 3)
    assert [level.grid.shards for level in levels] == [
        (512, 512, 512),
        (256, 256, 256),
        None,  # a shard would be one chunk
        None,
        None,
    ]
    kept = levels_of(
        layout((2000, 1500, 1500), 2, (1.0,) * 3, shards=512), (1.0,) * 3, keep_shards=True
    )
    assert [level.grid.shards for level in kept] == [
        (512, 512, 512),
        (512, 512, 512),
        (512, 384, 384),  # no larger than the array needs
        (256, 256, 256),
        (125, 94, 94),
    ]


def test_one_integer_is_a_cube_cut_off_by_the_array() -> None:
    grid = layout((64, 50, 50), 2, (1.0,) * 3, chunks=64)
    assert grid.chunks == (64, 50, 50)
    grid = layout((2, 300, 90, 300), 2, (1.0,) * 4, chunks=100, shards=200)
    assert (grid.chunks, grid.shards) == ((1, 100, 90, 100), (1, 200, 90, 200))
    assert layout((300, 300, 300), 2, (1.0,) * 3, shards="none").shards is None


@pytest.mark.parametrize(
    ("chunks", "shards", "says"),
    [
        (500, None, "larger than the array"),
        ((64, 400, 64), None, "larger than the array"),
        ((64, 64), None, "3 axes"),
        (0, None, "1 or more"),
        ((64, -1, 64), None, "1 or more"),
        (64, 100, "not a multiple"),
        (64, (128, 128, 100), "not a multiple"),
        (64, 0, "1 or more"),
    ],
)
def test_layouts_that_nobody_wants(chunks: object, shards: object, says: str) -> None:
    with pytest.raises(UsageError, match=says) as told:
        layout((300, 300, 300), 2, (1.0,) * 3, chunks=chunks, shards=shards)  # type: ignore[arg-type]
    assert "\n" not in str(told.value)


def test_numbers_of_levels() -> None:
    base = layout((5, 3, 1), 2, (1.0,) * 3)
    assert [lv.grid.shape for lv in levels_of(base, (1.0,) * 3, levels=4)] == [
        (5, 3, 1),
        (3, 2, 1),
        (2, 1, 1),
        (1, 1, 1),
    ]
    for wrong in (0, -1, 5):
        with pytest.raises(UsageError, match="levels"):
            levels_of(base, (1.0,) * 3, levels=wrong)


@given(spaces, leading, st.tuples(*[st.sampled_from([1, 2])] * 3), st.integers(1, 64))
def test_forced_factors_hold_at_every_level(
    space: Shape, lead: Shape, factors: tuple[int, ...], edge: int
) -> None:
    scale = (1.0,) * len(lead) + (8.0, 1.0, 0.5)
    base = layout(lead + space, 2, scale, chunks=min(edge, max(space)))
    levels = levels_of(base, scale, factors=factors)
    assert levels == levels_of(base, scale, factors=(1,) * len(lead) + factors)
    for above, level in itertools.pairwise(levels):
        wanted = (1,) * len(lead) + factors
        shape = above.grid.shape
        assert level.factors == tuple(f if n > 1 else 1 for f, n in zip(wanted, shape, strict=True))
    # the axes that are halved fit into one chunk, and did not before the last level
    halved = [a for a, f in enumerate(factors, start=len(lead)) if f == 2]
    for level in levels:
        longest = max((level.grid.shape[a] for a in halved), default=0)
        assert (longest <= max(base.chunks)) == (level is levels[-1])


def test_the_first_voxel_of_a_window_stays_where_it_is() -> None:
    base = layout((64, 64, 64), 2, (4.0, 1.0, 1.0), chunks=16)
    nearest = levels_of(base, (4.0, 1.0, 1.0), levels=3, method="nearest")
    mean = levels_of(base, (4.0, 1.0, 1.0), levels=3)
    assert [level.translation for level in nearest] == [(0.0, 0.0, 0.0)] * 3
    assert [level.translation for level in mean] == [(0, 0, 0), (0, 0.5, 0.5), (0, 1.5, 1.5)]
    assert [level.scale for level in nearest] == [level.scale for level in mean]


@pytest.mark.parametrize(
    "factors", [(2, 2), (2, 3, 2), (0, 2, 2), (2, 1, 1, 1), "2,2,2", (2, 2.5, 1)]
)
def test_factors_that_cannot_be(factors: object) -> None:
    base = layout((2, 30, 30, 30), 2, (1.0,) * 4)
    with pytest.raises(UsageError, match=r"factors .*halve") as told:
        levels_of(base, (1.0,) * 4, factors=factors)  # type: ignore[arg-type]
    assert "\n" not in str(told.value)
    with pytest.raises(UsageError, match="use at most 1"):
        levels_of(base, (1.0,) * 4, factors=(1, 1, 1), levels=2)

"""intervals.py behaves as a set does, and stays short."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from enormous.engine.intervals import Intervals
from enormous.engine.plan import Stage
from enormous.engine.shares import _cut
from enormous.grid import Tiling

runs = st.tuples(st.integers(0, 40), st.integers(0, 6)).map(lambda p: (p[0], p[0] + p[1]))


@given(st.lists(runs, max_size=30), st.integers(0, 45), st.integers(0, 45))
def test_it_is_a_set(added: list[tuple[int, int]], start: int, stop: int) -> None:
    intervals, expected = Intervals(), set[int]()
    for low, high in added:
        intervals.add(low, high)
        expected |= set(range(low, high))
    assert {n for n in range(60) if n in intervals} == expected
    held = [set(range(low, high)) for low, high in intervals]
    assert set().union(*held) == expected
    assert len(held) == sum(n not in expected for n in {n + 1 for n in expected})
    asked = set(range(start, stop))
    assert intervals.count(start, stop) == len(asked & expected)
    gaps = [n for low, high in intervals.gaps(start, stop) for n in range(low, high)]
    assert gaps == sorted(asked - expected)


@given(st.integers(1, 50), st.integers(0, 200))
def test_shares_are_a_partition(n: int, blocks: int) -> None:
    cuts = [_cut(i, n, blocks) for i in range(1, n + 1)]
    assert [b for low, high in cuts for b in range(low, high)] == list(range(blocks))
    assert max(high - low for low, high in cuts) <= math.ceil(blocks / n)


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 5)), min_size=1, max_size=4))
def test_bytes_before_a_block_are_those_of_the_blocks_before(axes: list[tuple[int, int]]) -> None:
    shape, tile = zip(*axes, strict=True)
    stage = Stage("", print, Tiling(shape, tile), itemsize=3)
    sizes = [stage.bytes_of(number) for number in range(stage.blocks.n)]
    before = [0, *np.cumsum(sizes).tolist()]
    assert [stage.bytes_before(n) for n in range(stage.blocks.n + 1)] == before
    assert sum(sizes) == math.prod(shape) * 3

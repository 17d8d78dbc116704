"""The drawings: that they show what grid.py counts, to scale."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enormous.grid import Grid
from enormous.teach import figures

plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def _no_window():
    plt.switch_backend("agg")
    yield
    plt.close("all")


def _front_area(ax, colour: str) -> float:
    """Area of the front (z) faces of one colour: the first of each three polygons."""
    from matplotlib.colors import to_rgba

    area = 0.0
    patches = [p for p in ax.patches if p.get_facecolor() == to_rgba(colour)]
    for face in patches[::3]:
        x, y = np.ptp(face.get_xy()[:, 0]), np.ptp(face.get_xy()[:, 1])
        area += x * y
    return area


def test_a_slice_is_drawn_with_the_chunks_that_it_needs() -> None:
    grid = Grid((64, 64, 64), (16, 16, 16), 2)
    _, ax = plt.subplots()
    need = figures.draw_chunks(ax, grid, (slice(None), slice(0, 10), slice(20, 40)))
    assert need == grid.need((slice(None), slice(0, 10), slice(20, 40)))
    assert _front_area(ax, figures.FETCHED) == 16 * 32
    assert _front_area(ax, figures.ASKED) == 10 * 20


def test_steps_draw_one_box_for_each_run_of_chunks() -> None:
    _, ax = plt.subplots()
    grid = Grid((64, 64, 64), (8, 8, 8), 1)
    figures.draw_chunks(ax, grid, (slice(None, None, 32), 0, slice(0, 64, 32)))
    assert _front_area(ax, figures.FETCHED) == 4 * 8 * 8


def test_planes_are_to_scale_and_their_bar_is_a_round_length() -> None:
    fig = figures.planes(np.arange(4 * 6 * 8).reshape(4, 6, 8), (30.0, 10.0, 10.0))
    assert [a.get_title() for a in fig.axes] == ["z = 2", "y = 3", "x = 4"]
    assert [a.images[0].get_extent() for a in fig.axes] == [
        [0, 80, 60, 0],
        [0, 80, 120, 0],
        [0, 60, 120, 0],
    ]
    assert [a.texts[0].get_text() for a in fig.axes] == ["10 µm", "10 µm", "10 µm"]


@settings(max_examples=30)
@given(st.floats(1e-3, 1e7))
def test_scale_bar_is_between_a_tenth_and_a_fifth(width: float) -> None:
    fig, ax = plt.subplots()
    figures.scale_bar(ax, width, width, "µm")
    x = ax.lines[0].get_xdata()
    assert width / 12.6 < x[1] - x[0] <= width / 4.99
    plt.close(fig)


def test_background_stays_black_and_labels_get_colours_of_their_own() -> None:
    folded = figures._fold_labels(np.array([0, 1, 2, 3, 256, 65535]))
    assert folded[0] == 0
    assert len(set(folded.tolist())) == 6

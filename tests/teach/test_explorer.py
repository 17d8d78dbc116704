"""The explorer for notebooks: grid.py's numbers, and the chapter's model of the time.

That the page's explorer says the same is held by ``tests/browser/test_explorer.py``.
"""

from __future__ import annotations

import pytest

from enormous.errors import UsageError
from enormous.grid import Grid
from enormous.teach.explorer import explore, points, seconds, selection_of

plt = pytest.importorskip("matplotlib.pyplot")
ALL = slice(None)
HEART = (806, 629, 629)


@pytest.fixture(autouse=True)
def _no_window():
    plt.switch_backend("agg")
    yield
    plt.close("all")


def _numbers(table) -> dict[str, str]:
    return {row[0]: row[1] for row in table.rows}


@pytest.mark.parametrize(
    ("options", "selection"),
    [
        ({"access": "z", "at": 805}, (805, ALL, ALL)),
        ({"access": "y"}, (ALL, 314, ALL)),
        ({"access": "x", "at": 0, "shards": (256, 256, 256)}, (ALL, ALL, 0)),
        (
            {"access": "cube", "size": 64, "at": (1, 2, 3)},
            (slice(1, 65), slice(2, 66), slice(3, 67)),
        ),
        ({"access": "cube"}, (slice(303, 503), slice(214, 414), slice(214, 414))),
        ({"access": "all", "shards": (128, 640, 640)}, (ALL, ALL, ALL)),
    ],
)
def test_table_has_the_numbers_of_the_grid(options, selection) -> None:
    said = _numbers(explore(HEART, (128, 128, 128), **options))
    grid = Grid(HEART, (128, 128, 128), 2, options.get("shards"))
    need = grid.need(selection)
    assert said["requests"] == f"{need.requests:,}"
    assert said["chunks fetched"] == f"{need.chunks:,}"
    assert said["objects touched"] == f"{need.objects:,}"
    assert said["bytes wanted"] == f"{need.nbytes:,}"
    assert said["bytes fetched, unpacked"] == f"{need.chunk_bytes:,}"
    assert said["bytes of shard indexes"] == f"{need.index_bytes:,}"
    assert said["objects in the array"] == f"{grid.n_objects:,}"
    assert said["bytes of padding"] == f"{grid.padded_bytes - grid.nbytes:,}"
    assert len(plt.get_fignums()) == 1


def test_random_voxels_are_inside_and_cost_what_the_grid_says() -> None:
    shape = (7, 100_000, 3)
    drawn = list(points(shape, 500, seed=4))
    assert all(0 <= i < n for place in drawn for i, n in zip(place, shape, strict=True))
    assert {place[0] for place in drawn} == set(range(7))
    said = _numbers(explore(shape, (2, 512, 2), "voxels", size=500, seed=4))
    assert said["chunks fetched"] == f"{Grid(shape, (2, 512, 2), 2).need_points(drawn).chunks:,}"


def test_generator_gives_the_published_numbers() -> None:
    """mulberry32 from seed 1: 0.62707394 of 2**32, as its usual JavaScript form gives."""
    first = [voxel[0] for voxel in points((2**32, 1, 1), 1, 1)]
    assert first == [2693262067]


def test_time_is_waiting_plus_sending() -> None:
    need = Grid((160, 160, 160), (16, 16, 16), 2).need((ALL, ALL, 5))
    assert need.chunks == 100
    sent = 100 * 16**3 * 2 / 2.0
    assert seconds(need, 0.1, 1e6, 4, 2.0) == pytest.approx(25 * 0.1 + sent / 1e6)
    sharded = Grid((160, 160, 160), (16, 16, 16), 2, (32, 32, 32)).need((ALL, ALL, 5))
    assert sharded.index_bytes == 25 * (8 * 16 + 4)
    rounds = 32  # 125 requests, 4 at once
    expected = rounds * 0.1 + (sent + sharded.index_bytes) / 1e6
    assert seconds(sharded, 0.1, 1e6, 4, 2.0) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("w",), "use one of z, y, x, cube, voxels, all"),
        (("x", 629), "0 to 628"),
        (("z", (1, 2, 3)), "outside"),
        (("cube", 5, 3), "three numbers"),
        (("cube", (0, 0, 600), 30), "not inside"),
        (("cube", None, 700), "not inside"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(arguments, word: str) -> None:
    with pytest.raises(UsageError, match=word) as error:
        selection_of(HEART, *arguments)
    assert "\n" not in str(error.value)


def test_what_cannot_be_explored_is_refused() -> None:
    with pytest.raises(UsageError, match="1 or more"):
        explore(HEART, (128, 128, 128), "voxels", size=0)
    with pytest.raises(UsageError, match="three: z, y, x"):
        explore((64, 64), (8, 8), "voxels")
    with pytest.raises(UsageError, match="multiple"):
        explore(HEART, (128, 128, 128), shards=(200, 256, 256))
    for wrong in ({"latency": -1}, {"bandwidth": 0}, {"in_flight": 0}, {"ratio": 0}):
        with pytest.raises(UsageError, match="above 0"):
            explore(HEART, (128, 128, 128), **wrong)

"""The chunk explorer in a notebook: what an access costs, as a table and a drawing.

Called by chapters and by readers; the page's explorer (``book/widgets``) writes the
call that shows the same. The arithmetic is :mod:`enormous.grid`'s; here stand only
the choice of an access, the random voxels, which both explorers draw alike, and the
model of the time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from enormous.errors import UsageError
from enormous.grid import Grid, Need, Selection, Shape
from enormous.teach import figures
from enormous.teach.tables import Table, human_bytes, human_time

Access = Literal["z", "y", "x", "cube", "voxels", "all"]
ACCESSES: tuple[Access, ...] = ("z", "y", "x", "cube", "voxels", "all")
MOST_DRAWN = 400  # separate chunks; more take long and show nothing more


def explore(
    shape: Shape,
    chunks: Shape,
    access: Access = "x",
    at: int | Sequence[int] | None = None,
    itemsize: int = 2,
    shards: Shape | None = None,
    latency: float = 0.04,
    bandwidth: float = 100e6,
    in_flight: int = 16,
    ratio: float = 1.8,
    *,
    size: int | None = None,
    seed: int = 1,
) -> Table:
    """Draw what an access fetches, and return all its numbers as a table.

    Parameters
    ----------
    shape, chunks : tuple of int
        Size of the array and of one chunk, in voxels, ``z, y, x``.
    access : {"z", "y", "x", "cube", "voxels", "all"}
        A slice one voxel thick, a cube, random voxels, or everything.
    at : int or sequence of int, optional
        The slice's voxel, or the cube's first voxel ``z, y, x``; the middle by default.
    itemsize : int
        Bytes of one voxel.
    shards : tuple of int, optional
        Size of one shard, in voxels.
    latency : float
        Seconds until the store answers.
    bandwidth : float
        Bytes that it sends in a second.
    in_flight : int
        Requests that wait at the same time.
    ratio : float
        How well the chunks compress.
    size : int, optional
        Edge of the cube (by default 200, or what fits), or number of random voxels
        (by default 100).
    seed : int
        Of the random voxels.

    Returns
    -------
    Table
        The access, the whole array, and what a writer holds.

    Raises
    ------
    UsageError
        If the layout or the access does not fit the array.
    """
    import matplotlib.pyplot as plt

    if len(shape) != 3:
        raise UsageError(f"shape {shape} has {len(shape)} axes; give three: z, y, x")
    grid = Grid(tuple(shape), tuple(chunks), itemsize, tuple(shards) if shards else None)
    if access == "voxels":
        if size is not None and size < 1:
            raise UsageError(f"{size} random voxels are none; give 1 or more")
        places = list(points(grid.shape, 100 if size is None else size, seed))
        need = grid.need_points(places)
        _draw_points(grid, places, need)
    else:
        selection = selection_of(grid.shape, access, at, size)
        need = grid.need(selection)
        figures.chunks([("", grid, selection)])
    plt.show()
    return table(grid, need, seconds(need, latency, bandwidth, in_flight, ratio))


def selection_of(
    shape: Shape,
    access: Access,
    at: int | Sequence[int] | None = None,
    size: int | None = None,
) -> Selection:
    """The selection that an access makes in an array of that shape, ``z, y, x``.

    Raises
    ------
    UsageError
        If there is no such access, or it is not inside the array.
    """
    if access == "all":
        return (slice(None),) * 3
    if access == "cube":
        edge = min(200, *shape) if size is None else size
        start = [(n - edge) // 2 for n in shape] if at is None else at
        if isinstance(start, int) or len(start) != 3:
            raise UsageError(f"a cube starts at three numbers, z, y, x; at={at} is not that")
        if edge < 1 or any(a < 0 or a + edge > n for a, n in zip(start, shape, strict=True)):
            raise UsageError(f"a cube of {edge} at {tuple(start)} is not inside the array {shape}")
        return tuple(slice(a, a + edge) for a in start)
    if access not in ("z", "y", "x"):
        raise UsageError(f"there is no access {access!r}; use one of {', '.join(ACCESSES)}")
    axis = "zyx".index(access)
    voxel = (shape[axis] - 1) // 2 if at is None else at
    if not isinstance(voxel, int) or not 0 <= voxel < shape[axis]:
        raise UsageError(f"at={at} is outside: along {access} there are 0 to {shape[axis] - 1}")
    whole: list[int | slice] = [slice(None)] * 3
    whole[axis] = voxel
    return tuple(whole)


def points(shape: Shape, size: int, seed: int) -> Iterator[Shape]:
    """Pseudo-random voxels, the same as in the page's explorer.

    Three draws a voxel, ``z`` then ``y`` then ``x``, from the generator mulberry32
    (32-bit integers from a 32-bit seed); a draw ``r`` becomes ``r * n // 2**32``.
    """
    draw = _mulberry32(seed)
    for _ in range(size):
        yield tuple(next(draw) * n >> 32 for n in shape)


def _mulberry32(seed: int) -> Iterator[int]:
    mask = 0xFFFFFFFF
    state = seed & mask
    while True:
        state = (state + 0x6D2B79F5) & mask
        t = (state ^ state >> 15) * (state | 1) & mask
        t ^= t + (t ^ t >> 7) * (t | 61) & mask
        yield t ^ t >> 14


def seconds(
    need: Need,
    latency: float = 0.04,
    bandwidth: float = 100e6,
    in_flight: int = 16,
    ratio: float = 1.8,
) -> float:
    """Time to fetch what is needed: rounds of waiting plus sending, roughly.

    Chunks travel compressed, shard indexes as they are.

    Raises
    ------
    UsageError
        If the store is impossible: a latency below 0, or another number not above it.
    """
    if latency < 0 or bandwidth <= 0 or in_flight < 1 or ratio <= 0:
        raise UsageError(
            f"latency={latency}, bandwidth={bandwidth}, in_flight={in_flight}, ratio={ratio}: "
            "give a latency of 0 or more, and the others above 0"
        )
    sent = need.chunk_bytes / ratio + need.index_bytes
    rounds = -(-need.requests // in_flight)
    return rounds * latency + sent / bandwidth


def table(grid: Grid, need: Need, time: float) -> Table:
    """All numbers, in the order and the words of the page's explorer."""
    padding = grid.padded_bytes - grid.nbytes
    shard = grid.chunks_per_shard * grid.chunk_bytes if grid.shards else 0
    indexes = grid.n_objects * grid.index_bytes
    rows: list[tuple[str, int | float, str]] = [
        ("requests", need.requests, ""),
        ("chunks fetched", need.chunks, ""),
        ("objects touched", need.objects, ""),
        ("bytes wanted", need.nbytes, human_bytes(need.nbytes)),
        ("bytes fetched, unpacked", need.chunk_bytes, human_bytes(need.chunk_bytes)),
        ("bytes of shard indexes", need.index_bytes, human_bytes(need.index_bytes)),
        ("read amplification", need.amplification, ""),
        ("predicted seconds", time, human_time(time)),
        ("bytes of the array", grid.nbytes, human_bytes(grid.nbytes)),
        ("bytes of padding", padding, f"{figures.short(100 * padding / grid.nbytes)} %"),
        ("chunks in the array", grid.n_chunks, ""),
        ("objects in the array", grid.n_objects, ""),
        ("bytes of all shard indexes", indexes, human_bytes(indexes)),
        ("bytes of one chunk", grid.chunk_bytes, human_bytes(grid.chunk_bytes)),
        ("bytes of one shard", shard, human_bytes(shard) if shard else "no shards"),
    ]
    return Table(["what", "exactly", "in words"], rows)


def _draw_points(grid: Grid, places: Sequence[Shape], need: Need) -> None:
    """Draw the chunks of single voxels, each voxel as a point."""
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots(figsize=(3.1, 3.3))
    whole = tuple((0.0, float(n)) for n in grid.shape)
    figures._draw_box(ax, whole, figures.BACK, face="white", edge=figures.FAINT, chunks=grid.chunks)
    # far ones first, so that nearer ones cover them
    touched = {tuple(i // c for i, c in zip(p, grid.chunks, strict=True)) for p in places}
    far_first = sorted(touched, key=lambda index: (-index[0], -index[1], index[2]))
    for index in far_first[:: -(-len(far_first) // MOST_DRAWN)]:
        box = tuple((float(s.start), float(s.stop)) for s in grid.by_chunk.slices(index))
        figures._draw_box(
            ax, box, figures.FRONT, face=figures.FETCHED, edge=figures.LINE, hatch="////"
        )
    figures._draw_box(ax, whole, figures.FRONT, face="none", edge=figures.LINE)
    right, up = zip(*(figures._project(p) for p in places[:MOST_DRAWN]), strict=True)
    ax.scatter(right, up, s=9, color=figures.ASKED, edgecolor=figures.ASKED_EDGE, zorder=10**6)
    figures._label_axes(ax, grid.shape)
    ax.set_aspect("equal")
    ax.axis("off")
    caption = f"{need.chunks:,} chunks, {figures.short(need.amplification)} × the bytes"
    ax.text(0.5, -0.02, caption, transform=ax.transAxes, ha="center", va="top")
    fig.tight_layout()

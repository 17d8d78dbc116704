"""The book's drawings: arrays cut into chunks, and slices with a scale bar.

Called by the chapters' plotting cells. Every drawing reads in greyscale: what
was asked for is dark, what had to be fetched is hatched, the rest is an
outline. An array is drawn as a stack of images: x to the right, y down, z
going back; plain polygons, so it takes well under a second for any array.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from enormous.grid import Grid, Need, Selection, normalize

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ASKED = "#9a3412"
ASKED_EDGE = "#431407"
FETCHED = "#fdba74"
LINE = "#475569"
FAINT = "#cbd5e1"
DEPTH = (0.42, 0.32)  # how far a step along z moves right and up, in steps along x
MAX_LINES = 160  # chunk borders closer than this are a grey smear, not a drawing

Box = tuple[tuple[float, float], ...]
Point = tuple[float, float]


def style() -> None:
    """Set matplotlib up as the book wants it: once, at the top of a chapter."""
    import matplotlib.pyplot as plt
    from matplotlib import rcParams

    rcParams.update(
        {
            "figure.dpi": 110,
            "savefig.bbox": "tight",
            "font.size": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": 10.5,
            "axes.titlelocation": "left",
            "axes.grid": False,
            "image.cmap": "gray",
            "image.interpolation": "nearest",
            "hatch.linewidth": 0.6,
        }
    )
    plt.close("all")


def chunks(grids: Sequence[tuple[str, Grid, Selection]], *, caption: bool = True) -> Figure:
    """Draw arrays side by side, with the chunks that a selection has to fetch.

    Parameters
    ----------
    grids : sequence of (title, Grid, selection)
        One panel each. The arrays have three axes, ``z, y, x``.
    caption : bool
        Write chunks and amplification below each panel.

    Returns
    -------
    matplotlib.figure.Figure
    """
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, len(grids), figsize=(3.1 * len(grids), 3.3), squeeze=False)
    for ax, (title, grid, selection) in zip(axes[0], grids, strict=True):
        need = draw_chunks(ax, grid, selection)
        ax.set_title(title)
        if caption:
            ax.text(
                0.5,
                -0.02,
                f"{need.chunks:,} chunk{'s' * (need.chunks != 1)}, "
                f"{short(need.amplification)} × the bytes",
                transform=ax.transAxes,
                ha="center",
                va="top",
            )
    fig.tight_layout()
    return fig


def short(number: float) -> str:
    """Three digits at most below a thousand, whole numbers with commas above."""
    return f"{number:,.0f}" if number >= 999.5 else f"{number:.3g}"


def draw_chunks(ax: Axes, grid: Grid, selection: Selection) -> Need:
    """Draw one array on ``ax``: outline, chunk borders, fetched chunks, asked-for voxels.

    Returns
    -------
    Need
        What the selection needs, for a caption.
    """
    whole: Box = tuple((0.0, float(n)) for n in grid.shape)
    _draw_box(ax, whole, BACK, face="white", edge=FAINT, chunks=grid.chunks)
    for run in _runs(grid.by_chunk.touched(selection)):
        fetched: Box = tuple(
            (first * c, min((last + 1) * c, n))
            for (first, last), c, n in zip(run, grid.chunks, grid.shape, strict=True)
        )
        _draw_box(ax, fetched, FRONT, face=FETCHED, edge=LINE, chunks=grid.chunks, hatch="////")
    for run in _runs([sorted(r) for r in normalize(grid.shape, selection)]):
        asked: Box = tuple((float(first), float(last + 1)) for first, last in run)
        _draw_box(ax, asked, FRONT, face=ASKED, edge=ASKED_EDGE)
    _draw_box(ax, whole, FRONT, face="none", edge=LINE)
    _label_axes(ax, grid.shape)
    ax.set_aspect("equal")
    ax.axis("off")
    return grid.need(selection)


def _runs(touched: Sequence[Sequence[int]]) -> list[tuple[tuple[int, int], ...]]:
    """Boxes of neighbouring indices, back to front so that nearer ones cover farther ones."""
    axes: list[list[tuple[int, int]]] = []
    for indices in touched:
        runs: list[tuple[int, int]] = []
        for i in indices:
            if runs and runs[-1][1] == i - 1:
                runs[-1] = (runs[-1][0], i)
            else:
                runs.append((i, i))
        axes.append(runs)
    zs, ys, xs = axes
    return [(z, y, x) for z in reversed(zs) for y in reversed(ys) for x in xs]


def _project(point: Sequence[float]) -> Point:
    z, y, x = point
    return x + DEPTH[0] * z, -y + DEPTH[1] * z


# Which end of each axis (z, y, x) carries the faces that are drawn: 0 low, 1 high.
FRONT = (0, 0, 1)
BACK = (1, 1, 0)


def _draw_box(
    ax: Axes,
    box: Box,
    side: tuple[int, int, int],
    *,
    face: str,
    edge: str,
    chunks: Sequence[int] | None = None,
    hatch: str | None = None,
) -> None:
    """Draw three faces of a box: those turned to the reader (FRONT) or the inner ones (BACK)."""
    from matplotlib.collections import LineCollection
    from matplotlib.patches import Polygon

    layer = len(ax.patches) + len(ax.collections) + 1  # each drawn thing covers the ones before
    for normal in range(3):
        a, b = (axis for axis in range(3) if axis != normal)
        corners = []
        for end_a, end_b in ((0, 0), (0, 1), (1, 1), (1, 0)):
            corner = [0.0] * 3
            corner[normal] = box[normal][side[normal]]
            corner[a], corner[b] = box[a][end_a], box[b][end_b]
            corners.append(_project(corner))
        ax.add_patch(
            Polygon(
                corners,
                closed=True,
                facecolor=face,
                edgecolor=edge,
                hatch=hatch,
                linewidth=0.9,
                joinstyle="round",
                zorder=layer,
            )
        )
    if chunks:
        lines = [(_project(a), _project(b)) for a, b in _borders(box, side, chunks)]
        ax.add_collection(
            LineCollection(lines, colors=edge, linewidths=0.6, zorder=layer), autolim=False
        )
    ax.autoscale_view()


def _borders(
    box: Box, side: tuple[int, int, int], chunks: Sequence[int]
) -> list[tuple[list[float], list[float]]]:
    """Chunk borders on the drawn faces, as pairs of end points."""
    lines = []
    for cut in range(3):
        low, high = box[cut]
        at = np.arange((low // chunks[cut] + 1) * chunks[cut], high, chunks[cut])
        if len(at) > MAX_LINES:
            continue
        for normal in (axis for axis in range(3) if axis != cut):
            along = 3 - cut - normal
            for position in at:
                ends = []
                for end in box[along]:
                    point = [0.0] * 3
                    point[cut], point[normal], point[along] = (
                        position,
                        box[normal][side[normal]],
                        end,
                    )
                    ends.append(point)
                lines.append((ends[0], ends[1]))
    return lines


def _label_axes(ax: Axes, shape: Sequence[int]) -> None:
    nz, ny, nx = shape
    off = 0.05 * max(shape)
    options: dict[str, Any] = {"ha": "center", "va": "center", "color": LINE, "fontsize": 9}
    ax.text(nx / 2, -ny - off, "x", **options)
    ax.text(-off, -ny / 2, "y", **options)
    zx, zy = _project((nz / 2, 0, 0))
    ax.text(zx - off, zy + off, "z", **options)


def planes(
    volume: np.ndarray[Any, Any],
    voxel_size: Sequence[float],
    *,
    unit: str = "µm",
    at: Sequence[int] | None = None,
    labels: bool = False,
    title: str = "",
) -> Figure:
    """Show the three planes through a volume, to scale, with a scale bar.

    Parameters
    ----------
    volume : ndarray, shape (z, y, x)
        Grey values, or label numbers with ``labels=True``.
    voxel_size : sequence of float
        Size of a voxel along z, y, x, in ``unit``.
    unit : str
        Unit of length, written on the axes.
    at : sequence of int, optional
        The z, y and x index of the planes; the middle by default.
    labels : bool
        Give every label a colour of its own; label 0 is black.
    title : str
        Written above.

    Returns
    -------
    matplotlib.figure.Figure
    """
    import matplotlib.pyplot as plt

    where = [n // 2 for n in volume.shape] if at is None else list(at)
    extent = [n * v for n, v in zip(volume.shape, voxel_size, strict=True)]
    widths = [extent[2], extent[2], extent[1]]
    heights = [extent[1], extent[0], extent[0]]
    fig, axes = plt.subplots(
        1,
        3,
        figsize=(9.3, 8.0 * max(heights) / sum(widths) + (1.0 if title else 0.75)),
        width_ratios=widths,
        layout="constrained",
    )
    options: dict[str, Any] = {"cmap": "gray"}
    if labels:
        options = {"cmap": _label_colours(), "vmin": 0, "vmax": 255, "interpolation": "none"}
        volume = _fold_labels(volume)
    else:
        low, high = np.percentile(volume, [0.5, 99.8])
        options |= {"vmin": low, "vmax": high}
    for ax, axis, (down, right) in zip(axes, range(3), [(1, 2), (0, 2), (0, 1)], strict=True):
        plane = np.take(volume, where[axis], axis=axis)
        ax.imshow(plane, extent=(0, extent[right], extent[down], 0), aspect="equal", **options)
        ax.set_anchor("N")
        ax.set_title(f"{'zyx'[axis]} = {where[axis]}")
        ax.set_xlabel(f"{'zyx'[right]} ({unit})")
        ax.set_ylabel(f"{'zyx'[down]} ({unit})")
        scale_bar(ax, extent[right], extent[down], unit)
    if title:
        fig.suptitle(title, x=0.01, ha="left", weight="bold")
    return fig


def scale_bar(ax: Axes, width: float, height: float, unit: str) -> None:
    """Put a bar of a round length, about a fifth of ``width``, into the lower left corner."""
    target = width / 5
    power = 10.0 ** np.floor(np.log10(target))
    length = power * max(m for m in (1, 2, 5) if m * power <= target * 1.0001)
    x, y = 0.05 * width, 0.94 * height
    for colour, thickness in (("black", 5.0), ("white", 3.0)):
        ax.plot([x, x + length], [y, y], color=colour, linewidth=thickness, solid_capstyle="butt")
    text = ax.text(x, y - 0.02 * height, f"{length:g} {unit}", color="white", fontsize=8.5)
    import matplotlib.patheffects as effects

    text.set_path_effects([effects.withStroke(linewidth=2, foreground="black")])


def _fold_labels(labels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Map labels to 1..255 so that neighbours in number differ in colour; 0 stays 0."""
    folded = (labels.astype(np.uint32) * np.uint32(2654435761) >> np.uint32(8)) % 255 + 1
    return np.where(labels == 0, 0, folded).astype(np.uint8)


def _label_colours() -> Any:
    from matplotlib.colors import ListedColormap, hsv_to_rgb

    rng = np.random.default_rng(7)
    hsv = np.stack([rng.random(256), rng.uniform(0.35, 0.8, 256), rng.uniform(0.5, 1, 256)], -1)
    rgb = hsv_to_rgb(hsv)
    rgb[0] = 0
    return ListedColormap(rgb)

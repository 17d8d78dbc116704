"""The samples ``dense`` and ``sparse``: twins of two segmentations of human cortex.

Called by the sample writer (``enormous sample dense|sparse``), one block at a
time, and by whoever scores a segmentation against :func:`truth`.

The originals are uint16 label volumes of 806 x 629 x 629 voxels cut from H01
(Shapson-Coe et al., Science 2024): in ``dense`` every voxel belongs to a
neuron; in ``sparse`` only what passes through of the 104 proofread neurons is
labelled. Here neurons are grown once per seed as branching tapering tubes in
a field of view of fixed physical size, and a voxel takes the label of the
nearest tube. An array of any shape shows that whole field, coarser or finer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from threading import Lock
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from enormous.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from enormous.samples.neurons_grow import Cell, Forest, Kind
    from enormous.samples.neurons_tubes import Scene

Triple = tuple[int, int, int]

#: Shape of the published arrays, z, y, x.
FULL_SHAPE: Triple = (806, 629, 629)
#: Voxel size of the published arrays, z, y, x, in micrometres.
VOXEL_SIZE = (0.033, 0.032, 0.032)
#: Size of the field of view, z, y, x, in micrometres; the same for every shape.
FIELD_OF_VIEW = tuple(n * v for n, v in zip(FULL_SHAPE, VOXEL_SIZE, strict=True))
#: H01 holds this many proofread neurons; ``sparse`` labels are numbers among them.
PROOFREAD = 104
#: Nodes that one field of view may need (seed 0 of ``dense`` takes about 31 000).
CAPACITY = 1 << 18
#: Cells of the coarsest search grid, and the refinements that lead to cells of about 0.5 um.
CELLS: Triple = (13, 10, 10)
REFINE = (2, 2)
#: Blocks of this edge are counted one by one, so that memory stays bounded.
COUNT_EDGE = 256


class Recipe(NamedTuple):
    """What grows in one sample; lengths in micrometres.

    Attributes
    ----------
    stream : int, number of the random stream
    margin : float, neurons grow this far beyond the field of view
    cells : int, cell bodies
    cell : Cell
    passing : (kind, how many are tried) in the order they grow
    background : bool, whether what is outside the tubes stays 0
    palette : int, labels are drawn from ``1 .. palette``; 0 numbers them ``1 .. count``
    """

    stream: int
    margin: float
    cells: int
    cell: Cell
    passing: tuple[tuple[Kind, int], ...]
    background: bool
    palette: int


def _dense() -> Recipe:
    """Neuropil: four cell bodies, thick dendrites, and axons in whatever room is left.

    Radii are those of the skeletons; nearest-tube assignment shares out the
    gaps, which brings mean calibres to 0.9 to 1.5 um (5th to 95th percentile).
    """
    from enormous.samples.neurons_grow import Cell, Kind

    basal = Kind(
        radius=0.9, final=0.35, taper=0.08,
        branch=0.08, spine=0.5, wander=0.45, avoid=1.5, uneven=0.2,
        length=60.0, tight=0.3, void=0.0,
    )  # fmt: skip
    apical = Kind(
        radius=1.2, final=0.6, taper=0.06,
        branch=0.06, spine=0.4, wander=0.35, avoid=1.5, uneven=0.15,
        length=60.0, tight=0.3, void=0.0,
    )  # fmt: skip
    dendrite = Kind(
        radius=0.5, final=0.33, taper=0.05,
        branch=0.04, spine=0.3, wander=0.35, avoid=1.5, uneven=0.2,
        length=60.0, tight=0.9, void=0.45,
    )  # fmt: skip
    axon = Kind(
        radius=0.17, final=0.14, taper=0.05,
        branch=0.02, spine=0.0, wander=0.5, avoid=2.0, uneven=0.35,
        length=60.0, tight=0.9, void=0.4,
    )  # fmt: skip
    return Recipe(
        stream=40,
        margin=1.0,
        cells=4,
        cell=Cell(radius=5.2, inset=1.0, apical=apical, basal=basal, basals=5),
        passing=((dendrite, 60), (axon, 700)),
        background=False,
        palette=0,
    )


def _sparse() -> Recipe:
    """One cell body, two dendrites and ten axons: a few proofread neurons pass through.

    Nothing grows beyond the field of view and nothing comes closer than 1.5
    radii to another neuron, so that each label is in one piece.
    """
    from enormous.samples.neurons_grow import Cell, Kind

    basal = Kind(
        radius=0.9, final=0.3, taper=0.05,
        branch=0.04, spine=0.1, wander=0.3, avoid=0.5, uneven=0.15,
        length=60.0, tight=1.5, void=0.0,
    )  # fmt: skip
    apical = Kind(
        radius=1.2, final=0.6, taper=0.06,
        branch=0.04, spine=0.1, wander=0.35, avoid=1.5, uneven=0.15,
        length=60.0, tight=1.5, void=0.0,
    )  # fmt: skip
    dendrite = Kind(
        radius=0.5, final=0.3, taper=0.05,
        branch=0.05, spine=0.1, wander=0.3, avoid=0.5, uneven=0.15,
        length=60.0, tight=1.5, void=0.6,
    )  # fmt: skip
    axon = Kind(
        radius=0.16, final=0.12, taper=0.05,
        branch=0.01, spine=0.0, wander=0.35, avoid=0.5, uneven=0.25,
        length=80.0, tight=1.5, void=0.3,
    )  # fmt: skip
    return Recipe(
        stream=41,
        margin=0.0,
        cells=1,
        cell=Cell(radius=4.2, inset=4.0, apical=apical, basal=basal, basals=4),
        passing=((dendrite, 2), (axon, 10)),
        background=True,
        palette=PROOFREAD,
    )


_GROWING = Lock()
_RECIPES = {"dense": _dense, "sparse": _sparse}


class _World(NamedTuple):
    """One grown field of view."""

    scene: Scene
    somata: dict[int, tuple[float, float, float]]


@dataclass(frozen=True, eq=False)
class Truth:
    """What is really in a sample. Lengths in micrometres, axes z, y, x.

    Attributes
    ----------
    name, seed : str, int
    shape : (int, int, int)
        The array in which voxels were counted.
    voxels : mapping of int to int
        Voxels of each label (0 left out) in an array of that shape; its keys
        are exactly the labels that exist there.
    background : float
        Share of voxels that are 0.
    skeletons : mapping of int to (n, 8) float64
        Tubes of each label: ``z0 y0 x0 radius0 z1 y1 x1 radius1``. In
        ``sparse`` a label is the union of its tubes, inside the field of view;
        in ``dense`` it is the voxels nearer to them than to any other's, and
        may come in several pieces. A ``sparse`` label is in one piece
        (26-connected) where voxels are 0.13 um or finer.
    somata : mapping of int to (float, float, float)
        Centre of each cell body: landmarks, whose voxel carries the label.
    """

    name: str
    seed: int
    shape: Triple
    voxels: Mapping[int, int]
    background: float
    skeletons: Mapping[int, NDArray[np.float64]] = field(repr=False)
    somata: Mapping[int, tuple[float, float, float]]

    @property
    def labels(self) -> tuple[int, ...]:
        """The labels that exist, ascending."""
        return tuple(self.voxels)

    @property
    def voxel_size(self) -> tuple[float, float, float]:
        """Voxel size at ``shape``, in micrometres."""
        z, y, x = (f / n for f, n in zip(FIELD_OF_VIEW, self.shape, strict=True))
        return z, y, x

    @property
    def volumes(self) -> dict[int, float]:
        """Volume of each label in cubic micrometres, by counting voxels."""
        z, y, x = self.voxel_size
        return {label: n * z * y * x for label, n in self.voxels.items()}


def _grow(recipe: Recipe, seed: int) -> tuple[Forest, dict[int, int], int]:
    """Grow a field of view; return it, the node of each soma, and how many labels it has."""
    from enormous.samples import neurons_grow
    from enormous.samples._field import stream

    low = np.full(3, -recipe.margin)
    high = np.array(FIELD_OF_VIEW) + recipe.margin
    forest = neurons_grow.new_forest(low, high, stream(seed, recipe.stream), CAPACITY)
    somata = {}
    for label in range(1, recipe.cells + 1):
        somata[label] = int(neurons_grow.grow_cell(forest, recipe.cell, label))
    label = recipe.cells
    for kind, tries in recipe.passing:
        for _ in range(tries):
            label += neurons_grow.grow_passing(forest, kind, label + 1)
    if forest.used[0] == CAPACITY:
        raise UsageError(f"seed {seed}: more than {CAPACITY} nodes grew; take another seed")
    return forest, somata, label


def _renumber(found: NDArray[np.bool_], palette: int, key: int) -> NDArray[np.uint16]:
    """Give each label found (index 0 left out) a number that says nothing about its kind."""
    from enormous.samples._field import stream

    count = int(found[1:].sum())
    numbers = sorted(range(1, max(palette, count) + 1), key=lambda n: int(stream(key, n)))
    out = np.zeros(len(found), np.uint16)
    out[1:][found[1:]] = numbers[:count]
    return out


def _tubes(forest: Forest) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Return a tube for each node and its parent, and the labels they grew with."""
    count = int(forest.used[0])
    parent = forest.parent[:count]
    child = np.flatnonzero(parent >= 0)
    a, b = forest.node[parent[child]], forest.node[child]
    vector = b[:, :3] - a[:, :3]
    square = vector * vector
    length2 = square[:, 0] + square[:, 1] + square[:, 2]
    change = b[:, 3] - a[:, 3]
    columns = (a[:, :3], vector, (1.0 / length2)[:, None], a[:, 3:], change[:, None])
    return np.concatenate(columns, axis=1), forest.label[child]


def _world(name: str, seed: int) -> _World:
    """Return a grown sample; threads that ask at once wait for one to grow it."""
    with _GROWING:
        return _grown(name, seed)


@lru_cache(maxsize=4)
def _grown(name: str, seed: int) -> _World:
    from enormous.samples import neurons_grow
    from enormous.samples.neurons_tubes import build_scene

    if name not in _RECIPES:
        raise UsageError(f"no neurons named {name!r}; take one of {', '.join(_RECIPES)}")
    recipe = _RECIPES[name]()
    forest, somata, count = _grow(recipe, seed)
    fov = np.array(FIELD_OF_VIEW)
    number = _renumber(neurons_grow.alive(forest, fov, count), recipe.palette, seed)
    tubes, grown = _tubes(forest)
    keep = number[grown] > 0
    ceiling = 0.0 if recipe.background else float("inf")
    scene = build_scene(fov, tubes[keep], number[grown[keep]], ceiling, CELLS, REFINE)
    centres = {}
    for label, node in somata.items():
        z, y, x = forest.node[node, :3].tolist()
        centres[int(number[label])] = (z, y, x)
    return _World(scene, centres)


def _block(name: str, shape: Triple, origin: Triple, size: Triple, seed: int) -> NDArray[np.uint16]:
    from enormous.samples.neurons_tubes import rasterise

    for axis, n, o, s in zip("zyx", shape, origin, size, strict=True):
        if n < 1 or o < 0 or s < 0 or o + s > n:
            raise UsageError(
                f"{name}: block {o}:{o + s} is outside an array of {n} voxels along {axis}"
            )
    out = np.zeros(size, np.uint16)
    if out.size:
        scene = _world(name, seed).scene
        rasterise(scene, out, np.array(origin, np.int64), np.array(shape, np.int64))
    return out


def dense_block(
    shape: Triple, origin: Triple, size: Triple, *, seed: int = 0
) -> NDArray[np.uint16]:
    """Make one block of ``dense``: every voxel belongs to a neuron.

    Parameters
    ----------
    shape : (int, int, int)
        Voxels of the whole array along z, y, x; it spans `FIELD_OF_VIEW`.
    origin, size : (int, int, int)
        First voxel and size of the block.
    seed : int
        Another seed grows other neurons.

    Returns
    -------
    ndarray of uint16, shape `size`
        Labels from 1. The same whatever block a voxel is made in.

    Raises
    ------
    UsageError
        The block is not inside the array.
    """
    return _block("dense", shape, origin, size, seed)


def sparse_block(
    shape: Triple, origin: Triple, size: Triple, *, seed: int = 0
) -> NDArray[np.uint16]:
    """Make one block of ``sparse``: a few neurons, 0 elsewhere.

    Parameters, result and errors are those of :func:`dense_block`; labels are
    between 1 and `PROOFREAD`.
    """
    return _block("sparse", shape, origin, size, seed)


def mask(
    name: str, shape: Triple, origin: Triple, size: Triple, *, seed: int = 0
) -> NDArray[np.bool_]:
    """Tell which voxels of a block belong to a neuron (in ``dense``: all).

    Parameters
    ----------
    name : {"dense", "sparse"}
    shape, origin, size, seed
        As in :func:`dense_block`.

    Returns
    -------
    ndarray of bool, shape `size`

    Raises
    ------
    UsageError
        The block is not inside the array, or the name is unknown.
    """
    return _block(name, shape, origin, size, seed) > 0


def _blocks(shape: Triple) -> Iterator[tuple[Triple, Triple]]:
    for z in range(0, shape[0], COUNT_EDGE):
        for y in range(0, shape[1], COUNT_EDGE):
            for x in range(0, shape[2], COUNT_EDGE):
                origin = (z, y, x)
                dz, dy, dx = (min(COUNT_EDGE, n - o) for n, o in zip(shape, origin, strict=True))
                yield origin, (dz, dy, dx)


def truth(name: str, *, shape: Triple = FULL_SHAPE, seed: int = 0) -> Truth:
    """Return what is really in a sample.

    Parameters
    ----------
    name : {"dense", "sparse"}
    shape : (int, int, int)
        The array in which to count voxels, block by block: at full size,
        seconds for ``dense``, under one for ``sparse``. Skeletons and somata
        do not depend on it.
    seed : int

    Returns
    -------
    Truth

    Raises
    ------
    UsageError
        The name is unknown.
    """
    z, y, x = shape
    return _counted(name, (int(z), int(y), int(x)), seed)


@lru_cache(maxsize=8)
def _counted(name: str, shape: Triple, seed: int) -> Truth:
    world = _world(name, seed)
    count = np.zeros(1 << 16, np.int64)
    for origin, size in _blocks(shape):
        count += np.bincount(_block(name, shape, origin, size, seed).ravel(), minlength=1 << 16)
    tubes, labels = world.scene.tubes, world.scene.labels
    ends = np.concatenate(
        [tubes[:, :3], tubes[:, 7:8], tubes[:, :3] + tubes[:, 3:6], tubes[:, 7:8] + tubes[:, 8:9]],
        axis=1,
    )
    skeletons = {int(n): ends[labels == n] for n in np.unique(labels)}
    for skeleton in skeletons.values():
        skeleton.flags.writeable = False
    return Truth(
        name=name,
        seed=seed,
        shape=shape,
        voxels=MappingProxyType({int(n): int(count[n]) for n in np.flatnonzero(count) if n}),
        background=float(count[0] / count.sum()),
        skeletons=MappingProxyType(skeletons),
        somata=MappingProxyType(world.somata),
    )

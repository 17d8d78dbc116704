"""The three sample scans: made anywhere, any size, with known ground truth.

``describe``, ``shape_of`` and ``voxel_size`` are facts; ``generate``, ``truth``
and ``mask`` work in memory; ``plan`` and ``run`` write OME-Zarr to disk, larger
than memory included. Everything is imported at its first use, because the
generators compile with numba.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from enormous.samples.blocks import generate, mask, truth
    from enormous.samples.catalogue import NAMES, SIZES, Sample, describe, shape_of, voxel_size
    from enormous.samples.planning import plan, run

__all__ = [
    "NAMES",
    "SIZES",
    "Sample",
    "describe",
    "generate",
    "mask",
    "plan",
    "run",
    "shape_of",
    "truth",
    "voxel_size",
]

_HOME = {
    "blocks": ("generate", "mask", "truth"),
    "catalogue": ("NAMES", "SIZES", "Sample", "describe", "shape_of", "voxel_size"),
    "planning": ("plan", "run"),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOME.items():
        if name in names:
            return getattr(import_module(f"enormous.samples.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""What was made: stored bytes and objects of each level, values clipped, voxels masked.

Called at the end of `create.convert` and `create.pyramid`, and by their commands. Reads what
the finished image says of itself, so that it tells the same after a run, a resumed run and
shares.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from enormous.create.values import Clipped
from enormous.engine.output import stored
from enormous.engine.plan import Plan


@dataclass(frozen=True)
class Converted:
    """What a conversion, or the making of a pyramid, has written.

    Parameters
    ----------
    plan : Plan
    seconds : float
    stored_bytes, objects : tuple of int
        Of each level, finest first; metadata apart.
    clipped : Clipped, optional
        Voxels that the window could not hold, where there was one.
    masked : int
        Voxels outside the field of view that were set to the fill value.
    saved_bytes : int
        About how much smaller that made level 0.
    """

    plan: Plan
    seconds: float
    stored_bytes: tuple[int, ...]
    objects: tuple[int, ...]
    clipped: Clipped | None = None
    masked: int = 0
    saved_bytes: int = 0


def report(plan: Plan, seconds: float) -> Converted:
    """Look at the finished output of a plan."""
    out = Path(plan.out)
    found = [stored(out / level.path) for level in plan.spec.target.levels]
    told = _provenance(out) if plan.operation == "convert" else {}
    window, mask = told.get("window"), told.get("mask_fov", {})
    clipped = None
    if window:
        clipped = Clipped(window["clipped_below"], window["clipped_above"], window["nan_to_zero"])
    return Converted(
        plan,
        seconds,
        tuple(size for size, _ in found),
        tuple(count for _, count in found),
        clipped,
        mask.get("voxels", 0),
        mask.get("saved_bytes_about", 0),
    )


def _provenance(image: Path) -> dict[str, Any]:
    """The attribute ``enormous`` of an image of ours."""
    v3 = image / "zarr.json"
    if v3.is_file():
        attributes = json.loads(v3.read_bytes())["attributes"]
    else:
        attributes = json.loads((image / ".zattrs").read_bytes())
    told = attributes.get("enormous")
    return told if isinstance(told, dict) else {}

"""What a reader shows of an output, compared with what went in; and what readers cannot.

Called by `test_opens_elsewhere` and `interop_record`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from interop_outputs import Output
from interop_readers import MATTERS, Reader, Shown

#: Relative, of voxel sizes and translations.
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Limit:
    """What a reader cannot do, which is not ours to repair: tests hold it to be so still."""

    reader: str
    outputs: str  # a regular expression on the names of outputs
    wrong: str  # as `verdict` says it
    said: str  # a regular expression on the error, if there is one
    reason: str  # for people; reads on after "reader, outputs:"


LIMITS = (
    Limit(
        "tensorstore",
        r"^0\.4",
        "axes",
        r"^$",
        "voxels are equal, but axes have no names; "
        "Zarr format 2 keeps them in attributes, which it does not read",
    ),
    Limit(
        "ome-zarr-py",
        ", zip$",
        "refused",
        "NoneType",
        "finds nothing at the path of a zip file; unpack it",
    ),
    Limit(
        "yaozarrs",
        ", zip$",
        "refused",
        "Cannot map fsspec protocol 'zip'",
        "checks the metadata in a zip file, but cannot hand its arrays to tensorstore",
    ),
    Limit(
        "napari-ome-zarr",
        ", zip$",
        "refused",
        "no reader for this path",
        "finds nothing at the path of a zip file; unpack it",
    ),
)


def limit_of(reader: str, output: str) -> Limit | None:
    """What is known that a reader cannot do with an output."""
    known = [one for one in LIMITS if one.reader == reader and re.search(one.outputs, output)]
    return known[0] if known else None


def verdict(reader: Reader, output: Output) -> tuple[str, str]:
    """What is wrong, as names of `MATTERS` or ``"refused"``; and the error, if any."""
    try:
        shown = reader.open(output.path)
    except Exception as error:  # whatever a program raises: the tests say what is expected
        lines = str(error).strip().splitlines() or [""]
        return "refused", f"{type(error).__name__}: {lines[0]}"
    wrong = [matter for matter in MATTERS if matter in reader.tells]
    return ", ".join(m for m in wrong if not EQUAL[m](shown, output)), ""


def equal_levels(shown: Shown, output: Output) -> bool:
    """Whether shapes, dtypes and all voxels are the same."""
    if shown.levels is None or len(shown.levels) != len(output.levels):
        return False
    pairs = zip(map(np.asarray, shown.levels), output.levels, strict=True)
    return all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in pairs)


def near(shown: Any, ours: Any) -> bool:
    """Whether lengths are equal, level by level; a reader may tell of level 0 alone."""
    if shown is None or len(shown) not in (1, len(ours)):
        return False
    there, here = np.array(shown), np.array(ours[: len(shown)])
    return there.shape == here.shape and np.allclose(there, here, rtol=TOLERANCE, atol=0)


def equal_labels(shown: Shown, output: Output) -> bool:
    """Whether the labels inside are all there, and each is what went in, as far as told."""
    if shown.labels is None or shown.labels.keys() != output.labels.keys():
        return False
    told = [(shown.labels[name], output.labels[name]) for name in output.labels]
    return all(
        near(one.scales, inside.scales)
        and near(one.translations, inside.translations)
        and one.is_label
        and (one.levels is None or equal_levels(one, inside))
        for one, inside in told
    )


EQUAL = {
    "levels": equal_levels,
    "scales": lambda shown, output: near(shown.scales, output.scales),
    "translations": lambda shown, output: near(shown.translations, output.translations),
    "axes": lambda shown, output: shown.axes == output.axes,
    "units": lambda shown, output: shown.units == output.units,
    "channels": lambda shown, output: shown.channels == output.channels,
    "windows": lambda shown, output: shown.windows == output.windows,
    "is_label": lambda shown, output: shown.is_label == output.is_label,
    "labels": lambda shown, output: equal_labels(shown, output),
}

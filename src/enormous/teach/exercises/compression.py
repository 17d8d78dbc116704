"""Answers to the exercises of "Compression: how far, at what price"."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enormous import samples
from enormous.codecs import Codec
from enormous.errors import UsageError
from enormous.teach.check import NotAnswered, exercise, matches

#: The ratio that is asked for in the exercise on labels.
LABELS_RATIO = 17.0


def _entropy(values: NDArray[Any]) -> float:
    """Bits per value, order 0."""
    _, counts = np.unique(values, return_counts=True)
    p = counts / counts.sum()
    return float(-(p * np.log2(p)).sum())


@exercise(
    "compression-1",
    hint="The entropy first, in bits; then how often it goes into the bits of a uint16.",
)
def four_tissues() -> float:
    return 16 / _entropy(np.array([0, 0, 0, 0, 1, 1, 2, 3]))


@exercise("compression-2", hint="Which power of two is the step? Its exponent counts the zeros.")
def bits_of_noise() -> int:
    return int(math.log2(45))


@exercise(
    "compression-3",
    hint="In shuffled bytes, the first bytes of all voxels stand together: a table on its side.",
    cases=[
        (bytes([1, 3, 5, 2, 4, 6]), 2),
        (bytes(range(8)), 1),
        (bytes(range(12)), 4),
        (bytes(range(24)), 8),
    ],
)
def the_way_back(data: bytes, itemsize: int) -> bytes:
    return np.frombuffer(data, np.uint8).reshape(itemsize, -1).T.tobytes()


@lru_cache(maxsize=1)
def _labels() -> NDArray[np.uint16]:
    return samples.generate("dense", "small", origin=(64, 64, 64), block=(64, 64, 64))


@exercise("compression-4", many=True)
def a_codec_for_labels(answer: Any) -> str:
    try:
        name, bound = answer
    except (TypeError, ValueError):
        return "Answer with two things: a codec's name in quotes, and a number."
    if name is ... or bound is ...:
        raise NotAnswered
    if not isinstance(name, str):
        return "The codec comes first: its name, in quotes."
    try:
        codec = Codec.parse(name)
    except UsageError as error:
        return f"There is no such codec: {error}."
    labels = _labels()
    ratio = labels.nbytes / len(codec.encode(labels.tobytes(), labels.itemsize))
    if ratio < LABELS_RATIO:
        better = "leave out the shuffle, or " if codec.shuffle in ("shuffle", "bitshuffle") else ""
        return f"{codec} reaches {ratio:.1f}: {better}try a higher level or another codec."
    if not matches(bound, 16 / _entropy(np.diff(labels, axis=2)), rtol=0.01):
        return "The codec will do; look again at the bound: 16 bits over the entropy in bits."
    return ""

"""The exercises of "Monday morning": wrong answers are told apart, and why."""

from __future__ import annotations

import re

import pytest

from enormous.teach.check import _registry


def by_name(names):
    there = [int(re.findall(r"\d+", name)[-1]) for name in sorted(names)]
    return [n for n in range(there[0], there[-1] + 1) if n not in there]


def slice_by_slice(paths, array):
    import numpy as np
    import tifffile

    bad = []
    for z, path in enumerate(paths):
        original = tifffile.imread(path)
        if not np.array_equal(array[z], original) or not original.any():
            bad.append(z)
    return bad


def by_layers(paths, array):
    import numpy as np
    import tifffile

    bad = []
    for first in range(0, len(paths), array.chunks[0]):
        for z, plane in enumerate(array[first : first + array.chunks[0]], first):
            original = tifffile.imread(paths[z])
            if not np.array_equal(plane, original) or not original.any():
                bad.append(z)
    return bad


@pytest.mark.parametrize(
    ("name", "answer", "hint"),
    [
        ("monday-1", 30.0, "one seventh"),
        ("monday-2", 7.5, "add up"),
        ("monday-3", by_name, "wrong for the arguments"),
        ("monday-4", slice_by_slice, "8 slices at a time"),
        ("monday-4", lambda paths, array: [12, 20], "zeros"),
        ("monday-4", lambda paths, array: [3, 12], "last layer"),
        ("monday-4", 7, "function itself"),
    ],
)
def test_a_wrong_answer_gets_a_hint(name, answer, hint):
    right, said = _registry.find(name).judge(answer)
    assert not right
    assert hint in said


def test_right_answers_are_right():
    assert _registry.find("monday-4").judge(by_layers) == (True, "")
    for name in ("monday-1", "monday-2"):
        exercise = _registry.find(name)
        assert exercise.judge(exercise.expected()) == (True, "")

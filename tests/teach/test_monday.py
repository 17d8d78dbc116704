"""The exercises of "Monday morning": wrong answers are told apart, and why."""

from __future__ import annotations

import re

import pytest

from enormous.teach.check import _registry


def by_name(names):
    there = [int(re.findall(r"\d+", name)[-1]) for name in sorted(names)]
    return [n for n in range(there[0], there[-1] + 1) if n not in there]


def differing(paths, planes, numbers):
    import numpy as np
    import tifffile

    originals = (tifffile.imread(paths[z]) for z in numbers)
    pairs = zip(numbers, planes, originals, strict=True)
    return [z for z, plane, file in pairs if not np.array_equal(plane, file) or not file.any()]


def slice_by_slice(paths, array):
    planes = (array[z] for z in range(len(paths)))
    return differing(paths, planes, range(len(paths)))


def by_layers(paths, array, deep=8):
    bad = []
    for first in range(0, len(paths), deep):
        layer = array[first : first + deep]
        bad += differing(paths, layer, range(first, first + len(layer)))
    return bad


def by_two_layers(paths, array):
    return by_layers(paths, array, 16)


def all_at_once(paths, array):
    return differing(paths, array[:], range(len(paths)))


def all_files_at_once(paths, array):
    import tifffile

    originals = [tifffile.imread(path) for path in paths]
    bad = []
    for first in range(0, len(paths), 8):
        layer = array[first : first + 8]
        for z in range(len(layer)):
            if (layer[z] != originals[first + z]).any() or not layer[z].any():
                bad.append(first + z)
    return bad


def first_step(names):
    there = sorted(int(re.findall(r"\d+", name)[-1]) for name in names)
    step = there[1] - there[0] if len(there) > 1 else 1
    return [n for n in range(there[0], there[-1] + 1, step) if n not in there]


@pytest.mark.parametrize(
    ("name", "answer", "hint"),
    [
        ("monday-1", 30.0, "one seventh"),
        ("monday-2", 7.5, "add up"),
        ("monday-3", by_name, "wrong for the arguments"),
        ("monday-3", first_step, "wrong for the arguments"),
        ("monday-4", all_at_once, "whole scan"),
        ("monday-4", all_files_at_once, "whole scan"),
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
    for right in (by_layers, by_two_layers):
        assert _registry.find("monday-4").judge(right) == (True, "")
    for name in ("monday-1", "monday-2"):
        exercise = _registry.find(name)
        assert exercise.judge(exercise.expected()) == (True, "")
